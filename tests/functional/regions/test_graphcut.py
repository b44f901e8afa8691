from __future__ import annotations

from itertools import combinations
from math import inf, nan

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from torch import Tensor

from weakseg.functional.regions.graphcut import graph_cut, potts_energy

Problem = tuple[Tensor, Tensor, Tensor]
FORBIDDEN = 10**7  # what the reference takes for infinity; more than everything else together


def problem(nodes: int, classes: int, strength: float, seed: int, degree: float = 3.0) -> Problem:
    """Random costs, and edges between random nodes."""
    rng = np.random.default_rng(seed)
    pairs = np.array(list(combinations(range(nodes), 2)))
    edges = rng.permutation(rng.permutation(pairs)[: int(degree * nodes / 2)], axis=1)
    return (
        torch.tensor(rng.random((nodes, classes))),
        torch.tensor(edges),
        torch.tensor(strength * rng.random(len(edges))),
    )


def whole(nodes: int, classes: int, seed: int, forbidden: float = 0.0) -> Problem:
    """The same in whole numbers, which flow without rounding; weights are even, so that halves are
    whole too."""
    unary, edges, weights = problem(nodes, classes, 50, seed)
    unary = (unary * 100).round()
    unary[torch.rand_like(unary) < forbidden] = inf
    unary[:, 0].masked_fill_((unary == inf).all(1), 50.0)
    return unary, edges, 2 * weights.round()


def lowest(unary: Tensor, edges: Tensor, weights: Tensor) -> float:
    """The lowest energy of all labellings: an array with one axis per node."""
    nodes, classes = unary.shape
    energies = np.zeros((classes,) * nodes)
    for node, costs in enumerate(unary.numpy()):
        energies += np.expand_dims(costs, [axis for axis in range(nodes) if axis != node])
    for (a, b), weight in zip(edges.tolist(), weights.tolist(), strict=True):
        energies += np.expand_dims(
            weight * (1 - np.eye(classes)), [axis for axis in range(nodes) if axis not in (a, b)]
        )
    return float(energies.min())


def energies(
    labels: NDArray[np.int64], unary: Tensor, edges: Tensor, weights: Tensor
) -> NDArray[np.float64]:
    """Of many labellings [M,N]."""
    a, b = edges.numpy().T
    return unary.numpy()[np.arange(len(unary)), labels].sum(1) + (
        weights.numpy() * (labels[:, a] != labels[:, b])
    ).sum(1)


def minimum_cut(
    capacities: dict[tuple[int, int], float], nodes: int
) -> tuple[int, NDArray[np.bool_]]:
    """By SciPy, from node N to node N + 1: the flow, and who is on the side of node N."""
    ends = np.array(list(capacities), np.int32).reshape(-1, 2)
    matrix = csr_array(
        (np.array(list(capacities.values()), np.int32), tuple(ends.T)), shape=(nodes + 2, nodes + 2)
    )
    found, side = maximum_flow(matrix, nodes, nodes + 1), np.zeros(nodes + 2, bool)
    rest = (matrix - found.flow).tocsr()
    rest.eliminate_zeros()
    side[breadth_first_order(rest, nodes, return_predecessors=False)] = True
    return found.flow_value, side[:nodes]


def expanded_by_scipy(unary: Tensor, edges: Tensor, weights: Tensor) -> NDArray[np.int64]:
    """Expansion moves by SciPy on whole numbers, with one arc for ends of different labels and a
    large number for infinity."""
    costs = np.minimum(unary.numpy(), FORBIDDEN).astype(int)
    labels, refused, turn = costs.argmin(1), 0, 0
    while refused < costs.shape[1]:
        label = turn % costs.shape[1]
        moved = np.where(
            takers(
                costs,
                list(zip(*edges.T.tolist(), weights.int().tolist(), strict=True)),
                labels,
                label,
            ),
            label,
            labels,
        )
        before, after = energies(np.stack([labels, moved]), torch.tensor(costs), edges, weights)
        labels, refused = (moved, 0) if after < before else (labels, refused)
        refused, turn = refused + 1, turn + 1
    return labels


def takers(
    costs: NDArray[np.int64],
    edges: list[tuple[int, int, int]],
    labels: NDArray[np.int64],
    label: int,
) -> NDArray[np.bool_]:
    """Who takes the label in the best move."""
    nodes, capacities = len(labels), dict[tuple[int, int], float]()
    loss = costs[:, label] - costs[np.arange(nodes), labels]
    for a, b, weight in edges:
        if labels[a] == labels[b]:
            capacities[a, b] = capacities[b, a] = weight
        else:
            capacities[a, b] = weight  # a takes the label, b does not
            loss[a] -= weight
    for node in range(nodes):
        capacities[(nodes, node) if loss[node] < 0 else (node, nodes + 1)] = abs(loss[node])
    return minimum_cut(capacities, nodes)[1] & (labels != label)


