"""What is measured in lengths and colours: the same picture at two sizes has the same target, and a
grey picture counts as its one channel."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.crf import DenseCRF, dense_crf
from weakseg.functional.losses import GatedKernel, dense_crf_loss, gated_crf_loss
from weakseg.functional.regions.region_graph import Superpixels
from weakseg.functional.spreading import spread
from weakseg.strategies.base import Context, Strategy
from weakseg.strategies.boxes_crf import BoxesCRF
from weakseg.strategies.cosegmentation import Cosegmentation
from weakseg.strategies.mixed import Mixed
from weakseg.strategies.points import Points
from weakseg.strategies.scribbles_graphcut import ScribblesGraphCut
from weakseg.utils.lengths import Share

SIDES = (96, 144)
"""rows and columns of the small picture"""


def picture(times: int) -> tuple[Evidence, Evidence]:
    """A bright disc on uneven ground, so many times as large: with a box around it, and with a
    scribble on each."""
    random = torch.Generator().manual_seed(3)
    height, width = (side * times for side in SIDES)
    y = (torch.arange(height)[:, None] + 0.5) / times
    x = (torch.arange(width) + 0.5) / times
    inside = ((y - 48) ** 2 + (x - 72) ** 2) < 30**2
    ground = F.interpolate(
        torch.rand(1, 3, 12, 18, generator=random) * 60 + 40, (height, width), mode="bilinear"
    )[0]
    image = torch.where(inside, ground + torch.tensor([90.0, 60.0, 20.0])[:, None, None], ground)
    image = image.round().byte()
    marks = torch.full((height, width), IGNORE, dtype=torch.uint8)
    marks[44 * times : 50 * times, 60 * times : 84 * times] = 1
    marks[6 * times : 10 * times, 10 * times : 130 * times] = 0
    marks[86 * times : 90 * times, 10 * times : 130 * times] = 0
    box = torch.tensor([[42.0, 18.0, 102.0, 78.0]]) * times
    boxed = Evidence("boxed", image, boxes=box, box_classes=torch.tensor([1]))
    return boxed, Evidence("marked", image, marks=marks)


def target_of(strategy: Strategy, evidence: Evidence) -> Tensor:
    found = strategy.estimate(evidence, Context())
    return found if isinstance(found, Tensor) else found.labels


def agreement(strategy: Strategy, which: int) -> float:
    """The share of the pixels of a picture twice as large that have the label of the other one."""
    other = target_of(strategy, picture(2)[which])
    large = target_of(strategy, picture(4)[which])
    enlarged = other.repeat_interleave(2, 0).repeat_interleave(2, 1)
    return float((enlarged == large).float().mean())


@pytest.mark.parametrize(
    ("strategy", "which", "least"),
    [
        (BoxesCRF(), 0, 0.99),
        (Cosegmentation(), 0, 0.99),
        (Mixed(), 0, 0.99),
        # a superpixel of the ground more or less
        (Points(), 1, 0.95),
        (ScribblesGraphCut(), 1, 0.99),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Strategy) else str(value),
)
def test_a_picture_has_the_same_target_at_two_sizes(
    strategy: Strategy, which: int, least: float
) -> None:
    assert agreement(strategy, which) > least


@pytest.mark.parametrize(
    ("strategy", "which", "most"),
    [
        (BoxesCRF(crf=DenseCRF(bilateral_xy=19)), 0, 0.985),
        (Points(superpixels=Superpixels(scale=45, smallest=10)), 1, 0.93),
        (Points(superpixels=None, radius=16), 1, 0.97),
    ],
    ids=["crf", "superpixels", "radius"],
)
def test_with_pixels_it_has_another_one(strategy: Strategy, which: int, most: float) -> None:
    assert agreement(strategy, which) < most


def test_a_correction_carries_on_about_as_far_in_an_enlarged_picture() -> None:
    def carried_on(times: int) -> float:
        """The share of a picture that a stroke on its darkest part gets, where steps from dark to
        bright are small."""
        height, width = (side * times for side in SIDES)
        steps = torch.arange(width) // (8 * times)
        rough = (torch.arange(height)[:, None] // times // 6 + steps) % 2 * 3
        image = (40 + 6 * steps + rough).expand(3, height, width).byte().contiguous()
        strokes = torch.full((height, width), IGNORE, dtype=torch.uint8)
        strokes[44 * times : 50 * times, 4 * times : 44 * times] = 1
        found = spread(torch.zeros_like(strokes), strokes, None, image)
        return float((found == 1).float().mean())

    # half as far, if a pixel weighed as much in both; a fifth less, with pieces by pixels, too
    assert carried_on(8) / carried_on(4) == pytest.approx(1, abs=0.15)


def grey_and_red() -> tuple[Tensor, Tensor]:
    """A grey picture, and one that has its channel as red and nothing else: one channel both."""
    channel = picture(1)[0].image.float().mean(0).round().byte()
    empty = torch.zeros_like(channel)
    return torch.stack([channel] * 3), torch.stack([channel, empty, empty])


def test_superpixels_of_a_grey_picture_are_those_of_its_channel() -> None:
    grey, red = grey_and_red()
    assert torch.equal(Superpixels()(grey), Superpixels()(red))


def test_the_cut_of_a_grey_picture_is_that_of_its_channel() -> None:
    marks = picture(1)[1].marks
    first, second = (
        target_of(ScribblesGraphCut(), Evidence("one", image, marks=marks))
        for image in grey_and_red()
    )
    assert float((first == second).float().mean()) > 0.99


def test_the_crf_of_a_grey_picture_is_that_of_its_channel() -> None:
    grey, red = grey_and_red()
    box = torch.full((1, *SIDES), 0.3)
    box[:, 25:70, 50:95] = 0.6
    probs = torch.cat([1 - box, box])
    crf = DenseCRF(bilateral_xy=20, bilateral_rgb=10)
    first, second = (dense_crf(image, probs, crf).argmax(0) for image in (grey, red))
    assert float((first == second).float().mean()) > 0.99
    thrice = DenseCRF(bilateral_xy=20, bilateral_rgb=10 / 3**0.5)
    assert grey_kernel(crf) == pytest.approx(10 * 3**0.5)
    assert grey_kernel(thrice) == pytest.approx(10)


def grey_kernel(crf: DenseCRF) -> float:
    rgb = crf.kernels_on(grey_and_red()[0])[1].rgb
    assert rgb is not None
    return rgb


def test_shares_reach_less_far_where_there_is_one_channel_and_pixels_as_far() -> None:
    grey, red = grey_and_red()
    for crf, part in ((DenseCRF(), 3**0.5), (DenseCRF(bilateral_xy=20), 1)):
        ratio = crf.kernels_on(red)[1].xy / crf.kernels_on(grey)[1].xy
        assert ratio == pytest.approx(part)


def test_losses_of_a_grey_picture_are_those_of_its_channel() -> None:
    # a part of them, for the sake of time, beside padding that has a colour
    images = torch.stack([each[:, 30:54, 40:64] for each in grey_and_red()])
    images[:, :, :, 20:] = torch.tensor([9, 80, 200], dtype=torch.uint8)[:, None, None]
    valid = torch.ones(2, 24, 24, dtype=torch.bool)
    valid[:, :, 20:] = False
    probs = torch.rand(1, 2, 24, 24, generator=torch.Generator().manual_seed(0)).softmax(1)

    def gated(which: int) -> Tensor:
        kernels = [GatedKernel(rgb=12.0)]
        part = slice(which, which + 1)
        return gated_crf_loss(probs, images[part], kernels=kernels, valid=valid[part])

    def dense(which: int, xy: float | Share) -> float:
        part = slice(which, which + 1)
        return float(dense_crf_loss(probs, images[part], xy=xy, rgb=12.0, valid=valid[part]))

    torch.testing.assert_close(gated(0), gated(1))
    assert dense(0, 6.0) == pytest.approx(dense(1, 6.0), rel=0.02)
    # the long side of what is valid
    assert dense(0, Share(0.25)) == dense(0, 6.0)
    assert dense(0, Share(0.5)) != dense(0, 6.0)
