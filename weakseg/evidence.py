"""Evidence (weak labels of an image), predictions of a network, and batches of both."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

IGNORE = 255  # in marks and in hard targets: this pixel has no label

KINDS = ("tags", "boxes", "marks", "large")

DRAWN = ("marks", "strokes", "painted")  # labels of pixels, 255 elsewhere

ANNOTATIONS = ("masks", "boxes", "marks", "tags")  # the most telling first
MASKED = (
    # marks on so much of an image are a mask: the 255 of masks are rims, which take a tenth of an
    # image, or with thin things more
    0.75
)


class Evidence(NamedTuple):
    """All that a strategy may see of one image: its pixels, and its weak labels.
    Never the truth."""

    id: str
    image: Tensor
    """uint8 [3,H,W], true colours"""
    tags: Tensor | None = None
    """bool [C]: which classes the image shows, background (class 0) included"""
    boxes: Tensor | None = None
    """float [N,4]: x1 y1 x2 y2 in pixel edges, half-open, so that 0 0 W H is the whole image"""
    box_classes: Tensor | None = None
    """int64 [N]"""
    marks: Tensor | None = None
    """uint8 [H,W]: the class of every pixel that a person marked, 255 elsewhere"""
    large: Tensor | None = None
    """bool [C]: the class covers more than a tenth of the image"""
    box_masks: Tensor | None = None
    """bool [N,H,W]: the pixels of the object in each box, where a person drew them"""
    strokes: Tensor | None = None
    """uint8 [H,W]: those of the marks that are strokes of a correction, 255 elsewhere. A target
    follows them, and the pixels around"""
    painted: Tensor | None = None
    """uint8 [H,W]: those of the marks that a correction has painted, 255 elsewhere. A target has
    exactly these labels there"""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the fields of evidence that this image has."""
        return tuple(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def annotations(self) -> tuple[str, ...]:
        """What can be learned from, the most telling first: masks, boxes, marks, tags.

        Marks on three quarters of the pixels or more are masks, marks on fewer are marks. An empty
        list of boxes means that all is background, so it counts. Marks without a marked pixel and
        tags that name nothing do not.

        >>> Evidence(
        ...     "a",
        ...     torch.zeros(3, 1, 4, dtype=torch.uint8),
        ...     marks=torch.tensor([[0, 1, 1, 255]], dtype=torch.uint8),
        ... ).annotations
        ('masks',)
        """
        marked = 0.0 if self.marks is None else (self.marks != IGNORE).float().mean().item()
        has = {
            "masks": marked >= MASKED,
            "boxes": self.boxes is not None,
            "marks": 0 < marked < MASKED,
            "tags": self.tags is not None and bool(self.tags.any()),
        }
        return tuple(name for name in ANNOTATIONS if has[name])

    def need(self, *fields: str) -> None:
        """Raise a ValueError that names the image if one of the fields is absent."""
        missing = [field for field in fields if getattr(self, field) is None]
        if missing:
            has = ", ".join(self.kinds) or "no evidence at all"
            raise ValueError(f"image {self.id} has no {' and no '.join(missing)}; it has {has}")

    def check(self, classes: int) -> None:
        """Raise a ValueError that names the image and the field if something cannot be what it
        claims to be."""
        if not isinstance(self.id, str):
            raise ValueError(
                f"image {self.id}: id should be text, but it is {type(self.id).__name__}; write "
                f"str({self.id!r})"
            )
        for field in ("image", *KINDS, "box_classes", "box_masks", *DRAWN):
            value = getattr(self, field)
            if not isinstance(value, Tensor) and (value is not None or field == "image"):
                raise ValueError(
                    f"image {self.id}: {field} should be a torch.Tensor, but it is "
                    f"{type(value).__name__}"
                )
        image, height, width = self.image, *self.image.shape[-2:]
        self._expect(
            "image",
            "uint8 [3,H,W]",
            image,
            image.dtype == torch.uint8 and image.ndim == 3 and len(image) == 3,
        )
        self._expect("image", "at least one pixel", image, height > 0 and width > 0)
        for field in ("tags", "large"):
            value = getattr(self, field)
            if value is not None:
                self._expect(
                    field,
                    f"bool [{classes}]",
                    value,
                    value.dtype == torch.bool and value.shape == (classes,),
                )
        for field in DRAWN:
            drawn = getattr(self, field)
            if drawn is not None:
                right = drawn.dtype == torch.uint8 and drawn.shape == (height, width)
                self._expect(
                    field, f"uint8 [{height},{width}], the size of the image", drawn, right
                )
                self._check_classes(field, drawn[drawn != IGNORE], classes)
        if (self.boxes is None) != (self.box_classes is None):
            raise ValueError(
                f"image {self.id}: boxes and box_classes belong together, but one of them is "
                "missing"
            )
        if self.boxes is not None and self.box_classes is not None:
            self._check_boxes(self.boxes, self.box_classes, classes)
        if self.box_masks is not None:
            boxes = 0 if self.boxes is None else len(self.boxes)
            right = self.box_masks.dtype == torch.bool and self.box_masks.shape == (
                boxes,
                height,
                width,
            )
            self._expect(
                "box_masks", f"bool [{boxes},{height},{width}], one per box", self.box_masks, right
            )

    def _check_boxes(self, boxes: Tensor, box_classes: Tensor, classes: int) -> None:
        right = boxes.is_floating_point() and boxes.ndim == 2 and boxes.shape[1] == 4
        self._expect("boxes", "float [N,4]", boxes, right)
        right = box_classes.dtype == torch.int64 and box_classes.shape == boxes.shape[:1]
        self._expect("box_classes", f"int64 [{len(boxes)}], one per box", box_classes, right)
        for box in boxes.tolist():
            if not (box[0] < box[2] and box[1] < box[3]):  # false for NaN as well
                raise ValueError(
                    f"image {self.id}: the box {box} is empty or inverted; expected x1 < x2 and "
                    "y1 < y2"
                )
            height, width = self.image.shape[-2:]
            if not (
                max(box) < float("inf")
                and box[0] < width
                and box[1] < height
                and box[2] > 0
                and box[3] > 0
            ):
                raise ValueError(
                    f"image {self.id}: the box {box} lies outside of the image, which is {width} "
                    f"wide and {height} high"
                )
        if bool((box_classes == 0).any()):
            raise ValueError(
                f"image {self.id}: a box has class 0, which is the background; boxes go around "
                f"classes 1 to {classes - 1}"
            )
        self._check_classes("box_classes", box_classes, classes)

    def check_truth(self, truth: Tensor | None, classes: int) -> None:
        """Raise a ValueError that names the image if the truth beside this evidence cannot be
        one."""
        if truth is None:
            return
        if not isinstance(truth, Tensor):
            raise ValueError(
                f"image {self.id}: the truth should be a torch.Tensor or None, but it is "
                f"{type(truth).__name__}"
            )
        height, width = self.image.shape[-2:]
        right = truth.dtype == torch.uint8 and truth.shape == (height, width)
        self._expect("the truth", f"uint8 [{height},{width}], the size of the image", truth, right)
        self._check_classes("the truth", truth[truth != IGNORE], classes)

    def _check_classes(self, field: str, values: Tensor, classes: int) -> None:
        if not values.numel() or (values.min() >= 0 and values.max() < classes):
            return
        wrong = sorted(
            {value for value in torch.unique(values).tolist() if not 0 <= value < classes}
        )
        text = ", ".join(map(str, wrong))
        raise ValueError(
            f"image {self.id}: {field} names class {text}, but there are {classes} classes, 0 to "
            f"{classes - 1}"
        )

    def _expect(self, field: str, expected: str, value: Tensor, right: bool) -> None:
        if not right:
            came = f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
            raise ValueError(f"image {self.id}: {field} should be {expected}, but it is {came}")


class Prediction(NamedTuple):
    """The network's prediction for one image, at the image's own resolution."""

    probs: Tensor
    """float [C,H,W]"""
    features: Tensor | None = None
    """float [D,h,w], only for a strategy with `Wants.features`"""
    intermediate: Tensor | None = None
    """float [D,h,w] from an intermediate stage of the network's encoder, only for a strategy with
    `Wants.intermediate`"""


class PseudoBatch(NamedTuple):
    """The pseudo-labelled images of a batch, of the same size as its other images. Strategies do
    not see them: the loss on them is cross-entropy with these labels."""

    ids: list[str]
    image: Tensor
    """uint8 [b,3,H,W]"""
    target: Tensor
    """int64 [b,H,W], 255 = not sure enough, or padding; or float [b,C,H,W] whose sum at a pixel is
    its weight"""
    weight: float
    """of the loss on them"""


class Batch(NamedTuple):
    """A few images after joint augmentation of image, target, boxes and marks. No field holds the
    truth."""

    ids: list[str]
    image: Tensor
    """uint8 [B,3,H,W], true colours"""
    target: Tensor | None = None
    """int64 [B,H,W] with 255 = ignored, or float [B,C,H,W] whose sum at a pixel is the trust in
    it"""
    tags: Tensor | None = None
    """bool [B,C]; a row without any True is an image without tags"""
    marks: Tensor | None = None
    """int64 [B,H,W], 255 = not marked"""
    boxes: list[Tensor] | None = None
    """per image float [N,4]; an image without boxes has N = 0"""
    box_classes: list[Tensor] | None = None
    large: Tensor | None = None
    """bool [B,C]"""
    valid: Tensor | None = None
    """bool [B,H,W]: False in the padding; None where no image is padded"""
    box_masks: list[Tensor] | None = None
    """per image bool [N,H,W], the estimated or drawn object in each box; None if an image with
    boxes has none"""
    class_weights: Tensor | None = None
    """float [C], how much a pixel of each class counts in the cross-entropy with the target; None
    for all alike"""
    drawn: Tensor | None = None
    """int64 [B,H,W]: the pixels of strokes and of paint of corrections, 255 elsewhere; None in a
    training without corrections. Marks hold them, too"""
    features: Tensor | None = None
    """float [B,D,h,w] that the network has of these images, usually the input of its last layer,
    with gradients; only for a strategy with `Wants.features_in_loss`"""
    pseudo: PseudoBatch | None = None
    """further images, with pseudo-labels from files (`data.pseudo`), which the fields above do not
    hold"""


class Instances(NamedTuple):
    """The instances of one image: what a network finds, or the truth it is measured with."""

    boxes: Tensor
    """float [N,4], as in Evidence"""
    classes: Tensor
    """int64 [N]"""
    masks: Tensor
    """bool [N,H,W], or float from 0 to 1 where a network found them: how sure it is of each
    pixel"""
    scores: Tensor | None = None
    """float [N], how sure the network is of each object; None in the truth"""


class Example(NamedTuple):
    """A validation image: evidence beside the truth it is measured with. Only the measuring code
    takes these."""

    number: int
    """its place in the data set"""
    evidence: Evidence
    truth: Tensor | None
    """uint8 [H,W], 255 = not counted"""
