"""Keys, tokens and passwords taken out of whatever is shown or stored outside of a run's own recipe."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

MASK = "***"
SHORTEST = 4  # characters of a secret that is looked for in a text: shorter ones would blot out half of it
_SECRET = (
    r"(?:(?:api|access|private|secret|auth)[_-]?)?(?:keys?|tokens?|secrets?|passwords?|passwd|passphrase|pwd|credentials?|signature|"
    r"sig|sas|pat|pats|auth|authorization|bearer|cookies?|jwt|otp)"
)
_SECRET_NAME = re.compile(rf"(?:^|.*[^a-z]){_SECRET}(?:$|[^a-z].*)")
_USER_IN_URL = re.compile(r"([a-z][a-z0-9+.-]*://)[^/\s?#]*@", re.IGNORECASE)  # up to the last @: a password may hold one
_SECRET_IN_URL = re.compile(rf"([?&;](?:[^=&;\s]*[^a-z=&;\s])?{_SECRET}=)[^&;\s'\"]+", re.IGNORECASE)
# a pair in a text, such as {passwd: X} or "token": "X"; the quote that opens the value is the one that closes it
_PAIR = re.compile(
    rf"((?<![a-z])(?:[a-z0-9]+[_-])*{_SECRET}(?:[_-][a-z0-9]+)*[\"']?\s*[:=]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s,;&}}\]\"']+)", re.IGNORECASE
)
# what services give out begins with their own letters, so it is known without a name
_KNOWN = re.compile(
    r"\b(?:gh[a-z]_\w{8,}|github_pat_\w{8,}|glpat-[\w-]{8,}|hf_\w{8,}|sk-[\w-]{8,}|xox[a-z]-[\w-]{8,}|AKIA[A-Z0-9]{12,})|"
    r"(?i:(?<=bearer )|(?<=basic ))[\w.+/=~-]{8,}"
)


def scrub(value: Any, name: str = "") -> Any:
    """The same value with every secret masked: what has a name such as api_key or password, and what a URL says of its user.

    >>> scrub({"api_key": "abc", "root": "https://me:pw@host/x?token=abc", "keypoints": 5})
    {'api_key': '***', 'root': 'https://***@host/x?token=***', 'keypoints': 5}
    """
    if isinstance(value, dict):
        return {key: scrub(entry, str(key)) for key, entry in value.items()}
    if value is not None and not isinstance(value, bool) and _is_secret(name):
        return MASK
    if isinstance(value, (list, tuple)):
        return [scrub(entry) for entry in value]
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
        elif before.startswith("-") and "=" not in before and _is_secret(before) and not word.startswith("-"):
            scrubbed.append(MASK)
        else:
            scrubbed.append(f"{name}{equals}{scrub_text(value)}" if equals else scrub_text(word))
    return scrubbed


def scrub_text(text: str, config: Any = None) -> str:
    """A text with every secret masked: users in URLs, values behind a name such as password, and the secrets of a recipe, if given.

    >>> scrub_text("no {user: me, passwd: abc} for https://me:abc@host/x?token=abc")
    'no {user: me, passwd: ***} for https://***@host/x?token=***'
    >>> scrub_text("cannot log in with hunter2", {"data": {"password": "hunter2"}})
    'cannot log in with ***'
    """
    for secret in sorted(set(_secrets(config)), key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = _KNOWN.sub(MASK, text)  # first, while "bearer" still stands before what it bears
    text = _SECRET_IN_URL.sub(rf"\1{MASK}", _USER_IN_URL.sub(rf"\1{MASK}@", text))
    return _PAIR.sub(rf"\1{MASK}", text)


def scrub_yaml(text: str) -> str:
    """YAML that says the same, less its comments, with every secret masked."""
    return yaml.safe_dump(scrub(yaml.safe_load(text)), sort_keys=False, allow_unicode=True, width=200)


def _secrets(config: Any, name: str = "") -> Iterator[str]:
    """The secrets of a recipe that are long enough to be looked for."""
    if isinstance(config, dict):
        for key, value in config.items():
            yield from _secrets(value, str(key))
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _secrets(value, name)
    elif config is not None and not isinstance(config, bool):
        text = str(config)
        found = [text] if _is_secret(name) else _hidden(text)
        yield from (secret for secret in found if len(secret) >= SHORTEST)


def _hidden(text: str) -> list[str]:
    """The secrets inside a text."""
    found = [match[0][len(match[1]) :].strip("\"'") for pattern in (_SECRET_IN_URL, _PAIR) for match in pattern.finditer(text)]
    for match in _USER_IN_URL.finditer(text):
        user = match[0][len(match[1]) : -1]
        found += [user, *user.split(":", 1)]
    return found + [match[0] for match in _KNOWN.finditer(text)]


def _is_secret(name: str) -> bool:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return _SECRET_NAME.fullmatch(snake) is not None
