"""How much evidence the colours of an image are."""

from __future__ import annotations

from math import sqrt

import pytest
import torch

from weakseg.functional.colour import TOLERANCE, colour_unit, is_grey


@pytest.mark.parametrize("off", [0, TOLERANCE])
def test_a_scan_is_grey_whatever_rounding_has_done_to_it(off: int) -> None:
    image = torch.arange(48, dtype=torch.uint8).view(1, 6, 8).repeat(3, 1, 1)
    image[1, 2, 3] += off
    assert is_grey(image)
    assert colour_unit(image) == sqrt(3)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_coloured_mark_leaves_a_scan_grey_and_more_of_it_makes_a_photograph(channel: int) -> None:
    image = torch.zeros(3, 20, 20, dtype=torch.uint8)
    image[channel, 5, 7:11] = TOLERANCE + 1
    assert is_grey(image)
    image[channel, 5, 11] = TOLERANCE + 1  # the fifth of 400
    assert not is_grey(image)
    assert colour_unit(image) == 1


def test_squared_distances_are_those_of_one_channel() -> None:
    grey = torch.randint(0, 256, (1, 5, 7), generator=torch.Generator().manual_seed(0))
    points = grey.expand(3, 5, 7).flatten(1).T.double() / colour_unit(grey.expand(3, 5, 7))
    one = grey.flatten(1).T.double()
    torch.testing.assert_close(torch.pdist(points), torch.pdist(one))
