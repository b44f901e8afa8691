import numpy as np
import pytest
import torch
from scipy import ndimage

from weakseg.data.simulate.derive import boxes_of, large_of, points_of, scribbles_of, tags_of
from weakseg.data.toy.drawing import draw_scene


@pytest.fixture(scope="module")
def scene():
    return draw_scene(np.random.default_rng(12), 96)


@pytest.fixture
def unknown(scene):
    """The same scene with an unknown stripe across it and an unknown corner, in truth and
    instances."""
    truth, instances = torch.tensor(scene.truth), torch.tensor(scene.instances)
    for mask in (truth, instances):
        mask[40:60] = 255
        mask[:10, :10] = 255
    return truth, instances


def test_tags_and_large_by_hand():
    truth = torch.tensor([[0, 0, 0, 0, 0, 0, 0], [2, 255, 255, 255, 3, 3, 255]], dtype=torch.uint8)
    assert tags_of(truth, 5).tolist() == [True, False, True, True, False]
    # 7, 1 and 2 of 14 pixels
    assert large_of(truth, 5).tolist() == [True, False, False, True, False]
    assert tags_of(truth, 5).dtype == large_of(truth, 5).dtype == torch.bool


def test_a_tenth_of_the_image_is_not_more_than_a_tenth():
    truth = torch.zeros(10, 10, dtype=torch.uint8)
    truth[0] = 1
    assert not large_of(truth, 2)[1]
    truth[1, 0] = 1
    assert large_of(truth, 2)[1]


def test_an_all_unknown_mask_says_nothing():
    truth = torch.full((8, 8), 255, dtype=torch.uint8)
    assert not tags_of(truth, 3).any()
    assert not large_of(truth, 3).any()
    assert boxes_of(truth, [1, 2])[0].shape == (0, 4)
    assert (points_of(truth, truth, np.random.default_rng(0)) == 255).all()
    assert (scribbles_of(truth, np.random.default_rng(0), smallest=1) == 255).all()


def test_a_class_that_there_is_not_is_named():
    with pytest.raises(ValueError, match="class 7, but there are 5 classes, 0 to 4"):
        tags_of(torch.tensor([[7, 255]], dtype=torch.uint8), 5)


def test_boxes_are_tight(scene):
    instances = torch.from_numpy(scene.instances)
    boxes, labels = boxes_of(instances, scene.classes)
    assert boxes.dtype == torch.float32
    assert labels.tolist() == list(scene.classes)
    for number, (x1, y1, x2, y2) in enumerate(boxes.int().tolist(), 1):
        inside = instances[y1:y2, x1:x2] == number
        assert inside.sum() == (instances == number).sum()  # nothing is left out ...
        # ... and nothing can be cut off
        for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
            assert edge.any()


def test_an_object_without_a_visible_pixel_has_no_box():
    instances = torch.tensor([[0, 0, 3], [0, 1, 255]], dtype=torch.uint8)
    boxes, labels = boxes_of(instances, [4, 2, 1])
    assert boxes.tolist() == [[1, 1, 2, 2], [2, 0, 3, 1]]
    assert labels.tolist() == [4, 1]


def test_there_is_one_click_inside_every_object_and_a_few_outside(scene):
    truth, instances = torch.from_numpy(scene.truth), torch.from_numpy(scene.instances)
    marks = points_of(truth, instances, np.random.default_rng(0), background=3)
    assert marks.dtype == torch.uint8
    assert torch.equal(marks[marks != 255], truth[marks != 255])
    clicked = instances[marks != 255].tolist()
    assert sorted(clicked) == [0, 0, 0, *range(1, len(scene.classes) + 1)]


def test_a_click_falls_well_inside():
    truth = torch.zeros(40, 40, dtype=torch.uint8)
    truth[10:31, 10:31] = 1
    for seed in range(10):
        marks = points_of(truth, truth, np.random.default_rng(seed), background=0)
        ((row, column),) = torch.nonzero(marks == 1).tolist()
        assert 12 <= row <= 28
        assert 12 <= column <= 28


@pytest.mark.parametrize("width", [1, 3, 9])
def test_scribbles_stay_inside_their_class(scene, width):
    truth = torch.from_numpy(scene.truth)
    marks = scribbles_of(truth, np.random.default_rng(0), width, smallest=1)
    drawn = marks != 255
    assert torch.equal(marks[drawn], truth[drawn])


def test_every_region_that_is_not_too_small_has_a_scribble(scene):
    truth = torch.from_numpy(scene.truth).clone()
    truth[:4, :8], truth[:4, 20:27] = 1, 1  # 32 and 28 pixels
    drawn = scribbles_of(truth, np.random.default_rng(0), smallest=30).numpy() != 255
    assert drawn[:4, :8].any()
    assert not drawn[:4, 20:27].any()
    for label in range(5):
        regions, count = ndimage.label(truth.numpy() == label, np.ones((3, 3)))
        for number in range(1, count + 1):
            assert drawn[regions == number].any() == ((regions == number).sum() >= 30)


def test_a_scribble_is_one_thin_stroke():
    truth = torch.zeros(40, 60, dtype=torch.uint8)
    marks = scribbles_of(truth, np.random.default_rng(4), width=3).numpy() == 0
    assert ndimage.label(marks, np.ones((3, 3)))[1] == 1
    assert np.ptp(np.nonzero(marks)[1]) > 25  # it crosses a good part of the region ...
    assert ndimage.distance_transform_edt(np.pad(marks, 1)).max() <= 3  # ... and is nowhere thick
    assert marks.mean() < 0.15


@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_scribble_is_as_wide_as_asked(width):
    truth = torch.full((9, 40), 255, dtype=torch.uint8)
    truth[2:7] = 1
    marks = scribbles_of(truth, np.random.default_rng(0), width)
    assert (marks == 1).sum(0).max() >= width
    inner = (marks == 1)[:, 12:28].sum(0)  # away from its ends, a stroke along a straight band
    assert width <= inner.float().median() <= width + 1


def test_a_scribble_without_width_is_refused(scene):
    with pytest.raises(ValueError, match="at least 1 pixel, but it is 0"):
        scribbles_of(torch.from_numpy(scene.truth), np.random.default_rng(0), 0)


def test_unknown_pixels_never_become_evidence(unknown, scene):
    truth, instances = unknown
    assert not tags_of(torch.where(truth == 0, 255, truth), 5)[0]
    for label, (x1, y1, x2, y2) in zip(*reversed(boxes_of(instances, scene.classes)), strict=True):
        window = truth[int(y1) : int(y2), int(x1) : int(x2)]
        assert (window == label).any()
    for seed in range(5):
        assert (points_of(truth, instances, np.random.default_rng(seed))[truth == 255] == 255).all()
        assert (scribbles_of(truth, np.random.default_rng(seed))[truth == 255] == 255).all()


def test_unknown_pixels_of_the_truth_are_not_clicked_even_if_an_object_lies_there():
    truth = torch.full((20, 20), 255, dtype=torch.uint8)
    truth[0, 0] = 1
    instances = torch.ones(20, 20, dtype=torch.uint8)
    marks = points_of(truth, instances, np.random.default_rng(0))
    assert torch.nonzero(marks != 255).tolist() == [[0, 0]]


@pytest.mark.parametrize("derive", [points_of, lambda truth, _, rng: scribbles_of(truth, rng)])
def test_the_seed_decides(scene, derive):
    truth, instances = torch.from_numpy(scene.truth), torch.from_numpy(scene.instances)
    first, same, other = (
        derive(truth, instances, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
