"""review.csv, the queue of a run in its folder: an image per line, the most suspicious first."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from weakseg.suspicion.queue import SIGNALS, Suspicion
from weakseg.utils.files import write_whole

NAME = "review.csv"
HEAD = ("image", "score")
REASON = "reason"
ENCODING_ERRORS = "surrogatepass"  # half characters stay what they are
BETWEEN = "; "  # two reasons
DIGITS = 4


def write_queue(
    path: Path, queue: Sequence[Suspicion], signals: Mapping[str, Mapping[str, float]]
) -> None:
    """Write a queue, whole or not at all: image, score, the signals that any image has, reason.

    Args:
        path: of the file.
        queue: the images in their order.
        signals: of each image, as `rank` was given them; of a signal about classes the highest
            value stands in its column.
    """
    found = {image: highest(own) for image, own in signals.items()}
    there = {name for own in found.values() for name in own}
    columns = [name for name in SIGNALS if name in there]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*HEAD, *columns, REASON])
    for image, score, reasons in queue:
        own = found[image]
        values = [_figure(own[name]) if name in own else "" for name in columns]
        writer.writerow([image, _figure(score), *values, BETWEEN.join(reasons)])
    # the name of a file may be no text
    write_whole(path, text.getvalue().encode(errors=ENCODING_ERRORS))


def read_queue(path: Path) -> list[Suspicion]:
    """The queue that a file holds; a ValueError that names the line if it is none."""
    with path.open(newline="", encoding="utf-8", errors=ENCODING_ERRORS) as file:
        rows = csv.reader(file)
        head = next(rows, [])
        if tuple(head[:2]) != HEAD or head[-1] != REASON:
            raise ValueError(
                f"{path}: line 1 should be image,score,...,reason, but it is "
                f"{','.join(head) or 'empty'}; a run writes {NAME} at its end"
            )
        return [_read(row, len(head), f"{path}: line {rows.line_num}") for row in rows]


def highest(signals: Mapping[str, float]) -> dict[str, float]:
    """The highest value of each signal over the classes that it is about.

    >>> highest({"missing/cat": 0.2, "missing/dog": 0.9})
    {'missing': 0.9}
    """
    found: dict[str, float] = {}
    for name, value in signals.items():
        base = name.partition("/")[0]
        if not math.isnan(value):
            found[base] = max(value, found.get(base, value))
    return found


def _read(row: Sequence[str], columns: int, place: str) -> Suspicion:
    try:
        image, score, reasons = row[0], float(row[1]), row[-1]
    except (IndexError, ValueError):
        raise ValueError(
            f"{place} should begin with an image and its score, but it is {','.join(row)!r}"
        ) from None
    if len(row) != columns:
        raise ValueError(f"{place} should have {columns} cells, as line 1, but it has {len(row)}")
    return Suspicion(image, score, tuple(reasons.split(BETWEEN)) if reasons else ())


def _figure(value: float) -> str:
    return f"{value:.{DIGITS}f}"
