"""Whether weakseg's own superpixels and maximum flow are worth their lines, against what users have
installed anyway: scikit-image, SciPy and networkx.

    python benchmarks/regions.py                all tables, about two minutes
    python benchmarks/regions.py --repeats 15   steadier medians

All ways take turns on scikit-image's photographs, and a ratio is that of the medians of CPU time.
The expansion moves are those of `graph_cut` for all solvers; only who finds the minimum cut
differs. SciPy takes whole numbers as capacities, so costs are scaled and rounded for it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median
from time import process_time
from typing import Any

import networkx
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from skimage import data, segmentation, transform
from torch import Tensor

from weakseg.evidence import Evidence
from weakseg.functional.regions.graphcut import graph_cut, potts_energy
from weakseg.functional.regions.superpixels import felzenszwalb, neighbours, region_sums
from weakseg.strategies import ScribblesGraphCut, scribbles_graphcut

Floats = NDArray[np.float64]
PHOTOS = {"coffee": data.coffee, "astronaut": data.astronaut, "chelsea": data.chelsea}
UNITS = 10_000  # SciPy's capacities are whole numbers, this many to a cost of 1


def photo(name: str, height: int = 375, width: int = 500) -> Tensor:
    small = transform.resize(PHOTOS[name](), (height, width), anti_aliasing=True)
    return torch.from_numpy((small * 255).round().astype(np.uint8)).permute(2, 0, 1).contiguous()


def in_turns(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each way; the first turn, which may compile, does not count."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            start = process_time()
            way()
            if turn:
                times[name].append(process_time() - start)
    return {name: median(some) for name, some in times.items()}


def line(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


# Superpixels


def by_skimage(image: Tensor) -> Tensor:
    colours = image.permute(1, 2, 0).numpy()
    return torch.from_numpy(segmentation.felzenszwalb(colours, scale=75, sigma=0.5, min_size=30))


def superpixels_table(repeats: int) -> None:
    line("photograph", "regions", "same partition", "weakseg, ms", "scikit-image, ms", "ratio")
    line(*["---"] * 6)
    for name in PHOTOS:
        image = photo(name)
        ours, theirs = felzenszwalb(image), by_skimage(image)
        ways = {"ours": partial(felzenszwalb, image), "theirs": partial(by_skimage, image)}
        took = in_turns(ways, repeats)
        milliseconds = [f"{took[way] * 1e3:.0f}" for way in ways]
        ratio = f"{took['theirs'] / took['ours']:.1f}"
        line(name, int(ours.max()) + 1, torch.equal(ours, theirs), *milliseconds, ratio)


# Maximum flow


Problem = tuple[Tensor, Tensor, Tensor]
"""costs [N,C] of labels, edges [E,2] and their weights [E]"""
Solver = Callable[[Floats, NDArray[np.int64], Floats], NDArray[np.bool_]]
"""Which nodes take a label, from what they gain by it [N], the edges [E,2] and the weights [E]"""


def problem(colours: Tensor, edges: Tensor, labels: int) -> Problem:
    """Nodes of such colours [N,3]: labels are the colours of some of them, and an edge costs less
    where the colours of its two nodes differ."""
    random = torch.Generator().manual_seed(labels)
    centres = colours[torch.randperm(len(colours), generator=random)[:labels]]
    costs = torch.cdist(colours, centres) / 50
    differences = (colours[edges[:, 0]] - colours[edges[:, 1]]).norm(dim=1)
    return costs, edges, torch.exp(-differences / 20)


def region_problem(image: Tensor, labels: int) -> Problem:
    segments = felzenszwalb(image)
    sums = region_sums(torch.cat([image.float(), torch.ones(1, *segments.shape)]), segments)
    return problem(sums[:, :3] / sums[:, 3:], neighbours(segments), labels)


def grid_problem(image: Tensor, labels: int) -> Problem:
    height, width = image.shape[1:]
    pixels = torch.arange(height * width).view(height, width)
    return problem(image.flatten(1).T.double(), neighbours(pixels), labels)


def expand(solve: Solver, costs: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
    """The expansion moves of `graph_cut`, with another solver."""
    unary = costs.numpy()
    ends = edges.numpy()
    labels = unary.argmin(1)
    refused = 0
    turn = 0
    while refused < unary.shape[1]:
        label = turn % unary.shape[1]
        taken = labels.copy()
        taken[solve(*offer(unary, ends, weights.numpy(), labels, label))] = label
        before, after = (
            potts_energy(torch.from_numpy(some), costs, edges, weights) for some in (labels, taken)
        )
        refused = 1 if after < before else refused + 1
        labels = taken if after < before else labels
        turn += 1
    return torch.from_numpy(labels)


def offer(
    unary: Floats, ends: NDArray[np.int64], weights: Floats, labels: NDArray[np.int64], label: int
) -> tuple[Floats, NDArray[np.int64], Floats]:
    """What nodes gain by taking the label, and what it costs if one end of an edge does alone."""
    gain = unary[np.arange(len(labels)), labels] - unary[:, label]
    one, other = labels[ends].T
    differ = one != other
    half = differ & (one != label) & (other != label)
    for end, far in ((0, other), (1, one)):
        np.add.at(gain, ends[half, end], weights[half] / 2)
        sole = differ & (far == label)
        np.add.at(gain, ends[sole, end], weights[sole])
    gain[labels == label] = 0
    free = (one != label) & (other != label)
    return gain, ends[free], np.where(half, weights / 2, weights)[free]


def by_scipy(gain: Floats, edges: NDArray[np.int64], weights: Floats) -> NDArray[np.bool_]:
    nodes = len(gain)
    source, sink = nodes, nodes + 1
    gives, takes = np.flatnonzero(gain > 0), np.flatnonzero(gain < 0)
    tail = np.concatenate([edges[:, 0], edges[:, 1], np.full(len(gives), source), takes])
    head = np.concatenate([edges[:, 1], edges[:, 0], gives, np.full(len(takes), sink)])
    capacity = np.concatenate([weights, weights, gain[gives], -gain[takes]]) * UNITS
    shape = (nodes + 2, nodes + 2)
    graph = csr_array(coo_array((capacity.round().astype(np.int32), (tail, head)), shape))
    graph = csr_array((graph.data, graph.indices.astype(np.int32), graph.indptr.astype(np.int32)))
    rest = csr_array(graph - maximum_flow(graph, source, sink).flow)
    rest.eliminate_zeros()
    reached = np.zeros(nodes + 2, bool)
    reached[breadth_first_order(rest, source, return_predecessors=False)] = True
    return reached[:nodes]


def by_networkx(gain: Floats, edges: NDArray[np.int64], weights: Floats) -> NDArray[np.bool_]:
    graph = networkx.DiGraph()
    graph.add_nodes_from(["source", "sink"])
    for (one, other), weight in zip(edges.tolist(), weights.tolist(), strict=True):
        graph.add_edge(one, other, capacity=weight)
        graph.add_edge(other, one, capacity=weight)
    for node, amount in enumerate(gain.tolist()):
        if amount > 0:
            graph.add_edge("source", node, capacity=amount)
        elif amount < 0:
            graph.add_edge(node, "sink", capacity=-amount)
    solver = networkx.algorithms.flow.boykov_kolmogorov
    side, _ = networkx.minimum_cut(graph, "source", "sink", flow_func=solver)[1]
    reached = np.zeros(len(gain), bool)
    reached[[node for node in side if node != "source"]] = True
    return reached


def flow_table(repeats: int) -> None:
    head = (
        "graph",
        "nodes",
        "edges",
        "labels",
        "weakseg, ms",
        "SciPy, times as long",
        "networkx",
        "energies",
    )
    line(*head)
    line(*["---"] * len(head))
    for name in PHOTOS:
        for labels in (3, 21):
            flow_line(f"regions of {name}", region_problem(photo(name), labels), repeats, True)
    for labels in (2, 5):
        flow_line("pixels of coffee", grid_problem(photo("coffee", 94, 125), labels), 3, False)


def flow_line(name: str, given: Problem, repeats: int, small: bool) -> None:
    """Ratios to weakseg's time, and to its energy: SciPy's, and networkx's."""
    ways: dict[str, Callable[[], Tensor]] = {"weakseg": partial(graph_cut, *given)}
    ways["SciPy"] = partial(expand, by_scipy, *given)
    if small:
        ways["networkx"] = partial(expand, by_networkx, *given)
    took = in_turns(ways, repeats)
    energies = {way: potts_energy(run(), *given) for way, run in ways.items()}
    ratios = [
        f"{took[way] / took['weakseg']:.1f}" if way in took else "" for way in ("SciPy", "networkx")
    ]
    near = ", ".join(f"{energies[way] / energies['weakseg']:.5f}" for way in list(ways)[1:])
    costs, edges, _ = given
    size = (len(costs), len(edges), costs.shape[1])
    line(name, *size, f"{took['weakseg'] * 1e3:.1f}", *ratios, near)


