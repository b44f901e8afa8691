"""SegNet: its size, and where its decoder puts what the encoder pooled."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from weakseg.networks import SegNet


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
    # the same pairs backwards, with 12 classes instead of colours and without their batch norm
    weights = sum(9 * before * after for before, after in pairs) + sum(
        9 * before * after for before, after in [(12, 64), *pairs[1:]]
    )
    biases = sum(after for _, after in pairs) + sum(before for before, _ in pairs[1:]) + 12
    norms = 2 * (sum(after for _, after in pairs) + sum(before for before, _ in pairs[1:]))
    with torch.device("meta"):
        network = SegNet(12)
    assert sum(parameter.numel() for parameter in network.parameters()) == weights + biases + norms
    # 29.45 million in Badrinarayanan et al., TPAMI 2017, table 6
    assert round(weights / 1e6, 1) == 29.4


def test_the_decoder_mirrors_the_encoder() -> None:
    network = SegNet(5, width=1 / 4)

    def channels(part: nn.Module) -> list[tuple[int, int]]:
        return [
            (module.in_channels, module.out_channels)
            for module in part.modules()
            if isinstance(module, nn.Conv2d)
        ]

    backwards = [(after, before) for before, after in reversed(channels(network.encoder))]
    assert [*channels(network.decoder), *channels(network.head)] == [*backwards[:-1], (16, 5)]


def test_unpooling_puts_maxima_where_they_were() -> None:
    network = SegNet(2, width=1 / 16)
    network.encoder.features = nn.Sequential(
        *[module for module in network.encoder.features if isinstance(module, nn.MaxPool2d)]
    )
    network.decoder = nn.ModuleList(nn.Identity() for _ in range(5))
    image = torch.rand(2, 3, 64, 96)
    found = network.features(image)
    largest = F.max_pool2d(image, 32).repeat_interleave(32, 2).repeat_interleave(32, 3)
    torch.testing.assert_close(found, image * (image == largest), rtol=0, atol=0)
    assert int((found != 0).sum()) == 2 * 3 * 6
    torch.testing.assert_close(network.encoder(found)[0], network.encoder(image)[0], rtol=0, atol=0)


def test_pooling_undoes_unpooling() -> None:
    image = torch.rand(1, 2, 8, 8)
    pooled, places = F.max_pool2d(image, 2, return_indices=True)
    other = torch.rand_like(pooled)
    again, found = F.max_pool2d(F.max_unpool2d(other, places, [2, 2]), 2, return_indices=True)
    assert torch.equal(again, other)
    assert torch.equal(found, places)
