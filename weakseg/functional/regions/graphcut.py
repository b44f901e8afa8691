"""Labels for the nodes of a graph, such as the regions of an image: each has its own costs, and
edges cost if their ends differ.

The energy of labels y is sum_i unary[i, y_i] + smooth * sum_e weights[e] * [y_a != y_b] over the
edges e = (a, b): the Potts model. It is lowered by moves that offer one label to all nodes at once,
until no such move lowers it any more: the alpha-expansion of Boykov, Veksler and Zabih (IEEE TPAMI,
2001). With two labels nothing lower exists; with more, and no negative costs, the energy is at most
twice the lowest.
"""

from __future__ import annotations

from math import fsum, isfinite

import torch
from torch import Tensor

from weakseg.functional.regions import maxflow_compiled as maxflow


def graph_cut(
    unary: Tensor, edges: Tensor, weights: Tensor, smooth: float = 1.0, start: Tensor | None = None
) -> Tensor:
    """Labels int64 [N] of low energy, for costs float [N,C] of the labels and edges int64 [E,2]
    with weights float [E], on the CPU.

    A cost of infinity forbids a label at a node. Edges given several times add up; those from a
    node to itself cost nothing. The moves begin at `start`, or else at the best label of each node
    by itself, and the result is never worse than that; of two labels that are equally good a node
    keeps the one it has.

    The middle node alone would rather be 1, but not by as much as its edges weigh:

    >>> unary = torch.tensor([[0.0, 5.0], [1.0, 0.5], [0.0, 5.0]])
    >>> graph_cut(unary, torch.tensor([[0, 1], [1, 2]]), torch.ones(2))
    tensor([0, 0, 0])
    >>> graph_cut(unary, torch.tensor([[0, 1], [1, 2]]), torch.ones(2), smooth=0.1)
    tensor([0, 1, 0])
    """
    _check(unary, edges, weights, smooth)
    allowed = unary < torch.inf
    if not allowed.any(1).all():
        raise ValueError(
            "unary should allow each node a label, but all costs of node "
            f"{_first(~allowed.any(1))} are infinite"
        )
    if len(unary) == 0:
        return torch.zeros(0, dtype=torch.int64)
    costs = unary.detach().double().contiguous().numpy()
    factors = smooth * weights.detach().double().numpy()
    labels = torch.from_numpy(costs.argmin(1)) if start is None else _start(start, allowed)
    arcs = maxflow.graph(edges.numpy(), factors, len(unary))
    maxflow.expand(
        costs, arcs, allowed.any(0).nonzero()[:, 0].numpy(), maxflow.flow(arcs), labels.numpy()
    )
    return labels


def potts_energy(
    labels: Tensor, unary: Tensor, edges: Tensor, weights: Tensor, smooth: float = 1.0
) -> float:
    """What labels int64 [N] cost, with everything else as in `graph_cut`; infinity if one of them
    is forbidden.

    The sum is rounded once, at the end, so that even a tiny difference is never turned around.

    >>> unary = torch.tensor([[0.0, 5.0], [1.0, 0.5], [0.0, 5.0]])
    >>> potts_energy(
    ...     torch.tensor([0, 1, 0]),
    ...     unary,
    ...     torch.tensor([[0, 1], [1, 2]]),
    ...     torch.ones(2),
    ...     smooth=0.1,
    ... )
    0.7
    """
    _check(unary, edges, weights, smooth)
    _check_labels("labels", labels, unary)
    own = unary.detach().double().gather(1, labels[:, None])[:, 0]
    differ = labels[edges[:, 0]] != labels[edges[:, 1]]
    return fsum(own.tolist() + (smooth * weights.detach().double()[differ]).tolist())


def _start(start: Tensor, allowed: Tensor) -> Tensor:
    """A copy of labels to begin with."""
    _check_labels("start", start, allowed)
    forbidden = ~allowed.gather(1, start[:, None])[:, 0]
    if forbidden.any():
        node = _first(forbidden)
        raise ValueError(
            f"start should be allowed by unary, but label {int(start[node])} at node {node} has "
            "an infinite cost"
        )
    return start.clone(memory_format=torch.contiguous_format)


def _check(unary: Tensor, edges: Tensor, weights: Tensor, smooth: float) -> None:
    """Whether there is an energy at all."""
    _expect(
        "unary", unary, "float32 or float64 [N,C]", unary.ndim == 2, torch.float32, torch.float64
    )
    _expect("edges", edges, "int64 [E,2]", edges.ndim == 2 and edges.shape[1:] == (2,), torch.int64)
    _expect(
        "weights",
        weights,
        f"float32 or float64 [{len(edges)}]",
        weights.shape == edges.shape[:1],
        torch.float32,
        torch.float64,
    )
    if not 0 <= smooth < torch.inf:
        raise ValueError(f"smooth should be a finite number from 0 upwards, but it is {smooth}")
    strange = ~(unary > -torch.inf)
    if strange.any():
        node, label = strange.nonzero()[0].tolist()
        raise ValueError(
            f"unary should be finite or plus infinity, but label {label} of node {node} costs "
            f"{unary[node, label].item()}"
        )
    wrong = ~((weights >= 0) & (weights < torch.inf))
    if wrong.any():
        raise ValueError(
            f"weights should be finite and at least 0, but edge {_first(wrong)} has "
            f"{weights[wrong][0].item()}"
        )
    outside = ((edges < 0) | (edges >= len(unary))).any(1)
    if outside.any():
        edge = _first(outside)
        raise ValueError(
            f"edges should join nodes 0 to {len(unary) - 1}, but edge {edge} is "
            f"{edges[edge].tolist()}"
        )
    size = (
        unary.detach().double().masked_fill(unary == torch.inf, 0).abs().sum()
        + smooth * weights.detach().double().sum()
    )
    if not isfinite(float(size)):
        raise ValueError(
            "unary and weights should have a finite sum; divide both by the same number"
        )


def _check_labels(name: str, labels: Tensor, unary: Tensor) -> None:
    nodes, classes = unary.shape
    _expect(name, labels, f"int64 [{nodes}]", labels.shape == (nodes,), torch.int64)
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        raise ValueError(
            f"{name} should lie from 0 to {classes - 1}, but node {_first(outside)} has "
            f"{int(labels[outside][0])}"
        )


def _expect(name: str, given: Tensor, form: str, fits: bool, *kinds: torch.dtype) -> None:
    if not fits or given.dtype not in kinds or given.device.type != "cpu":
        kind = str(given.dtype).removeprefix("torch.")
        raise ValueError(
            f"{name} should be {form} on the CPU, but it is {kind} {list(given.shape)} on "
            f"{given.device}"
        )


def _first(wrong: Tensor) -> int:
    return int(wrong.nonzero()[0])
