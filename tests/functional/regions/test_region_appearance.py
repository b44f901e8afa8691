from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from weakseg.functional.regions.region_appearance import (
    appearance_costs,
    connected_costs,
    marked_class,
    unlikeness,
)
from weakseg.functional.regions.region_graph import Regions


def a_graph(histograms: list[list[float]], edges: list[tuple[int, int]]) -> Regions:
    """Regions of which only histograms and edges count."""
    nothing = torch.zeros(0)
    return Regions(nothing, torch.tensor(histograms), torch.tensor(edges), nothing, nothing)


def chain(length: int) -> Tensor:
    """The edges of regions in a row."""
    return torch.tensor([[place, place + 1] for place in range(length - 1)])


def marks(*labels: int | None, classes: int = 2) -> Tensor:
    """Counts of marked pixels, one in each region that has a label."""
    counts = torch.zeros(len(labels), classes, dtype=torch.int64)
    for place, label in enumerate(labels):
        if label is not None:
            counts[place, label] = 1
    return counts


def test_unlikeness_by_hand() -> None:
    one = torch.tensor([[0.5, 0.5, 0.0, 1.0, 0.0]])  # two blocks: of three and of two bins
    same = unlikeness(one, one)
    torch.testing.assert_close(same, torch.zeros(1, 1), atol=1e-6, rtol=0)
    other = torch.tensor([[0.5, 0.0, 0.5, 0.0, 1.0]])
    # half of the first block overlaps, nothing of the second
    torch.testing.assert_close(unlikeness(one, other), torch.tensor([[1.5]]))
    quarter = torch.tensor([[0.25, 0.75, 0.0, 1.0, 0.0]])
    overlap = math.sqrt(0.125) + math.sqrt(0.375) + 1
    torch.testing.assert_close(unlikeness(one, quarter), torch.tensor([[2 - overlap]]))


def test_what_has_nothing_in_common_is_equally_unlike_wide_and_narrow_histograms() -> None:
    bright = torch.tensor([[0.0, 0, 0, 0, 1]])
    narrow_and_wide = torch.tensor([[1.0, 0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25, 0]])
    assert unlikeness(bright, narrow_and_wide).tolist() == [[1, 1]]
    squared = torch.cdist(bright, narrow_and_wide).square()
    assert squared[0, 1] < squared[0, 0]


def test_appearance_is_that_of_the_most_alike_marked_region_in_units_of_the_median() -> None:
    graph = a_graph([[1, 0], [0, 1], [0.5, 0.5], [1, 0]], [(0, 1), (1, 2), (2, 3)])
    half = 1 - math.sqrt(0.5)  # of the region in the middle to each of the others
    # borders: 1, half, half
    costs = appearance_costs(graph, marks(0, 1, None, 0, classes=3))
    expected = torch.tensor([[0, 1 / half, 0], [1 / half, 0, 0], [1, 1, 0], [0, 1 / half, 0]])
    torch.testing.assert_close(costs, expected.double(), atol=1e-5, rtol=1e-5)


def test_a_region_with_marks_of_several_classes_stands_for_the_one_with_most() -> None:
    counts = torch.tensor([[3, 1], [0, 0], [0, 2]])
    assert marked_class(counts).tolist() == [[True, False], [False, False], [False, True]]
    graph = a_graph([[1, 0], [1, 0], [0, 1]], [(0, 1), (1, 2)])
    # the second region looks like the first one, on which there is a mark of class 1, too
    costs = appearance_costs(graph, counts)
    torch.testing.assert_close(costs, torch.tensor([[0, 1.0], [0, 1], [1, 0]]).double())
    # but a class that has no other region is known by that one
    costs = appearance_costs(graph, torch.tensor([[3, 1], [0, 0], [0, 0]]))
    assert costs[:, 1].tolist() == [0, 0, 1]


def test_an_image_of_one_colour_costs_nothing() -> None:
    graph = a_graph([[1, 0], [1, 0]], [(0, 1)])
    assert (appearance_costs(graph, marks(0, 1)) == 0).all()


