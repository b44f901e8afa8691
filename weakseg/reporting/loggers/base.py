"""View, the class to subclass for another dashboard, and the one that shows nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

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


class Nothing(View):
    """metrics.csv and report.html are all there is."""

    def build(self, folder: Path, config: Mapping[str, Any]) -> list[Logger]:
        """No logger."""
        return []
