"""Gaussian filtering in a few dimensions at once (place and colour), on the permutohedral lattice
of Adams, Baek and Davis (2010).

Each point spreads its value over the corners of the lattice simplex around it, the corners are
blurred along each lattice direction, and each point reads its corners back: the cost grows with the
number of points, not with its square.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod, sqrt
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# packed keys stay below this, so that a step to a neighbour cannot overflow an int64
_LARGEST = 2**62


class Lattice(NamedTuple):
    """Where N points of D dimensions lie on the lattice, and which of its M vertices they touch.
    Made by `lattice`.

    Vertex M is nowhere: it stands for neighbours that do not exist and always holds zero.
    """

    corners: Tensor
    """int32 [N,D+1]: the vertices around each point"""
    weights: Tensor
    """float [N,D+1]: how near each of them is; sums to 1"""
    sources: Tensor
    """int32 [N(D+1)]: the points that touch vertex 0, then those that touch vertex 1, ..."""
    source_weights: Tensor
    """float [N(D+1)]: the weight that goes with each of `sources`"""
    starts: Tensor
    """int32 [M+2]: where the sources of each vertex begin"""
    neighbours: Tensor
    """int32 [D+1,M+1,3]: along each direction the vertex before each one, itself, and the one
    after"""

    def filter(self, values: Tensor, both_ways: bool = False) -> Tensor:
        """Blur float [N,C] values with the Gaussian kernel exp(-|difference of features|^2 / 2),
        each column by itself.

        A point's own value counts as well. The rows of the kernel do not sum to one, as in the
        original code. Nor is it quite symmetric, since the directions are blurred one after the
        other: both_ways gives the mean of their order and its reverse, which is symmetric.
        """
        total = F.embedding_bag(
            self.sources,
            values,
            self.starts,
            mode="sum",
            per_sample_weights=self.source_weights,
            include_last_offset=True,
        )
        directions = self.neighbours.unbind()
        blurred = _blur(total, directions)
        # a blur along one direction is symmetric, so all of them in reverse are the transpose
        if both_ways:
            blurred = (blurred + _blur(total, directions[::-1])) / 2
        dimensions = self.corners.shape[1] - 1
        # what the blur along D + 1 directions of a lattice in D dimensions adds too much
        alpha = 1 / (1 + 2.0**-dimensions)
        return (
            F.embedding_bag(self.corners, blurred, mode="sum", per_sample_weights=self.weights)
            * alpha
        )


def lattice(features: Tensor, groups: Tensor | None = None) -> Lattice:
    """Place points on the lattice: features float [N,D], in units of the standard deviation of the
    Gaussian wanted.

    Points of different groups, int64 [N], do not see each other, however near they are: such as the
    pixels of several images.

    >>> line = lattice(torch.arange(5.0)[:, None] / 2)
    >>> line.filter(torch.tensor([[0.0], [0.0], [1.0], [0.0], [0.0]])).squeeze(1).argmax()
    tensor(2)
    """
    if features.ndim != 2 or not features.is_floating_point() or 0 in features.shape:
        raise ValueError(
            f"features should be float [N,D] with at least one point, but it is {features.dtype} "
            f"{list(features.shape)}"
        )
    if groups is not None and (groups.dtype != torch.int64 or groups.shape != features.shape[:1]):
        raise ValueError(
            f"groups should be int64 [{len(features)}], one number per point, but it is "
            f"{groups.dtype} {list(groups.shape)}"
        )
    origin, directions, weights = _simplex(_elevate(features.T))
    keys, neighbours_of = _keys(origin, directions, groups)
    touched, order = keys.flatten().sort(stable=True)
    fresh = torch.cat([touched.new_ones(1, dtype=torch.bool), touched[1:] != touched[:-1]])
    number = fresh.cumsum(0, dtype=torch.int32) - 1
    begins = fresh.nonzero().squeeze(1)
    return Lattice(
        corners=torch.empty_like(number).scatter_(0, order, number).view_as(keys),
        weights=weights,
        sources=order.int() // keys.shape[1],
        source_weights=weights.flatten()[order],
        starts=F.pad(begins, (0, 2), value=len(order)).int(),
        neighbours=neighbours_of(touched[begins]).int(),
    )


def _blur(total: Tensor, directions: Sequence[Tensor]) -> Tensor:
    """Blur what the vertices hold, [M+1,C], along one direction after the other."""
    weights = total.new_full((len(total), 3), 0.5)
    weights[:, 1] = 1
    for direction in directions:
        total = F.embedding_bag(direction, total, mode="sum", per_sample_weights=weights)
    return total


def _elevate(features: Tensor) -> Tensor:
    """Move [D,N] points onto the plane in D + 1 dimensions whose coordinates sum to zero, scaled to
    the lattice: [D+1,N]."""
    dimensions = len(features)
    scale = [sqrt(2 / 3) * (dimensions + 1) / sqrt((i + 1) * (i + 2)) for i in range(dimensions)]
    rows: list[Tensor] = []
    total = torch.zeros_like(features[0])
    for i in range(dimensions, 0, -1):
        scaled = features[i - 1] * scale[i - 1]
        rows.append(total - i * scaled)
        total = total + scaled
    return torch.stack([total, *reversed(rows)])


def _simplex(elevated: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The simplex around each point, as its corner of remainder zero, the way round the other
    corners, and their weights.

    The corner is given by its D + 1 coordinates [D+1,N]. The next corner is one step away along the
    first of the directions [D+1,N], the one after it a further step along the second direction, and
    so on. The weights are [N,D+1].
    """
    size = len(elevated)
    steps = (elevated * (1 / size)).round()
    origin = steps * size
    # rounding may leave the plane; the ranks say which coordinates to step back
    rank = _rank(elevated - origin) + steps.sum(0).long()
    turn = (rank < 0).long() - (rank >= size).long()
    rank += turn * size
    origin += turn * size
    residual = (elevated - origin) * (1 / size)
    coordinates = torch.arange(size, device=rank.device)[:, None].expand_as(rank)
    # lowest residual first
    directions = torch.empty_like(rank).scatter_(0, size - 1 - rank, coordinates)
    ascending = residual.gather(0, directions)
    first = 1 + ascending[:1] - ascending[-1:]
    return origin.long(), directions, torch.cat([first, ascending.diff(dim=0)]).T.contiguous()