def test_against_all_labellings() -> None:
    """Never more than twice the lowest energy, and nearly always the lowest itself."""
    shapes = [(12, 2), (7, 4), (9, 3), (6, 4), (8, 3)]
    problems = [
        problem(
            *shapes[seed % 5],
            strength=[0.2, 0.5, 1.0, 2.0][seed % 4],
            seed=seed,
            degree=2 + seed % 3,
        )
        for seed in range(300)
    ] + [problem(8, 4, 1, 300), problem(10, 3, 1, 301)]
    ratios = np.array(
        [potts_energy(graph_cut(*given), *given) / lowest(*given) for given in problems]
    )
    assert ratios.min() > 1 - 1e-9
    assert ratios.max() <= 2
    assert (ratios < 1 + 1e-9).mean() >= 0.95
    alone = np.array(
        [potts_energy(given[0].argmin(1), *given) / lowest(*given) for given in problems[:40]]
    )
    assert (alone < 1 + 1e-9).mean() < 0.3  # it was not for nothing


@pytest.mark.parametrize("seed", range(8))
def test_no_single_move_is_better_than_the_result(seed: int) -> None:
    unary, edges, weights = problem(10, 4, strength=[0.3, 1e3][seed % 2], seed=seed)
    labels = graph_cut(unary, edges, weights).numpy()
    sets = (np.arange(2**10)[:, None] >> np.arange(10)) % 2 == 1
    for label in range(4):
        moved = energies(np.where(sets, label, labels), unary, edges, weights)
        assert moved.min() >= moved[0] * (1 - 1e-12)


@pytest.mark.parametrize("forbidden", [0.0, 0.3])
@pytest.mark.parametrize("classes", [2, 3, 6])
def test_same_labels_as_moves_by_scipy(classes: int, forbidden: float) -> None:
    """Of several best moves both take the smallest, so labels are the same, one by one."""
    given = whole(150, classes, seed=classes, forbidden=forbidden)
    labels = graph_cut(*given)
    np.testing.assert_array_equal(labels.numpy(), expanded_by_scipy(*given))
    assert (labels != given[0].argmin(1)).sum() > 10


@pytest.mark.parametrize("seed", range(4))
def test_two_labels_are_as_good_as_scipys_flow(seed: int) -> None:
    unary, edges, weights = whole(1000 // (seed + 1), 2, seed)
    nodes, flows = len(unary), {}
    for node, (zero, one) in enumerate(unary.tolist()):
        flows[nodes, node], flows[node, nodes + 1] = zero, one
    for (a, b), weight in zip(edges.tolist(), weights.tolist(), strict=True):
        flows[a, b] = flows[b, a] = weight
    expected = minimum_cut(flows, nodes)[0]
    for start in (None, torch.arange(nodes) % 2):
        assert (
            potts_energy(graph_cut(unary, edges, weights, start=start), unary, edges, weights)
            == expected
        )


def grid(height: int, width: int) -> Tensor:
    number = torch.arange(height * width).view(height, width)
    return torch.cat(
        [
            torch.stack([number[:, :-1], number[:, 1:]], -1).view(-1, 2),
            torch.stack([number[:-1], number[1:]], -1).view(-1, 2),
        ]
    )


def test_a_noisy_picture_is_cleaned() -> None:
    picture = torch.zeros(20, 24, dtype=torch.int64)
    picture[4:15, 3:12], picture[8:20, 12:22] = 1, 2
    noisy = torch.where(torch.rand(20, 24) < 0.15, torch.randint(3, (20, 24)), picture)
    unary = 1 - torch.nn.functional.one_hot(noisy.flatten(), 3).float()
    found = graph_cut(unary, grid(20, 24), torch.ones(19 * 24 + 20 * 23), smooth=0.45).view(20, 24)
    assert 2 * (found != picture).sum() < (noisy != picture).sum()


def test_a_grid_as_by_scipy() -> None:
    edges = grid(12, 11)
    given = (
        (torch.rand(132, 4) * 100).round().double(),
        edges,
        2.0 * torch.randint(20, (len(edges),)).double(),
    )
    np.testing.assert_array_equal(graph_cut(*given).numpy(), expanded_by_scipy(*given))


def test_parts_that_no_edge_joins_do_not_matter_to_each_other() -> None:
    one, other = problem(60, 5, 1, 0), problem(40, 5, 0.5, 1)
    together = [
        torch.cat(pair) for pair in zip(one, (other[0], other[1] + 60, other[2]), strict=True)
    ]
    assert torch.equal(graph_cut(*together), torch.cat([graph_cut(*one), graph_cut(*other)]))


def test_without_weight_each_node_has_its_best_label() -> None:
    unary, edges, weights = problem(50, 4, 1, 0)
    assert torch.equal(graph_cut(unary, edges, weights, smooth=0), unary.argmin(1))
    assert torch.equal(graph_cut(unary, edges, torch.zeros_like(weights)), unary.argmin(1))
    assert torch.equal(graph_cut(unary, edges[:0], weights[:0]), unary.argmin(1))


def test_huge_weights_beside_small_ones() -> None:
    """Nodes tied together by huge weights are one node, to which the small ones still matter."""
    unary, edges, weights = problem(9, 3, 0.4, 3)
    pairs = torch.arange(18).view(9, 2)
    halves = torch.rand(9, 1, 1, dtype=torch.float64)
    doubled = torch.cat([unary[:, None] * halves, unary[:, None] * (1 - halves)], 1).view(18, 3)
    labels = graph_cut(
        doubled, torch.cat([2 * edges + 1, pairs]), torch.cat([weights, torch.full((9,), 1e6)])
    )
    assert torch.equal(labels[::2], labels[1::2])
    assert torch.equal(labels[::2], graph_cut(unary, edges, weights))
    assert potts_energy(labels[::2], unary, edges, weights) == pytest.approx(
        lowest(unary, edges, weights), rel=1e-12
    )
    assert len(labels.unique()) > 1


def test_of_equal_labels_a_node_keeps_its_own() -> None:
    unary, edges, weights = torch.zeros(20, 3), grid(4, 5), torch.ones(31)
    assert graph_cut(unary, edges, weights).tolist() == [0] * 20
    assert graph_cut(unary, edges, weights, start=torch.full((20,), 2)).tolist() == [2] * 20
    first = torch.tensor([0, 1])
    assert torch.equal(
        graph_cut(
            torch.tensor([[0.0, 1], [1, 0]]), torch.tensor([[0, 1]]), torch.ones(1), start=first
        ),
        first,
    )


@pytest.mark.parametrize("own", [0, 1])
def test_what_rounding_makes_up_is_no_reason_to_move(own: int) -> None:
    """Neighbours of label 1 weigh .1 and .2, the one of label 0 .3, and the former are more by
    3e-17."""
    unary = torch.tensor([[0, 0], [inf, 0], [inf, 0], [0, inf]])
    edges, weights = (
        torch.tensor([[0, 1], [0, 2], [0, 3]]),
        torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64),
    )
    assert graph_cut(unary, edges, weights, start=torch.tensor([own, 1, 1, 0])).tolist() == [
        own,
        1,
        1,
        0,
    ]


