"""Parts of error messages: what was probably meant, and what came, on one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

LONGEST = 1000  # characters of a line that is shown
SHOWN = 10  # things of a kind that are named on the screen


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


def named(kind: str, failures: Sequence[tuple[str, str]], file: str) -> list[str]:
    """How many images have something wrong with them, and the first of them with the reason.

    Args:
        kind: what is wrong with them.
        failures: their names, each with the reason.
        file: the one that has all of them.

    >>> named("broken", [("a.jpg", "it is cut off")], "summary.json")
    ['broken: 1 image', '  a.jpg: it is cut off']
    """
    if not failures:
        return []
    lines = [f"  {name}: {reason}" for name, reason in failures[:SHOWN]]
    more = len(failures) - len(lines)
    lines += [f"  and {more} more, in {file}"] if more else []
    return [f"{kind}: {counted(len(failures), 'image')}", *lines]


def results(
    masks: Path, files: Sequence[Path], summary: Path, skipped: int, *problems: list[str]
) -> list[str]:
    """The end of what a command prints that writes a mask for each image.

    Args:
        masks: their folder.
        files: those of another format.
        summary: the file of that name.
        skipped: how many images had their results already.
        problems: what `named` says of images that have none.
    """
    there = [f"skipped: {counted(skipped, 'image')}, whose results were there already"]
    more = len(files) - SHOWN
    return [
        *(there if skipped else []),
        *(line for lines in problems for line in lines),
        f"masks: {masks}",
        *(f"written: {file}" for file in files[:SHOWN]),
        *([f"written: {more} more files of the same format"] if more > 0 else []),
        f"summary: {summary}",
    ]


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
