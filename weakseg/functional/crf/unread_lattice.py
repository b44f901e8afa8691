"""The permutohedral lattice of `permutohedral`, made without reading from the device how many
vertices there are.

It has room for as many vertices as points may touch, D + 1 for each. That takes more memory and
arithmetic, but nobody waits for a GPU, which a training would in every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.functional.crf.permutohedral import _LARGEST, Lattice, _elevate, _simplex


def unread_lattice(
    features: Tensor, groups: Tensor, count: int, extents: Sequence[float]
) -> Lattice | None:
    """A lattice with room for all vertices; None if the points may lie so far apart that their
    places cannot be numbered.

    Args:
        features: float [N,D], as for `lattice`.
        groups: int64 [N], from 0 to count - 1: points of different groups do not see each other.
        count: how many groups there are.
        extents: how far the features of two points lie apart at most, in each dimension.

    >>> from weakseg.functional.crf.permutohedral import lattice
    >>> line = torch.arange(5.0)[:, None] / 2
    >>> made = unread_lattice(line, torch.zeros(5, dtype=torch.int64), 1, [2.0])
    >>> bool(torch.allclose(made.filter(line), lattice(line).filter(line)))
    True
    """
    spans = [*_spans(extents), count]
    if prod(spans) >= _LARGEST:
        return None
    origin, directions, weights = _simplex(_elevate(features.T))
    keys, steps = _keys(origin, directions, groups, spans)
    touched, order = keys.flatten().sort(stable=True)
    fresh = F.pad(touched[1:] != touched[:-1], (1, 0), value=True)
    number = fresh.cumsum(0) - 1
    room = len(touched)
    # where each vertex is met first; the last place is for all that are met again
    places = torch.arange(room, device=touched.device)
    starts = places.new_full((room + 2,), room)
    starts.scatter_(0, number.where(fresh, room + 1), places)
    starts[room:] = room
    vertices = torch.where(starts[:room] < room, F.pad(touched, (0, 1))[starts[:room]], _LARGEST)
    corners = torch.empty_like(number).scatter_(0, order, number).view_as(keys)
    return Lattice(
        corners=corners.int(),
        weights=weights,
        sources=(order // keys.shape[1]).int(),
        source_weights=weights.flatten()[order],
        starts=starts.int(),
        neighbours=_neighbours(vertices, steps).int(),
    )


def _spans(extents: Sequence[float]) -> list[int]:
    """How many values each of the first D coordinates of a vertex, or a neighbour, may have."""
    dimensions = len(extents)
    # how far each feature moves each coordinate; the way does not matter
    moved = _elevate(torch.diag(torch.tensor(extents, dtype=torch.float64))).abs().sum(1)
    return [ceil(far) + 6 * (dimensions + 1) for far in moved[:-1].tolist()]


def _keys(
    origin: Tensor, directions: Tensor, groups: Tensor, spans: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """A number for each corner [N,D+1], and what is added to it for a step along each
    direction, [D+1]."""
    dimensions = len(origin) - 1
    digits = torch.cat([origin[:-1], groups[None]])
    low = digits.amin(1, keepdim=True) - 2 * dimensions
    low[-1] = 0
    sizes = [prod(spans[:place]) for place in range(len(spans))]
    places = torch.tensor(sizes).to(origin.device, non_blocking=True)
    first = ((digits - low) * places[:, None]).sum(0)
    offsets = torch.ones(dimensions + 1, dimensions, dtype=torch.int64)
    offsets[:-1].fill_diagonal_(-dimensions)
    moves = (offsets * torch.tensor(sizes[:-1])).sum(1).to(origin.device, non_blocking=True)
    return torch.cat([first[None], moves[directions[:-1]]]).cumsum(0).T, moves


def _neighbours(vertices: Tensor, steps: Tensor) -> Tensor:
    """Neighbours [D+1,M+1,3] of sorted vertices [M], those that are none behind the others."""
    room = len(vertices)
    own = torch.arange(room + 1, device=vertices.device)
    neighbours = own.new_full((len(steps), room + 1, 3), room)
    neighbours[:, :, 1] = own
    for direction, step in zip(neighbours, steps, strict=True):
        wanted = vertices + step
        found = torch.searchsorted(vertices, wanted).clamp_(max=room - 1)
        there = (vertices[found] == wanted) & (vertices < _LARGEST) & (wanted < _LARGEST)
        direction[:-1, 2] = found.where(there, room)
        direction[:, 0].scatter_(0, found.where(there, room), own[:-1])
        direction[room, 0] = room
    return neighbours
