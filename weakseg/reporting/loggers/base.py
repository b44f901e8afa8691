"""View, the class to subclass for another dashboard, and the one that shows nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger


class View(ABC):
    """Shows what metrics.csv records somewhere else as well."""

    @abstractmethod
    def build(self, folder: Path, config: Mapping[str, Any]) -> list[Logger]:
        """Lightning's loggers for a run in this folder whose recipe is `config`. Every rank calls
        it; only rank 0 may write."""


class Nothing(View):
    """metrics.csv and report.html are all there is."""

    def build(self, folder: Path, config: Mapping[str, Any]) -> list[Logger]:
        """No logger."""
        return []
