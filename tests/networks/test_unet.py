from __future__ import annotations

import torch
from torch import nn

from weakseg.networks import UNet


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters_of_every_step_up() -> None:
    with torch.device("meta"):
        network = UNet(21, "resnet34")
    below, expected = 512, 0
    for beside, channels in [(256, 256), (128, 128), (64, 64), (64, 32), (0, 16)]:
        expected += 9 * (below + beside) * channels + 9 * channels * channels + 4 * channels
        below = channels
    assert count(network.decoder) == expected
    assert count(network.head) == 9 * 16 * 21 + 21
    # torchvision's ResNet-34
    assert count(network) == 21797672 - 513 * 1000 + expected + 9 * 16 * 21 + 21


def test_an_image_that_fits_is_not_touched() -> None:
    network = UNet(3, "tu-mobilenetv3_small_050", channels=(16, 8, 8, 8, 8)).eval()
    image = torch.randn(1, 3, 32, 64)
    assert torch.equal(network.features(image), network.decoder(network.encoder(image)))


def test_others_are_continued_by_their_last_pixels() -> None:
    network = UNet(3, "tu-mobilenetv3_small_050", channels=(16, 8, 8, 8, 8)).eval()
    image = torch.randn(1, 3, 31, 62)
    larger = torch.cat([image, image[..., -1:, :]], 2)
    larger = torch.cat([larger, larger[..., -1:], larger[..., -1:]], 3)
    assert torch.equal(network.features(image), network.features(larger)[..., :31, :62])
