"""The kinds of drawn picture: what each is there to show is in it."""

import numpy as np
import pytest
import torch

from weakseg.data.simulate.derive import instances_of
from weakseg.data.toy.dataset import Toy
from weakseg.data.toy.kinds import KINDS
from weakseg.evidence import IGNORE

HARD = ("grey", "crowded", "patchwork")


def images(kind, evidence="masks", count=12, **options):
    data = Toy(train=count, val=0, kind=kind, evidence=evidence, **options)
    return [data.sample(index) for index in range(count)]


def test_every_kind_can_be_named():
    assert Toy(kind="grey").classes == ("background", "cavity", "wall", "crescent")
    assert Toy().classes == KINDS["shapes"].classes == Toy.classes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [32, 33, 112])
def test_the_same_seed_draws_the_same_picture_and_another_seed_another(kind, size):
    draw = KINDS[kind].draw
    first, again = (draw(np.random.default_rng(3), size) for _ in range(2))
    other = draw(np.random.default_rng(4), size)
    assert first.image.dtype == first.truth.dtype == np.uint8
    assert first.image.shape == (size, size, 3)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.truth, again.truth)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("evidence", ["masks", "boxes", "instances", "points", "scribbles", "tags"])
def test_every_kind_comes_with_every_kind_of_evidence(kind, evidence):
    data = Toy(train=3, val=0, size=64, kind=kind, evidence=evidence)
    for index in range(3):
        sample, truth = data.sample(index)
        sample.check(len(data.classes))
        assert set(truth.unique().tolist()) <= set(range(len(data.classes)))
        if sample.marks is not None and evidence != "scribbles":
            known = sample.marks != IGNORE
            assert torch.equal(sample.marks[known], truth[known])


@pytest.mark.parametrize("kind", HARD)
def test_every_class_is_shown_somewhere(kind):
    truths = torch.stack([truth for _, truth in images(kind, count=20)])
    assert set(truths.unique().tolist()) == set(range(len(KINDS[kind].classes)))


@pytest.mark.parametrize("kind", KINDS)
def test_instances_are_of_their_class(kind):
    scene = KINDS[kind].draw(np.random.default_rng(5), 112)
    instances = torch.from_numpy(scene.instances)
    truth = torch.from_numpy(scene.truth)
    found = instances_of(instances, scene.classes)
    for mask, label in zip(found.masks, found.classes, strict=True):
        assert set(truth[mask].tolist()) == {int(label)}


def test_brightness_alone_does_not_tell_what_is_what_in_a_grey_scan():
    for evidence, truth in images("grey"):
        image = evidence.image
        assert torch.equal(image[0], image[1])
        assert torch.equal(image[0], image[2])
        cavity, crescent = (image[0][truth == label].float() for label in (1, 3))
        assert (cavity.mean() - crescent.mean()).abs() < cavity.std() + crescent.std() + 20
        low, high = (float(cavity.quantile(share)) for share in (0.1, 0.9))
        elsewhere = image[0][truth == 0].float()
        as_bright = ((elsewhere >= low) & (elsewhere <= high)).sum()
        assert as_bright > 0.5 * (truth == 1).sum()


def test_the_background_of_a_grey_scan_is_scribbled_in_a_closed_ring():
    from scipy import ndimage

    for evidence, truth in images("grey", "scribbles"):
        ring = (evidence.marks == 0).numpy()
        assert (truth.numpy()[ring] == 0).all()
        pieces, count = ndimage.label(~ring)
        inside = set(pieces[(truth != 0).numpy()].tolist()) - {0}
        outside = pieces[0, 0]
        assert count == 2
        assert outside not in inside


def test_an_annotator_who_scribbles_no_background_draws_no_ring():
    from weakseg.data.simulate.annotator import Annotator

    careless = Annotator(scribble_background=False)
    for evidence, _ in images("grey", "scribbles", count=2, annotator=careless):
        assert (evidence.marks != 0).all()


def test_crowded_objects_are_many_and_tiny_and_one_class_is_rare():
    shares = []
    for evidence, truth in images("crowded", "boxes", count=30):
        sides = evidence.boxes[:, 2:] - evidence.boxes[:, :2]
        assert sides.max() <= 0.13 * 112
        shares.append(torch.bincount(truth.flatten().long(), minlength=4) / truth.numel())
    berry, seed, pearl = torch.stack(shares).mean(0)[1:].tolist()
    assert pearl < seed / 3 < berry / 3


def test_the_parts_of_a_patchwork_object_have_different_colours():
    for evidence, truth in images("patchwork", "boxes"):
        for label in set(truth.unique().tolist()) - {0}:
            own = evidence.image[:, truth == label].float()
            assert own.std(1).max() > 25
