from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from weakseg.functional.clustering import assignment
from weakseg.functional.clustering.assignment import Group, assign_groups, assign_tags

Groups = list[Group]


def brute_force(costs: Tensor, allowed: Tensor, groups: Groups) -> float:
    """The cost of the best of all C^P labelings; infinite if none keeps the groups."""
    places, classes = costs.shape
    every = np.array(list(product(range(classes), repeat=places)))
    each = np.arange(places)
    kept = allowed.numpy()[each, every].all(1)
    for label, members, least in groups:
        kept &= (every[:, members.numpy()] == label).sum(1) >= least
    totals = costs.numpy()[each, every].sum(1)
    return float(totals[kept].min(initial=np.inf))


def random_problem(seed: int, one_per_class: bool = False) -> tuple[Tensor, Tensor, Groups]:
    """At most 6 superpixels with at most 3 classes and 5 groups; every other problem has whole
    costs, where many labels are as good."""
    random = np.random.default_rng(seed)
    places, classes = int(random.integers(1, 7)), int(random.integers(2, 4))
    costs = (
        random.normal(size=(places, classes))
        if seed % 2
        else random.integers(-2, 3, (places, classes)).astype(float)
    )
    allowed = random.random((places, classes)) < random.choice([0.6, 0.9, 1.1])
    allowed[np.arange(places), random.integers(0, classes, places)] = True
    count = int(random.integers(1, 6))
    labels = (
        random.permutation(classes)[:count] if one_per_class else random.integers(0, classes, count)
    )
    groups = []
    for label in labels.tolist():
        members = np.flatnonzero(random.random(places) < 0.7)
        groups.append(
            Group(label, torch.tensor(members), int(random.integers(0, min(2, len(members)) + 1)))
        )
    return torch.tensor(costs), torch.tensor(allowed), groups


def check_against_brute_force(costs: Tensor, allowed: Tensor, groups: Groups) -> bool:
    """Whether the problem has a solution; asserts that the function finds the best or says that
    there is none."""
    best = brute_force(costs, allowed, groups)
    if best == np.inf:
        with pytest.raises(ValueError, match="group"):
            assign_groups(costs, allowed, groups)
        return False
    labels = assign_groups(costs, allowed, groups)
    assert labels.dtype == torch.int64
    assert allowed[torch.arange(len(labels)), labels].all()
    assert all((labels[members] == label).sum() >= least for label, members, least in groups)
    assert costs[torch.arange(len(labels)), labels].sum().item() == pytest.approx(best, abs=1e-9)
    return True


@pytest.mark.parametrize("one_per_class", [False, True])
def test_no_labels_are_cheaper(one_per_class: bool) -> None:
    solved = [
        check_against_brute_force(*random_problem(seed, one_per_class)) for seed in range(150)
    ]
    assert 70 < sum(solved) < 140  # both kinds are tried


