from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import nn

from weakseg.networks import DeepLabV3Cascade


def rates(stage: nn.Module) -> list[int]:
    return [
        module.dilation[0]
        for module in stage.modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    ]


@pytest.mark.parametrize(("output_stride", "first"), [(16, 2), (8, 4)])
def test_each_copy_has_twice_the_rate_of_the_one_before(
    output_stride: Literal[8, 16], first: int
) -> None:
    network = DeepLabV3Cascade(
        2, "resnet50", output_stride=output_stride, multi_grid=(1, 2, 4), width=0.05
    )
    stages = [network.encoder.layer4, *network.decoder]
    assert [rates(stage) for stage in stages] == [
        [first * 2**copy * unit for unit in (1, 2, 4)] for copy in range(4)
    ]


def test_parameters_of_three_copies() -> None:
    with torch.device("meta"):
        network = DeepLabV3Cascade(21, "resnet50")
    block = 2048 * 512 + 512 * 512 * 9 + 512 * 2048 + 2 * (512 + 512 + 2048)
    assert (
        sum(parameter.numel() for parameter in network.parameters())
        == 23508032 + 9 * block + 2049 * 21
    )


def test_a_cascade_without_copies_is_refused() -> None:
    with pytest.raises(ValueError, match="copies should be at least 1, but it is 0"):
        DeepLabV3Cascade(2, copies=0)