def test_forbidden_labels_are_forbidden_whatever_edges_weigh() -> None:
    unary, edges, _ = problem(40, 4, 1, 5)
    unary[torch.rand(40, 4) < 0.6] = inf
    unary[:, 3].masked_fill_((unary == inf).all(1), 9.0)
    labels = graph_cut(unary, edges, torch.full((len(edges),), 1e9))
    assert unary.gather(1, labels[:, None]).isfinite().all()
    assert len(labels.unique()) > 2


def test_scribbles_spread_along_strong_edges() -> None:
    unary = torch.zeros(6, 3)
    unary[0], unary[5] = torch.tensor([inf, 0, inf]), torch.tensor([inf, inf, 0])
    unary[:, 0] = inf
    chain = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]])
    assert graph_cut(unary, chain, torch.tensor([1.0, 1, 1, 0.5, 1])).tolist() == [1, 1, 1, 1, 2, 2]


def test_never_worse_than_its_start() -> None:
    for seed in range(20):
        given = problem(30, 4, 1, seed)
        start = torch.randint(4, (30,))
        kept = start.clone()
        assert potts_energy(graph_cut(*given, start=start), *given) < potts_energy(start, *given)
        assert torch.equal(start, kept)
        again = graph_cut(*given, start=graph_cut(*given))
        assert torch.equal(again, graph_cut(*given))


def test_edges_given_twice_add_up_and_loops_cost_nothing() -> None:
    unary, edges, weights = problem(40, 3, 1, 6)
    loops = torch.arange(40)[:, None].expand(40, 2)
    more = (
        torch.cat([edges, edges.flip(1), loops]),
        torch.cat([weights * 0.25, weights * 0.75, torch.full((40,), 100.0)]),
    )
    labels = graph_cut(unary, edges, weights)
    assert torch.equal(graph_cut(unary, *more), labels)
    assert potts_energy(labels, unary, *more) == pytest.approx(
        potts_energy(labels, unary, edges, weights), rel=1e-12
    )


