from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from weakseg.functional.regions.maxflow_compiled import Flow, Graph, cut, expand, flow, graph

Floats = NDArray[np.float64]


def network(nodes: int, edges: int, seed: int, low: float = 0.0) -> tuple[Graph, Flow]:
    """A random graph whose arcs carry from 10^low to 1, differently each way, and nodes of which a
    third gives and a third can receive."""
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, nodes, (edges, 2))
    arcs = graph(ends, np.ones(edges), nodes)
    space = flow(arcs)
    space.room[:] = 10 ** rng.uniform(low, 0, len(space.room))
    space.gain[:] = 2 * 10 ** rng.uniform(low, 0, nodes) * rng.integers(-1, 2, nodes)
    return arcs, space


def tails(arcs: Graph) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(arcs.first) - 1), np.diff(arcs.first))


def losses(arcs: Graph, room: Floats, gain: Floats, sets: NDArray[np.bool_]) -> Floats:
    """What sets of nodes [M,N] that take lose, and what the arcs that leave them carry."""
    return -(sets * gain).sum(1) + (room * (sets[:, tails(arcs)] & ~sets[:, arcs.head])).sum(1)


def in_reach(space: Flow, count: int) -> NDArray[np.bool_]:
    result = np.zeros(len(space.gain), bool)
    result[space.queue[:count]] = True
    assert (result == (space.level >= 0)).all()
    return result


@pytest.mark.parametrize("low", [0.0, -3.0, -12.0])
def test_cut_is_the_best_of_all_sets(low: float) -> None:
    sets = (np.arange(2**9)[:, None] >> np.arange(9)) % 2 == 1
    sizes = set()
    for seed in range(30):
        arcs, space = network(9, 14, seed, low)
        expected = losses(arcs, space.room, space.gain, sets)
        room, gain = space.room.copy(), space.gain.copy()
        found = in_reach(space, cut(arcs, space))
        assert (
            losses(arcs, room, gain, found[None])[0] <= expected.min() + 1e-14 * np.abs(gain).sum()
        )
        sizes.add(int(found.sum()))
    assert len(sizes) > 4


@pytest.mark.parametrize("seed", range(3))
def test_as_much_flows_as_in_scipy(seed: int) -> None:
    nodes = 400
    arcs, space = network(nodes, 900, seed)
    space.room[:], space.gain[:] = (
        np.random.default_rng(seed).integers(0, 50, len(space.room)),
        np.rint(60 * space.gain),
    )
    gives, takes = np.maximum(space.gain, 0), np.maximum(-space.gain, 0)
    rows = np.concatenate([tails(arcs), np.full(nodes, nodes), np.arange(nodes)])
    columns = np.concatenate([arcs.head, np.arange(nodes), np.full(nodes, nodes + 1)])
    numbers = np.concatenate([space.room, gives, takes]).astype(np.int32)
    expected = maximum_flow(
        csr_array((numbers, (rows, columns)), shape=(nodes + 2, nodes + 2)), nodes, nodes + 1
    ).flow_value
    total = space.room.sum()
    cut(arcs, space)
    assert 0 < expected == gives.sum() - space.gain[space.gain > 0].sum()
    assert expected == takes.sum() + space.gain[space.gain < 0].sum()
    assert space.room.sum() == total  # what an arc carries makes room for the same the other way
    assert space.room.min() >= 0


@pytest.mark.parametrize("low", [-3.0, -16.0, -300.0])
def test_ends_whatever_is_rounded(low: float) -> None:
    """Nothing leaves those in reach any more, though numbers are so different that most sums change
    nothing."""
    for seed in range(10):
        arcs, space = network(300, 1200, seed, low)
        reached = in_reach(space, cut(arcs, space))
        assert space.room[reached[tails(arcs)] & ~reached[arcs.head]].sum() == 0
        assert (space.gain[reached] >= 0).all()
        assert (space.gain[~reached] <= 0).all()


def test_a_long_way() -> None:
    """Along a chain of 5000 nodes, the first of which has 3 to give to the last, through one arc
    that carries 2."""
    chain = np.stack([np.arange(4999), np.arange(1, 5000)], 1)
    arcs = graph(chain, np.where(np.arange(4999) == 3210, 2.0, 9.0), 5000)
    space = flow(arcs)
    space.room[:], space.gain[:] = arcs.weight, 0
    space.gain[[0, 4999]] = 3, -4
    assert cut(arcs, space) == 3211
    assert space.gain[[0, 4999]].tolist() == [1, -2]


def test_arcs_of_a_graph() -> None:
    arcs = graph(np.array([[2, 0], [0, 1], [1, 1], [0, 2], [1, 2]]), np.array([1.0, 2, 3, 4, 0]), 4)
    assert arcs.first.tolist() == [0, 3, 4, 6, 6]
    found = sorted(zip(tails(arcs).tolist(), arcs.head.tolist(), arcs.weight.tolist(), strict=True))
    assert found == [(0, 1, 2.0), (0, 2, 1.0), (0, 2, 4.0), (1, 0, 2.0), (2, 0, 1.0), (2, 0, 4.0)]
    assert (arcs.twin[arcs.twin] == np.arange(6)).all()
    assert (arcs.head[arcs.twin] == tails(arcs)).all()
    assert (arcs.weight[arcs.twin] == arcs.weight).all()


def test_only_labels_that_are_offered() -> None:
    unary = np.array([[5.0, 0, 3], [5, 9, 0]])
    arcs, labels = graph(np.array([[0, 1]]), np.ones(1), 2), np.zeros(2, np.int64)
    expand(unary, arcs, np.array([2, 0]), flow(arcs), labels)
    assert labels.tolist() == [2, 2]
    expand(unary, arcs, np.array([0, 1, 2]), flow(arcs), labels)
    assert labels.tolist() == [1, 2]
