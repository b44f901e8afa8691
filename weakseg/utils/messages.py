"""Parts of error messages: what was probably meant, and what came, on one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

LONGEST = 1000  # characters of a line that is shown


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """The end of an error message about a mistyped name: the name that was meant, or nothing.

    >>> did_you_mean("boxs", ["boxes", "tags"])
    '; did you mean boxes?'
    """
    known = {name.lower(): name for name in names}
    close = get_close_matches(word.lower(), known, n=1)
    return f"; did you mean {known[close[0]]}?" if close else ""


def suggest(word: str, names: Sequence[str], all_of_them: str = "there are") -> str:
    """Like `did_you_mean`, but where no name is near it lists all of them."""
    return did_you_mean(word, names) or (f"; {all_of_them} {', '.join(names)}" if names else "")


def counted(number: int, word: str) -> str:
    """So many things of a kind.

    >>> counted(1, "image"), counted(3, "image")
    ('1 image', '3 images')
    """
    return f"{number} {word}{'' if number == 1 else 's'}"


def one_line(error: BaseException | str) -> str:
    """A message without its line breaks."""
    return " ".join(str(error).split())


def printable(line: str) -> str:
    """A line that fits a screen, whatever was typed: control characters as in Python, and nothing
    out of the middle of a very long one.

    >>> printable("recipe: there is no " + chr(27) + "[2J")
    'recipe: there is no \\\\x1b[2J'
    """
    short = line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in short
    )


def quoted(value: object) -> str:
    """A value as a message shows it: text in quotes, none, true and false as in a recipe, and the
    beginning of what is long."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    text = repr(str(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
