import hashlib
import itertools
import math

import numpy as np
import pytest
import torch

from weakseg.config.recipe import load, resolve
from weakseg.data.simulate.annotator import CAREFUL, Annotator
from weakseg.data.simulate.derive import (
    boxes_of,
    large_of,
    loosen_boxes,
    objects_of,
    points_of,
    scribbles_of,
    tags_of,
)
from weakseg.data.toy.dataset import Toy
from weakseg.data.toy.drawing import draw_scene
from weakseg.evidence import Evidence

FIELDS = ("tags", "boxes", "box_classes", "marks", "large")
KINDS = ("masks", "boxes", "points", "scribbles", "tags")
# what the toy set gave before there was an annotator
GOLDEN = {
    "masks": "33d4d45bdcdea397",
    "boxes": "c09f7d6572cd0571",
    "points": "7579ed46d0e6b2b7",
    "scribbles": "6b5490c0f0809dc3",
    "tags": "5281c273c886e81a",
}


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(np.random.default_rng([7, number]), 64) for number in range(6)]


def annotated(annotator, kind, scene, seed=0):
    truth, instances = torch.from_numpy(scene.truth), torch.from_numpy(scene.instances)
    return annotator.annotate(kind, truth, instances, scene.classes, 5, np.random.default_rng(seed))


