from __future__ import annotations

import pytest
import torch
from torch import Tensor

from weakseg.functional.clustering import max_margin as clustering
from weakseg.functional.clustering.assignment import Group, assign_groups
from weakseg.functional.clustering.margin import (
    class_balance,
    fit_margin,
    hinge_costs,
    margin_scores,
)
from weakseg.functional.clustering.max_margin import cluster, first_labels

Problem = tuple[Tensor, Tensor, Tensor, list[Group]]


def tagged(
    seed: int, images: int = 12, places: int = 20, classes: int = 4, width: int = 8
) -> Problem:
    """Features, truth, allowed and groups of images with one or two objects each, of which only the
    tags are known."""
    random = torch.Generator().manual_seed(seed)
    centres = 2.5 * torch.nn.functional.normalize(torch.randn(classes, width, generator=random))
    truth = torch.zeros(images, places, dtype=torch.int64)
    for image in range(images):
        for part, label in enumerate(
            (torch.randperm(classes - 1, generator=random)[: 1 + image % 2] + 1).tolist()
        ):
            truth[image, part * 6 : part * 6 + 5] = label
    features = centres[truth.flatten()] + 0.4 * torch.randn(
        images * places, width, generator=random
    )
    tags = torch.stack([(truth == label).any(1) for label in range(classes)], 1)
    groups = [
        Group(label, image * places + torch.arange(places))
        for image, label in tags.nonzero().tolist()
    ]
    return features, truth.flatten(), tags.repeat_interleave(places, 0), groups


def kept(labels: Tensor, allowed: Tensor, groups: list[Group]) -> bool:
    return bool(allowed[torch.arange(len(labels)), labels].all()) and all(
        (labels[m] == label).sum() >= least for label, m, least in groups
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("strength", [0.01, 0.1, 5.0])
def test_the_objective_never_rises_and_promises_are_kept(seed: int, strength: float) -> None:
    features, _, allowed, groups = tagged(seed, images=6)
    found = cluster(features, allowed, groups, 4, strength=strength)
    assert len(found.objective) >= 2
    assert (found.objective.diff() <= 1e-12 * found.objective[:-1]).all()
    assert kept(found.labels, allowed, groups)


def test_classifiers_that_a_poor_solver_makes_worse_are_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lengths = iter([1.0, 3.0, 1.0, 5.0, 1.0])
    monkeypatch.setattr(
        clustering,
        "fit_margin",
        lambda *args, **options: next(lengths) * fit_margin(*args, **options),
    )
    features, _, allowed, groups = tagged(0, images=6)
    found = cluster(features, allowed, groups, 4, strength=0.01)
    assert len(found.objective) > 2
    assert (found.objective.diff() <= 1e-12 * found.objective[:-1]).all()


def test_the_objective_as_the_paper_writes_it() -> None:
    features, _, allowed, groups = tagged(0, images=4)
    found = cluster(features, allowed, groups, 4, rounds=2)
    balance = class_balance(first_labels(features, allowed, groups), 4).tolist()
    total = sum(value**2 for row in found.weights[:, :-1].tolist() for value in row) / 2
    for scores, own in zip(
        margin_scores(features, found.weights).tolist(), found.labels.tolist(), strict=True
    ):
        for label, score in enumerate(scores):
            total += 0.1 * (
                balance[label] * max(0.0, 1 - score) if own == label else max(0.0, 1 + score)
            )
    assert found.objective[-1].item() == pytest.approx(total)


@pytest.mark.parametrize("seed", range(3))
def test_tags_of_many_images_tell_classes_apart_where_those_of_one_cannot(seed: int) -> None:
    features, truth, allowed, groups = tagged(seed)
    together = cluster(features, allowed, groups, 4, rounds=10).labels
    assert (together == truth).float().mean() > 0.9
    alone = []
    for image in range(12):
        rows = slice(image * 20, image * 20 + 20)
        own = [
            Group(label, members - image * 20)
            for label, members, _ in groups
            if members[0] == image * 20
        ]
        alone.append(cluster(features[rows], allowed[rows], own, 4, rounds=3).labels)
    assert (torch.cat(alone) == truth).float().mean() < 0.75


def test_marks_fix_and_boxes_bound() -> None:
    """A line of superpixels: the object lies in the middle of its box, which a mark of background
    cuts into."""
    truth = torch.tensor([0, 0, 0, 1, 1, 1, 1, 0, 0, 0])
    noise = 0.1 * torch.randn(10, 2, generator=torch.Generator().manual_seed(0))
    features = torch.nn.functional.one_hot(truth, 2) + noise
    allowed = torch.tensor([[True, False]] * 2 + [[True, True]] * 6 + [[True, False]] * 2)
    box = Group(1, torch.arange(2, 8))
    assert cluster(features, allowed, [box], 2).labels.tolist() == truth.tolist()
    allowed[5, 1] = False
    assert cluster(features, allowed, [box], 2).labels.tolist() == [0, 0, 0, 1, 1, 0, 1, 0, 0, 0]
    assert cluster(features, allowed, [box._replace(least=4)], 2).labels.sum() == 4


def test_first_labels_by_hand() -> None:
    """Background is known at 0 and 1, so its mean is .5; class 1 only may be, in a box over 2, 5
    and 6, and its mean is 13/3."""
    features = torch.tensor([[0.0], [1], [2], [5], [6]])
    allowed = torch.tensor([[1, 0], [1, 0], [1, 1], [1, 1], [1, 1]]).bool()
    assert first_labels(features, allowed, []).tolist() == [0, 0, 0, 1, 1]
    assert first_labels(features, allowed, [Group(0, torch.tensor([3, 4]))]).tolist() == [
        0,
        0,
        0,
        0,
        1,
    ]
    # a mark of class 1 at 1: its mean is 1 now, that of background 0
    allowed[1] = torch.tensor([False, True])
    assert first_labels(features, allowed, []).tolist() == [0, 1, 1, 1, 1]


def test_a_given_start_is_where_it_begins() -> None:
    features, truth, allowed, groups = tagged(1)
    begun = cluster(features, allowed, groups, 4, rounds=20, start=truth)
    assert (begun.labels == truth).float().mean() > 0.9
    assert len(begun.objective) <= 12
    impossible = torch.full_like(truth, 3)
    assert kept(
        cluster(features, allowed, groups, 4, rounds=1, start=impossible).labels, allowed, groups
    )


def test_the_order_of_superpixels_does_not_matter() -> None:
    features, _, allowed, groups = tagged(2, images=5)
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))
    moved = [Group(label, order.argsort()[members], least) for label, members, least in groups]
    plain, mixed = (
        cluster(features, allowed, groups, 4, rounds=3),
        cluster(features[order], allowed[order], moved, 4, rounds=3),
    )
    assert mixed.labels.tolist() == plain.labels[order].tolist()
    torch.testing.assert_close(
        cluster(features, allowed, groups, 4, rounds=3), plain, rtol=0, atol=0
    )