def test_a_path_costs_what_its_most_expensive_region_costs() -> None:
    costs = torch.tensor([[0, 9], [5, 9], [1, 9], [7, 0.0]]).double()
    found = connected_costs(costs, chain(4), marks(0, None, None, 1))
    # region 2 looks like class 0, but only past region 1, which does not
    assert found[:, 0].tolist() == [0, 5, 5, 9]
    # marks of class 0 end the way of class 1 at the other end
    assert found[:, 1].tolist() == [9, 9, 9, 0]


def test_the_cheapest_of_several_paths_counts() -> None:
    edges = torch.tensor([[0, 1], [1, 4], [0, 2], [2, 3], [3, 4]])
    costs = torch.tensor([0, 6, 2, 3, 1.0]).double()[:, None]
    found = connected_costs(costs, edges, marks(0, None, None, None, None, classes=1))
    assert found[:, 0].tolist() == [0, 6, 2, 3, 3]


def test_a_ring_of_marks_closes_what_is_behind_it() -> None:
    """An organ, tissue around it, the ring, more tissue, and something as bright as the organ."""
    bright = torch.tensor([0, 4, 4, 4, 0.0])
    costs = torch.stack([4 - bright, bright], 1).double()
    open_ring = connected_costs(costs, chain(5), marks(1, None, None, None, None))
    closed = connected_costs(costs, chain(5), marks(1, None, 0, None, None))
    assert open_ring[4].tolist() == [4, 4]  # through tissue: no longer for nothing
    assert closed[4].tolist() == [4, 4]  # as much as anything, and background no more than that
    assert closed[3].tolist() == [0, 4]
    assert closed[1].tolist() == [0, 4]


def test_no_path_begins_in_a_region_that_a_ring_crosses_too() -> None:
    costs = torch.tensor([[3, 0], [3, 0], [3, 0], [2, 1.0]]).double()
    counts = torch.tensor([[0, 5], [1, 5], [0, 0], [0, 0]])
    # region 1 counts as marked with class 1, but the mark of class 0 on it closes it
    assert connected_costs(costs, chain(4), counts)[:, 1].tolist() == [0, 0, 3, 3]
    # where there is no other region with the mark, it has to do
    alone = torch.tensor([[0, 0], [1, 5], [0, 0], [0, 0]])
    assert connected_costs(costs, chain(4), alone)[:, 1].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("seed", range(20))
def test_connected_costs_are_those_of_the_best_of_all_paths(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    size, classes = 7, 3
    pairs = torch.combinations(torch.arange(size))
    edges = pairs[torch.rand(len(pairs), generator=generator) < 0.35]
    costs = torch.rand(size, classes, generator=generator, dtype=torch.double)
    labels = torch.randint(-2, classes, (size,), generator=generator).tolist()
    labels[0] = 0
    counts = marks(*(None if label < 0 else label for label in labels), classes=classes)
    expected = costs.clone()
    for label in range(classes):
        for region in range(size):
            found = cheapest_path(region, label, costs[:, label].tolist(), edges.tolist(), counts)
            expected[region, label] = float(costs.max()) if found is None else found
    torch.testing.assert_close(connected_costs(costs, edges, counts), expected, atol=0, rtol=0)


def cheapest_path(
    end: int, label: int, costs: list[float], edges: list[list[int]], counts: Tensor
) -> float | None:
    """The cost of the best of all simple paths from regions with a label to one region."""
    foreign = [int(row.sum() - row[label]) > 0 for row in counts]
    best: float | None = None
    paths = [[start] for start in range(len(costs)) if counts[start, label] > 0]
    while paths:
        path = paths.pop()
        if path[-1] == end:
            worst = max(costs[region] for region in path)
            best = worst if best is None else min(best, worst)
        for one, other in [*edges, *([b, a] for a, b in edges)]:
            if one == path[-1] and other not in path and not foreign[other]:
                paths.append([*path, other])
    return best
