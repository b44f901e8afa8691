"""Small pieces that several networks share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_bn_relu(channels: int, out: int, kernel: int) -> nn.Sequential:
    """A convolution that keeps the size, batch norm (which stands a single value) and ReLU."""
    conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, BatchNormOfSeveral(out), nn.ReLU(inplace=True))


def upsample_like(coarse: Tensor, fine: Tensor, factor: int | None = None) -> Tensor:
    """Bring a coarse map to the size of a finer one whose stride is 1, 2, 4 or 8 times smaller.

    Args:
        factor: how many times smaller; None to tell from the sizes.

    As in a ResNet, where kernels are odd and padded alike on both sides, cell i of the coarse map
    lies on cell i times the factor.

    >>> upsample_like(torch.tensor([[[[0.0, 8.0, 16.0]]]]), torch.zeros(1, 1, 1, 10))
    tensor([[[[ 0.,  2.,  4.,  6.,  8., 10., 12., 14., 16., 16.]]]])
    """
    height, width = fine.shape[-2:]
    factor = factor or _factor(coarse, fine)
    if factor == 1:
        return coarse
    size = (coarse.shape[-2] * factor + 1, coarse.shape[-1] * factor + 1)
    # behind the last cell there is more of the same
    ended = torch.cat([coarse, coarse[..., -1:, :]], 2)
    ended = torch.cat([ended, ended[..., -1:]], 3)
    large = F.interpolate(ended, size, mode="bilinear", align_corners=True)
    return crop(large, height, width)


def _factor(coarse: Tensor, fine: Tensor) -> int:
    factor = 1
    while coarse.shape[-2] * factor < fine.shape[-2] or coarse.shape[-1] * factor < fine.shape[-1]:
        factor *= 2
    return factor


def padded(image: Tensor, stride: int, lead: int = 0) -> Tensor:
    """An image whose pixels at the edges are repeated until it fills whole cells of the logits.

    With a `lead`, which is below the stride, so many are repeated in front, and there is one cell
    more.
    """
    more = int(lead > 0)  # as a number: torch 2.11 cannot add true to the size of any image
    height, width = (stride * (count + more) for count in cells(image, stride))
    if torch.compiler.is_exporting():
        return _repeat_edges(image, lead, height, width)
    sides = (lead, width - image.shape[-1] - lead, lead, height - image.shape[-2] - lead)
    return F.pad(image, sides, mode="replicate") if any(sides) else image


def _repeat_edges(image: Tensor, lead: int, height: int, width: int) -> Tensor:
    """The same for an exported network, whose images have any size: so there is no `if`, and pixels
    are found by their numbers, which every exporter understands."""
    for dim, length in ((-2, height), (-1, width)):
        places = torch.arange(length, device=image.device) - lead
        image = image.index_select(dim, places.clamp(min=0, max=image.shape[dim] - 1))
    return image


def crop(map: Tensor, rows: int, columns: int, *, last: bool = False) -> Tensor:
    """The first rows and columns of a map; or the last ones.

    >>> crop(torch.arange(6.0).reshape(1, 1, 2, 3), 1, 2, last=True)
    tensor([[[[4., 5.]]]])
    """
    if torch.compiler.is_exporting():
        return _copied(_copied(map, -2, rows, last), -1, columns, last)
    return map[..., -rows:, -columns:] if last else map[..., :rows, :columns]


def _copied(map: Tensor, dim: int, length: int, last: bool) -> Tensor:
    """A part as a copy: whether a view is contiguous would be decided by the size of the example
    that is exported, and kept in the graph."""
    start = map.shape[dim] - length if last else 0
    part: Tensor = torch.ops.aten.slice_copy.Tensor(map, dim, start, start + length)
    return part


def cells(image: Tensor, stride: int) -> tuple[int, int]:
    """Rows and columns of logits at a stride that cover an image.

    >>> cells(torch.zeros(1, 3, 33, 64), 32)
    (2, 2)
    """
    height, width = image.shape[-2:]
    # not -(-height // stride), as exported graphs divide towards zero
    return (height + stride - 1) // stride, (width + stride - 1) // stride


class PoolParts(nn.AdaptiveAvgPool2d):
    """Means over so many parts of either side, which cover it and overlap by a cell at most."""

    def forward(self, input: Tensor) -> Tensor:
        """As `AdaptiveAvgPool2d`. Exported, as a product of matrices: no exporter has the layer for
        maps of any size."""
        if not torch.compiler.is_exporting():
            return super().forward(input)
        down = _mean_of_parts(input, -2, self.output_size)
        across = _mean_of_parts(input, -1, self.output_size)
        means: Tensor = down @ input @ across.T
        return means


def _mean_of_parts(map: Tensor, dim: int, parts: Any) -> Tensor:
    """[parts, length] that takes a side of a map to the mean of each of its parts."""
    length = map.shape[dim]
    number = torch.arange(parts, device=map.device)[:, None]
    begin = (number * length).div(parts, rounding_mode="floor")
    end = ((number + 1) * length + parts - 1).div(parts, rounding_mode="floor")
    cell = torch.arange(length, device=map.device)
    inside = (cell >= begin) & (cell < end)
    share: Tensor = inside.to(map.dtype) / (end - begin)
    return share


def forgive_one_value(pooling: nn.Sequential) -> None:
    """Image pooling leaves one value per image and channel: with a batch of one, batch norm has no
    spread to divide by.

    It then uses its running statistics, as it does after training.
    """
    for place, module in enumerate(pooling):
        if isinstance(module, nn.BatchNorm2d):
            pooling[place] = BatchNormOfSeveral(module.num_features)


class BatchNormOfSeveral(nn.BatchNorm2d):
    """Batch norm that uses its running statistics where a channel has a single value."""

    def forward(self, input: Tensor) -> Tensor:
        """As `BatchNorm2d`."""
        if not self.training or input.numel() > input.shape[1]:
            return super().forward(input)
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """As after `network.eval()`; afterwards every module is again in the mode that it was in."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def run_sizes(network: nn.Module, image: Tensor) -> None:
    """Run a network as after training, on an image of the device "meta": hooks get tensors with
    sizes but without values."""
    named = chain(network.named_parameters(), network.named_buffers())
    state = {name: tensor.to("meta") for name, tensor in named}
    with evaluating(network), torch.no_grad():
        torch.func.functional_call(network, state, (image,))