def disc(radius=40, size=101):
    """A mask with one round object of class 1 in the middle."""
    rows, columns = np.ogrid[:size, :size]
    inside = (rows - size // 2) ** 2 + (columns - size // 2) ** 2 <= radius**2
    return torch.from_numpy(inside.astype(np.uint8))


def within(hits, trials, probability):
    """Whether a count is one that a coin of this probability gives, within four standard
    deviations."""
    return abs(hits - trials * probability) <= 4 * math.sqrt(
        trials * probability * (1 - probability)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_toy_set_gives_the_same_bits_as_ever(kind):
    digest = hashlib.sha256()
    data = Toy(train=10, val=0, size=48, evidence=kind)
    for index in range(10):
        evidence, _ = data.sample(index)
        for field in FIELDS:
            value = getattr(evidence, field)
            if value is not None:
                digest.update(
                    f"{field} {value.dtype} {tuple(value.shape)}".encode() + value.numpy().tobytes()
                )
    assert digest.hexdigest()[:16] == GOLDEN[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_somebody_careful_gives_what_the_mask_shows(scenes, kind):
    for seed, scene in enumerate(scenes):
        truth, instances = torch.from_numpy(scene.truth), torch.from_numpy(scene.instances)
        boxes, labels = boxes_of(instances, scene.classes)
        tags, large = tags_of(truth, 5), large_of(truth, 5)
        expected = {
            "masks": {"marks": truth},
            "boxes": {"tags": tags, "boxes": boxes, "box_classes": labels, "large": large},
            "points": {
                "tags": tags,
                "marks": points_of(truth, instances, np.random.default_rng(seed)),
            },
            "scribbles": {"tags": tags, "marks": scribbles_of(truth, np.random.default_rng(seed))},
            "tags": {"tags": tags, "large": large},
        }[kind]
        given = annotated(CAREFUL, kind, scene, seed)
        assert given.keys() == expected.keys()
        assert all(torch.equal(given[field], expected[field]) for field in expected)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_careless_person_gives_is_evidence(scenes, kind):
    careless = Annotator(0.2, 5, 1.0, False, 10, 3, 2, 1.0, 0.5, 0.3, 0.4, 0.4)
    for seed, scene in enumerate(scenes):
        fields = annotated(careless, kind, scene, seed)
        Evidence("it", torch.from_numpy(scene.image).permute(2, 0, 1), **fields).check(5)
        if "marks" in fields:
            marked = fields["marks"] != 255
            assert marked.any()
            assert torch.equal(fields["marks"][marked], torch.from_numpy(scene.truth)[marked])


def test_faults_of_one_kind_change_no_other_kind(scenes):
    faults = {
        "scribbles": {"scribble_width": 1},
        "points": {"point_count": 2},
        "boxes": {"box_loose": 0.1},
        "tags": {"tag_missing": 0.9},
    }
    for kind, own in faults.items():
        others = {
            name: value
            for other, fault in faults.items()
            if other != kind
            for name, value in fault.items()
        }
        for scene in scenes[:2]:
            plain, same = (
                annotated(CAREFUL, kind, scene),
                annotated(Annotator(**others), kind, scene),
            )
            assert all(torch.equal(plain[field], same[field]) for field in plain)
        changed = annotated(Annotator(**own), kind, scenes[0])
        plain = annotated(CAREFUL, kind, scenes[0])
        assert not all(torch.equal(plain[field], changed[field]) for field in plain)


# points


def test_clicks_are_in_the_middle_or_anywhere():
    truth = disc()
    places = {
        spread: np.concatenate(
            [
                torch.nonzero(
                    points_of(truth, truth, np.random.default_rng(seed), 0, 1, spread) == 1
                ).numpy()
                for seed in range(60)
            ]
        )
        for spread in (0.0, 0.5, 0.8, 1.0)
    }
    far = {spread: np.linalg.norm(place - 50, axis=1) for spread, place in places.items()}
    assert far[0.0].max() == 0  # the one deepest pixel
    assert far[0.5].max() <= 38.5  # three pixels deep
    assert far[0.8].max() <= 40.5
    assert far[1.0].max() > 38.5
    # uniform over a disc: two thirds of the radius
    assert abs(np.mean(far[1.0]) - 40 * 2 / 3) < 4 * 40 / math.sqrt(18 * 60)


def test_more_clicks_are_added_to_the_first(scenes):
    for scene in scenes[:3]:
        instances = torch.from_numpy(scene.instances)
        one, three, bare = (
            annotated(annotator, "points", scene)["marks"]
            for annotator in (CAREFUL, *map(_clicks, ((3, 4), (1, 0))))
        )
        assert torch.equal(three[one != 255], one[one != 255])
        assert torch.bincount(instances[three != 255].long())[1:].tolist() == [3] * len(
            scene.classes
        )
        assert torch.bincount(instances[three != 255].long())[0] == 4
        assert torch.equal(bare, torch.where(one == 0, 255, one))


def _clicks(counts):
    return Annotator(point_count=counts[0], point_background=counts[1])


# boxes


def test_edges_are_off_by_normally_distributed_shares_of_the_side():
    boxes = torch.tensor([[400.0, 300, 600, 700]]).repeat(500, 1)  # 200 wide and 400 high
    loose = loosen_boxes(boxes, 1000, 1000, 0.05, np.random.default_rng(0))
    off = (loose - boxes) / torch.tensor([200.0, 400, 200, 400])
    assert off.abs().max() <= 3 * 0.05 + 0.5 / 200  # the half pixel of rounding
    for edge in off.T:  # four edges, 500 draws each: 4 standard errors of mean and of deviation
        assert abs(edge.mean()) < 4 * 0.05 / math.sqrt(500)
        assert abs(edge.std() - 0.05) < 4 * 0.05 / math.sqrt(1000)
        assert within(int((edge.abs() > 0.05).sum()), 500, 0.3173)
    # each for itself
    assert abs(np.corrcoef(off.T.numpy())[np.triu_indices(4, 1)]).max() < 4 / math.sqrt(500)
    assert torch.equal(loose, loose.round())


def test_edges_move_further_the_same_way():
    boxes = torch.tensor([[400.0, 300, 600, 700], [100, 100, 300, 200]])
    some, more = (
        loosen_boxes(boxes, 2000, 2000, loose, np.random.default_rng(1)) - boxes
        for loose in (0.05, 0.1)
    )
    assert (more - 2 * some).abs().max() <= 1.5


def test_a_loose_box_keeps_a_pixel_and_stays_inside():
    boxes = torch.tensor(
        [[0.0, 0, 1, 1], [0, 0, 40, 30], [39, 29, 40, 30], [10, 10, 12, 30]]
    ).repeat(100, 1)
    x1, y1, x2, y2 = loosen_boxes(boxes, 30, 40, 1.0, np.random.default_rng(0)).unbind(1)
    assert (x2 - x1).min() == (y2 - y1).min() == 1
    assert x1.min() == y1.min() == 0
    assert x2.max() == 40
    assert y2.max() == 30


def test_boxes_without_a_box_stay_so():
    assert loosen_boxes(torch.zeros(0, 4), 9, 9, 0.5, np.random.default_rng(0)).shape == (0, 4)


def test_missing_boxes_are_as_many_as_asked_and_their_classes_are_not_named(scenes):
    drawn = {share: [] for share in (0.0, 0.2, 0.5, 1.0)}
    for scene, seed in itertools.product(scenes, range(12)):
        for share, counts in drawn.items():
            given = annotated(Annotator(box_missing=share), "boxes", scene, seed)
            counts.append(len(given["boxes"]))
            named = set(torch.nonzero(given["tags"]).flatten().tolist())
            assert named == {0, *given["box_classes"].tolist()}
            assert not (given["large"] & ~given["tags"]).any()
    whole = sum(drawn[0.0])
    for share in (0.2, 0.5):
        assert within(whole - sum(drawn[share]), whole, share)
    assert sum(drawn[1.0]) == 0
    assert all(more <= less for less, more in zip(drawn[0.2], drawn[0.5], strict=True))


def test_a_box_that_is_there_is_as_without_missing_ones(scenes):
    whole = annotated(Annotator(box_loose=0.1), "boxes", scenes[0])
    some = annotated(Annotator(box_loose=0.1, box_missing=0.5), "boxes", scenes[0])
    assert 0 < len(some["boxes"]) < len(whole["boxes"])
    assert {tuple(box) for box in some["boxes"].tolist()} < {
        tuple(box) for box in whole["boxes"].tolist()
    }


# tags


def test_tags_are_missing_and_wrong_as_often_as_asked():
    # 10 of 20 classes, each on a tenth
    truth = torch.arange(10, dtype=torch.uint8).repeat_interleave(10).reshape(10, 10)
    there = tags_of(truth, 20)
    named = {
        noise: torch.stack(
            [
                Annotator(tag_missing=noise, tag_wrong=noise / 2).annotate(
                    "tags", truth, None, (), 20, rng
                )["tags"]
                for rng in _streams(200)
            ]
        )
        for noise in (0.0, 0.1, 0.4, 1.0)
    }
    assert torch.equal(named[0.0], there.expand(200, 20))
    for noise, tags in named.items():
        assert tags[:, 0].all()  # the background is there
        assert within(int((~tags[:, 1:10]).sum()), 9 * 200, noise)
        assert within(int(tags[:, 10:].sum()), 10 * 200, noise / 2)
    for less, more in itertools.pairwise(named.values()):
        wrong = less ^ there
        assert not (wrong & ~(more ^ there)).any()  # what is wrong stays wrong


def _streams(count):
    return [np.random.default_rng([5, number]) for number in range(count)]


def test_a_class_that_is_not_named_is_not_named_large_and_the_background_is_always_named():
    truth = torch.ones(10, 10, dtype=torch.uint8)
    given = Annotator(tag_missing=1.0, tag_wrong=1.0).annotate(
        "tags", truth, None, (), 3, np.random.default_rng(0)
    )
    assert given["tags"].tolist() == [True, False, True]
    assert given["large"].tolist() == [False, False, False]


# masks that tell no objects


def test_connected_regions_are_the_objects_of_a_mask_without_any():
    truth = torch.zeros(12, 12, dtype=torch.uint8)
    truth[1:4, 1:4], truth[4, 4] = 2, 2  # touch at a corner
    truth[8:11, 8:11] = 2
    truth[0, 8], truth[2, 8:10] = 1, 1  # specks, but all there is of the class
    truth[6, 0] = 2  # a speck of a class that has more
    truth[5:8, 5:7] = 255
    given = Annotator(smallest=5).annotate("boxes", truth, None, (), 3, np.random.default_rng(0))
    assert given["box_classes"].tolist() == [1, 2, 2]
    assert given["boxes"].tolist() == [[8, 2, 10, 3], [1, 1, 5, 5], [8, 8, 11, 11]]
    clicks = Annotator(smallest=5, point_background=0).annotate(
        "points", truth, None, (), 3, np.random.default_rng(0)
    )["marks"]
    assert sorted(clicks[clicks != 255].tolist()) == [1, 2, 2]


def test_of_too_many_regions_the_largest_are_objects():
    truth = torch.zeros(60, 60, dtype=torch.uint8)
    truth[::3, ::3] = 1  # 400 specks
    truth[30:32, 30:32] = 1
    objects, labels = objects_of(truth)
    assert len(labels) == objects.unique().numel() - 1 == 254
    assert objects.max() == 254
    assert objects[31, 31] != 0


def test_a_mask_without_objects_has_none():
    for value in (0, 255):
        objects, labels = objects_of(torch.full((4, 4), value, dtype=torch.uint8))
        assert not objects.any()
        assert labels == []


# how it is said


def test_a_word_on_the_command_line_changes_one_field():
    data = resolve(
        load(["recipe=boxes", "data.evidence=scribbles", "data.annotator.scribble_length=0.3"])
    ).build(
        "data",
    )
    assert data.annotator == Annotator(scribble_length=0.3)
    assert (data.sample(0)[0].marks != 255).sum() < (
        Toy(evidence="scribbles").sample(0)[0].marks != 255
    ).sum()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"scribble_length": 0},
            "scribble_length of the annotator should be a share of the region's long way, more "
            "than 0 and at most 1",
        ),
        ({"scribble_length": 1.5}, "at most 1, but it is 1.5"),
        (
            {"scribble_width": 0},
            "scribble_width of the annotator should be at least 1, or a share of .*, but it is 0",
        ),
        ({"scribble_width": 2.5}, "scribble_width of the annotator should be a whole number"),
        (
            {"scribble_jitter": -0.1},
            "scribble_jitter of the annotator should lie from 0 to 1, but it is -0.1",
        ),
        (
            {"scribble_background": "no"},
            "scribble_background of the annotator should be true or false, but it is 'no'",
        ),
        ({"smallest": 0}, "smallest of the annotator should be at least 1"),
        ({"point_count": 0}, "point_count of the annotator should be at least 1"),
        (
            {"point_background": -1},
            "point_background of the annotator should be at least 0",
        ),
        ({"point_spread": 2}, "point_spread of the annotator should lie from 0 to 1"),
        (
            {"box_loose": float("nan")},
            "box_loose of the annotator should be a share of the box's side, from 0 to 1, but it "
            "is nan",
        ),
        (
            {"box_missing": True},
            "box_missing of the annotator should be a probability, from 0 to 1, but it is True",
        ),
        ({"tag_missing": -1}, "tag_missing of the annotator should be a probability"),
        ({"box_moved": 2}, "box_moved of the annotator should be a probability, from 0 to 1"),
        ({"class_swapped": -1}, "class_swapped of the annotator should be a probability"),
        ({"tag_swapped": -1}, "tag_swapped of the annotator should be a probability"),
        (
            {"tag_wrong": "0.1"},
            "tag_wrong of the annotator should be a probability, from 0 to 1, but it is '0.1'",
        ),
    ],
)
def test_fields_that_cannot_be(fields, says):
    with pytest.raises(ValueError, match=says):
        Annotator(**fields)


def test_a_kind_that_there_is_not(scenes):
    with pytest.raises(
        ValueError, match="one of masks, boxes, points, scribbles, tags, instances, but it is 'box'"
    ):
        annotated(CAREFUL, "box", scenes[0])