# A whole estimate


def strokes(labels: int, height: int, width: int) -> Tensor:
    """Marks with a horizontal stroke of each class."""
    random = torch.Generator().manual_seed(1)
    marks = torch.full((height, width), 255, dtype=torch.uint8)
    for label in range(labels):
        top, left = (int(torch.randint(size - 60, (), generator=random)) for size in marks.shape)
        marks[top : top + 3, left : left + 60] = label
    return marks


def cut_by_scipy(unary: Tensor, edges: Tensor, weights: Tensor, smooth: float) -> Tensor:
    finite = torch.nan_to_num(unary.double(), posinf=1e3)
    return expand(by_scipy, finite, edges, smooth * weights.double())


def estimate_table(repeats: int) -> None:
    """With superpixels made, as in the first round, and without, as in later ones."""
    head = ("marked classes", "first round, ms", "with SciPy, ms", "later rounds, ms")
    line(*head, "with SciPy, ms")
    line(*["---"] * 5)
    image = photo("coffee")
    for labels in (3, 6, 21):
        evidence = Evidence(id="coffee", image=image, marks=strokes(labels, *image.shape[1:]))
        first, later = ScribblesGraphCut(), ScribblesGraphCut()
        kept = later._regions(image)
        later._regions = lambda image, kept=kept: kept  # type: ignore[method-assign, misc]

        def estimate(strategy: ScribblesGraphCut, cut: Any, evidence: Evidence = evidence) -> None:
            scribbles_graphcut.graph_cut = cut
            strategy.estimate(evidence, None)

        cuts = {"own": graph_cut, "scipy": cut_by_scipy}
        rounds = {"first": first, "later": later}
        ways = {
            f"{name} {cut}": partial(estimate, strategy, cuts[cut])
            for name, strategy in rounds.items()
            for cut in cuts
        }
        line(labels, *(f"{took * 1e3:.1f}" for took in in_turns(ways, repeats).values()))
    scribbles_graphcut.graph_cut = graph_cut


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    superpixels_table(arguments.repeats)
    print()
    flow_table(arguments.repeats)
    print()
    estimate_table(arguments.repeats)


if __name__ == "__main__":
    main()
