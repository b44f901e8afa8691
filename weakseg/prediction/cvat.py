"""A trained network as a function that CVAT annotates tasks with, by the interface of `cvat_sdk`:

    cvat-cli task auto-annotate 137 --function-module weakseg.prediction.cvat \\
        -p run=str:runs/boxes/latest

CVAT sends the images, and gets a mask for each class that is found on one, or for each object.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from weakseg.data.formats.runs import pack
from weakseg.data.formats.writing.labels import (
    IGNORED,
    LabelledImage,
    Objects,
    Region,
    regions_of,
)
from weakseg.data.formats.writing.polygons import polygons_of
from weakseg.evidence import IGNORE
from weakseg.trained.loading import load_model
from weakseg.trained.model import TrainedModel


def create(run: str, checkpoint: str = "best", device: str = "auto") -> NetworkFunction:
    """What `cvat-cli` calls with the values of its `-p`.

    Args:
        run: the trained network: a run folder, a checkpoint, an exported graph, or a published
            folder.
        checkpoint: of a run folder: best, last or a file.
        device: cpu, cuda or the like; auto for a GPU where there is one.
    """
    return NetworkFunction(load_model(run, checkpoint, device=device))


class NetworkFunction:
    """A function of CVAT that detects with a trained network.

    Args:
        model: the network; its classes apart from the background are the labels, which a task has
            under the same names.
    """

    def __init__(self, model: TrainedModel) -> None:
        self.model = model
        self.cvat = cvat = _auto_annotation()
        self.spec = cvat.DetectionFunctionSpec(
            labels=[
                cvat.label_spec(name, label, type="mask")
                for label, name in list(enumerate(model.classes))[1:]
            ]
        )

    def detect(self, context: Any, image: Image.Image) -> list[Any]:
        """The shapes on one image: masks, or polygons where CVAT wants these.

        Args:
            context: of the image, from CVAT. Pixels and objects whose probability is below its
                `conf_threshold` are left out.
            image: as CVAT has it.
        """
        upright = ImageOps.exif_transpose(image).convert("RGB")
        pixels = torch.from_numpy(np.array(upright)).permute(2, 0, 1)
        labelled = self._labelled(pixels, context.conf_threshold or 0.0)
        regions = regions_of(labelled, self.model.classes)
        shapes = self._polygons if context.conv_mask_to_poly else self._masks
        return [shape for region in regions if region.name != IGNORED for shape in shapes(region)]

    def _labelled(self, pixels: Tensor, threshold: float) -> LabelledImage:
        found = self.model.objects(pixels)
        if found is not None:
            assert found.scores is not None
            sure = found.scores >= threshold
            objects = Objects(
                tuple(pack(mask.numpy() >= 0.5) for mask in found.masks[sure].cpu()),
                tuple(found.classes[sure].tolist()),
                tuple(found.scores[sure].tolist()),
            )
            nothing = np.zeros(pixels.shape[1:], np.uint8)
            return LabelledImage("image", nothing, objects=objects)
        probs = self.model.probabilities(pixels)
        surest, classes = probs.max(0)
        labels = classes.to(torch.uint8).masked_fill(surest < threshold, IGNORE)
        return LabelledImage("image", labels.numpy())

    def _masks(self, region: Region) -> Iterator[Any]:
        runs = region.runs
        last = [runs.left + runs.width - 1, runs.top + runs.height - 1]
        yield self.cvat.mask(region.label, [*runs.counts.tolist(), runs.left, runs.top, *last])

    def _polygons(self, region: Region) -> Iterator[Any]:
        for ring in polygons_of(region.mask, region.left, region.top):
            yield self.cvat.polygon(region.label, ring.ravel().tolist())


def _auto_annotation() -> Any:
    try:
        import cvat_sdk.auto_annotation
    except ImportError as error:
        raise ModuleNotFoundError(
            'cvat-sdk is not installed; run: pip install "weakseg[cvat]"'
        ) from error
    return cvat_sdk.auto_annotation