def test_programs_and_matchings_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of classes of their own, solved by the linear program nevertheless."""
    monkeypatch.setattr(assignment, "_by_matching", assignment._by_program)
    assert (
        30
        < sum(
            check_against_brute_force(*random_problem(seed, one_per_class=True))
            for seed in range(60)
        )
        < 60
    )


def test_every_tag_is_used_at_the_least_cost() -> None:
    for seed in range(60):
        costs, allowed, _ = random_problem(seed)
        tags = torch.tensor(np.random.default_rng(1000 + seed).random(costs.shape[1]) < 0.7)
        tags[0] = True
        allowed[:, 0] = True
        best = brute_force(
            costs,
            allowed & tags,
            [Group(label, torch.arange(len(costs))) for label in tags.nonzero().flatten().tolist()],
        )
        if best < np.inf:
            labels = assign_tags(costs, tags, allowed)
            assert costs[torch.arange(len(costs)), labels].sum().item() == pytest.approx(
                best, abs=1e-9
            )
            assert set(labels.tolist()) == set(tags.nonzero().flatten().tolist())


def halves() -> tuple[Tensor, Tensor, Groups]:
    """Three superpixels in a ring of three groups of two, of one class: a half of each would do,
    but there are no halves."""
    costs = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]).double()
    groups = [Group(1, torch.tensor(pair)) for pair in ([0, 1], [1, 2], [2, 0])]
    return costs, torch.ones(3, 2, dtype=torch.bool), groups


def test_where_the_linear_program_gives_halves_the_integer_program_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    integer = assignment.milp
    monkeypatch.setattr(
        assignment, "milp", lambda *args, **options: (asked.append(1), integer(*args, **options))[1]
    )
    assert assign_groups(*halves()).sum() == 2
    assert asked


def test_unsolvable_programs_are_told_from_halves() -> None:
    costs, allowed, groups = halves()
    with pytest.raises(
        ValueError, match=re.escape("at least 1 of class 1 in group 2, 3 of class 0 in group 3")
    ):
        assign_groups(costs, allowed, [*groups, Group(0, torch.arange(3), 3)])


def test_groups_of_different_images_do_not_matter_to_each_other() -> None:
    random = torch.Generator().manual_seed(0)
    costs = torch.randn(12, 3, generator=random).double()
    allowed = torch.ones(12, 3, dtype=torch.bool)
    first = [
        Group(1, torch.tensor([0, 1, 2]), 2),
        Group(1, torch.tensor([2, 3]), 2),
        Group(2, torch.tensor([0, 4, 5])),
    ]
    second = [Group(2, torch.tensor([6, 7, 8]), 2), Group(1, torch.tensor([8, 9]))]
    shifted = [Group(label, members - 6, least) for label, members, least in second]
    together = assign_groups(costs, allowed, [second[0], *first, second[1]])
    apart = [
        assign_groups(costs[:6], allowed[:6], first),
        assign_groups(costs[6:], allowed[6:], shifted),
    ]
    torch.testing.assert_close(together, torch.cat(apart))


def test_more_tags_than_superpixels() -> None:
    with pytest.raises(
        ValueError,
        match=(
            r"too few superpixels for all groups.*1 of class 0 in group 0, .*1 of class 1.*1 of "
            r"class 2"
        ),
    ):
        assign_tags(torch.zeros(2, 3), torch.ones(3, dtype=torch.bool))


def test_only_what_contradicts_itself_is_named() -> None:
    allowed = torch.ones(4, 3, dtype=torch.bool)
    groups = [Group(0, torch.arange(4)), Group(1, torch.tensor([0])), Group(2, torch.tensor([0]))]
    with pytest.raises(
        ValueError, match=r"at least 1 of class 1 in group 1, 1 of class 2 in group 2$"
    ):
        assign_groups(torch.zeros(4, 3), allowed, groups)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"costs": torch.full((2, 2), np.nan)}, r"costs should be float \[P,C\] and finite"),
        ({"allowed": torch.ones(2, 3, dtype=torch.bool)}, r"allowed should be bool \[2, 2\]"),
        ({"allowed": torch.tensor([[True, True], [False, False]])}, "1 have none: 1"),
        (
            {"groups": [Group(2, torch.tensor([0]))]},
            "group 0 has class 2, but costs has the classes 0 to 1",
        ),
        ({"groups": [Group(1, torch.tensor([0, 0]))]}, "group 0 should have members"),
        ({"groups": [Group(1, torch.tensor([0, 2]))]}, "members from 0 to 1"),
        (
            {"groups": [Group(1, torch.tensor([0]), 2)]},
            "at least 2 superpixels of class 1, but only 1",
        ),
    ],
)
def test_errors_say_what_is_wrong(change: dict[str, object], message: str) -> None:
    right: dict[str, object] = {
        "costs": torch.zeros(2, 2),
        "allowed": torch.ones(2, 2, dtype=torch.bool),
        "groups": [],
    }
    with pytest.raises(ValueError, match=message):
        assign_groups(**{**right, **change})  # type: ignore[arg-type]
