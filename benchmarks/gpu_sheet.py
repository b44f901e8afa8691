"""Rows of figures that are measured within a budget of seconds, and one table of them all."""

from __future__ import annotations

import json
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

OUT_OF_TIME = "out of time"
FIGURES = ("ms", "against", "times", "off by", "images/s", "waits", "peak MB")


class Disagreement(AssertionError):
    """A device gives another result than a CPU."""


@dataclass
class Row:
    """One thing that was measured and checked."""

    part: str
    what: str
    figures: dict[str, float | None] = field(default_factory=dict)
    verdict: str = "ok"
    details: str = ""
    """where it failed"""

    @property
    def failed(self) -> bool:
        return self.verdict.startswith("failed")


class Sheet:
    """All rows so far. Whatever fails is a row, too, and the next one is measured.

    Args:
        device: what is measured.
        quick: whether everything is as small as can be, so that the code runs and no figure means
            anything.
    """

    def __init__(self, device: torch.device, quick: bool = False) -> None:
        self.device = device
        self.quick = quick
        self.rows: list[Row] = []
        self._part = ""
        self._deadline = float("inf")

    @contextmanager
    def part(self, name: str, seconds: float) -> Iterator[None]:
        """What is measured within it belongs to this part, which has so many seconds."""
        self._part = name
        self._deadline = perf_counter() + seconds
        try:
            yield
        except Exception as error:
            self.rows.append(_failure(Row(name, "preparing"), error))
        finally:
            self._deadline = float("inf")

    @property
    def is_over(self) -> bool:
        """Whether the part has used up its seconds."""
        return perf_counter() > self._deadline

    def measure(self, what: str, work: Callable[[], Mapping[str, Any]]) -> Row:
        """Add the figures that `work` returns; its "note", if it has one, is the verdict. A
        Disagreement, or any other exception, is a failure."""
        row = Row(self._part, what)
        self.rows.append(row)
        if self.is_over:
            row.verdict = OUT_OF_TIME
            return row
        self._forget_memory()
        try:
            figures = dict(work())
            row.verdict = figures.pop("note", "ok")
            row.figures = {"peak MB": self._peak(), **figures}
        except Exception as error:
            _failure(row, error)
        print(_line(row), flush=True)
        return row

    def wait(self) -> None:
        """For what the device still has to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def milliseconds(self, work: Callable[[], object], repeats: int = 20) -> float:
        """The median of some calls, after two that warm up; fewer calls where time is short."""
        times = []
        for turn in range(repeats + 2):
            self.wait()
            start = perf_counter()
            work()
            self.wait()
            times.append(perf_counter() - start)
            if turn >= 2 and (self.quick or self.is_over):
                break
        return median(times[2:]) * 1e3

    def waits(self, work: Callable[[], object]) -> float | None:
        """How often a call waits for the device, by torch's own warnings; None on a CPU, for which
        nothing waits."""
        if self.device.type != "cuda":
            return None
        with self.counting_waits() as found:
            work()
        return len(found)

    @contextmanager
    def counting_waits(self) -> Iterator[list[str]]:
        """A list to which each wait for a GPU is added."""
        found: list[str] = []
        if self.device.type != "cuda":
            yield found
            return
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                yield found
            finally:
                torch.cuda.set_sync_debug_mode("default")
        found += [str(one.message) for one in said if "synchroniz" in str(one.message)]

    def _forget_memory(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def _peak(self) -> float | None:
        if self.device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated(self.device) / 1e6

    def write(self, folder: Path, head: Mapping[str, str]) -> None:
        """gpu.md and gpu.json."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "gpu.md").write_text(self.table(head))
        rows = [asdict(row) for row in self.rows]
        (folder / "gpu.json").write_text(json.dumps({"head": dict(head), "rows": rows}, indent=1))

    def table(self, head: Mapping[str, str]) -> str:
        """All rows, as markdown."""
        lines = [
            ", ".join(f"{name} {value}" for name, value in head.items()),
            "",
            f"| part | what | {' | '.join(FIGURES)} | verdict |",
            f"|---|---|{'---|' * len(FIGURES)}---|",
            *map(_line, self.rows),
        ]
        return "\n".join(lines) + "\n"


def _failure(row: Row, error: Exception) -> Row:
    message = (str(error).splitlines() or [""])[0].replace("|", "/")
    row.verdict = f"failed: {type(error).__name__}: {message[:200]}"
    row.details = "".join(traceback.format_exception(error))
    return row


def _line(row: Row) -> str:
    cells = [_cell(row.figures.get(name)) for name in FIGURES]
    return f"| {row.part} | {row.what} | {' | '.join(cells)} | {row.verdict} |"


def _cell(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.3g}" if abs(figure) < 100 else f"{figure:.0f}"
