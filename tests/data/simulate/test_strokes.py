import itertools

import numpy as np
import pytest
import torch

from weakseg.data.simulate.annotator import CAREFUL, Annotator
from weakseg.data.simulate.derive import objects_of, scribbles_of
from weakseg.data.toy.drawing import draw_scene

LENGTHS = (0.05, 0.2, 0.5, 0.75, 0.9, 1.0)


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(np.random.default_rng([7, number]), 64) for number in range(6)]


def scribbled(annotator, scene):
    truth, instances = torch.from_numpy(scene.truth), torch.from_numpy(scene.instances)
    return annotator.annotate(
        "scribbles", truth, instances, scene.classes, 5, np.random.default_rng(0)
    )["marks"]


def disc(radius=40, size=101):
    """A mask with one round object of class 1 in the middle."""
    rows, columns = np.ogrid[:size, :size]
    inside = (rows - size // 2) ** 2 + (columns - size // 2) ** 2 <= radius**2
    return torch.from_numpy(inside.astype(np.uint8))


def lengths_of(jitter=0.0):
    """Pixels of thin scribbles through bands of 100 pixels, for each length asked: [lengths,
    seeds]."""
    band = torch.full((9, 100), 255, dtype=torch.uint8)
    band[2:7] = 1
    return np.array(
        [
            [
                scribbles_of(band, np.random.default_rng(seed), 1, 50, length, jitter).ne(255).sum()
                for seed in range(20)
            ]
            for length in LENGTHS
        ]
    )


def test_the_mean_length_of_scribbles_is_the_share_asked_for():
    pixels = lengths_of()
    for asked, mean in zip(LENGTHS, pixels.mean(1) / 100, strict=True):
        assert abs(mean - asked) < 0.04  # single strokes differ by up to a fifth
    assert pixels[-1].min() >= 95  # the whole way


def test_a_shorter_scribble_is_a_part_of_a_longer_one(scenes):
    for scene, jitter in itertools.product(scenes[:3], (0.0, 0.5)):
        drawn = [
            scribbled(Annotator(scribble_length=length, scribble_jitter=jitter), scene) != 255
            for length in LENGTHS
        ]
        for shorter, longer in itertools.pairwise(drawn):
            assert not (shorter & ~longer).any()
            assert shorter.sum() < longer.sum()


def test_the_width_of_scribbles_is_that_of_the_pen():
    marks = scribbles_of(disc(), np.random.default_rng(0), width=9, background=False)
    core = marks.eq(1).float()[None, None]
    # a square of 7 fits into a round pen of 9 ...
    inner = torch.nn.functional.avg_pool2d(core, 7, 1).max()
    assert inner > 0.99
    # ... and nothing wider into its stroke
    assert torch.nn.functional.avg_pool2d(core, 13, 1).max() < 0.99


def test_scribbles_swing_further_with_jitter_and_stay_in_their_region(scenes):
    truth = disc()
    plain, little, much = (
        scribbles_of(truth, np.random.default_rng(3), 1, 50, 0.75, jitter).eq(1)
        for jitter in (0.0, 0.3, 1.0)
    )
    off = [float(np.mean(_distances(plain, jittered))) for jittered in (little, much)]
    assert 0.3 < off[0] < off[1]
    for scene, jitter in itertools.product(scenes, (0.3, 1.0)):
        marks = scribbled(Annotator(scribble_jitter=jitter), scene)
        assert torch.equal(marks[marks != 255], torch.from_numpy(scene.truth)[marks != 255])


def _distances(line, other):
    return torch.cdist(torch.nonzero(other).float(), torch.nonzero(line).float()).amin(1).numpy()


def test_scribbles_without_those_on_the_background_are_the_same(scenes):
    for scene in scenes[:3]:
        everything = scribbled(CAREFUL, scene)
        some = scribbled(Annotator(scribble_background=False), scene)
        assert torch.equal(some, torch.where(everything == 0, 255, everything))
        assert (everything == 0).any()


def test_a_scribble_through_a_large_region_stays_inside_and_in_one_piece():
    truth = torch.zeros(240, 320, dtype=torch.uint8)  # looked for on a coarser grid
    truth[60:180, 100:220] = 1
    truth[90:150, 130:190] = 255
    for seed, jitter in itertools.product(range(3), (0.0, 0.5)):
        marks = scribbles_of(truth, np.random.default_rng(seed), 3, 50, 1.0, jitter)
        assert torch.equal(marks[marks != 255], truth[marks != 255])
        assert objects_of((marks == 0).to(torch.uint8))[1] == [1]
        assert torch.nonzero(marks == 0).amax(0).sub(torch.nonzero(marks == 0).amin(0)).max() > 200