def test_labels_of_one_image_follow_from_the_classifiers_alone() -> None:
    features, _, allowed, groups = tagged(0)
    found = cluster(features, allowed, groups, 4)
    own = [Group(label, members - 20) for label, members, _ in groups if members[0] == 20]
    costs = hinge_costs(margin_scores(features[20:40], found.weights), found.balance)
    assert assign_groups(costs, allowed[20:40], own).equal(found.labels[20:40])


def test_it_ends_when_labels_repeat() -> None:
    features, _, allowed, groups = tagged(0)
    found = cluster(features, allowed, groups, 4, rounds=50)
    assert len(found.objective) < 100
    assert cluster(features, allowed, groups, 4, rounds=len(found.objective) // 2).labels.equal(
        found.labels
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"allowed": torch.ones(3, 3, dtype=torch.bool)},
            r"allowed bool \[P,2\] with at least one superpixel, but they are \[3, 1\]",
        ),
        ({"features": torch.full((3, 1), float("nan"))}, "features should be finite"),
        ({"rounds": 0}, "rounds should be at least 1"),
        (
            {"start": torch.zeros(3)},
            r"start should be int64 \[3\], a class per superpixel, but it is float32 \[3\]",
        ),
        (
            {"groups": [Group(1, torch.tensor([0]), 2)]},
            "group 0 asks for at least 2 superpixels of class 1",
        ),
    ],
)
def test_errors_say_what_is_wrong(change: dict[str, object], message: str) -> None:
    right: dict[str, object] = {
        "features": torch.zeros(3, 1),
        "allowed": torch.ones(3, 2, dtype=torch.bool),
        "groups": [],
        "classes": 2,
    }
    with pytest.raises(ValueError, match=message):
        cluster(**{**right, **change})  # type: ignore[arg-type]
