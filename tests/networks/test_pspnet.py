from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakseg.networks import PSPNet


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def conv(inputs: int, outputs: int, kernel: int) -> int:
    """A convolution without bias, and batch norm."""
    return inputs * outputs * kernel**2 + 2 * outputs


def test_parameters_of_the_paper() -> None:
    with torch.device("meta"):
        network = PSPNet(21, "resnet50s")
    stem = conv(3, 64, 3) + conv(64, 64, 3) + conv(64, 128, 3)
    # torchvision's, with another stem that has 64 more channels
    encoder = 23508032 - conv(3, 64, 7) + stem + 64 * (64 + 256)
    assert count(network.encoder) == encoder
    assert count(network.pyramid) == 4 * conv(2048, 512, 1)
    assert count(network.decoder) == conv(4096, 512, 3)
    assert count(network.head) == 513 * 21
    assert (
        count(network)
        == encoder
        + 4 * conv(2048, 512, 1)
        + conv(4096, 512, 3)
        + 513 * 21
        + conv(1024, 256, 3)
        + 257 * 21
    )


def test_auxiliary_logits_in_training_only() -> None:
    network = PSPNet(5, "resnet18", width=0.05)
    image = torch.randn(2, 3, 33, 65)
    outputs = network(image)
    assert isinstance(outputs, dict)
    assert {name: tuple(logits.shape) for name, logits in outputs.items()} == {
        "out": (2, 5, 5, 9),
        "aux": (2, 5, 5, 9),
    }
    assert network.auxiliary_weight == 0.4
    assert isinstance(network.eval()(image), Tensor)
    without = PSPNet(5, "resnet18", width=0.05, auxiliary_weight=0)
    assert isinstance(without(image), Tensor)
    # 256 * .05 channels of the third stage
    assert count(network) - count(without) == conv(13, 3, 3) + 4 * 5


def test_the_third_stage_makes_the_auxiliary_logits() -> None:
    network = PSPNet(5, "resnet18", width=0.05, dropout=0)
    outputs = network(torch.randn(2, 3, 33, 65))
    assert isinstance(outputs, dict)
    outputs["aux"].sum().backward()
    assert network.encoder.layer4[0].conv1.weight.grad is None
    assert network.encoder.layer3[0].conv1.weight.grad is not None


def test_context_is_the_mean_of_each_part() -> None:
    network = PSPNet(2, "resnet18", bins=(1, 2), width=0.05).eval()
    seen: list[Tensor] = []
    network.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    last = torch.randn(1, 26, 8, 8)
    network._context(last)
    channels = seen[0].shape[1]
    assert channels == 26 + 13 + 13
    whole, quarters = seen[0][:, 26:39], seen[0][:, 39:]
    assert torch.equal(seen[0][:, :26], last)
    assert torch.allclose(
        whole, network.pyramid[0][1](last.mean((2, 3), keepdim=True)).expand_as(whole)
    )
    corner = network.pyramid[1][1](last[..., 4:, :4].mean((2, 3), keepdim=True))
    # beyond the centre of a part there is only that part
    assert torch.allclose(quarters[..., -2:, :2], F.interpolate(corner, (2, 2)))


def test_no_bins_are_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r"bins should be whole numbers from 1 on, such as 1, 2, 3, 6, but it is \(0, 2\)",
    ):
        PSPNet(2, bins=(0, 2))
