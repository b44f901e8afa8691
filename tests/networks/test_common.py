"""Where the logits of networks on a ResNet lie over the image. What every network keeps to is in
tests/contract/test_networks.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from weakseg.networks import DeepLabV3Cascade, RefineNet

CLASSES = 4
SMALL: dict[str, Callable[[], nn.Module]] = {
    "refinenet": lambda: RefineNet(CLASSES, "resnet18", channels=8, width=0.1),
    "cascade": lambda: DeepLabV3Cascade(CLASSES, "resnet18", multi_grid=(1, 2), width=0.1),
}


@pytest.mark.parametrize("name", SMALL)
def test_a_cell_is_centred_on_the_pixels_that_it_stands_for(name: str) -> None:
    network = SMALL[name]().double().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # kernels without a side
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            nn.init.zeros_(module.bias) if module.bias is not None else None
    # what comes from coarser paths sees everything; test_layers has where it is put
    if isinstance(network, RefineNet):
        nn.init.zeros_(network.paths[-1].fuse_coarser.weight)
    stride = network.stride
    assert isinstance(stride, int)
    # an odd number, so that the cell in the middle has as much to see on either side
    cells = {4: 65, 16: 13}[stride]
    image = torch.rand(
        4, 3, cells * stride, cells * stride, dtype=torch.float64, requires_grad=True
    )
    (gradient,) = torch.autograd.grad(network(image)[:, :, cells // 2, cells // 2].sum(), image)
    weight = gradient.sum((0, 1, 2))
    middle = float((weight * torch.arange(cells * stride)).sum() / weight.sum())
    assert abs(middle - (cells // 2 * stride + (stride - 1) / 2)) < 0.75
