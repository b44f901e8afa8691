"""What layers see: by textbook figures, by gradients, and where branches meet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakseg.networks import PSPNet
from weakseg.networks.analysis.receptive_field import (
    Effect,
    _effect,
    effective_field,
    receptive_field,
    table,
)
from weakseg.networks.parts.resnet import resnet_body


class Last(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, image: Tensor) -> Tensor:
        features: list[Tensor] = self.body(image)
        return features[-1]


def vgg16() -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for convolutions in (2, 2, 3, 3, 3):
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, 2, 3, padding=1), nn.ReLU(inplace=True)]
            channels = 2
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers, nn.Conv2d(2, 2, 7))


def test_vgg16_as_in_the_textbooks() -> None:
    layers = receptive_field(vgg16(), 256)
    pools = [layer for layer in layers if layer.kind == "pool"]
    assert [layer.field for layer in pools] == [6, 16, 44, 100, 212]
    assert [layer.jump for layer in pools] == [2, 4, 8, 16, 32]
    assert layers[-1].field == 404
    assert len(layers) == 13 + 5 + 1


@pytest.mark.parametrize(("depth", "field"), [(18, 435), (34, 899), (50, 427), (101, 971)])
@pytest.mark.parametrize("output_stride", [8, 32])
def test_dilation_keeps_the_field_and_refines_the_stride(
    depth: int, field: int, output_stride: Literal[8, 32]
) -> None:
    last = receptive_field(Last(resnet_body(depth, output_stride, width=0.02)), 64)[-1]
    assert (last.field, last.jump) == (field, output_stride)
    assert last.name.startswith("body.layer4.")


class Branches(nn.Module):
    """A residual block, a strided branch that is enlarged again, and layers that are functions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=2, dilation=2)
        self.down = nn.Conv2d(4, 4, 3, stride=2, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        first = self.first(image)
        second = self.second(first)
        second += first
        pooled = F.avg_pool2d(first, 5, 1, 2)
        enlarged = F.interpolate(self.down(first), scale_factor=2, mode="nearest")
        return torch.cat([second, pooled, enlarged], 1)


SEQUENCES: dict[str, tuple[Callable[[], nn.Module], float]] = {
    "dilated": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, dilation=2), nn.Conv2d(4, 4, 3, dilation=5)),
        1 + 4 + 10,
    ),
    "strided": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 4, 4, stride=3), nn.Conv2d(4, 4, 3)
        ),
        3 + 3 * 2 + 2 * 6,
    ),
    "pooled": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.AvgPool2d(2), nn.Conv2d(4, 4, 3, stride=2), nn.AvgPool2d(3, 1)
        ),
        3 + 1 + 4 + 8,
    ),
    "even": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 2), nn.Conv2d(4, 4, 6, stride=2), nn.Conv2d(4, 4, 1)),
        2 + 5,
    ),
    "transposed": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.ConvTranspose2d(4, 4, 8, stride=4)),
        3 + 4,
    ),
    "branches": (Branches, 3 + 4),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_gradients_reach_as_far_as_arithmetic_says(name: str) -> None:
    make, expected = SEQUENCES[name]
    network = make()
    for parameter in network.parameters():  # with these nothing cancels out
        nn.init.uniform_(parameter, 0.1, 1)
    assert max(layer.field for layer in receptive_field(network, 64)) == expected
    effect = effective_field(network, 64, share=1)
    assert (effect.rows, effect.columns) == (expected, expected)
    assert expected <= effect.side <= 2 * expected + 1


def test_gradients_stay_within_the_bound_where_maps_are_enlarged() -> None:
    enlarge = nn.Upsample(scale_factor=4, mode="bilinear")
    network = nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=4, padding=2),
        nn.Conv2d(4, 4, 3, padding=1),
        enlarge,
        nn.Conv2d(4, 4, 3, padding=1),
    )
    fields = [layer.field for layer in receptive_field(network, 64)]
    assert fields == [5, 13, 17, 19]
    assert 13 <= effective_field(network, 64).rows <= 19
    assert [layer.jump for layer in receptive_field(network, 64)] == [4, 4, 1, 1]


def test_pooling_over_the_image_sees_it_all() -> None:
    layers = {
        layer.name: layer.field
        for layer in receptive_field(PSPNet(2, "resnet18", width=0.05), 64)
        if layer.name
    }
    assert layers["encoder.layer4.1.conv2"] == 435
    assert layers["pyramid.0.0"] == layers["head"] == float("inf")
    assert layers["pyramid.1.0"] == 435 + 3 * 8  # halves of a map of eight rows


class Gate(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features * features.mean((2, 3), keepdim=True)


def test_a_gate_by_the_mean_of_the_image_sees_it_all() -> None:
    layers = receptive_field(nn.Sequential(nn.Conv2d(3, 4, 3), Gate(), nn.Conv2d(4, 4, 3)), 16)
    assert [(layer.field, layer.jump) for layer in layers] == [(3, 1), (float("inf"), 1)]


def test_the_network_stays_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    network[2].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    receptive_field(network, 16)
    effective_field(network, 16)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == [True, True, True, False]
    assert all(
        not module._forward_hooks and not module._forward_pre_hooks for module in network.modules()
    )
    assert all(parameter.grad is None for parameter in network.parameters())


def test_where_the_energy_lies() -> None:
    energy = torch.zeros(9, 11, dtype=torch.float64)
    energy[4, 5], energy[3, 5], energy[5, 5], energy[2, 3], energy[6, 7] = 8.0, 0.5, 0.5, 0.5, 0.5
    assert _effect(energy, 0.8) == Effect(5, 5, 1)
    assert _effect(energy, 0.81) == Effect(5, 5, 3)
    assert _effect(energy, 1.0) == Effect(5, 5, 5)
    assert _effect(torch.zeros(3, 3), 0.9) == Effect(0, 0, 0)


def test_the_effective_field_of_many_layers_is_small() -> None:
    deep = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), *(nn.Conv2d(4, 4, 3, padding=1) for _ in range(14))
    )
    for parameter in deep.parameters():
        nn.init.ones_(parameter)
    effect = effective_field(deep, 64)
    assert effect.rows == receptive_field(deep, 64)[-1].field == 31
    # uniform kernels tend to a bell with a variance of 2/3 per layer; its square has half of that;
    # both axes: 95 % within 2.24 spreads
    assert abs(effect.side - 2 * 2.24 * (15 / 3) ** 0.5) < 2


def test_a_table_has_a_line_for_each_layer() -> None:
    lines = table(receptive_field(vgg16(), 256)).splitlines()
    assert lines[0].split() == ["name", "kind", "kernel", "stride", "dilation", "field", "jump"]
    assert lines[-1].split() == ["31", "conv", "7", "1", "1", "404", "32"]
    assert len(lines) == 20


def test_a_share_beyond_the_whole_is_refused() -> None:
    with pytest.raises(ValueError, match="share should be more than 0 and at most 1, but it is 2"):
        effective_field(nn.Conv2d(3, 1, 1), 4, share=2)
