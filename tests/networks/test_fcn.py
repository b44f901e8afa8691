"""FCN: the original with its padding, transposed convolutions and offsets, layer by layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakseg.networks import FCN8s, FCN16s, FCN32s
from weakseg.networks.fcn import bilinear


def conv(kernel: int, before: int, after: int) -> int:
    return kernel * kernel * before * after + after


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (FCN32s, 0),
        (FCN16s, conv(1, 512, 21) + 16 * 21 * 21),
        (FCN8s, conv(1, 512, 21) + conv(1, 256, 21) + 2 * 16 * 21 * 21),
    ],
)
def test_parameters(kind: type[nn.Module], more: int) -> None:
    pairs = [
        (3, 64),
        (64, 64),
        (64, 128),
        (128, 128),
        (128, 256),
        *2 * [(256, 256)],
        (256, 512),
        *5 * [(512, 512)],
    ]
    body = (
        sum(conv(3, before, after) for before, after in pairs)
        + conv(7, 512, 4096)
        + conv(1, 4096, 4096)
    )
    with torch.device("meta"):
        network = kind(21)
    assert (
        sum(parameter.numel() for parameter in network.parameters())
        == body + conv(1, 4096, 21) + more
    )
    assert round((body + conv(1, 4096, 21)) / 1e6) == 134  # Long et al., CVPR 2015, table 1


def upsample(scores: Tensor, factor: int) -> Tensor:
    """The original's transposed convolution: kernel twice the factor, no padding, bilinear, each
    class by itself."""
    place = torch.arange(2 * factor)
    side = 1 - (place - (factor - 0.5)).abs() / factor
    kernel = torch.outer(side, side).expand(scores.shape[1], 1, -1, -1)
    return F.conv_transpose2d(scores, kernel.to(scores), stride=factor, groups=scores.shape[1])


def crop(scores: Tensor, offset: int, like: Tensor) -> Tensor:
    return scores[..., offset : offset + like.shape[-2], offset : offset + like.shape[-1]]


def original(network: Any, image: Tensor) -> Tensor:
    """Scores of every pixel, layer by layer as the released FCN-32s, FCN-16s and FCN-8s have
    them."""
    convs = [module for module in network.encoder.features if isinstance(module, nn.Conv2d)]
    inner, pools, padding = image, [], 100
    for count in (2, 2, 3, 3, 3):
        for _ in range(count):
            layer = convs.pop(0)
            inner, padding = F.relu(F.conv2d(inner, layer.weight, layer.bias, padding=padding)), 1
        inner = F.max_pool2d(inner, 2, 2, ceil_mode=True)
        pools.append(inner)
    fc = network.encoder.fc[0]
    inner = F.relu(F.conv2d(inner, fc.fc6.weight, fc.fc6.bias))
    inner = F.relu(F.conv2d(inner, fc.fc7.weight, fc.fc7.bias))
    if isinstance(network, FCN32s):
        return crop(upsample(network.head(inner), 32), 19, image)
    scores = [
        score(each)
        for score, each in zip(network.head.scores, [inner, pools[3], pools[2]], strict=False)
    ]
    total = upsample(scores[0], 2)
    total = total + crop(scores[1], 5, total)
    if isinstance(network, FCN16s):
        return crop(upsample(total, 16), 27, image)
    total = upsample(total, 2)
    total = total + crop(scores[2], 9, total)
    return crop(upsample(total, 8), 31, image)


@pytest.mark.parametrize("kind", [FCN32s, FCN16s, FCN8s])
def test_the_original_on_an_image_moved_by_three_pixels(kind: Any) -> None:
    torch.manual_seed(0)
    network = kind(3, width=1 / 32).eval()
    with torch.no_grad():
        for parameter in network.head.parameters():
            if parameter.requires_grad:
                parameter.normal_()
        image = torch.rand(1, 3, 637, 637)
        expected = original(network, image)
        found = network(image[..., 29:, 29:])
        enlarged = F.interpolate(found, scale_factor=network.stride, mode="bilinear")
    assert expected.shape == image.shape
    inner = expected[..., 309:359, 309:359]  # far enough from the edges
    assert inner.std() > 0
    torch.testing.assert_close(enlarged[..., 280:330, 280:330], inner)


@pytest.mark.parametrize("kind", [FCN32s, FCN16s, FCN8s])
def test_an_image_moved_by_a_cell_moves_the_logits_by_a_cell(kind: Any) -> None:
    torch.manual_seed(0)
    network = kind(2, width=1 / 16).eval()
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.normal_()
    image = torch.rand(1, 3, 32, 608)
    cell = 32 // network.stride
    first, second = network(image[..., :576]), network(image[..., 32:])
    middle = (..., slice(8 * cell, 10 * cell))
    assert first[middle].std() > 0
    torch.testing.assert_close(second[..., 7 * cell : 9 * cell], first[middle])
    assert not torch.allclose(second[middle], first[middle])


def test_the_transposed_convolution_interpolates() -> None:
    scores = torch.randn(2, 3, 5, 7)
    # beyond the map it sees zeros, and interpolation sees the edge
    inner = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(
        bilinear(3)(scores)[inner], F.interpolate(scores, scale_factor=2, mode="bilinear")[inner]
    )


@pytest.mark.parametrize("kind", [FCN16s, FCN8s])
def test_skips_begin_as_nothing(kind: Any) -> None:
    torch.manual_seed(0)
    coarse = FCN32s(3, width=1 / 16).eval()
    fine = kind(3, width=1 / 16).eval()
    fine.encoder.load_state_dict(coarse.encoder.state_dict())
    image = torch.randn(1, 3, 128, 96)
    assert not fine(image).any()
    torch.nn.init.normal_(coarse.head.weight)
    fine.head.scores[0].load_state_dict(coarse.head.state_dict())
    large = F.interpolate(coarse(image), scale_factor=2, mode="bilinear")
    large = large if fine.stride == 16 else F.interpolate(large, scale_factor=2, mode="bilinear")
    inner = (..., slice(3, -3), slice(3, -3))
    torch.testing.assert_close(fine(image)[inner], large[inner])


@pytest.mark.parametrize("learn", [False, True])
def test_upsampling_is_trained_on_demand(learn: bool) -> None:
    network = FCN8s(2, learn_upsampling=learn, width=1 / 16)
    assert [layer.weight.requires_grad for layer in network.head.upsample] == [learn, learn]
