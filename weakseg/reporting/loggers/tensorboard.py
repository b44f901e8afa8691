"""Runs in TensorBoard, if it is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from weakseg.reporting.drawing import Case, side_by_side
from weakseg.reporting.loggers.base import View
from weakseg.utils.secrets import scrub


class TensorBoard(View):
    """Shows a run in TensorBoard: `tensorboard --logdir runs`."""

    def __init__(self) -> None:
        if not (find_spec("tensorboard") or find_spec("tensorboardX")):
            raise ModuleNotFoundError(
                'tensorboard is not installed; run: pip install "weakseg[tensorboard]"'
            )

    def build(self, folder: Path, config: Mapping[str, Any]) -> list[Logger]:
        """A logger that writes into `tensorboard` in the run's folder."""
        return [Scrubbed(folder, name="tensorboard", version="")]


class Scrubbed(TensorBoardLogger):
    """Lightning's logger for TensorBoard, which stores no secrets among the hyper-parameters."""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Store hyper-parameters with every secret masked."""
        super().log_hyperparams(
            scrub(dict(params if isinstance(params, dict) else vars(params))), *args, **kwargs
        )


def log_pictures(
    logger: TensorBoardLogger, step: int, cases: Sequence[Case], classes: Sequence[str]
) -> None:
    """Show evidence, target, prediction and truth of each image in one row."""
    for case in cases:
        logger.experiment.add_image(
            f"val/{case.evidence.id}", side_by_side(case, len(classes)), step
        )
