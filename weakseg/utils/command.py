"""What every command does: signals, streams, warnings, and one line for what goes wrong."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weakseg.utils.secrets import scrub_message, scrub_text
from weakseg.utils.signals import LIMIT, current, end_within
from weakseg.utils.streams import forgive

PACKAGE = Path(__file__).parents[1]
# their messages are for people
EXPECTED = (ValueError, OSError, ImportError, MemoryError, FloatingPointError)
# spinning threads slow a step tenfold when another program uses a core
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}

_as_usual = warnings.formatwarning


def run_command(work: Callable[[dict[str, Any]], int]) -> int:
    """Do the work of a command, and report in one line what goes wrong. Returns the exit code, 130
    and 143 after SIGINT and SIGTERM.

    Args:
        work: returns the exit code; it fills the dictionary that it is given with the sections of
            the recipe, as soon as they are known, so that no message shows a secret of them.
    """
    forgive()
    stopping = current()
    stopping.install()
    sections: dict[str, Any] = {}
    try:
        code = work(sections)
    except BaseException as error:
        code = _tell(error, sections)
        # torch may wait for the lost one for ever
        end_within(3 if type(error).__name__ == "LostRank" else LIMIT, code)
    stopping.requeue()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if stopping.signum:
        stopping.deafen()
        atexit._run_exitfuncs()
        os._exit(code)  # taking all modules apart takes seconds on a machine that is busy
    return code


def print_mistakes(lines: list[str], sections: dict[str, Any]) -> int:
    """Print what is wrong with the words of a command, less the secrets of its recipe; returns the
    exit code for that."""
    print(scrub_message("\n".join(lines), sections), file=sys.stderr)
    return 2


def print_and_exit(text: str) -> None:
    """An answer that ends the command, such as its usage."""
    print(text, flush=True)
    raise SystemExit(0)


@contextmanager
def own_environment() -> Iterator[None]:
    """How warnings look, and how torch's threads wait, while a command works; a program that goes
    on after it has its own settings again."""
    before = warnings.formatwarning
    added = WAITING.keys() - os.environ.keys()
    os.environ.update({name: WAITING[name] for name in added})
    warnings.formatwarning = _plain
    try:
        yield
    finally:
        warnings.formatwarning = before
        for name in added:
            os.environ.pop(name, None)


def load_torch() -> None:
    """Find out here that torch cannot be loaded: a second attempt, for the next section, would give
    another reason."""
    try:
        import torch  # noqa: F401
    except (ImportError, OSError, MemoryError) as error:
        raise ImportError(
            "torch cannot be loaded, for want of memory (ulimit -v) or as it is not well "
            f"installed: {error}"
        ) from error


def _plain(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Our own warnings are for whoever trains, who does not care for the line of our code."""
    if PACKAGE in Path(filename).parents:
        return f"warning: {message}\n"
    return _as_usual(message, category, filename, lineno, line)


def _tell(error: BaseException, sections: dict[str, Any]) -> int:
    """Say why a run has ended, where that has not been said, less the secrets of its recipe;
    returns the exit code."""
    signum = current().signum or (signal.SIGINT if isinstance(error, KeyboardInterrupt) else 0)
    if signum:
        if not current().farewell:
            print(f"stopped by {signal.Signals(signum).name}", file=sys.stderr)
        return 128 + signum
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    notes: list[str] = getattr(error, "__notes__", [])
    if not _for_people(error) and not any(note.startswith("the traceback") for note in notes):
        # a mistake in some code, and there is no folder to keep it in
        print(scrub_text("".join(traceback.format_exception(error)), sections), file=sys.stderr)
    print("\n".join([f"error: {_sentence(error, sections)}", *notes]), file=sys.stderr)
    return 1


def _for_people(error: BaseException) -> bool:
    """Whether the message of an error alone says what to do."""
    ours = type(error).__module__.partition(".")[0] in ("weakseg", "pytorch_lightning")
    return ours or isinstance(error, EXPECTED) or _wants_memory(error)


def _wants_memory(error: BaseException) -> bool:
    return type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error)


def _sentence(error: BaseException, sections: dict[str, Any]) -> str:
    """What went wrong; and, where it is not weakseg that says so, where."""
    if isinstance(error, OSError) and error.filename is not None:
        return scrub_message(f"{error.strerror}: {error.filename}", sections)
    text = scrub_text(str(error), sections).strip() or type(error).__name__
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if _wants_memory(error):
        # which names the images; the rest of torch's message is of its own state
        ours = type(error).__module__.startswith("weakseg")
        return f"too little memory: {text if ours else text.splitlines()[0]}"
    if _for_people(error) and PACKAGE in Path(frame.filename).parents:
        return text
    kind = "" if _for_people(error) else f"{type(error).__name__}: "
    return f"{kind}{text} ({os.path.basename(frame.filename)}, line {frame.lineno})"
