"""View, the class to subclass for another dashboard, and the one that shows nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from pytorch_lightning.loggers import Logger

if TYPE_CHECKING:
    from weakseg.reporting.drawing import Case


class View(ABC):
    """Shows what metrics.csv records somewhere else as well."""

    @abstractmethod
    def build(self, folder: Path, config: Mapping[str, Any]) -> list[Logger]:
        """Lightning's loggers for a run in this folder whose recipe is `config`. Every rank calls
        it; only rank 0 may write."""


@runtime_checkable
class LogsImages(Protocol):
    """A logger that shows validation images, too, needs nothing but this method."""

    def log_images(self, step: int, cases: Sequence[Case], classes: Sequence[str]) -> None:
        """Show each case: its evidence, target, prediction and truth. Called on rank 0, after every
        validation."""


class Table(NamedTuple):
    """A table of a dashboard."""

    name: str
    """such as labels/classes"""
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    """texts, numbers, None, and images with their layers, as `Case`"""
    classes: Sequence[str] = ()
    """names of the classes, where there are images"""


@runtime_checkable
class LogsTables(Protocol):
    """A logger that shows tables, too, needs nothing but this method."""

    def log_tables(self, step: int, tables: Sequence[Table]) -> None:
        """Show the tables; one of the same name is the same table later on. Called on rank 0."""


@runtime_checkable
class LogsFiles(Protocol):
    """A logger that keeps files of a run, too."""

    artifacts: Sequence[str]
    """the kinds that it keeps: targets, model"""

    def log_files(self, kind: str, name: str, path: Path, facts: Mapping[str, Any]) -> None:
        """Keep a file or all files of a folder under this name, with what is known of them. Called
        on rank 0, at the end of the run."""


class Nothing(View):
    """metrics.csv and report.html are all there is."""

    def build(self, folder: Path, config: Mapping[str, Any]) -> list[Logger]:
        """No logger."""
        return []
