"""Segment anything: models that draw the mask of an object which a box or some points show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as transforms

from weakseg.foundation.frozen_encoder import FrozenEncoder, in_batches
from weakseg.foundation.model_files import ModelFiles
from weakseg.foundation.whole_models import load_whole
from weakseg.functional.object_masks import choose_masks
from weakseg.utils.array_cache import Arrays

SAM = "facebook/sam2.1-hiera-tiny"
"""under Apache-2.0, and the smallest of its family"""
TOGETHER = 16  # prompts that the decoder sees at once, at most
_MOST_PIXELS = 2**25  # of all their masks, which are enlarged to the image: 128 MB
_CHOICES = 3  # masks for points
_LEVEL = "level{}"
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5,) * 3, (0.5,) * 3)


class _Family(NamedTuple):
    """What differs between the generations of SAM."""

    kind: str
    """a class of transformers"""
    colours: tuple[tuple[float, ...], tuple[float, ...]]
    """mean and standard deviation that the encoder expects, of colours from 0 to 1"""
    squashed: bool
    """whether images become squares; else they keep their form, and the square is padded"""


_FIRST = _Family("SamModel", _IMAGENET, squashed=False)
_SECOND = _Family("Sam2Model", _IMAGENET, squashed=True)
_THIRD = _Family("Sam3TrackerModel", _HALF, squashed=True)
_FAMILIES = {
    "sam": _FIRST,
    "sam2": _SECOND,
    # whoever publishes a model for videos publishes that for images with it
    "sam2_video": _SECOND,
    "sam3_tracker": _THIRD,
    "sam3_tracker_video": _THIRD,
    "sam3_video": _THIRD,
}


class Masks(NamedTuple):
    """Masks of objects."""

    masks: Tensor
    """bool [N,H,W]"""
    scores: Tensor
    """float [N]: the IoU that the model itself expects of each, 0 where it has found none"""


class SamEncoder(FrozenEncoder):
    """SAM (Kirillov and others, "Segment Anything", ICCV 2023), SAM 2 (Ravi and others, "SAM 2:
    Segment Anything in Images and Videos", 2024) or the tracker of SAM 3. Each image is encoded
    once, and decoding a prompt is cheap.

    Boxes and points are in pixel edges.

    Args:
        model: a folder in the form of the hub, or an id of the hub.
        revision: a commit, tag or branch of the hub; None for the newest.
    """

    kinds: ClassVar = tuple(_FAMILIES)
    wanted: ClassVar = "a SAM model"
    most: ClassVar = 4

    def __init__(self, model: str = SAM, revision: str | None = None) -> None:
        super().__init__(model, revision)

    @property
    def _family(self) -> _Family:
        return _FAMILIES[self.files.config["model_type"]]

    @property
    def _side(self) -> int:
        """Of the square that the model sees, in pixels."""
        prompts: Any = self.module.prompt_encoder
        return int(prompts.input_image_size)

    def load(self, files: ModelFiles) -> nn.Module:
        """The model of these files, on the CPU."""
        import transformers

        return load_whole(getattr(transformers, self._family.kind), files, dtype=torch.float32)

    @torch.no_grad()
    def encode(self, images: Sequence[Tensor]) -> list[Arrays]:
        """All levels of features that the decoder needs, in half precision."""
        model: Any = self.module
        seen = torch.stack([self.prepared(image) for image in images]).to(self.device)
        found = model.get_image_embeddings(seen)
        levels = [found] if isinstance(found, Tensor) else found
        arrays = [level.half().cpu().numpy() for level in levels]
        return [
            {_LEVEL.format(number): level[place] for number, level in enumerate(arrays)}
            for place in range(len(images))
        ]

    def prepared(self, image: Tensor) -> Tensor:
        """An image uint8 [3,H,W] as the model wants it, float [3,S,S]: done here, since a folder
        may lack the file that tells transformers how."""
        height, width = self._inner(*image.shape[-2:])
        resized = transforms.resize(image, [height, width], antialias=True).float() / 255
        mean, deviation = (torch.tensor(each)[:, None, None] for each in self._family.colours)
        return F.pad((resized - mean) / deviation, (0, self._side - width, 0, self._side - height))

    def masks_in_boxes(self, image: Tensor, boxes: Tensor) -> Masks:
        """The mask of the object in each box.

        Args:
            image: uint8 [3,H,W].
            boxes: float [N,4]: x1 y1 x2 y2.
        """
        _expect_inside(image, boxes.reshape(-1, 2, 2), "box")
        height, width = image.shape[-2:]
        visible = boxes.clamp(min=0).minimum(torch.tensor([width, height] * 2))

        def prompt(rows: Sequence[int]) -> dict[str, Tensor]:
            corners = self._seen(image, visible[list(rows)].view(-1, 2, 2))
            return {"input_boxes": corners.reshape(1, -1, 4)}

        return self._decoded(image, len(boxes), prompt)

    def masks_at_points(
        self, image: Tensor, points: Tensor, says: Tensor, largest: float = 1.0
    ) -> Masks:
        """The mask of the object that some points show, the best of the model's three.

        Args:
            image: uint8 [3,H,W].
            points: float [N,P,2]: x y of the points of each object.
            says: int64 [N,P]: 1 on the object, 0 elsewhere, -10 for no point.
            largest: part of the image that an object can cover.
        """
        _expect_inside(image, points[says >= 0][:, None], "point")

        def prompt(rows: Sequence[int]) -> dict[str, Tensor]:
            chosen = list(rows)
            seen = self._seen(image, points[chosen])[None]
            return {"input_points": seen, "input_labels": says[chosen][None]}

        return self._decoded(image, len(points), prompt, largest)

    def _decoded(
        self,
        image: Tensor,
        count: int,
        prompt: Callable[[Sequence[int]], dict[str, Tensor]],
        largest: float | None = None,
    ) -> Masks:
        """The masks of so many prompts, of which some are decoded at once.

        Args:
            prompt: those in some rows, as the model wants them.
            largest: as `masks_at_points` has it; None for a single mask.
        """
        height, width = image.shape[-2:]
        if not count:
            return Masks(torch.zeros(0, height, width, dtype=torch.bool), torch.zeros(0))
        levels = [level[None].to(self.device) for level in self.encoding(image).values()]
        given: Any = levels if self._family.squashed else levels[0]
        model: Any = self.module

        @torch.no_grad()
        def work(rows: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
            prompts = {name: value.to(self.device) for name, value in prompt(rows).items()}
            found = model(image_embeddings=given, multimask_output=largest is not None, **prompts)
            masks = self._at_size(found.pred_masks[0].float(), height, width) > 0
            best = choose_masks(masks, found.iou_scores[0].float(), largest or 1.0)
            return list(zip(*(each.cpu() for each in best), strict=True))

        each = height * width * (1 if largest is None else _CHOICES)
        together = max(1, min(TOGETHER, _MOST_PIXELS // each))
        pairs = in_batches(work, range(count), together, "prompt")
        masks, scores = zip(*pairs, strict=True)
        return Masks(torch.stack(masks), torch.stack(scores))

    def _inner(self, height: int, width: int) -> tuple[int, int]:
        """The part of the square that an image takes: height and width, from the upper left."""
        if self._family.squashed:
            return self._side, self._side
        scale = self._side / max(height, width)
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))

    def _seen(self, image: Tensor, points: Tensor) -> Tensor:
        """Points x y of an image, float [...,2], in the square that the model sees."""
        height, width = image.shape[-2:]
        inner = self._inner(height, width)
        return points * torch.tensor([inner[1] / width, inner[0] / height])

    def _at_size(self, logits: Tensor, height: int, width: int) -> Tensor:
        """What the model says of its square, float [N,K,s,s], at the size of the image."""
        inner = self._inner(height, width)
        if not self._family.squashed:
            whole = F.interpolate(logits, (self._side, self._side), mode="bilinear")
            logits = whole[..., : inner[0], : inner[1]]
        return F.interpolate(logits, (height, width), mode="bilinear")


def _expect_inside(image: Tensor, corners: Tensor, what: str) -> None:
    """A ValueError if a prompt, some points float [N,P,2] around it, lies outside of the image."""
    height, width = image.shape[-2:]
    first, last = corners.amin(1), corners.amax(1)
    inside = (first < torch.tensor([width, height])).all(1) & (last > 0).all(1)
    if bool(inside.all()):
        return
    wrong = corners[~inside][0].flatten().tolist()
    raise ValueError(
        f"the {what} {wrong} lies outside of the image, which is {width} wide and {height} high"
    )
