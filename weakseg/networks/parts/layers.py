"""Small pieces that several networks share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_bn_relu(channels: int, out: int, kernel: int) -> nn.Sequential:
    """A convolution that keeps the size, batch norm (which stands a single value) and ReLU."""
    conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, BatchNormOfSeveral(out), nn.ReLU(inplace=True))


def upsample_like(coarse: Tensor, fine: Tensor) -> Tensor:
    """Bring a coarse map to the size of a finer one whose stride is 1, 2, 4 or 8 times smaller.

    As in a ResNet, where kernels are odd and padded alike on both sides, cell i of the coarse map
    lies on cell i times the factor.

    >>> upsample_like(torch.tensor([[[[0.0, 8.0, 16.0]]]]), torch.zeros(1, 1, 1, 10))
    tensor([[[[ 0.,  2.,  4.,  6.,  8., 10., 12., 14., 16., 16.]]]])
    """
    height, width = fine.shape[-2:]
    factor = 1
    while coarse.shape[-2] * factor < height or coarse.shape[-1] * factor < width:
        factor *= 2
    if factor == 1:
        return coarse
    size = (coarse.shape[-2] * factor + 1, coarse.shape[-1] * factor + 1)
    # behind the last cell there is more of the same
    ended = torch.cat([coarse, coarse[..., -1:, :]], 2)
    ended = torch.cat([ended, ended[..., -1:]], 3)
    return F.interpolate(ended, size, mode="bilinear", align_corners=True)[..., :height, :width]


def padded(image: Tensor, stride: int, lead: int = 0) -> Tensor:
    """An image whose pixels at the edges are repeated until it fills whole cells of the logits.

    With a `lead`, which is below the stride, so many are repeated in front, and there is one cell
    more.
    """
    height, width = (stride * (count + (lead > 0)) for count in cells(image, stride))
    sides = (lead, width - image.shape[-1] - lead, lead, height - image.shape[-2] - lead)
    return F.pad(image, sides, mode="replicate") if any(sides) else image


def cells(image: Tensor, stride: int) -> tuple[int, int]:
    """Rows and columns of logits at a stride that cover an image.

    >>> cells(torch.zeros(1, 3, 33, 64), 32)
    (2, 2)
    """
    height, width = image.shape[-2:]
    return -(-height // stride), -(-width // stride)


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
        if input.numel() > input.shape[1]:
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
