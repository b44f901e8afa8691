"""Features of an intermediate stage of the encoder, for strategies that want them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.small import Refine, Squares, TinyNet
from weakseg.networks import DeepLabV3, DeepLabV3Plus, UNet
from weakseg.strategies.base import Wants
from weakseg.training.segmenter import Segmenter

CLASSES = Squares.classes


class Intermediate(Refine):
    wants = Wants(intermediate=100)


def test_an_intermediate_stage_sees_the_whole_image_at_the_size_that_is_wanted() -> None:
    seen = []

    class Eyed(TinyNet):
        def intermediate_features(self, image: Tensor) -> Tensor:
            seen.append(image)
            return image[:, :, ::16, ::16]

    image = torch.full((3, 20, 41), 128, dtype=torch.uint8)
    image[:, :, 20:] = 255
    segmenter = Segmenter(Eyed(), Intermediate(), CLASSES)
    prediction = segmenter.predict(image)
    assert prediction.intermediate is not None
    # 64 x 96: whole cells of 32 pixels, as near to 49 x 100 as it goes
    assert prediction.intermediate.shape == (3, 4, 6)
    assert torch.allclose(seen[0][0, :, 0, 0], segmenter.normalise(image)[:, 0, 0])
    assert torch.allclose(seen[0][0, :, -1, -1], segmenter.normalise(image)[:, -1, -1])
    assert Segmenter(Eyed(), Refine(), CLASSES).predict(image).intermediate is None
    with pytest.raises(TypeError, match="no method `intermediate_features`"):
        Segmenter(torch.nn.Conv2d(3, 3, 1), Intermediate(), CLASSES)


@pytest.mark.parametrize("network", [DeepLabV3, DeepLabV3Plus, UNet])
def test_the_last_stage_but_one_of_networks(network: type[DeepLabV3]) -> None:
    built = network(3, encoder="mobilenet_v2").eval()
    seen = built.intermediate_features
    assert seen(torch.randn(1, 3, 64, 96)).shape == (1, 96, 4, 6)
    moved = torch.zeros(1, 3, 256, 256)
    moved[..., :8, :8] = 9
    change = (seen(moved) - seen(torch.zeros_like(moved))).abs().amax((0, 1))
    assert change[0, 0] > 0
    assert change[-1, -1] == 0  # it does not see the other end of the image
