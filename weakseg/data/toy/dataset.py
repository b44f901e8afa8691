"""The toy set: drawn pictures of several kinds whose truth is known, with any kind of evidence.
Needs no download and no disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.data.loader import shuffled
from weakseg.data.simulate.annotator import (
    CAREFUL,
    Annotator,
    DrawnAnnotationKind,
    MaskShare,
)
from weakseg.data.simulate.derive import instances_of
from weakseg.data.toy.canvas import Scene
from weakseg.data.toy.kinds import KINDS, PictureKind
from weakseg.evidence import Evidence, Instances
from weakseg.utils.limits import Count, CountFromZero, limited

# for a small network with random weights on images of 112 pixels
SETTINGS: Mapping[str, Any] = {
    "data.crop": None,
    "data.scale": [1.0, 1.0],
    "data.batch_size": 8,
    "data.workers": 0,
    "network.encoder": "tu-regnetx_002",
    "network.width": 0.25,
    "network.weights": None,
    "optimizer.lr": 6e-3,
    "optimizer.head_multiplier": 1.0,
    "optimizer.freeze_batchnorm": False,
    "strategy.together": False,
    "strategy.warmup": 0,
    "strategy.prior_sigma": None,
    "strategy.shrink": 2,
    "rounds.every": 2,
    "trainer.max_steps": 250,
    "trainer.check_val_every_n_epoch": 2,
    "trainer.log_every_n_steps": 10,
    "optimizer=sgd": {"optimizer.lr": 1e-3},
    "network=maskrcnn": {"optimizer.lr": 1e-3, "trainer.check_val_every_n_epoch": 8},
    # filled boxes first, as the weights are random
    "strategy=boxes_em": {"strategy.warmup": 100},
    "strategy=tags": {"strategy.warmup": 200, "trainer.max_steps": 400},
    # a few masks are an epoch of few steps
    "recipe=distil": {"trainer.check_val_every_n_epoch": 10},
    "recipe=self_training": {"rounds.every": 3, "trainer.check_val_every_n_epoch": 10},
}
# the drawn objects have few and clean colours, so that colours reach far
_REACH = {"crf.bilateral_xy": 67}
_PIECES = {"superpixels.scale": 150, "superpixels.smallest": 30}
LENGTHS: Mapping[str, Mapping[str, float]] = {
    "boxes_crf": _REACH,
    "boxes_instances": _REACH,
    "clustering": {"superpixels.scale": 75, "superpixels.smallest": 30},
    "cosegmentation": _REACH | _PIECES,
    "mixed": _REACH,
    "points": {"radius": 3, "xy": 25} | _PIECES,
    "scribbles_crf": {"xy": 25},
    "scribbles_graphcut": {"superpixels.scale": 20, "superpixels.smallest": 10},
}
REMEMBERED = 1000  # drawn images kept in memory, so that an epoch does not draw them again


class Toy(WeakData):
    """Drawn pictures, by default of leaves, wheels, fish and umbrellas; the last `val` of them are
    only measured on.

    Args:
        train: how many images are trained on.
        val: how many further images are measured on.
        size: side of the square images in pixels.
        evidence: what is annotated, and nothing else is given: masks (marks on every pixel), boxes
            (boxes, tags, large), instances (as boxes, and the mask of the object in each box),
            points (marks and tags), scribbles (marks and tags) or tags (tags, large).
        drawing_seed: another number draws other images.
        mask_share: which part of the training images, at least one if it is not 0, has masks
            instead of `evidence`. Those of a small part are also among those of a larger one.
        annotator: how careful the simulated annotator is, and how much is drawn.
        kind: of picture. shapes: a few large objects on patterned ground. grey: scans whose classes
            are as bright as much of the background, which is scribbled in a ring around them.
            crowded: many tiny objects that touch each other, one class of them rare. patchwork:
            objects whose parts have any colours.
    """

    classes = KINDS["shapes"].classes
    known_settings = SETTINGS
    known_lengths = LENGTHS

    @limited
    def __init__(
        self,
        train: Count = 300,
        val: CountFromZero = 60,
        size: Annotated[int, Ge(32)] = 112,
        evidence: DrawnAnnotationKind = "boxes",
        drawing_seed: CountFromZero = 0,
        mask_share: MaskShare = 0.0,
        annotator: Annotator = CAREFUL,
        kind: PictureKind = "shapes",
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        self.picture_kind: PictureKind = kind
        self.classes = KINDS[kind].classes
        self.size = size
        self.evidence = evidence
        self.drawing_seed = drawing_seed
        self.annotator = annotator
        self.masked = frozenset(
            shuffled(train, drawing_seed)[: max(1, round(mask_share * train))] if mask_share else []
        )
        self.images = train + val
        self.validation = range(train, self.images)
        self._drawn: dict[int, tuple[tuple[Evidence, Tensor], Instances]] = {}

    def __len__(self) -> int:
        return self.images

    def sample(self, index: int) -> tuple[Evidence, Tensor]:
        """The evidence and the truth of an image; they depend on the kind, the drawing seed,
        the size, the index and the annotator alone."""
        if not 0 <= index < len(self):
            raise IndexError(
                f"there is no image {index}; the toy set has images 0 to {len(self) - 1}"
            )
        if index not in self._drawn:
            if len(self._drawn) >= REMEMBERED:
                self._drawn.pop(next(iter(self._drawn)))
            self._drawn[index] = self._draw(index)
        return self._drawn[index][0]

    def id_of(self, index: int) -> str:
        """The id of an image."""
        return f"toy-{index:05d}"

    def true_instances(self, index: int) -> Instances:
        """The drawn instances of an image."""
        self.sample(index)
        return self._drawn[index][1]

    def _draw(self, index: int) -> tuple[tuple[Evidence, Tensor], Instances]:
        scene = KINDS[self.picture_kind].draw(
            np.random.default_rng([self.drawing_seed, index]), self.size
        )
        image = torch.from_numpy(scene.image).permute(2, 0, 1).contiguous()
        truth = torch.from_numpy(scene.truth)
        # a stream of its own: the kind of evidence must not change the picture
        kind = "masks" if index in self.masked else self.evidence
        rng = np.random.default_rng([self.drawing_seed, index, 1])
        annotated = self._annotate(kind, scene, truth, rng)
        return (Evidence(self.id_of(index), image, **annotated), truth), instances_of(
            torch.from_numpy(scene.instances), scene.classes
        )

    def _annotate(
        self, kind: DrawnAnnotationKind, scene: Scene, truth: Tensor, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """The evidence of a picture; where it has a ring, the background is scribbled there."""
        ring = scene.ring if self.annotator.scribble_background and kind == "scribbles" else None
        annotator = self.annotator
        if ring is not None:
            annotator = replace(annotator, scribble_background=False)
        annotated = annotator.annotate(
            kind, truth, torch.from_numpy(scene.instances), scene.classes, len(self.classes), rng
        )
        if ring is not None:
            annotated["marks"][torch.from_numpy(ring)] = 0
        return annotated

    def __getstate__(self) -> dict[str, Any]:  # loader processes draw their own
        return {**super().__getstate__(), "_drawn": {}}
