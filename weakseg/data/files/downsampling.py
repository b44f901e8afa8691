"""Images made smaller on reading, for machines that cannot train on large ones; what was annotated
shrinks with them."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from weakseg.evidence import IGNORE, MASKED, Evidence
from weakseg.functional.resolution import downsample, fitted_size


def downsample_evidence(
    evidence: Evidence, truth: Tensor | None, long_side: int | None
) -> tuple[Evidence, Tensor | None]:
    """Evidence and truth of the image whose longer side has at most this many pixels; smaller
    images stay as they are."""
    height, width = evidence.image.shape[-2:]
    if long_side is None or max(height, width) <= long_side:
        return evidence, truth
    size = fitted_size(height, width, long_side)
    boxes = evidence.boxes
    marks = evidence.marks
    masks = evidence.box_masks
    if boxes is not None:
        boxes = boxes * boxes.new_tensor([size[1] / width, size[0] / height] * 2)
    if marks is not None:
        marks = downsample_marks(marks, size)
    if masks is not None:
        masks = downsample_labels(masks.byte(), size).bool()
    return evidence._replace(
        image=downsample(evidence.image, long_side), boxes=boxes, marks=marks, box_masks=masks
    ), None if truth is None else downsample_labels(truth, size)


def downsample_labels(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Labels [H,W], or [N,H,W], of a smaller image: each pixel takes the one in its middle."""
    smaller: Tensor = resize(
        labels[None], list(size), interpolation=InterpolationMode.NEAREST_EXACT
    )
    return smaller[0]


def downsample_marks(marks: Tensor, size: tuple[int, int]) -> Tensor:
    """The same for marks; few of them, points or lines, all stay, however far the image shrinks.

    >>> downsample_marks(
    ...     torch.tensor([[1, 255, 255, 255], [255, 255, 255, 2]], dtype=torch.uint8), (1, 2)
    ... ).tolist()
    [[1, 2]]
    """
    marked = marks != IGNORE
    if marked.float().mean() >= MASKED:
        return downsample_labels(marks, size)
    height, width = marks.shape
    smaller = torch.full(size, IGNORE, dtype=torch.uint8)
    rows, columns = marked.nonzero(as_tuple=True)
    # in numpy, where the last of several marks in one place wins for certain
    smaller.numpy()[(rows * size[0] // height).numpy(), (columns * size[1] // width).numpy()] = (
        marks[rows, columns].numpy()
    )
    return smaller
