import itertools
import pickle
import random

import numpy as np
import pytest
import torch

from weakseg.data.simulate.derive import boxes_of, large_of, tags_of
from weakseg.data.toy import dataset as module
from weakseg.data.toy.dataset import Toy
from weakseg.data.toy.drawing import draw_scene

FIELDS = ("tags", "boxes", "box_classes", "box_masks", "marks", "large")


def small(**options):
    return Toy(**{"train": 4, "val": 2, "size": 48, **options})


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("masks", {"marks"}),
        ("boxes", {"boxes", "box_classes", "tags", "large"}),
        ("instances", {"boxes", "box_classes", "box_masks", "tags", "large"}),
        ("points", {"marks", "tags"}),
        ("scribbles", {"marks", "tags"}),
        ("tags", {"tags", "large"}),
    ],
)
def test_an_image_has_the_evidence_that_was_asked_for_and_no_other(kind, fields):
    data = small(evidence=kind)
    for index in range(len(data)):
        evidence, truth = data.sample(index)
        assert {field for field in FIELDS if getattr(evidence, field) is not None} == fields
        evidence.check(len(data.classes))
        if evidence.marks is not None:
            marked = evidence.marks != 255
            assert torch.equal(evidence.marks[marked], truth[marked])
            assert marked.all() == (kind == "masks")
            assert kind == "masks" or 0 < marked.float().mean() < 0.4
        if evidence.tags is not None:
            assert torch.equal(evidence.tags, tags_of(truth, 5))
        if evidence.large is not None:
            assert torch.equal(evidence.large, large_of(truth, 5))


def test_boxes_are_those_of_the_drawn_objects():
    evidence, _ = small(drawing_seed=3).sample(2)
    scene = draw_scene(np.random.default_rng([3, 2]), 48)
    boxes, labels = boxes_of(torch.from_numpy(scene.instances), scene.classes)
    assert torch.equal(evidence.boxes, boxes)
    assert torch.equal(evidence.box_classes, labels)


def test_true_objects_are_the_drawn_ones():
    data = small(drawing_seed=3)
    objects, (_, truth) = data.true_instances(2), data.sample(2)
    scene = draw_scene(np.random.default_rng([3, 2]), 48)
    assert objects.classes.tolist() == list(scene.classes)
    assert objects.scores is None
    for number, (mask, label, box) in enumerate(
        zip(objects.masks, objects.classes, objects.boxes, strict=True), 1
    ):
        assert np.array_equal(mask.numpy(), scene.instances == number)
        assert (truth[mask] == label).all()
        x1, y1, x2, y2 = box.int().tolist()
        assert mask[y1:y2, x1:x2].sum() == mask.sum() > 0


def test_marks_of_every_pixel_are_not_the_truth_itself():
    evidence, truth = small(evidence="masks").sample(0)
    evidence.marks.zero_()
    assert truth.any()


def test_an_image_depends_on_drawing_seed_and_index_alone():
    whole = small()
    whole.sample(0)
    evidence, truth = whole.sample(3)
    again, same_truth = small(train=9, evidence="tags", batch_size=3).sample(3)
    assert torch.equal(evidence.image, again.image)
    assert torch.equal(truth, same_truth)
    assert not torch.equal(evidence.image, whole.sample(2)[0].image)
    assert not torch.equal(evidence.image, small(drawing_seed=1).sample(3)[0].image)


def test_ids_and_split():
    data = Toy(train=40, val=3, size=32)
    assert len(data) == 43
    assert list(data.validation) == [40, 41, 42]
    assert list(data.training) == list(range(40))
    assert data.sample(42)[0].id == "toy-00042"
    assert data.classes == ("background", "leaf", "wheel", "fish", "umbrella")


@pytest.mark.parametrize("evidence", ["boxes", "tags"])
def test_a_part_of_the_training_images_has_masks_and_the_others_are_as_before(evidence):
    plain, some = (
        small(train=20, evidence=evidence),
        small(train=20, evidence=evidence, mask_share=0.25),
    )
    assert len(some.masked) == 5
    for index in range(len(plain)):
        (before, _), (now, truth) = plain.sample(index), some.sample(index)
        assert torch.equal(now.image, before.image)
        if index in some.masked:
            assert now.kinds == ("marks",)
            assert torch.equal(now.marks, truth)
        else:
            assert now.kinds == before.kinds
            assert all(torch.equal(getattr(now, kind), getattr(before, kind)) for kind in now.kinds)


def test_masks_of_a_small_part_are_among_those_of_a_larger_one():
    parts = [small(train=200, mask_share=share).masked for share in (0.0, 0.001, 0.05, 0.1, 0.5, 1)]
    assert [len(part) for part in parts] == [0, 1, 10, 20, 100, 200]
    assert all(less < more for less, more in itertools.pairwise(parts))
    assert parts[3] == small(train=200, mask_share=0.1, evidence="tags", batch_size=2).masked
    assert parts[3] != small(train=200, mask_share=0.1, drawing_seed=1).masked
    assert max(parts[3]) > 100


def test_no_global_generator_is_touched():
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    for kind in ("points", "scribbles", "boxes"):
        small(evidence=kind).sample(1)
    assert (
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_rng_state().tolist(),
    ) == states


def test_drawn_images_are_remembered_but_only_so_many(monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 2)
    data = small()
    first = data.sample(0)
    assert data.sample(0) is first
    for index in (1, 2, 3):
        data.sample(index)
    assert len(data._drawn) == 2
    assert data.sample(0) is not first
    assert torch.equal(data.sample(0)[0].image, first[0].image)


def test_pickles_small_and_goes_on_as_before():
    data = small(evidence="scribbles")
    evidence, truth = data.sample(1)
    stored = pickle.dumps(data)
    assert len(stored) < 5000 < evidence.image.numel()
    again, same_truth = pickle.loads(stored).sample(1)
    assert torch.equal(evidence.marks, again.marks)
    assert torch.equal(truth, same_truth)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"train": 0}, "train should be at least 1, but it is 0"),
        ({"val": -1}, "val should be at least 0, but it is -1"),
        ({"size": 8}, "size should be at least 32, but it is 8"),
        ({"drawing_seed": -1}, "drawing_seed should be at least 0, but it is -1"),
        (
            {"mask_share": 1.5},
            "mask_share should lie from 0 to 1, a part of the training images, but it is 1.5",
        ),
        ({"mask_share": float("nan")}, "mask_share should lie from 0 to 1"),
        (
            {"evidence": "box"},
            "one of masks, boxes, points, scribbles, tags, instances, but it is 'box'",
        ),
    ],
)
def test_options_that_cannot_be(options, says):
    with pytest.raises(ValueError, match=says):
        small(**options)


@pytest.mark.parametrize("index", [-1, 6])
def test_an_image_that_there_is_not(index):
    with pytest.raises(IndexError, match=f"no image {index}; the toy set has images 0 to 5"):
        small().sample(index)
