"""How a correction carries on from what a person draws: one stroke, or one click, through the
largest wrong region of targets from weak labels, and what each method makes of it.

    python benchmarks/spreading.py                          40 images of the toy set
    python benchmarks/spreading.py --images 60 --of validation data=voc data.root=VOCdevkit \\
        data.train=train_animals5 data.val=val_animals5     photographs
    python benchmarks/spreading.py --methods drawn,spread   some of the methods alone

Targets are those of `boxes_crf` with careful boxes, with loosened ones, without the largest box and
with another class for it; filled boxes; and, for images with one class, the dense CRF of a centre
prior, from tags. A target with no wrong region of the size of a stroke is left out.

- drawn: the pixels of the stroke alone.
- superpixels: each superpixel that the stroke touches.
- geodesic: pieces whose way to the stroke, in differences of colours, is short.
- crf: a dense CRF of the target, in which the stroke is certain.
- cut: a graph cut over the pieces and priors of `spread`.
- spread: `weakseg.functional.spreading`, the random walk.

"IoU" is the mean over the classes of an image and then over the targets; "wrong" the share of wrong
pixels; "harm" the share of pixels that were right and are not any more; "ms" the median. Pixels
that the truth ignores do not count.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from statistics import mean, median
from time import perf_counter
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra
from sweep import setting
from torch import Tensor

from weakseg.config.recipe import load, resolve
from weakseg.data.base import WeakData
from weakseg.data.simulate.annotator import Annotator, stream_of
from weakseg.data.simulate.derive import objects_of
from weakseg.data.simulate.strokes import distance_inside, draws_of, stroke
from weakseg.evidence import IGNORE, Evidence
from weakseg.functional import spreading
from weakseg.functional.crf import DEEPLAB_V2, dense_crf
from weakseg.functional.regions.graphcut import graph_cut
from weakseg.functional.regions.superpixels import spread_marks
from weakseg.strategies.base import Context, Strategy
from weakseg.strategies.boxes_crf import BoxesCRF
from weakseg.strategies.boxes_rect import BoxesRect
from weakseg.strategies.cosegmentation import Cosegmentation
from weakseg.training.targets import target_of

Method = Callable[[Tensor, Tensor, Tensor], Tensor]
WIDTH = 0.008  # of a stroke, in diagonals of the image
SMALLEST = 0.0006  # of a wrong region that somebody corrects, as a share of the image
NEAR = 4.0  # of `geodesic`: differences of colour, in units of spreading.EDGE


class Case(NamedTuple):
    """A target, and what somebody draws on it."""

    kind: str
    image: Tensor
    truth: Tensor
    labels: Tensor
    drawn: dict[str, Tensor]
    """what is drawn, by its kind: uint8 [H,W], 255 elsewhere"""


def drawn(labels: Tensor, strokes: Tensor, image: Tensor) -> Tensor:
    return strokes.where(strokes != IGNORE, labels)


def superpixels(labels: Tensor, strokes: Tensor, image: Tensor) -> Tensor:
    spread = spread_marks(strokes, spreading.PIECES(image))
    return spread.where(spread != IGNORE, labels)


def geodesic(labels: Tensor, strokes: Tensor, image: Tensor) -> Tensor:
    pieces = spreading._cut(labels.numpy(), strokes.numpy(), image)
    first, second = pieces.borders[_inside(pieces)].T
    steps = np.linalg.norm(pieces.colours[first] - pieces.colours[second], axis=1)
    steps = steps / spreading.EDGE + 1e-6
    count = len(pieces.areas)
    graph = sparse.coo_matrix((steps, (first, second)), (count, count))
    starts = np.flatnonzero(pieces.wrong)
    away = dijkstra(graph, directed=False, indices=starts, min_only=True)
    return _taken(away < NEAR, pieces, labels, strokes)


def crf(labels: Tensor, strokes: Tensor, image: Tensor) -> Tensor:
    known = drawn(labels, strokes, image)
    classes = torch.unique(known[known != IGNORE])
    sure = torch.where(strokes != IGNORE, 0.999, 0.8)
    rest = (1 - sure) / max(1, len(classes) - 1)
    probs = torch.where(known == classes[:, None, None], sure, rest)
    found = classes[dense_crf(image, probs / probs.sum(0), DEEPLAB_V2).max(0).indices]
    return drawn(found, strokes, image)


def cut(labels: Tensor, strokes: Tensor, image: Tensor) -> Tensor:
    pieces = spreading._cut(labels.numpy(), strokes.numpy(), image)
    label = int(pieces.drawn[pieces.wrong][0])
    open_to = np.isin(pieces.labels, pieces.labels[pieces.wrong])
    free = open_to & (pieces.drawn == IGNORE)
    reach = spreading._reach(labels.numpy(), strokes.numpy(), label, pieces)
    logits = spreading._logits(pieces, label, pieces.wrong, free, reach)
    costs = np.zeros((len(free), 2))
    costs[free, 0] = logits.clip(0, 4) * np.sqrt(pieces.areas[free])
    costs[free, 1] = (-logits).clip(0, 4) * np.sqrt(pieces.areas[free])
    costs[pieces.wrong, 0] = np.inf
    costs[~open_to, 1] = np.inf
    edges, weights = torch.from_numpy(pieces.borders), torch.from_numpy(pieces.strengths)
    chosen = graph_cut(torch.from_numpy(costs), edges, weights, smooth=3.0).numpy() == 1
    return _taken(chosen, pieces, labels, strokes)


def spread(labels: Tensor, strokes: Tensor, image: Tensor) -> Tensor:
    return spreading.spread(labels, strokes, None, image)


METHODS: dict[str, Method] = {
    each.__name__: each for each in (drawn, superpixels, geodesic, crf, cut, spread)
}


def _inside(pieces: spreading._Pieces) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = np.isin(pieces.labels, pieces.labels[pieces.wrong])[
        pieces.borders
    ].all(1)
    return inside


def _taken(
    chosen: NDArray[np.bool_], pieces: spreading._Pieces, labels: Tensor, strokes: Tensor
) -> Tensor:
    own = (strokes != IGNORE) & (strokes != labels)
    there = torch.from_numpy(spreading._connected(chosen[pieces.numbers], own.numpy()))
    return drawn(labels.masked_fill(there, int(strokes[own][0])), strokes, labels)


def targets(bare: Evidence, truth: Tensor, classes: int) -> Iterator[tuple[str, Tensor]]:
    """Targets of an image from weak labels of several kinds."""
    objects, labels = objects_of(truth, 50)

    def annotated(kind: str, **faults: float) -> Evidence:
        fields = Annotator(**faults).annotate(  # type: ignore[arg-type]
            kind,  # type: ignore[arg-type]
            truth,
            objects,
            labels,
            classes,
            stream_of(bare.id, 0),
        )
        return bare._replace(**fields)  # type: ignore[arg-type]

    def target(strategy: Strategy, evidence: Evidence) -> Tensor:
        return target_of(strategy, evidence, Context(), classes).labels

    boxed = annotated("boxes")
    yield "boxes, filled", target(BoxesRect(), boxed)
    yield "boxes", target(BoxesCRF(), boxed)
    yield "loose boxes", target(BoxesCRF(), annotated("boxes", box_loose=0.15))
    assert boxed.boxes is not None
    assert boxed.box_classes is not None
    if len(boxed.boxes):
        sides = boxed.boxes[:, 2:] - boxed.boxes[:, :2]
        largest = int(sides.prod(1).argmax())
        others = torch.arange(len(boxed.boxes)) != largest
        fewer = boxed._replace(boxes=boxed.boxes[others], box_classes=boxed.box_classes[others])
        yield "a missing box", target(BoxesCRF(), fewer)
        wrong = boxed.box_classes.clone()
        wrong[largest] = wrong[largest] % (classes - 1) + 1
        yield "a wrong class", target(BoxesCRF(), boxed._replace(box_classes=wrong))
    tagged = annotated("tags")
    assert tagged.tags is not None
    if int(tagged.tags.sum()) == 2:
        yield "tags", target(Cosegmentation(), tagged)


def cases(data: WeakData, indices: list[int]) -> Iterator[Case]:
    """Targets with something to correct."""
    for index in indices:
        evidence, truth = data.sample(index)
        assert truth is not None
        bare = Evidence(evidence.id, evidence.image)
        for kind, labels in targets(bare, truth, len(data.classes)):
            found = largest_wrong(labels, truth)
            if found is not None:
                label, region = found
                own = drawings(region, f"{bare.id} {kind}")
                marks = {name: layer(pixels, label) for name, pixels in own.items()}
                yield Case(kind, bare.image, truth, labels, marks)


def largest_wrong(labels: Tensor, truth: Tensor) -> tuple[int, NDArray[np.bool_]] | None:
    """The class and the pixels of the largest connected region of one class that is labelled
    otherwise."""
    best = (SMALLEST * truth.numel(), -1, np.zeros(truth.shape, bool))
    for label in torch.unique(truth[truth != IGNORE]).tolist():
        parts, _ = ndimage.label(((truth == label) & (labels != label)).numpy())
        sizes = np.bincount(parts.ravel())[1:]
        if len(sizes) and sizes.max() > best[0]:
            best = (int(sizes.max()), label, parts == sizes.argmax() + 1)
    return None if best[1] < 0 else best[1:]


def drawings(region: NDArray[np.bool_], name: str) -> dict[str, NDArray[np.bool_]]:
    """A stroke and a click in a region."""
    width = max(2, round(WIDTH * float(np.hypot(*region.shape))))
    depth = distance_inside(region)
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    rows, columns = np.indices(region.shape)
    near = (rows - row) ** 2 + (columns - column) ** 2 <= width**2
    line = stroke(region, draws_of(region, stream_of(name, 0)), width)
    return {"stroke": line, "click": near & region}


def layer(pixels: NDArray[np.bool_], label: int) -> Tensor:
    marks = torch.full(pixels.shape, IGNORE, dtype=torch.uint8)
    marks[torch.from_numpy(pixels)] = label
    return marks


class Figures(NamedTuple):
    """Of one target, after a correction."""

    iou: float
    wrong: float
    harm: float
    ms: float


def measured(method: Method, case: Case, strokes: Tensor) -> Figures:
    start = perf_counter()
    found = method(case.labels, strokes, case.image)
    seconds = perf_counter() - start
    counted = case.truth != IGNORE
    right = found == case.truth
    harmed = counted & (case.labels == case.truth) & ~right
    share = counted.sum()
    wrong = (counted & ~right).sum() / share
    return Figures(iou(found, case.truth), float(wrong), float(harmed.sum() / share), seconds * 1e3)


def iou(labels: Tensor, truth: Tensor) -> float:
    """The mean over the classes that the labels or the truth show."""
    known = truth != IGNORE
    own, true = labels[known], truth[known]
    shown = torch.unique(torch.cat([own, true]))
    ratios = [
        float(((own == label) & (true == label)).sum() / ((own == label) | (true == label)).sum())
        for label in shown[shown != IGNORE].tolist()
    ]
    return mean(ratios)


Results = dict[tuple[str, str, str], list[Figures]]
"""by the kind of target, what is drawn and the method"""


def table(results: Results, before: dict[str, list[float]]) -> str:
    """A row for each method, and then the IoU for each kind of target."""
    kinds = list(before)
    pairs = list(dict.fromkeys((mark, method) for _, mark, method in results))
    lines = [
        f"| drawn | method | IoU | wrong % | harm % | ms | {' | '.join(kinds)} |",
        "|---" * (6 + len(kinds)) + "|",
        f"| nothing | | {mean(mean(each) for each in before.values()):.3f} | | | | "
        + " | ".join(f"{mean(each):.3f}" for each in before.values())
        + " |",
    ]
    for mark, method in pairs:
        own = [results[kind, mark, method] for kind in kinds]
        everything = [figures for each in own for figures in each]
        overall = mean(mean(figures.iou for figures in each) for each in own)
        wrong = 100 * mean(figures.wrong for figures in everything)
        harm = 100 * mean(figures.harm for figures in everything)
        ms = median(figures.ms for figures in everything)
        by_kind = " | ".join(f"{mean(figures.iou for figures in each):.3f}" for each in own)
        lines.append(
            f"| {mark} | {method} | {overall:.3f} | {wrong:.2f} | {harm:.2f} | {ms:.0f} | "
            f"{by_kind} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--of", choices=["training", "validation"], default="training")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("words", nargs="*")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data: WeakData = resolve(load(["recipe=full", *given.words])).build("data")
    data.prepare_data()
    data.setup("fit")
    indices = list(data.training if given.of == "training" else data.validation)[: given.images]
    results: Results = defaultdict(list)
    before: dict[str, list[float]] = defaultdict(list)
    for case in cases(data, indices):
        before[case.kind].append(iou(case.labels, case.truth))
        for mark, strokes in case.drawn.items():
            for method in given.methods.split(","):
                results[case.kind, mark, method].append(measured(METHODS[method], case, strokes))
    print(f"{setting()}; {' '.join(given.words) or 'toy set'}; {len(indices)} images\n")
    print(table(results, before))


if __name__ == "__main__":
    main()
