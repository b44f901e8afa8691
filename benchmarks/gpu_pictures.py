"""Pictures, probabilities and batches with every kind of evidence, drawn from a seed: no data set
is needed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import IGNORE, Batch

CLASSES = 21


def draw_photo(height: int, width: int, seed: int = 0) -> Tensor:
    """Clouds with the grain of a camera, uint8 [3,H,W]: about as many different colours next to
    each other as in a photograph."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 9, 12, generator=random) * 255
    smooth = F.interpolate(coarse, (height, width), mode="bicubic")[0]
    grain = torch.randn(3, height, width, generator=random) * 4
    return (smooth + grain).clamp(0, 255).to(torch.uint8)


def draw_probs(labels: int, height: int, width: int, seed: int = 0) -> Tensor:
    """A noisy rectangle for each label but the first, float [C,H,W]."""
    random = torch.Generator().manual_seed(seed)
    scores = torch.rand(labels, height, width, generator=random) * 2
    scores[0] += 1
    for label in range(1, labels):
        top, left = (
            int(torch.randint(max(1, side * 2 // 3), (), generator=random))
            for side in (height, width)
        )
        scores[label, top : top + height // 3, left : left + width // 3] += 2
    return scores.softmax(0)


def draw_batch(images: int, size: int, seed: int = 0) -> Batch:
    """Rectangles of two classes on each image, with tags, boxes, marks and whole labels."""
    random = torch.Generator().manual_seed(seed)
    pixels = torch.stack([draw_photo(size, size, seed + one) for one in range(images)])
    target = torch.zeros(images, size, size, dtype=torch.int64)
    tags = torch.zeros(images, CLASSES, dtype=torch.bool)
    tags[:, 0] = True
    boxes = []
    labels = []
    side = size // 3
    for image in range(images):
        own = torch.randperm(CLASSES - 1, generator=random)[:2] + 1
        corners = torch.randint(0, size // 2, (2, 2), generator=random)
        for label, (x, y) in zip(own.tolist(), corners.tolist(), strict=True):
            tags[image, label] = True
            target[image, y : y + side, x : x + side] = label
            pixels[image, label % 3, y : y + side, x : x + side] //= 2
        boxes.append(torch.cat([corners, corners + side], 1).float())
        labels.append(own)
    marks = torch.full_like(target, IGNORE)
    marks[:, ::16] = target[:, ::16]
    return Batch(
        ids=[str(image) for image in range(images)],
        image=pixels,
        target=target,
        tags=tags,
        marks=marks,
        boxes=boxes,
        box_classes=labels,
        large=tags & (torch.arange(CLASSES) % 2 == 0),
    )
