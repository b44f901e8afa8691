"""Keys, tokens and passwords taken out of whatever is shown or stored outside of a run's own
recipe."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

MASK = "***"
# characters of a secret that is looked for in a text: shorter ones would blot out half of it
SHORTEST = 4
_SECRET = (
    r"(?:(?:api|access|account|private|secret|shared|auth)[_-]?)*"
    r"(?:keys?|tokens?|secrets?|passwords?|passwd|passphrase|pwd|credentials?|signature|"
    r"sig|sas|pat|pats|auth|authorization|bearer|cookies?|jwt|otp)"
)
_SECRET_NAME = re.compile(rf"(?:^|.*[^a-z]){_SECRET}(?:$|[^a-z].*)")
# up to the last @: a password may hold one; a path that was made of a URL has a single slash
_USER_IN_URL = re.compile(r"((?<![a-z0-9+.-])[a-z0-9][a-z0-9+.-]+://?)[^/\s?#]*@", re.IGNORECASE)
_SECRET_IN_URL = re.compile(
    rf"([?&;](?:[^=&;\s]*[^a-z=&;\s])?{_SECRET}=)[^&;\s'\"]+", re.IGNORECASE
)
# a pair in a text, such as {passwd: X}, "token": "X", AccountKey=X, --password X or [password, X]
_NAME_IN_TEXT = re.compile(
    r"(?<![\w-])(?P<flag>--?[A-Za-z][\w-]*)[\"',]*\s+|"
    r"(?<![\w-])-*(?P<name>\w[\w-]*)[\"']?\s*[:=]\s*|"
    r"(?<![\w\])])[\[(][\"']?(?P<first>\w[\w-]*)[\"']?,\s*(?=[^\s,\[\](){}]+[\])])"
)
# the quote that opens the value is the one that closes it
_VALUE_IN_TEXT = re.compile(r"\"[^\"]*\"|'[^']*'|[^\s,;&}\]\"']+")
_ERROR = re.compile(r"[A-Za-z]+(?:Error|Exception|Warning)")  # KeyError: is no name of a secret
_FLAG = re.compile(r"--?[A-Za-z][\w-]*")
# what services give out begins with their own letters, so it is known without a name
_KNOWN = re.compile(
    r"\b(?:gh[a-z]_\w{8,}|github_pat_\w{8,}|glpat-[\w-]{8,}|hf_\w{8,}|"
    r"sk-[\w-]{8,}|xox[a-z]-[\w-]{8,}|AKIA[A-Z0-9]{12,})|"
    r"(?i:(?<=bearer )|(?<=basic ))[\w.+/=~-]{8,}"
)


def scrub(value: Any, name: str = "") -> Any:
    """The same value with every secret masked: what has a name such as api_key or password, and
    what a URL says of its user.

    >>> scrub({"api_key": "abc", "root": "https://me:pw@host/x?token=abc", "keypoints": 5})
    {'api_key': '***', 'root': 'https://***@host/x?token=***', 'keypoints': 5}
    """
    if isinstance(value, dict):
        return {key: scrub(entry, str(key)) for key, entry in value.items()}
    if value is not None and not isinstance(value, bool) and _is_secret(name):
        return MASK
    if isinstance(value, (list, tuple)):
        return [
            MASK if hidden else scrub(entry)
            for entry, hidden in zip(value, _after_names(value), strict=True)
        ]
    return scrub_text(value) if isinstance(value, str) else value


def scrub_words(words: Sequence[str]) -> list[str]:
    """The words of a command line with every secret masked.

    >>> scrub_words(["data.password=abc", "--token", "abc", "seed=1"])
    ['data.password=***', '--token', '***', 'seed=1']
    """
    scrubbed: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        name, equals, value = word.partition("=")
        if equals and _is_secret(name):
            scrubbed.append(f"{name}={MASK}")
        elif _is_secret_flag(before) and not word.startswith("-"):
            scrubbed.append(MASK)
        else:
            scrubbed.append(f"{name}{equals}{scrub_text(value)}" if equals else scrub_text(word))
    return scrubbed


def scrub_text(text: str, config: Any = None) -> str:
    """A text with every secret masked: users in URLs, values behind a name such as password, and
    the secrets of a recipe, if given.

    >>> scrub_text("no {user: me, passwd: abc} for https://me:abc@host/x?token=abc")
    'no {user: me, passwd: ***} for https://***@host/x?token=***'
    >>> scrub_text("cannot log in with hunter2", {"data": {"password": "hunter2"}})
    'cannot log in with ***'
    """
    # first, while "bearer" still stands before what it bears
    text = _KNOWN.sub(MASK, _scrub_known(text, config))
    text = _scrub_urls(text)
    for start, end in reversed(list(_values(text))):
        text = text[:start] + MASK + text[end:]
    return text


def scrub_message(text: str, config: Any = None) -> str:
    """A sentence of weakseg about an option, less the secrets that it may quote; what it says of
    `data.token` itself stays.

    >>> scrub_message("init_from: expected a file, but s3:/me:pw@host/x?token=abc is none")
    'init_from: expected a file, but s3:/***@host/x?token=*** is none'
    """
    return _scrub_urls(_KNOWN.sub(MASK, _scrub_known(text, config)))


def scrub_yaml(text: str) -> str:
    """YAML that says the same, less its comments, with every secret masked."""
    return yaml.safe_dump(
        scrub(yaml.safe_load(text)), sort_keys=False, allow_unicode=True, width=200
    )


def _secrets(config: Any, name: str = "") -> Iterator[str]:
    """The secrets of a recipe that are long enough to be looked for."""
    if isinstance(config, dict):
        for key, value in config.items():
            yield from _secrets(value, str(key))
    elif isinstance(config, list | tuple):
        for value, hidden in zip(config, _after_names(config), strict=True):
            yield from _secrets(value, "secret" if hidden else name)
    elif config is not None and not isinstance(config, bool):
        text = str(config)
        found = [text] if _is_secret(name) else _hidden(text)
        yield from (secret for secret in found if len(secret) >= SHORTEST)


def _hidden(text: str) -> list[str]:
    """The secrets inside a text."""
    found = [match[0][len(match[1]) :].strip("\"'") for match in _SECRET_IN_URL.finditer(text)]
    found += [text[start:end].strip("\"'") for start, end in _values(text)]
    for match in _USER_IN_URL.finditer(text):
        user = match[0][len(match[1]) : -1]
        found += [user, *user.split(":", 1)]
    return found + [match[0] for match in _KNOWN.finditer(text)]


def _scrub_known(text: str, config: Any) -> str:
    for secret in sorted(set(_secrets(config)), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _scrub_urls(text: str) -> str:
    return _SECRET_IN_URL.sub(rf"\1{MASK}", _USER_IN_URL.sub(rf"\1{MASK}@", text))


def _values(text: str) -> Iterator[tuple[int, int]]:
    """Where in a text the values of secret names begin and end."""
    place = 0
    while name := _NAME_IN_TEXT.search(text, place):
        place = name.end()
        flag = name["flag"]
        word = name["name"] or name["first"]
        known = _is_secret_flag(flag) if flag else _is_secret(word) and not _ERROR.fullmatch(word)
        value = _VALUE_IN_TEXT.match(text, place) if known else None
        if value:
            place = value.end()
            yield value.span()


def _after_names(values: Sequence[Any]) -> list[bool]:
    """Which entries of a list belong to a secret name before them: ["--password", "X"], and
    ["password", "X"] if that is all of it."""
    pair = len(values) == 2 and isinstance(values[0], str) and _is_secret(values[0])
    return [
        isinstance(entry, str | int | float)
        and isinstance(before, str)
        and (pair or _is_secret_flag(before))
        for before, entry in zip([None, *values], values, strict=False)
    ]


def _is_secret_flag(word: str) -> bool:
    """Whether the next word of a command is a secret: -p is what many programs call a password."""
    return _FLAG.fullmatch(word) is not None and (
        word in ("-p", "-P") or _is_secret(word.lstrip("-"))
    )


def _is_secret(name: str) -> bool:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return _SECRET_NAME.fullmatch(snake) is not None
