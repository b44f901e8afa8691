"""What networks of exported files have in common: the file itself says all there is to know."""

from __future__ import annotations

from pathlib import Path

import torch

from weakseg.inference.multiscale import Inference
from weakseg.trained.description import Description
from weakseg.trained.model import Kind, TrainedModel


class ExportedModel(TrainedModel):
    """The network of a file that weakseg has written. A subclass defines `logits`.

    Args:
        description: what stands in the file beside the graph.
        inference: how it predicts.
        path: of the file.
        kind: of file.
        device: where it computes.
    """

    def __init__(
        self,
        description: Description,
        inference: Inference,
        path: Path,
        kind: Kind,
        device: torch.device,
    ) -> None:
        super().__init__(
            description.classes,
            description.long_side,
            inference,
            description.origin(path, kind),
            description.recipe_sections,
        )
        self.device = device
        self.description = description
