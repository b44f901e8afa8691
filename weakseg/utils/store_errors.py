"""What a store raises, in one line that a user can do something about; and what passes by itself is
tried again."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable
from typing import TypeVar

from weakseg.utils.messages import one_line
from weakseg.utils.secrets import scrub_message

T = TypeVar("T")

# web servers that are busy or restart answer in a moment; s3fs and gcsfs try again by themselves
BUSY = (429, 500, 502, 503, 504)
WAITS = [0.5, 2.0]  # seconds before each further attempt


def attempt(url: str, what: str, action: Callable[[], T]) -> T:
    """The result of an action, tried again where a server is busy; an OSError in one line for
    whatever a store raises."""
    for wait in [*WAITS, None]:
        try:
            return action()
        except Exception as error:
            if wait is None or not _passes(error):
                raise _explained(url, what, error) from error
            time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def _passes(error: Exception) -> bool:
    """Whether an error may pass by itself."""
    if (status := getattr(error, "status", None)) is not None:
        return status in BUSY
    cut = type(error).__name__ in ("ClientPayloadError", "ServerDisconnectedError")
    return cut or isinstance(error, ConnectionResetError | TimeoutError)


def _explained(url: str, what: str, error: Exception) -> OSError:
    """The error that a user can do something about."""
    place = scrub_message(url)
    status = getattr(error, "status", None)
    came = scrub_message(one_line(error) or type(error).__name__)
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "there is no such file or bucket", place)
    if isinstance(error, PermissionError) or status in (401, 403) or _asks_who(error):
        advice = (
            "give the credentials as fsspec reads them, in the environment or in its "
            "configuration files"
        )
        text = f"it may not be {what} ({_short(came)}); {advice}"
        return PermissionError(errno.EACCES, text, place)
    if isinstance(error, NotImplementedError):
        return OSError(errno.EROFS, f"it cannot be {what} by this protocol", place)
    text = f"it could not be {what} ({type(error).__name__}: {_short(came)})"
    return OSError(errno.EIO, f"{text}; is the server there, and the address right?", place)


def _asks_who(error: Exception) -> bool:
    return re.search("credential|unauthorized", type(error).__name__, re.IGNORECASE) is not None


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:197]}..."
