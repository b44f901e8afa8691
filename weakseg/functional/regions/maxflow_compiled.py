"""Expansion moves by maximum flow, compiled for the processor at hand: the loops of `graphcut`, in
one thread. With SciPy's maximum flow, rounds after the first take two and a half to seven times as
long, as docs/explanation/decisions/region-solvers.md shows.

A move offers one label to all nodes at once. Those that take it and those that keep theirs are the
two sides of a minimum cut. Nodes that gain by taking have something to give away, nodes that lose
by it can receive, and each edge carries as much as it costs to cut it. When nothing more can be
given away, the nodes to which something could still flow are those that take the label.

The flow is that of Dinic (Soviet Mathematics Doklady, 1970), which ends whatever rounding does:
what is sent along a path leaves exactly zero at the tightest place, so each pass blocks all of the
shortest ways, and there are no more lengths of ways than nodes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weakseg.functional.compiled import compiled

ROUNDING = 2.0**-52  # at most this part of the result, when two numbers are added
# flow goes as many times as far in one pass as it must; nearer makes more passes, farther makes
# each of them longer
FARTHER = 2

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Labels = NDArray[np.int64]


class Graph(NamedTuple):
    """The edges around each node: node n has arcs first[n] to first[n + 1]. Every edge is two arcs,
    one each way. Made by `graph`."""

    first: Ints
    """[N+1]"""
    head: Ints
    """[A]: where an arc leads to"""
    twin: Ints
    """[A]: the arc the other way"""
    weight: Floats
    """[A]"""


class Flow(NamedTuple):
    """The state of the maximum flow of one move."""

    room: Floats
    """[A]: what each arc could still carry"""
    gain: Floats
    """[N]: what a node could still give away, if it is positive, or could receive, if it is
    negative"""
    level: Ints
    """[N]: how many arcs a node is away from one that gives; -1: out of reach"""
    arc: Ints
    """[N]: the arc of a node to try next"""
    queue: Ints
    """[N]: the nodes in reach, nearest first"""
    path: Ints
    """[N]: arcs from a giving node to the one that is looked at"""


def graph(edges: Labels, weights: Floats, nodes: int) -> Graph:
    """Arcs both ways for edges [E,2] with weights [E]. Edges that can carry nothing, or lead back
    to their node, are left out."""
    useful = (weights > 0) & (edges[:, 0] != edges[:, 1])
    one, other = edges[useful].T
    tail = np.concatenate([one, other])
    order = np.argsort(tail, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    first = np.concatenate([[0], np.cumsum(np.bincount(tail, minlength=nodes))])
    head = np.concatenate([other, one])[order]
    twin = np.roll(place, len(one))[order]
    return Graph(
        first.astype(np.int32),
        head.astype(np.int32),
        twin.astype(np.int32),
        np.tile(weights[useful], 2)[order],
    )


def flow(arcs: Graph) -> Flow:
    """Space for moves on a graph; nothing is written into it yet."""
    nodes = len(arcs.first) - 1
    kinds = (np.int32, np.int32, np.int32, np.int32)
    return Flow(
        np.empty(len(arcs.head)), np.empty(nodes), *(np.empty(nodes, kind) for kind in kinds)
    )


@compiled
def expand(unary: Floats, arcs: Graph, offered: Labels, space: Flow, labels: Labels) -> None:
    """Offer the labels in turn, and change `labels` in place, until none of them lowers the energy
    any more."""
    refused = 0
    turn = 0
    while refused < len(offered):
        label = offered[turn % len(offered)]
        _offer(unary, arcs, label, space, labels)
        takers = cut(arcs, space)
        if takers > 0 and _falls(unary, arcs, label, space, labels):
            for node in space.queue[:takers]:
                labels[node] = label
            refused = 0
        refused += 1  # after a move the same label has nothing more to offer
        turn += 1


@compiled
def _offer(unary: Floats, arcs: Graph, label: int, space: Flow, labels: Labels) -> None:
    """What each node gains if it takes the label alone, and what it costs if only one end of an
    edge does.

    Where the ends have different labels, an edge costs its weight unless both take the new one.
    That is the same as half of the weight for taking different sides, plus half of it for each end
    that does not take the label.
    """
    for node in range(len(labels)):
        own = labels[node]
        gain = 0.0
        free = own != label and unary[node, label] < np.inf
        for arc in range(arcs.first[node], arcs.first[node + 1]):
            other = labels[arcs.head[arc]]
            weight = arcs.weight[arc]
            both = free and other != label and unary[arcs.head[arc], label] < np.inf
            space.room[arc] = (weight if other == own else weight / 2) if both else 0.0
            if both:
                gain += 0.0 if other == own else weight / 2
            elif other == label:
                gain += weight
            elif other == own:
                gain -= weight
        space.gain[node] = gain + (unary[node, own] - unary[node, label]) if free else 0.0


@compiled
def _falls(unary: Floats, arcs: Graph, label: int, space: Flow, labels: Labels) -> bool:
    """Whether the energy is lower if the nodes in reach take the label, by more than rounding may
    have made up."""
    change = 0.0
    size = 0.0
    terms = 0
    for node in range(len(labels)):
        if space.level[node] >= 0:
            own = labels[node]
            change += unary[node, label] - unary[node, own]
            size += abs(unary[node, label]) + abs(unary[node, own])
            terms += 2
            for arc in range(arcs.first[node], arcs.first[node + 1]):
                head = arcs.head[arc]
                share = arcs.weight[arc] / 2 if space.level[head] >= 0 else arcs.weight[arc]
                after = np.int64(space.level[head] < 0 and labels[head] != label)
                change += share * (after - np.int64(labels[head] != own))
                size += share
                terms += 1
    return change < -ROUNDING * terms * size


@compiled
def cut(arcs: Graph, space: Flow) -> int:
    """Find the maximum flow, and from it how many nodes take the label. They are the first in the
    queue, and those with a level from 0 upwards."""
    reached = 0
    found = True
    while found:
        givers, reached, found = _spread(arcs, space)
        for node in space.queue[: givers * found]:
            _give(arcs, space, node)
    return reached


@compiled
def _spread(arcs: Graph, space: Flow) -> tuple[int, int, bool]:
    """Levels of the nodes within reach: how many nodes give, how many are in reach, and whether one
    of these can receive.

    If one can, nodes more than `FARTHER` times as far away are left out.
    """
    givers = _givers(arcs, space)
    place = 0
    end = givers
    found = False
    last = len(space.gain)
    while place < end and space.level[space.queue[place]] < last:
        node = space.queue[place]
        for arc in range(arcs.first[node], arcs.first[node + 1]):
            head = arcs.head[arc]
            if space.level[head] < 0 and space.room[arc] > 0:
                _reach(arcs, space, head, space.level[node] + 1, end)
                end += 1
                if space.gain[head] < 0 and not found:
                    found = True
                    last = FARTHER * space.level[head]
        place += 1
    return givers, end, found


@compiled
def _givers(arcs: Graph, space: Flow) -> int:
    """Begin the queue with the nodes that give: how many there are."""
    end = 0
    for node in range(len(space.gain)):
        space.level[node] = -1
        if space.gain[node] > 0:
            _reach(arcs, space, node, 0, end)
            end += 1
    return end


@compiled
def _reach(arcs: Graph, space: Flow, node: int, level: int, place: int) -> None:
    space.level[node] = level
    space.arc[node] = arcs.first[node]
    space.queue[place] = node


@compiled
def _give(arcs: Graph, space: Flow, giver: int) -> None:
    """Give away what a node has along arcs that lead to the next level, until it has nothing or
    none of them leads anywhere."""
    node = giver
    length = 0
    while True:
        if space.gain[node] < 0:
            length = _send(arcs, space, giver, length)
            if space.gain[giver] <= 0:
                return
            node = arcs.head[space.path[length - 1]] if length else giver
            continue
        arc = _onward(arcs, space, node)
        if arc >= 0:
            space.path[length] = arc
            length += 1
            node = arcs.head[arc]
        elif length == 0:
            return
        else:  # a dead end
            length -= 1
            node = arcs.head[arcs.twin[space.path[length]]]
            space.arc[node] += 1


@compiled
def _onward(arcs: Graph, space: Flow, node: int) -> int:
    """The first arc not yet given up that leads from a node to the next level and has room; -1:
    there is none."""
    for arc in range(space.arc[node], arcs.first[node + 1]):
        if space.room[arc] > 0 and space.level[arcs.head[arc]] == space.level[node] + 1:
            space.arc[node] = arc
            return arc
    space.arc[node] = arcs.first[node + 1]
    return -1


@compiled
def _send(arcs: Graph, space: Flow, giver: int, length: int) -> int:
    """Send along the path as much as fits; how much of the path still has room."""
    receiver = arcs.head[space.path[length - 1]]
    amount = min(space.gain[giver], -space.gain[receiver])
    for arc in space.path[:length]:
        amount = min(amount, space.room[arc])
    space.gain[giver] -= amount
    space.gain[receiver] += amount
    left = length
    for step in range(length - 1, -1, -1):
        arc = space.path[step]
        space.room[arc] -= amount
        space.room[arcs.twin[arc]] += amount
        if space.room[arc] <= 0:
            left = step
    return left
