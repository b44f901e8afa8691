"""Scribbles, propagated over superpixels by a graph cut, with the network's predictions in later
rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Gt, doc
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.regions.graphcut import graph_cut
from weakseg.functional.regions.region_appearance import (
    appearance_costs,
    connected_costs,
    marked_class,
)
from weakseg.functional.regions.region_graph import (
    Superpixels,
    edge_similarity,
    from_arrays,
    median_distance,
    regions,
    to_arrays,
)
from weakseg.functional.regions.superpixels import region_counts, region_sums
from weakseg.strategies.base import (
    Context,
    Estimate,
    Strategy,
)
from weakseg.strategies.shared.marked import need_marked_pixel
from weakseg.utils.limits import NotNegative, limited

BY_EDGES = Superpixels()
LEAST = 1e-6  # a smaller probability than this counts as this


Tolerance = Annotated[float, Gt(0), doc("or null for the median of the image's borders")]


class ScribblesGraphCut(Strategy):
    """Pseudo-labels by a graph cut over superpixels that propagates scribbles along similar
    colours; in later rounds the network's predictions are its unaries.

    ScribbleSup (Lin, Dai, Jia, He and Sun, "ScribbleSup: Scribble-Supervised Convolutional Networks
    for Semantic Segmentation", CVPR 2016). Only classes that are marked on an image can win there.
    Round 0 has marks and colours; in later rounds (`rounds.when=epochs`) the network's
    probabilities, summed over each superpixel, take the place of the appearance. A superpixel with
    marks of several classes takes the one with the most marked pixels in the cut (of equal ones the
    lower); how many of these there are is logged as estimate/torn. In the target, every marked
    pixel has its own class.

    In the paper nothing but borders gives an unmarked superpixel its class in round 0, so a class
    shrinks to its scribble where a ring of cheap borders lies close around it. Here superpixels
    also cost what their colours differ from the marked ones of each class, as far as they are
    connected to these: a class is found along a path of superpixels that look like it, which
    never crosses marks of another class. So a ring of background scribbles closes what is behind
    it, although it may have an organ's brightness.

    Args:
        superpixels: how the image is cut into pieces.
        smooth: what a border between two classes costs, where both sides have the same colours.
        appearance: weight of the unaries of round 0: the squared Hellinger distance of a
            superpixel's colour histogram to the nearest one that is marked with the class, in units
            of the median over borders. 0 is the paper.
        network: weight of the network's predictions, from round 1 on; 1 is the paper's sum over the
            pixels of a superpixel.
        colour, texture: how different the histograms of two sides have to be to make a border
            cheap; null takes the median of the image's borders. The paper has 5 and 10, with which
            every border costs nearly the same: its histograms can differ by no more than 2.
        connected: whether appearance counts along connections alone. With false, a superpixel may
            get a class that it looks like wherever it is: for images on which not every object has
            a scribble.
    """

    needs: ClassVar[tuple[str, ...]] = ("marks",)
    tunable: ClassVar[Mapping[str, Sequence[Any]]] = {
        "appearance": (0, 0.5, 1),
        "superpixels.scale": (20, 40, 80),
    }

    @limited
    def __init__(
        self,
        superpixels: Superpixels = BY_EDGES,
        smooth: NotNegative = 1.0,
        appearance: NotNegative = 0.5,
        network: NotNegative = 1.0,
        colour: Tolerance | None = None,
        texture: Tolerance | None = None,
        connected: bool = True,
    ) -> None:
        super().__init__()
        self.superpixels = superpixels
        self.smooth = smooth
        self.appearance = appearance
        self.network = network
        self.colour = colour
        self.texture = texture
        self.connected = connected

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Every image must have a marked pixel."""
        need_marked_pixel(evidence)

    def estimate(self, evidence: Evidence, context: Context) -> Estimate:
        """The cut, with the marks written over it."""
        marks = need_marked_pixel(evidence)
        image = evidence.image
        kept = context.cache.get_or_make(  # the same in each round
            ("regions", image, self.superpixels),
            lambda: to_arrays(regions(image, self.superpixels)),
        )
        graph = from_arrays(kept)
        classes = torch.unique(marks[marks != IGNORE])
        counts = region_counts(marks, graph.segments, int(classes[-1]) + 1)[:, classes.long()]
        if context.prediction is None:
            costs = appearance_costs(graph, counts)
            if self.connected:
                costs = connected_costs(costs, graph.edges, counts)
            unary = self.appearance * costs
        else:
            costs = -context.prediction.probs[classes.long()].clamp(min=LEAST).log()
            unary = self.network * region_sums(costs, graph.segments).double()
        unary = unary.masked_fill(_forbidden(counts), torch.inf)
        similarity = edge_similarity(graph, self.colour, self.texture)
        labels: Tensor = classes[graph_cut(unary, graph.edges, similarity, self.smooth)]
        target: Tensor = labels[graph.segments].where(marks == IGNORE, marks)
        figures = {
            "torn": ((counts > 0).sum(1) > 1).sum(),
            "superpixels": torch.tensor(len(counts)),
            "colour": torch.tensor(self.colour or median_distance(graph.colour) ** 0.5),
            "texture": torch.tensor(self.texture or median_distance(graph.texture) ** 0.5),
        }
        return Estimate(target, figures)


def _forbidden(counts: Tensor) -> Tensor:
    """Where a superpixel is marked with another class, bool [N,C], by counts of marked pixels."""
    return (counts.sum(1, keepdim=True) > 0) & ~marked_class(counts)
