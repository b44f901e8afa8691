from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from weakseg.networks.parts.layers import (
    BatchNormOfSeveral,
    PoolParts,
    cells,
    conv_bn_relu,
    crop,
    evaluating,
    forgive_one_value,
    padded,
    run_sizes,
    upsample_like,
)


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (16, 16), (17, 31), (3, 200), (1, 33)])
@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_a_coarse_map_comes_to_the_size_of_any_finer_one(
    size: tuple[int, int], factor: int
) -> None:
    fine = torch.zeros(1, 2, *size)
    coarse = torch.randn(1, 3, -(-size[0] // factor), -(-size[1] // factor))
    assert upsample_like(coarse, fine).shape == (1, 3, *size)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_cell_stays_on_its_pixel(factor: int) -> None:
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
    ramp = (3 * rows + columns)[None, None] * factor
    enlarged = upsample_like(ramp, torch.zeros(1, 1, 5 * factor, 7 * factor))[0, 0]
    fine_rows, fine_columns = torch.meshgrid(
        torch.arange(5.0 * factor), torch.arange(7.0 * factor), indexing="ij"
    )
    expected = 3 * fine_rows.clamp(max=4 * factor) + fine_columns.clamp(max=6 * factor)
    torch.testing.assert_close(enlarged, expected)


# exported networks ------------------------------------------------------------------------------

SIZES = ((1, 1), (3, 40), (32, 64), (61, 83), (97, 130))


class Layers(nn.Module):
    """Everything here that a graph for images of any size has to be able to do."""

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        rows, columns = cells(image, 8)
        coarse = F.max_pool2d(padded(image, 8, lead=4), 8)
        fine = F.max_pool2d(padded(image, 8), 4)
        return (
            crop(coarse, rows, columns, last=True),
            crop(coarse, rows, columns),
            upsample_like(crop(coarse, rows, columns), fine, factor=2),
            PoolParts(3)(image),
            PoolParts(1)(image),
        )


def test_a_graph_for_images_of_any_size_computes_the_same() -> None:
    sizes = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    program = torch.export.export(
        Layers(), (torch.zeros(2, 3, 72, 104),), dynamic_shapes=(sizes,)
    ).module(check_guards=False)
    for size in SIZES[1:]:
        image = torch.randn(1, 3, *size)
        for found, wanted in zip(program(image), Layers()(image), strict=True):
            torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_what_is_exported_is_what_is_trained(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = torch.randn(2, 3, *size)
    wanted = Layers()(image)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    for found, each in zip(Layers()(image), wanted, strict=True):
        torch.testing.assert_close(found, each)


def test_one_value_per_channel_is_normed_by_the_running_statistics() -> None:
    pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.ReLU())
    forgive_one_value(pooling)
    norm = pooling[1]
    assert isinstance(norm, BatchNormOfSeveral)
    norm.running_mean = torch.arange(4.0)
    value = torch.randn(1, 4, 1, 1)
    assert torch.allclose(
        norm(value), (value - torch.arange(4.0).view(1, 4, 1, 1)) / (1 + norm.eps) ** 0.5
    )
    assert norm.running_mean.equal(torch.arange(4.0))
    # of several, as ever
    assert torch.allclose(norm(torch.randn(8, 4, 1, 1)).mean((0, 2, 3)), torch.zeros(4), atol=1e-6)


def test_a_convolution_keeps_the_size() -> None:
    assert (
        conv_bn_relu(3, 5, 3)(torch.randn(1, 3, 7, 4)).shape
        == conv_bn_relu(3, 5, 1)(torch.randn(1, 3, 7, 4)).shape
        == (1, 5, 7, 4)
    )


def test_modes_come_back_after_evaluating() -> None:
    network = nn.Sequential(nn.Dropout(), nn.Dropout())
    network[1].eval()
    with evaluating(network):
        assert not any(module.training for module in network.modules())
    assert [module.training for module in network.modules()] == [True, True, False]


def test_sizes_are_seen_and_nothing_is_computed() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4))
    seen: list[torch.Tensor] = []
    network[1].register_forward_hook(lambda _, __, output: seen.append(output))
    run_sizes(network, torch.empty(1, 3, 9, 11, device="meta"))
    assert seen[0].shape == (1, 4, 4, 5)
    assert seen[0].is_meta
    assert not any(tensor.is_meta for tensor in network.state_dict().values())
    assert network[1].num_batches_tracked == 0
