"""DeepLab v1: the released network layer by layer, and its size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakseg.networks import DeepLabV1


def conv(kernel: int, before: int, after: int) -> int:
    return kernel * kernel * before * after + after


BODY = sum(
    conv(3, before, after)
    for before, after in [
        (3, 64),
        (64, 64),
        (64, 128),
        (128, 128),
        (128, 256),
        *2 * [(256, 256)],
        (256, 512),
        *5 * [(512, 512)],
    ]
)


@pytest.mark.parametrize(
    ("arguments", "parameters", "millions"),
    [
        ({}, BODY + conv(3, 512, 1024) + conv(1, 1024, 1024) + conv(1, 1024, 21), 20.5),
        (
            {"field": "4x4"},
            BODY + conv(4, 512, 4096) + conv(1, 4096, 4096) + conv(1, 4096, 21),
            65.1,
        ),
        (
            {"field": "7x7"},
            BODY + conv(7, 512, 4096) + conv(1, 4096, 4096) + conv(1, 4096, 21),
            134.3,
        ),
        (
            {"multi_scale": True},
            BODY
            + conv(3, 512, 1024)
            + conv(1, 1024, 1024)
            + conv(1, 1664, 21)
            + sum(conv(3, before, 128) + conv(1, 128, 128) for before in (3, 64, 128, 256, 512)),
            21.7,
        ),
    ],
)
def test_parameters_as_in_the_paper(
    arguments: dict[str, Any], parameters: int, millions: float
) -> None:
    with torch.device("meta"):
        network = DeepLabV1(21, **arguments)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    # Chen et al., ICLR 2015, table 2; the last one is ours
    assert round(parameters / 1e6, 1) == millions


def released(network: DeepLabV1, image: Tensor) -> list[Tensor]:
    """Layer by layer what the released definition says, for sides of 8 k + 1 pixels: pools 1 to 5,
    and what fc8 sees."""
    convs = [module for module in network.encoder.features if isinstance(module, nn.Conv2d)]
    pools = []
    for stage, count in enumerate((2, 2, 3, 3, 3)):
        rate = 2 if stage == 4 else 1
        for _ in range(count):
            layer = convs.pop(0)
            image = F.relu(F.conv2d(image, layer.weight, layer.bias, padding=rate, dilation=rate))
        image = F.max_pool2d(image, 3, 2 if stage < 3 else 1, 1)
        pools.append(image)
    fc: Any = network.encoder.fc[0]
    hidden = F.relu(
        F.conv2d(F.avg_pool2d(image, 3, 1, 1), fc.fc6.weight, fc.fc6.bias, padding=12, dilation=12)
    )
    return [*pools, F.relu(F.conv2d(hidden, fc.fc7.weight, fc.fc7.bias))]


@pytest.mark.parametrize("multi_scale", [False, True])
def test_the_released_network_on_an_image_moved_by_four_pixels(multi_scale: bool) -> None:
    torch.manual_seed(0)
    network = DeepLabV1(3, multi_scale=multi_scale, width=1 / 32).eval()
    image = torch.rand(1, 3, 513, 641)
    *pools, last = released(network, image)
    weights = network.head.weight.split([32] + [4] * 5 * multi_scale, 1)
    expected = F.conv2d(last, weights[0], network.head.bias)
    for before, perceptron, stride, weight in zip(
        [image, *pools], network.scales, (8, 4, 2, 1, 1), weights[1:], strict=False
    ):
        first: Any = perceptron.first
        second: Any = perceptron.second
        hidden = F.relu(F.conv2d(before, first.weight, first.bias, stride, padding=1))
        expected = expected + F.conv2d(F.relu(F.conv2d(hidden, second.weight, second.bias)), weight)
    found = network(image[..., 4:, 4:])
    assert expected.shape[-2:] == (65, 81)
    inner = (..., slice(28, 36), slice(28, 52))  # where 435 pixels are within the image
    assert expected[inner].std() > 0
    torch.testing.assert_close(found[..., 27:35, 27:51], expected[inner])


def test_the_head_begins_as_small_noise() -> None:
    torch.manual_seed(0)
    head = DeepLabV1(21, width=1 / 4).head
    assert float(head.weight.detach().std()) == pytest.approx(0.01, rel=0.05)
    assert not head.bias.any()


def test_an_unknown_field_is_said() -> None:
    with pytest.raises(
        ValueError, match="field should be one of large, 4x4, 7x7, but it is 'small'"
    ):
        DeepLabV1(2, field="small", width=1 / 16)  # type: ignore[arg-type]
