"""Which class does each region of an image look like, and is it connected to marks of that class?

Two regions look alike as far as their colour histograms overlap. A class reaches a region along
paths of regions: never through marks of another class, and no more cheaply than the least alike
region on the way.
"""

from __future__ import annotations

import torch
from torch import Tensor

from weakseg.functional.regions.region_graph import Regions, median_distance


def marked_class(counts: Tensor) -> Tensor:
    """Whether a region counts as marked with a class, bool [N,C], from counts of marked pixels
    int64 [N,C]: with the one that has the most of them, of equal ones the first.

    >>> marked_class(torch.tensor([[2, 3], [1, 1], [0, 0]]))
    tensor([[False,  True],
            [ True, False],
            [False, False]])
    """
    most = torch.zeros_like(counts, dtype=torch.bool).scatter(
        1, counts.max(1, keepdim=True).indices, True
    )
    return most & (counts > 0)


def unlikeness(histograms: Tensor, others: Tensor) -> Tensor:
    """How little histograms float [N,D] and [M,D] overlap, float [N,M]: from 0 for equal ones to
    the number of their blocks that sum to one for those that have nothing in common.

    It is the squared Hellinger distance. A squared difference of histograms, in contrast, is
    smaller to a wide histogram than to a narrow one where neither has anything in common with the
    first.

    >>> unlikeness(torch.tensor([[1.0, 0, 0]]), torch.tensor([[1.0, 0, 0], [0, 0.5, 0.5]]))
    tensor([[0., 1.]])
    """
    blocks = histograms.sum(1, keepdim=True)
    return (blocks - histograms.sqrt() @ others.sqrt().T).clamp(min=0)


def appearance_costs(graph: Regions, counts: Tensor) -> Tensor:
    """What each class costs each region by its appearance: float64 [N,C], from counts of marked
    pixels int64 [N,C].

    It is the unlikeness to the most alike region that is marked with the class, in units of the
    median over borders of the image. 0 for a class without marks.
    """
    nearest = torch.zeros(counts.shape, dtype=graph.histograms.dtype)
    marked = marked_class(counts)
    # a class whose marks all lie on regions of other classes is known by these
    marked = torch.where(marked.any(0), marked, counts > 0)
    for label in range(counts.shape[1]):
        if bool(marked[:, label].any()):
            own = graph.histograms[marked[:, label]]
            nearest[:, label] = unlikeness(graph.histograms, own).amin(1)
    unit = median_distance(_over_borders(graph))
    return (nearest / unit if unit > 0 else torch.zeros_like(nearest)).double()


def connected_costs(costs: Tensor, edges: Tensor, counts: Tensor) -> Tensor:
    """The costs of appearance that remain along the best connection: float64 [N,C].

    A class reaches a region from the regions that are marked with it, along borders. The cost of a
    path is that of its most expensive region, the one at its end included; the cost of the region
    is that of its cheapest path. No path goes through a region with marks of another class, so
    marks close off what is behind them. What a class does not reach costs as much as anything does
    in the image.

    Args:
        costs: float64 [N,C], as from `appearance_costs`.
        edges: int64 [E,2], regions that touch.
        counts: int64 [N,C], marked pixels of each class.
    """
    marked = marked_class(counts)
    foreign = counts.sum(1, keepdim=True) > counts
    # a region with marks of several classes is the end of all paths, unless nothing else begins one
    pure = marked & ~foreign
    starts = torch.where(pure.any(0), pure, marked)
    blocked = foreign & ~starts
    reached = costs.masked_fill(~starts, torch.inf)
    ends = torch.cat([edges, edges.flip(1)])
    into = ends[:, 1, None].expand(-1, costs.shape[1])
    while True:
        offered = torch.maximum(reached[ends[:, 0]], costs[ends[:, 1]])
        better = reached.scatter_reduce(0, into, offered, "amin").masked_fill(blocked, torch.inf)
        if torch.equal(better, reached):
            return torch.where(marked, costs, reached).clamp(max=costs.max())
        reached = better


def _over_borders(graph: Regions) -> Tensor:
    """The unlikeness of the two regions at each border, float [E]."""
    roots = graph.histograms.sqrt()
    blocks = graph.histograms[:1].sum()
    one, other = roots[graph.edges[:, 0]], roots[graph.edges[:, 1]]
    return (blocks - (one * other).sum(1)).clamp(min=0)
