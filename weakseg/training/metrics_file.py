"""metrics.csv, the record of a run: every figure that was logged, on disk as soon as it is
known."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from weakseg.utils.files import names, write_whole

FIRST = ["step", "epoch", "round"]
Figures = dict[str, str]


def read_record(path: Path) -> list[Figures]:
    """The rows of a metrics.csv, every figure as text and "" where a row has none; a row that a
    kill cut short is left out."""
    return _parse(path)[1]


class Record(Logger):
    """Writes metrics.csv: step, epoch and round, then one column per figure; a new figure adds a
    column.

    An existing file is continued. Numbers are written so that they read back exactly. Only rank 0
    writes.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.path = self.folder / "metrics.csv"
        self.rows = 0  # in the file, the head not counted
        self._columns = list(FIRST)
        if getattr(rank_zero_only, "rank", 0) == 0:
            self._load()

    @property
    def name(self) -> str:
        """Nothing: the folder is the run's already."""
        return ""

    @property
    def version(self) -> str:
        """Nothing: the folder is the run's already."""
        return ""

    @property
    def save_dir(self) -> str:
        """The folder of the run."""
        return str(self.folder)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: recipe.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row; it is on disk when this returns."""
        row = {name: _text(name, value) for name, value in metrics.items()} | {
            "step": "" if step is None else str(step)
        }
        if not set(row) <= set(self._columns):
            self._widen(row)
        self.folder.mkdir(parents=True, exist_ok=True)
        with names(self.path), self.path.open("a", encoding="utf-8", newline="") as file:
            head = [] if file.tell() else [self._columns]
            file.write(_csv([*head, [row.get(name, "") for name in self._columns]]))
        self.rows += 1

    @rank_zero_only
    def rewind(self, steps: int, rows: int | None = None) -> None:
        """Forget what a run that goes on after so many steps logs again; with 0 steps nothing
        stays.

        Args:
            steps: of the checkpoint.
            rows: that had been written when the checkpoint was; these stay. None, for older
                checkpoints, keeps the rows of earlier steps and that of a round which was made
                right then.
        """
        columns, found = _parse(self.path)
        kept = [row for row in found if _before(row, steps)] if rows is None else found[:rows]
        kept = kept if steps else []
        if rows is not None and len(kept) < rows:
            warnings.warn(
                f"{self.path} has {len(kept)} of the {rows} rows that the checkpoint knows of: "
                "figures of earlier steps are lost, and curves and tables begin where the file "
                "does; the training itself needs none of them",
                stacklevel=1,
            )
        if len(kept) < len(found):
            self._write(columns, kept)
        self.rows = len(kept)

    def _load(self) -> None:
        columns, rows = _parse(self.path)
        self._columns = columns or self._columns
        self.rows = len(rows)
        # a kill cut the last line short
        if self.path.is_file() and self.path.read_bytes() != _file(self._columns, rows).encode():
            self._write(self._columns, rows)

    def _widen(self, row: Mapping[str, str]) -> None:
        self._columns = [*self._columns, *(name for name in row if name not in self._columns)]
        if self.path.is_file():
            self._write(self._columns, read_record(self.path))

    def _write(self, columns: Sequence[str], rows: Sequence[Figures]) -> None:
        write_whole(self.path, _file(columns, rows).encode())


def _text(name: str, value: float) -> str:
    number = float(value)
    return str(int(number)) if name in FIRST and number.is_integer() else repr(number)


def _before(row: Figures, steps: int) -> bool:
    step = int(row["step"] or 0)
    return step < steps or (step == steps and bool(row["round"]))


def _parse(path: Path) -> tuple[list[str], list[Figures]]:
    """Columns and rows; no columns if there is no file, or a kill cut its head short."""
    if not path.is_file():
        return [], []
    whole, newline, _ = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")
    lines = list(csv.reader(io.StringIO(whole + newline, newline="")))
    if not lines or lines[0][: len(FIRST)] != FIRST:
        return [], []
    columns = lines[0]
    whole_lines = [
        line for line in lines[1:] if len(line) == len(columns) and all(map(_is_figure, line))
    ]
    return columns, [dict(zip(columns, line, strict=True)) for line in whole_lines]


def _is_figure(cell: str) -> bool:
    """Whether a cell is empty or a number, and not what a damaged file holds."""
    try:
        float(cell or 0)
    except ValueError:
        return False
    return True


def _file(columns: Sequence[str], rows: Sequence[Figures]) -> str:
    return _csv([columns, *([row.get(name, "") for name in columns] for row in rows)])


def _csv(lines: Sequence[Sequence[str]]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()
