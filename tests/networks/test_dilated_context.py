"""Dilated context: its size, and that it begins as its front end."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from weakseg.networks import DilatedContext
from weakseg.networks.dilated_context import context_module


def conv(kernel: int, before: int, after: int) -> int:
    return kernel * kernel * before * after + after


def test_parameters() -> None:
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
    front = (
        sum(conv(3, before, after) for before, after in pairs)
        + conv(7, 512, 4096)
        + conv(1, 4096, 4096)
        + conv(1, 4096, 21)
    )
    basic = 64 * 21 * 21 + 8 * 21  # 64 C^2 weights: Yu and Koltun, ICLR 2016, section 3
    steps = [21, 42, 42, 84, 168, 336, 672, 672]
    large = sum(conv(3, before, after) for before, after in pairwise(steps)) + conv(1, 672, 21)
    for arguments, expected in [
        ({"context": False}, front),
        ({}, front + basic),
        ({"large": True}, front + large),
    ]:
        with torch.device("meta"):
            network = DilatedContext(21, **arguments)
        assert sum(parameter.numel() for parameter in network.parameters()) == expected


def test_the_context_begins_as_the_identity() -> None:
    torch.manual_seed(0)
    scores = torch.rand(2, 5, 9, 40)
    assert torch.equal(context_module(5)(scores), scores)
    network = DilatedContext(5, width=1 / 16).eval()
    image = torch.randn(1, 3, 64, 48)
    front = network.head[0](network.features(image))
    assert (front > 0).any()
    assert torch.equal(network(image), front.clamp(min=0))


def test_the_large_context_begins_near_it() -> None:
    torch.manual_seed(0)
    classes = 3
    module = context_module(classes, large=True)
    for layer in module:
        if isinstance(layer, nn.Conv2d):
            after, before, size, _ = layer.weight.shape
            expected = torch.zeros_like(layer.weight)
            for b in range(after):
                for a in range(before):
                    if a * classes // before == b * classes // after:
                        expected[b, a, size // 2, size // 2] = classes / after
            assert (layer.weight - expected).abs().max() < 0.06 * classes / after
            with torch.no_grad():
                assert before == after == classes or not torch.equal(layer.weight, expected)
                layer.weight.copy_(expected)
    scores = torch.rand(1, classes, 20, 20)
    torch.testing.assert_close(module(scores), scores)


@pytest.mark.parametrize(("large", "width"), [(False, 67), (True, 67)])
def test_what_the_context_sees(large: bool, width: int) -> None:
    module = context_module(2, large)
    for layer in module:
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)
    scores = torch.zeros(1, 2, 1, 99, requires_grad=True)
    module(scores + 1)[0, 0, 0, 49].backward()
    assert scores.grad is not None
    assert scores.grad[0].any(0)[0].nonzero().flatten().tolist() == list(
        range(49 - width // 2, 50 + width // 2)
    )


def test_the_front_end_has_no_late_pooling() -> None:
    torch.manual_seed(0)
    network = DilatedContext(2, width=1 / 16).eval()
    image = inner = torch.randn(1, 3, 64, 48)
    convs = [module for module in network.encoder.features if isinstance(module, nn.Conv2d)]
    for stage, count in enumerate((2, 2, 3, 3, 3)):
        rate = 2 if stage == 4 else 1
        for _ in range(count):
            layer = convs.pop(0)
            inner = F.relu(F.conv2d(inner, layer.weight, layer.bias, padding=rate, dilation=rate))
        inner = F.max_pool2d(inner, 2) if stage < 3 else inner
    fc6, fc7 = network.encoder.fc[0].fc6, network.encoder.fc[0].fc7
    inner = F.relu(F.conv2d(inner, fc6.weight, fc6.bias, padding=12, dilation=4))
    torch.testing.assert_close(
        network.features(image), F.relu(F.conv2d(inner, fc7.weight, fc7.bias))
    )  # type: ignore[arg-type, union-attr]
