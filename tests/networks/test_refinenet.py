from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakseg.networks import RefineNet
from weakseg.networks.refinenet import _Path, _Residual


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def conv(inputs: int, outputs: int, bias: bool = True) -> int:
    return inputs * outputs * 9 + outputs * bias


@pytest.mark.parametrize("pools", [2, 4])
def test_parameters_of_the_paper(pools: int) -> None:
    with torch.device("meta"):
        network = RefineNet(21, "resnet101", pools=pools)

    def residual(channels: int) -> int:
        return 2 * conv(channels, channels)

    def chain(channels: int) -> int:
        return pools * conv(channels, channels, bias=False)

    coarsest = conv(2048, 512, bias=False) + 3 * residual(512) + chain(512)
    expected = [coarsest]
    for stage, coarser in [(1024, 512), (512, 256), (256, 256)]:
        own = conv(stage, 256, bias=False) + 2 * residual(256) + conv(256, 256)
        expected.append(
            own + 2 * residual(coarser) + conv(coarser, 256) + chain(256) + residual(256)
        )
    assert [count(path) for path in network.paths] == expected
    # torchvision's ResNet-101
    assert count(network) == 44549160 - 2049 * 1000 + sum(expected) + 2 * residual(256) + conv(
        256, 21
    )


def test_the_decoder_has_no_batch_norm() -> None:
    network = RefineNet(2, "resnet18", channels=8, width=0.05)
    assert not any(
        isinstance(module, nn.BatchNorm2d)
        for part in (network.paths, network.last, network.head)
        for module in part.modules()
    )


def by_hand(path: _Path, stage: Tensor, coarser: Tensor) -> Tensor:
    def conv(layer: nn.Conv2d, value: Tensor) -> Tensor:
        return F.conv2d(value, layer.weight, layer.bias, padding=1)

    def residual(unit: _Residual, value: Tensor) -> Tensor:
        return value + conv(unit.conv2, conv(unit.conv1, value.clamp(min=0)).clamp(min=0))

    fine = conv(path.reduce, stage)
    for unit in path.adapt:
        fine = residual(unit, fine)
    for unit in path.adapt_coarser:
        coarser = residual(unit, coarser)
    small = conv(path.fuse_coarser, coarser)
    # with the small one's cells on every second row and column, and the means of neighbours between
    large = torch.zeros_like(fine)
    rows = torch.cat([small, small[..., -1:, :]], 2)
    large[..., ::2, ::2], large[..., 1::2, ::2] = small, (rows[..., :-1, :] + rows[..., 1:, :]) / 2
    columns = torch.cat([large[..., ::2], large[..., -2:-1]], 3)
    large[..., 1::2] = (columns[..., :-1] + columns[..., 1:]) / 2
    total = (conv(path.fuse, fine) + large).clamp(min=0)
    first = conv(path.pools[0], F.max_pool2d(total, 5, stride=1, padding=2))
    second = conv(path.pools[1], F.max_pool2d(first, 5, stride=1, padding=2))
    return residual(path.output, total + first + second)


def test_a_path_by_hand() -> None:
    path = _Path(6, 4, 3, pools=2).double()
    stage, coarser = (
        torch.randn(1, 6, 8, 10, dtype=torch.float64),
        torch.randn(1, 4, 4, 5, dtype=torch.float64),
    )
    before = stage.clone(), coarser.clone()
    torch.testing.assert_close(path(stage, coarser), by_hand(path, stage, coarser))
    assert torch.equal(stage, before[0])
    assert torch.equal(coarser, before[1])


def test_every_stage_reaches_the_logits() -> None:
    network = RefineNet(2, "resnet18", channels=8, width=0.05).eval()
    stages: list[Tensor] = []
    for name in ("layer1", "layer2", "layer3", "layer4"):
        network.encoder.get_submodule(name).register_forward_hook(
            lambda _, __, output: stages.append(output) or output.retain_grad()
        )
    network(torch.randn(1, 3, 64, 64)).sum().backward()
    assert len(stages) == 4
    assert all(stage.grad is not None and stage.grad.abs().sum() > 0 for stage in stages)


def test_no_pools_are_refused() -> None:
    with pytest.raises(ValueError, match="pools should be at least 1, but it is 0"):
        RefineNet(2, pools=0)