def _rank(residual: Tensor) -> Tensor:
    """Place of each coordinate when its column is sorted in descending order; of two equal ones the
    earlier comes first."""
    rank = torch.zeros_like(residual, dtype=torch.int8)
    for i in range(len(residual)):
        for j in range(i + 1, len(residual)):
            smaller = residual[i] < residual[j]
            rank[i] += smaller
            rank[j] += ~smaller
    return rank.long()


NeighboursOf = Callable[[Tensor], Tensor]


def _keys(origin: Tensor, directions: Tensor, groups: Tensor | None) -> tuple[Tensor, NeighboursOf]:
    """A number for each corner, equal for equal corners [N,D+1], and what finds the neighbours of
    the M different ones in sorted order.

    Each corner is D + 1 integers that sum to zero, so D of them say it all, and the group if there
    are groups. They are packed into one integer in which a step to a neighbour is one addition;
    where features are so wide (tiny standard deviations) that they do not fit, rows are compared
    instead.
    """
    dimensions = len(origin) - 1
    offsets = torch.ones(dimensions + 1, dimensions, dtype=torch.int64, device=origin.device)
    offsets[:-1].fill_diagonal_(-dimensions)
    digits = origin[:-1]
    if groups is not None:  # one more digit, which no step changes
        digits = torch.cat([digits, groups[None]])
        offsets = F.pad(offsets, (0, 1))
    # a corner is at most D away from the first one, and its neighbour D further
    low = digits.amin(1) - 2 * dimensions
    spans = (digits.amax(1) + 2 * dimensions + 1 - low).tolist()
    if prod(spans) >= _LARGEST:
        return _row_keys(digits.T, directions.T, offsets)
    places = torch.tensor([prod(spans[:i]) for i in range(len(spans))], device=origin.device)
    first = ((digits - low[:, None]) * places[:, None]).sum(0)
    steps = (offsets * places).sum(1)
    keys = torch.cat([first[None], steps[directions[:-1]]]).cumsum(0).T
    return keys, lambda vertices: _step(vertices, steps)


def _step(vertices: Tensor, steps: Tensor) -> Tensor:
    """Neighbours [D+1,M+1,3] of packed and sorted vertices [M]."""
    neighbours = _alone(vertices, len(steps))
    for direction, step in zip(neighbours, steps, strict=True):
        wanted = vertices + step
        found = torch.searchsorted(vertices, wanted).clamp_(max=len(vertices) - 1)
        here = (vertices[found] == wanted).nonzero().squeeze(1)
        there = found[here]
        direction[here, 2] = there
        direction[there, 0] = here
    return neighbours


def _alone(vertices: Tensor, directions: int) -> Tensor:
    """Neighbours [D+1,M+1,3] of M vertices that have none."""
    count = len(vertices)
    neighbours = torch.full((directions, count + 1, 3), count, device=vertices.device)
    neighbours[:, :, 1] = torch.arange(count + 1, device=vertices.device)
    return neighbours


def _row_keys(first: Tensor, directions: Tensor, offsets: Tensor) -> tuple[Tensor, NeighboursOf]:
    """The rare case of `_keys`: rows of integers are numbered by comparing them. Slower, same
    result."""
    corners = torch.cat([first[:, None], offsets[directions[:, :-1]]], 1).cumsum(1)
    vertices, keys = torch.unique(corners.flatten(0, 1), dim=0, return_inverse=True)
    count = len(vertices)
    numbers = torch.arange(count, device=first.device)
    neighbours = _alone(vertices, len(offsets))
    for direction, offset in zip(neighbours, offsets, strict=True):
        _, joint = torch.unique(
            torch.cat([vertices, vertices + offset]), dim=0, return_inverse=True
        )
        where = torch.full((2 * count,), count, device=first.device).scatter_(
            0, joint[:count], numbers
        )
        there = where[joint[count:]]
        direction[:-1, 2] = there
        direction[there, 0] = torch.where(there < count, numbers, count)
    return keys.view(len(first), -1), lambda _: neighbours
