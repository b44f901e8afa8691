import numpy as np
import pytest
from scipy import ndimage

from weakseg.data.toy.drawing import CLASSES, draw_scene


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(np.random.default_rng([3, number]), 64) for number in range(40)]


def test_the_same_seed_draws_the_same_bytes():
    first, second = (draw_scene(np.random.default_rng(5), 72) for _ in range(2))
    assert first.image.tobytes() == second.image.tobytes()
    assert first.truth.tobytes() == second.truth.tobytes()
    assert first.instances.tobytes() == second.instances.tobytes()
    assert first.classes == second.classes


def test_different_seeds_draw_different_pictures(scenes):
    assert len({scene.image.tobytes() for scene in scenes}) == len(scenes)
    assert len({scene.truth.tobytes() for scene in scenes}) == len(scenes)


@pytest.mark.parametrize("size", [33, 96])
def test_shapes_and_types(size):
    scene = draw_scene(np.random.default_rng(0), size)
    assert scene.image.shape == (size, size, 3)
    assert scene.truth.shape == scene.instances.shape == (size, size)
    assert scene.image.dtype == scene.truth.dtype == scene.instances.dtype == np.uint8


def test_the_truth_is_the_class_of_the_object_that_is_seen(scenes):
    for scene in scenes:
        # nobody is wholly hidden
        assert set(np.unique(scene.instances)) - {0} == set(range(1, len(scene.classes) + 1))
        for row, column in np.ndindex(scene.truth.shape):
            number = scene.instances[row, column]
            assert scene.truth[row, column] == (scene.classes[number - 1] if number else 0)


def test_every_class_appears_and_every_picture_shows_an_object_and_ground(scenes):
    assert CLASSES == ("background", "leaf", "wheel", "fish", "umbrella")
    assert {label for scene in scenes for label in scene.classes} == {1, 2, 3, 4}
    for scene in scenes:
        assert scene.classes
        assert 0.02 < (scene.truth > 0).mean() < 0.7


def test_wheels_have_holes_through_which_the_ground_is_seen(scenes):
    wheels = [scene for scene in scenes if scene.classes == (2,)]
    assert wheels
    for scene in wheels:
        solid = ndimage.binary_fill_holes(np.pad(scene.truth == 2, 1, constant_values=False))[
            1:-1, 1:-1
        ]
        assert (solid & (scene.truth == 0)).sum() > 0.2 * (scene.truth == 2).sum()


def test_objects_fill_less_than_half_of_their_boxes(scenes):
    shares = []
    for scene in scenes:
        for number in range(1, len(scene.classes) + 1):
            rows, columns = np.nonzero(scene.instances == number)
            shares.append(len(rows) / (np.ptp(rows) + 1) / (np.ptp(columns) + 1))
    assert np.mean(shares) < 0.5


def test_objects_stand_out_from_the_ground(scenes):
    gaps = []
    for scene in scenes:
        ground = np.median(scene.image[scene.truth == 0].astype(float), 0)
        gaps += list(np.linalg.norm(scene.image[scene.truth > 0].astype(float) - ground, axis=1))
    assert np.mean(np.array(gaps) > 40) > 0.9


def test_the_global_generator_is_left_alone():
    np.random.seed(1)
    before = np.random.get_state()[1].tobytes()
    draw_scene(np.random.default_rng(0), 64)
    assert np.random.get_state()[1].tobytes() == before
