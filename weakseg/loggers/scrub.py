"""Keys, tokens and passwords taken out of what a dashboard stores."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

MASK = "***"
_SECRET = r"(?:api[_-]?|access[_-]?|private[_-]?)?(?:keys?|tokens?|secrets?|passwords?|passwd|pwd|credentials?|signature)"
_SECRET_NAME = re.compile(rf"(?:^|.*[^a-z]){_SECRET}(?:$|[^a-z].*)")
_USER_IN_URL = re.compile(r"([a-z][a-z0-9+.-]*://)[^/\s@]+@", re.IGNORECASE)
_SECRET_IN_URL = re.compile(rf"([?&;](?:[^=&;\s]*[^a-z=&;\s])?{_SECRET}=)[^&;\s]+", re.IGNORECASE)


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
    return _without_user(value) if isinstance(value, str) else value


def scrub_words(words: Sequence[str]) -> list[str]:
    """The words of a command line with every secret masked.

    >>> scrub_words(["data.password=abc", "--token", "abc", "seed=1"])
    ['data.password=***', '--token', '***', 'seed=1']
    """
    scrubbed: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        name, equals, _ = word.partition("=")
        if equals and _is_secret(name):
            scrubbed.append(f"{name}={MASK}")
        elif before.startswith("-") and "=" not in before and _is_secret(before) and not word.startswith("-"):
            scrubbed.append(MASK)
        else:
            scrubbed.append(_without_user(word))
    return scrubbed


def _is_secret(name: str) -> bool:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return _SECRET_NAME.fullmatch(snake) is not None


def _without_user(text: str) -> str:
    return _SECRET_IN_URL.sub(rf"\1{MASK}", _USER_IN_URL.sub(rf"\1{MASK}@", text))
