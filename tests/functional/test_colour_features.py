"""Features without a network: windows in shares of the image, cut off at its rim."""

from __future__ import annotations

import torch

from weakseg.functional.colour_features import colour_features


def test_a_plain_image_has_its_colour_everywhere_and_no_spread() -> None:
    image = torch.tensor([51, 102, 255], dtype=torch.uint8)[:, None, None].expand(3, 50, 100)
    found = colour_features(image)
    assert found.shape == (21, 16, 32)
    colour = torch.tensor([0.2, 0.4, 1.0])[:, None, None]
    for start in (0, 6, 12):
        assert torch.allclose(found[start : start + 3], colour.expand(3, 16, 32))
        assert torch.allclose(found[start + 3 : start + 6], torch.zeros(3, 16, 32), atol=1e-3)
    assert torch.allclose(found[18:], colour.square().expand(3, 16, 32))


def test_an_edge_is_seen_from_as_far_as_a_window_reaches_at_any_size() -> None:
    for size in (64, 256):
        image = torch.zeros(3, size, size, dtype=torch.uint8)
        image[:, :, size // 2 :] = 255
        spread = colour_features(image)[15]  # of red, in the widest window
        assert spread[:, 15].min() > 0.3
        assert spread[:, 8].max() == 0
        assert torch.allclose(spread, spread.flip(1), atol=1e-4)


def test_a_small_image_has_a_cell_for_each_pixel() -> None:
    assert colour_features(torch.zeros(3, 20, 10, dtype=torch.uint8)).shape == (21, 20, 10)