def test_energy_by_hand() -> None:
    unary = torch.tensor([[1.0, 2], [4, 8], [16, inf]])
    edges, weights = (
        torch.tensor([[0, 1], [2, 1], [0, 2], [1, 1]]),
        torch.tensor([32.0, 64, 128, 256]),
    )
    assert potts_energy(torch.tensor([0, 1, 0]), unary, edges, weights) == 1 + 8 + 16 + 32 + 64
    assert (
        potts_energy(torch.tensor([1, 0, 0]), unary, edges, weights, smooth=0.5)
        == 2 + 4 + 16 + 16 + 64
    )
    assert potts_energy(torch.tensor([0, 0, 1]), unary, edges, weights) == inf


def test_small_cases() -> None:
    no_edges, no_weights = torch.zeros(0, 2, dtype=torch.int64), torch.zeros(0)
    for classes in (0, 3):
        nothing = graph_cut(torch.zeros(0, classes), no_edges, no_weights)
        assert (nothing.shape, nothing.dtype) == ((0,), torch.int64)
        assert potts_energy(nothing, torch.zeros(0, classes), no_edges, no_weights) == 0
    assert (
        graph_cut(torch.rand(4, 1), torch.tensor([[0, 1], [2, 3]]), torch.ones(2)).tolist()
        == [0] * 4
    )
    assert graph_cut(torch.tensor([[3.0, 1, 2]]), no_edges, no_weights).tolist() == [1]


def test_any_layout_and_precision() -> None:
    unary, edges, weights = problem(40, 4, 1, 7)
    unary, weights = unary.float(), weights.float()
    expected = graph_cut(unary.double(), edges, weights.double())
    assert torch.equal(
        graph_cut(
            unary.requires_grad_(), edges.T.contiguous().T, weights.repeat_interleave(2)[::2]
        ),
        expected,
    )
    assert torch.equal(
        graph_cut(
            unary.detach().T.contiguous().T,
            edges,
            weights,
            start=expected.repeat_interleave(2)[::2],
        ),
        expected,
    )


EDGES, WEIGHTS, UNARY = torch.tensor([[0, 1], [1, 2]]), torch.ones(2), torch.zeros(3, 2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"unary": torch.zeros(3)},
            r"unary should be float32 or float64 \[N,C\] on the CPU, but it is float32 \[3\] on "
            r"cpu",
        ),
        ({"unary": torch.zeros(3, 2, device="meta")}, r"unary .* on meta"),
        ({"unary": torch.tensor([[0, 0], [0, nan], [0, 0]])}, r"label 1 of node 1 costs nan"),
        ({"unary": torch.tensor([[0, 0], [0, 0], [-inf, 0]])}, r"label 0 of node 2 costs -inf"),
        (
            {"unary": torch.tensor([[0, 0], [inf, inf], [0, inf]])},
            r"all costs of node 1 are infinite",
        ),
        ({"unary": torch.zeros(3, 0)}, r"all costs of node 0 are infinite"),
        ({"unary": torch.full((3, 2), 1e308, dtype=torch.float64)}, r"finite sum"),
        (
            {"edges": torch.zeros(2, 3).long()},
            r"edges should be int64 \[E,2\] on the CPU, but it is int64 \[2, 3\]",
        ),
        ({"edges": torch.zeros(2, 2)}, r"edges .* float32"),
        (
            {"edges": torch.tensor([[0, 1], [1, 3]])},
            r"edges should join nodes 0 to 2, but edge 1 is \[1, 3\]",
        ),
        ({"edges": torch.tensor([[-1, 1], [1, 2]])}, r"edge 0 is \[-1, 1\]"),
        (
            {"weights": torch.ones(3)},
            r"weights should be float32 or float64 \[2\] on the CPU, but it is float32 \[3\]",
        ),
        (
            {"weights": torch.tensor([1, -0.5])},
            r"weights should be finite and at least 0, but edge 1 has -0.5",
        ),
        ({"weights": torch.tensor([nan, 1])}, r"edge 0 has nan"),
        ({"smooth": -1.0}, r"smooth should be a finite number from 0 upwards, but it is -1.0"),
        ({"smooth": nan}, r"smooth .* nan"),
        (
            {"start": torch.zeros(2).long()},
            r"start should be int64 \[3\] on the CPU, but it is int64 \[2\]",
        ),
        ({"start": torch.tensor([0, 2, 0])}, r"start should lie from 0 to 1, but node 1 has 2"),
        (
            {"unary": torch.tensor([[0, 0], [0, 0], [0, inf]]), "start": torch.tensor([0, 0, 1])},
            r"label 1 at node 2 has an infinite cost",
        ),
    ],
)
def test_what_makes_no_sense(wrong: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        graph_cut(**{"unary": UNARY, "edges": EDGES, "weights": WEIGHTS, **wrong})


def test_energy_of_labels_that_are_not_there() -> None:
    with pytest.raises(ValueError, match="labels should lie from 0 to 1, but node 2 has -1"):
        potts_energy(torch.tensor([0, 1, -1]), UNARY, EDGES, WEIGHTS)
