"""DeepLab v2: its sizes, the pyramid, and the largest of several scales."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakseg.networks import DeepLabV2
from weakseg.networks.deeplab_v2 import _scaled, resample

THIN = 1 / 16


def parameters(*given: Any, **more: Any) -> int:
    with torch.device("meta"):
        network = DeepLabV2(*given, **more)
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_on_a_resnet() -> None:
    body = 44_549_160 - (2048 * 1000 + 1000)  # torchvision's resnet101 without its classifier
    assert parameters(21) == body + 4 * (9 * 2048 * 21 + 21)


def test_parameters_on_vgg() -> None:
    body = 138_357_544 - (25088 * 4096 + 4096) - (4096 * 4096 + 4096) - (4096 * 1000 + 1000)
    branch = (9 * 512 * 1024 + 1024) + (1024 * 1024 + 1024) + 1024 * 21
    assert parameters(21, "vgg16") == body + 4 * branch + 21


@pytest.mark.parametrize("encoder", ["vgg16", "resnet18"])
def test_branches_are_added_up(encoder: str) -> None:
    torch.manual_seed(0)
    network = DeepLabV2(3, encoder, width=THIN).eval()
    image = torch.randn(1, 3, 96, 80)
    total: Any = 0
    if encoder == "resnet18":
        last = network.features(image)
        for rate, branch in zip((6, 12, 18, 24), network.head.branches, strict=True):
            total = total + F.conv2d(last, branch.weight, branch.bias, padding=rate, dilation=rate)
    else:
        pool = network.encoder(image)[4]
        for rate, fc, weight in zip(
            (6, 12, 18, 24), network.encoder.fc, network.head.weight.split(64, 1), strict=True
        ):  # type: ignore[operator, arg-type]
            hidden = F.relu(F.conv2d(pool, fc.fc6.weight, fc.fc6.bias, padding=rate, dilation=rate))
            total = total + F.conv2d(F.relu(F.conv2d(hidden, fc.fc7.weight, fc.fc7.bias)), weight)
        total = total + network.head.bias[:, None, None]  # type: ignore[index]
    assert total.std() > 0
    torch.testing.assert_close(network(image), total)


def test_the_largest_logit_of_all_scales_counts() -> None:
    torch.manual_seed(0)
    single = DeepLabV2(3, "resnet18", width=THIN).eval()
    network = DeepLabV2(3, "resnet18", scales=(1, 0.5, 0.75), width=THIN)
    network.load_state_dict(single.state_dict())
    image = torch.randn(2, 3, 64, 96)
    half = F.interpolate(
        single(F.interpolate(image, (32, 48), mode="bilinear")), (8, 12), mode="bilinear"
    )
    expected = network.eval()(image)
    for module in network.modules():  # only the network itself in training: what it returns then
        module.training = module is network
    found: Any = network(image)
    torch.testing.assert_close(found["aux"][0], single(image))
    torch.testing.assert_close(found["aux"][1], half)
    torch.testing.assert_close(found["out"], torch.stack(found["aux"]).amax(0))
    torch.testing.assert_close(found["out"], expected)
    assert all((each == found["out"]).any() for each in found["aux"])


class _Mean(nn.Module):
    """The mean of the eight by eight pixels of a cell."""

    def forward(self, image: Tensor) -> list[Tensor]:
        return [F.avg_pool2d(image, 8)]


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.0, 1.3])
@pytest.mark.parametrize("size", [(96, 96), (101, 97), (90, 111)])
def test_a_ramp_stays_where_it_is_at_every_scale(scale: float, size: tuple[int, int]) -> None:
    network = DeepLabV2(1, "vgg16", scales=(scale,), width=THIN)
    network.encoder, network.head = _Mean(), nn.Identity()
    rows, columns = torch.arange(size[0]).double(), torch.arange(size[1]).double()
    image = (rows[:, None] + columns).expand(1, 3, *size)
    logits: Any = network(image)
    shape = -(-size[0] // 8), -(-size[1] // 8)
    assert logits.shape[-2:] == shape
    expected = 8 * torch.arange(shape[0])[:, None] + 8 * torch.arange(shape[1]) + 7.0
    inner = (..., slice(2, -3), slice(2, -3))
    torch.testing.assert_close(logits[0, 0][inner], expected[inner].double())


def test_resampling_keeps_the_first_corner() -> None:
    grid = torch.rand(1, 1, 5, 7, dtype=torch.float64)
    found = resample(grid, (2.0, 4 / 3), (10, 9))
    assert found.shape[-2:] == (10, 9)
    for row, column in [(3, 2), (7, 5), (4, 8)]:
        y, x = (row + 0.5) / 2 - 0.5, (column + 0.5) * 0.75 - 0.5
        i, j = int(y), int(x)
        corners = grid[0, 0, i : i + 2, j : j + 2]
        expected = (
            torch.tensor([i + 1 - y, y - i]).double()
            @ corners
            @ torch.tensor([j + 1 - x, x - j]).double()
        )
        assert float(found[0, 0, row, column]) == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": "vgg19"}, "encoder should be one of .*, but it is 'vgg19'"),
        ({"output_stride": 32}, "output_stride should be 8 or 16, but it is 32"),
        ({"rates": ()}, r"rates should be one or more numbers above 0, but it is \[\]"),
        (
            {"scales": (1.0, 0.0)},
            r"scales should be one or more numbers above 0, but it is \[1.0, 0.0\]",
        ),
    ],
)
def test_wrong_arguments_are_said(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DeepLabV2(2, **{"width": THIN, **arguments})


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.25, 1 / 3, 0.35])
def test_an_exported_network_resizes_to_the_same_sizes(
    scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [_scaled(side, scale) for side in range(1, 700)]
    assert wanted[0] == 1
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    found = [_scaled(side, scale) for side in range(1, 700)]
    differ = [side for side in range(1, 700) if found[side - 1] != wanted[side - 1]]
    # a half that only rounding errors make more or less than that
    assert all(abs(side * scale % 1 - 0.5) < 1e-12 for side in differ)
    assert not differ or scale == 0.35


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (61, 83)], ids=str)
def test_an_exported_network_resamples_as_the_trained_one(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = DeepLabV2(3, "resnet18", scales=(1, 0.5, 0.75), width=THIN).eval()
    image = torch.randn(2, 3, *size)
    wanted = network(image)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(network(image), wanted)
