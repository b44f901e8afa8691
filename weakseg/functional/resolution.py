"""Resolution: images downsampled to that of the training, labels to that of a network's logits, and
back to that of the files."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import resize


def fitted_size(height: int, width: int, long_side: int) -> tuple[int, int]:
    """Height and width of an image whose longer side has so many pixels.

    >>> fitted_size(300, 400, 100)
    (75, 100)
    """
    factor = long_side / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


def downsample(image: Tensor, long_side: int | None) -> Tensor:
    """Images [...,3,H,W] whose longer side has at most so many pixels; smaller ones, and all of
    them with None, stay as they are.

    >>> downsample(torch.zeros(3, 30, 40), 20).shape
    torch.Size([3, 15, 20])
    """
    height, width = image.shape[-2:]
    if long_side is None or max(height, width) <= long_side:
        return image
    resized: Tensor = resize(image, list(fitted_size(height, width, long_side)), antialias=True)
    return resized


def resize_labels(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Labels or masks [...,H,W] at another size: each pixel takes that in which its middle lies.

    >>> resize_labels(torch.tensor([[1, 2]], dtype=torch.uint8), (1, 5))
    tensor([[1, 1, 2, 2, 2]], dtype=torch.uint8)
    """
    if labels.shape[-2:] == size:
        return labels
    rows, columns = (
        ((torch.arange(new) + 0.5) * (old / new)).long().clamp(max=old - 1)
        for old, new in zip(labels.shape[-2:], size, strict=True)
    )
    return labels[..., rows[:, None], columns]


def stride(full: int, few: int) -> int:
    """How many pixels a score stands for, if `few` scores cover `full` pixels: a power of two, as
    networks halve again and again.

    >>> stride(100, 7)  # 7 scores of 16 pixels; the last one lies partly outside
    16
    """
    return 1 << (-(-full // few) - 1).bit_length()


def shrink(labels: Tensor, height: int, width: int) -> Tensor:
    """Labels or masks [B,H,W] as [B,height,width]: each score has the label of the pixel in the
    middle of what it stands for.

    >>> shrink(torch.tensor([[[1, 2, 3, 4, 5, 6]]]), 1, 3)
    tensor([[[2, 4, 6]]])
    """
    rows, columns = (
        _middles(full, few, labels.device)
        for full, few in zip(labels.shape[-2:], (height, width), strict=True)
    )
    return labels[:, rows[:, None], columns]


def average_pool(values: Tensor, valid: Tensor | None, side: int) -> tuple[Tensor, Tensor]:
    """The means of the valid pixels in squares of this side: float [B,K,h,w], and where there is at
    least one, bool [B,h,w]. With None for valid all are.

    >>> average_pool(
    ...     torch.tensor([[[[1.0, 3, 5, 9, 7]]]]),
    ...     torch.tensor([[[True, True, True, False, False]]]),
    ...     2,
    ... )
    (tensor([[[[2., 5., 0.]]]]), tensor([[[ True,  True, False]]]))
    """
    if valid is None:
        means = F.avg_pool2d(values, side, ceil_mode=True)
        return means, torch.ones_like(means[:, 0], dtype=torch.bool)
    share = F.avg_pool2d(valid[:, None].to(values.dtype), side, ceil_mode=True)
    sums = F.avg_pool2d(values * valid[:, None], side, ceil_mode=True)
    return sums / torch.where(share > 0, share, 1), share[:, 0] > 0


def _middles(full: int, few: int, device: torch.device) -> Tensor:
    width = stride(full, few)
    return (torch.arange(few, device=device) * width + width // 2).clamp(max=full - 1)
