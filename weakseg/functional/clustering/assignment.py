"""Minimum-cost assignment of classes to superpixels under constraints: every superpixel has one
class, every tag is used, every box is filled.

This is the step of unified max-margin clustering (Xu, Schwing and Urtasun, Learning to segment
under various forms of weak supervision, CVPR 2015) in which the classifiers are fixed. All
solutions are exact. Of equally cheap ones the result is always the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linear_sum_assignment, linprog, milp
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from weakseg.functional.describing import described

_WHOLE = 1e-6  # a solution this near to whole numbers is one


class Group(NamedTuple):
    """A constraint: at least so many of these superpixels are of this class. A tag is one on all
    superpixels of an image."""

    label: int
    members: Tensor
    """int64 [M], numbers of superpixels, none of them twice"""
    least: int = 1


def assign_tags(costs: Tensor, tags: Tensor, allowed: Tensor | None = None) -> Tensor:
    """The cheapest labels int64 [P] of one image that use every tag and no other class: costs float
    [P,C], tags bool [C].

    `allowed`, bool [P,C], leaves out more: a marked superpixel has the class of its mark. Every
    superpixel takes its cheapest class, except that each tag has a superpixel of its own to
    represent it, chosen so that the extra cost of all of them is least. A ValueError names the
    tags cannot be used, because there are too few superpixels that may show them.

    >>> costs = torch.tensor([[0.0, 2.0, 0.0], [0.0, 3.0, 0.0], [0.0, 9.0, 0.0]])
    >>> assign_tags(costs, torch.tensor([True, True, False]))
    tensor([1, 0, 0])
    """
    if tags.dtype != torch.bool or tags.ndim != 1 or costs.ndim != 2 or len(tags) != costs.shape[1]:
        raise ValueError(
            "costs should be float [P,C] and tags bool [C], but they are "
            f"{described(costs, finite=True)} and {described(tags, finite=True)}"
        )
    everything = torch.arange(len(costs), device=costs.device)
    permitted = tags.expand(costs.shape) if allowed is None else allowed & tags
    return assign_groups(
        costs, permitted, [Group(label, everything) for label in tags.nonzero().flatten().tolist()]
    )


def assign_groups(
    costs: Tensor, allowed: Tensor, groups: Sequence[tuple[int, Tensor, int]]
) -> Tensor:
    """The cheapest labels int64 [P] with an allowed class each that meet all constraints: costs
    float [P,C], allowed bool [P,C].

    Groups that share no superpixel, such as those of different images, are solved one by one, and
    only where the cheapest classes violate a constraint. Each is a matching where no class has two
    groups, otherwise a linear program, and an integer program in the rare case that the linear one
    gives halves. A ValueError names the groups that cannot all be kept.

    >>> costs = torch.tensor([[0.0, 4.0], [0.0, 1.0], [0.0, 3.0], [0.0, 9.0]])
    >>> boxes = [
    ...     Group(1, torch.tensor([0, 1])),
    ...     Group(1, torch.tensor([1, 2, 3]), least=2),
    ... ]  # one superpixel lies in both
    >>> assign_groups(costs, torch.ones(4, 2, dtype=torch.bool), boxes)
    tensor([0, 1, 1, 0])
    """
    _check(costs, allowed, groups)
    price = costs.detach().double().cpu().numpy()
    price = np.where(allowed.cpu().numpy(), price, np.inf)
    labels: NDArray[np.int64] = price.argmin(1)
    plain = [(label, members.cpu().numpy(), least) for label, members, least in groups]
    for numbers in _components(plain, len(price)):
        rows = [plain[number] for number in numbers]
        if any((labels[members] == label).sum() < least for label, members, least in rows):
            places, classes = _solve(price, labels, rows, numbers)
            labels[places] = classes
    return torch.from_numpy(labels).to(costs.device)


Row = tuple[int, NDArray[np.int64], int]
Found = tuple[NDArray[np.int64], NDArray[np.int64]]
"""superpixels, and their classes"""


def _check(costs: Tensor, allowed: Tensor, groups: Sequence[tuple[int, Tensor, int]]) -> None:
    if costs.ndim != 2 or not costs.is_floating_point() or not bool(costs.isfinite().all()):
        raise ValueError(
            f"costs should be float [P,C] and finite, but it is {described(costs, finite=True)}; "
            "forbid classes with `allowed`"
        )
    if allowed.shape != costs.shape or allowed.dtype != torch.bool:
        raise ValueError(
            f"allowed should be bool {list(costs.shape)}, as costs is, but it is "
            f"{described(allowed, finite=True)}"
        )
    if stuck := (~allowed.any(1)).nonzero().flatten().tolist():
        raise ValueError(
            f"allowed should leave every superpixel a class, but {len(stuck)} have none: "
            f"{', '.join(map(str, stuck[:5]))}"
        )
    for number, (label, members, least) in enumerate(groups):
        if not 0 <= label < costs.shape[1]:
            raise ValueError(
                f"group {number} has class {label}, but costs has the classes 0 to "
                f"{costs.shape[1] - 1}"
            )
        if (
            members.ndim != 1
            or members.dtype != torch.int64
            or len(torch.unique(members)) != len(members)
        ):
            raise ValueError(
                f"group {number} should have members int64 [M], none of them twice, but it has "
                f"{described(members, finite=True)}"
            )
        if len(members) and not 0 <= int(members.min()) <= int(members.max()) < len(costs):
            raise ValueError(
                f"group {number} should have members from 0 to {len(costs) - 1}, but one of them "
                "lies outside"
            )
        able = int(allowed[members, label].sum())
        if able < least:
            raise ValueError(
                f"group {number} asks for at least {least} superpixels of class {label}, but only "
                f"{able} of it may have that class"
            )


def _components(rows: Sequence[Row], places: int) -> Iterator[list[int]]:
    """Numbers of the groups that are connected through shared superpixels."""
    if not rows:
        return
    sizes = [len(members) for _, members, _ in rows]
    owner = np.repeat(np.arange(len(rows)), sizes)
    member = np.concatenate([members for _, members, _ in rows])
    total = len(rows) + places
    links = coo_array(
        (np.ones(len(member), dtype=bool), (owner, len(rows) + member)), shape=(total, total)
    )
    number = connected_components(links.tocsr(), directed=False)[1][: len(rows)]
    order = np.argsort(number, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(number[order])) + 1):
        yield part.tolist()


def _solve(
    price: NDArray[np.float64], labels: NDArray[np.int64], rows: list[Row], numbers: list[int]
) -> Found:
    """New classes for members of connected groups."""
    found = _any_solver(price, labels, rows)
    if found is None:
        kept = list(range(len(rows)))
        for number in list(kept):  # leave out what is not needed for the contradiction
            fewer = [other for other in kept if other != number]
            kept = (
                fewer
                if _any_solver(price, labels, [rows[other] for other in fewer]) is None
                else kept
            )
        wanted = ", ".join(
            f"{rows[row][2]} of class {rows[row][0]} in group {numbers[row]}" for row in kept
        )
        raise ValueError(
            f"too few superpixels for all groups, each of them having one class: at least {wanted}"
        )
    return found


def _any_solver(
    price: NDArray[np.float64], labels: NDArray[np.int64], rows: list[Row]
) -> Found | None:
    if not rows:
        return labels[:0], labels[:0]
    one_per_class = len({label for label, _, _ in rows}) == len(rows)
    return _by_matching(price, labels, rows) if one_per_class else _by_program(price, labels, rows)


def _by_matching(
    price: NDArray[np.float64], labels: NDArray[np.int64], rows: list[Row]
) -> Found | None:
    """Distinct representatives for every group: exact as a superpixel, which has one class, can
    serve only one of them."""
    places = np.unique(np.concatenate([members for _, members, _ in rows]))
    extra = np.full((sum(least for _, _, least in rows), len(places)), np.inf)
    wanted = np.repeat([label for label, _, _ in rows], [least for _, _, least in rows])
    start = 0
    for label, members, least in rows:
        cheapest = price[members, labels[members]]
        extra[start : start + least, np.searchsorted(places, members)] = (
            price[members, label] - cheapest
        )
        start += least
    try:
        seat, chosen = linear_sum_assignment(extra)
    except ValueError:  # SciPy's word for infeasible
        return None
    classes = labels[places]
    if len(seat) < len(extra):
        return None
    classes[chosen] = wanted[seat]
    return places, classes


def _by_program(
    price: NDArray[np.float64], labels: NDArray[np.int64], rows: list[Row]
) -> Found | None:
    """The linear program over the members' cheapest classes and those of their groups, since no
    other could be better."""
    pairs = [np.stack([members, np.full_like(members, label)], 1) for label, members, _ in rows]
    places = np.unique(np.concatenate([members for _, members, _ in rows]))
    choices = np.unique(np.concatenate([*pairs, np.stack([places, labels[places]], 1)]), axis=0)
    choices = choices[np.isfinite(price[choices[:, 0], choices[:, 1]])]
    place, label = choices.T
    extra = price[place, label] - price[place, labels[place]]
    count = np.arange(len(choices))
    one_class = coo_array(
        (np.ones(len(count)), (np.searchsorted(places, place), count)),
        shape=(len(places), len(count)),
    ).tocsr()
    inside = [np.flatnonzero((label == own) & np.isin(place, members)) for own, members, _ in rows]
    owner = np.repeat(np.arange(len(rows)), [len(part) for part in inside])
    shares = coo_array(
        (np.ones(len(owner)), (owner, np.concatenate(inside))), shape=(len(rows), len(count))
    ).tocsr()
    least = np.array([row[2] for row in rows], dtype=np.float64)
    chosen = _program(extra, one_class, shares, least)
    return None if chosen is None else (place[chosen], label[chosen])


def _program(
    extra: NDArray[np.float64], one_class: coo_array, shares: coo_array, least: NDArray[np.float64]
) -> NDArray[np.bool_] | None:
    """Which choices to make, bool; None if there is no way."""
    ones = np.ones(one_class.shape[0])
    found = linprog(
        extra, A_ub=-shares, b_ub=-least, A_eq=one_class, b_eq=ones, bounds=(0, 1), method="highs"
    )
    if found.status == 0 and np.abs(found.x - found.x.round()).max() > _WHOLE:
        limits = [LinearConstraint(one_class, ones, ones), LinearConstraint(shares, least, np.inf)]
        found = milp(
            extra,
            integrality=np.ones(len(extra)),
            bounds=Bounds(0, 1),
            constraints=limits,
            options={"mip_rel_gap": 0},
        )
    if found.status == 2:
        return None
    if found.status != 0:
        raise RuntimeError(f"the solver of SciPy found no labels: {found.message}")
    return np.asarray(found.x > 0.5)
