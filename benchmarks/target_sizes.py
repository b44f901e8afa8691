"""How good are targets for small objects, and for large ones? Of any recipes on one data set with
masks, after each iteration of those that are fitted to all images. Nothing is trained.

    python benchmarks/target_sizes.py --recipes boxes,tags_coseg
    python benchmarks/target_sizes.py @benchmarks/animals.txt data.root=VOCdevkit \\
        network.weights=mobilenet_v2.pth --recipes tags_coseg,points_coseg --places even

Words go to every recipe, as on the command line of weakseg.fit; with names of recipes and a colon
in front, to these alone. @file reads words from a file. Targets are those of round 0, of the
training images. --places takes the images at even or odd places of the sorted list alone, also for
what is fitted to all images: choose settings on the one half, confirm them on the other.

Sizes are shares of the image that are not background; with --by pieces, the share of the largest
connected piece. IoU is that of all classes but background together, its mean over the images; area
is that of the labels for one of the truth. Per class: IoU and area over all images.

Targets are kept in --folder under keys that hold the code, so a second call shows them at once, and
a change of the code computes them anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch
from sweep import complete, reader, setting
from torch import Tensor

from weakseg.config.recipe import RecipeError, load, resolve
from weakseg.functional.confusion import confusion_matrix, iou
from weakseg.functional.object_sizes import (
    SIZES,
    SizeCounts,
    SizeRow,
    foreground_share,
    largest_piece_share,
)
from weakseg.labelling.images import read_images
from weakseg.labelling.source import Source, source_of_round_0
from weakseg.training.label_quality import harden
from weakseg.training.round_targets import RoundTargets, cache_folder
from weakseg.utils.array_cache import ArrayCache
from weakseg.utils.progress import track

SHARES: dict[str, Callable[[Tensor], float]] = {
    "foreground": foreground_share,
    "pieces": largest_piece_share,
}
PLACES = {"all": slice(None), "even": slice(0, None, 2), "odd": slice(1, None, 2)}


class Measured(NamedTuple):
    """The targets of all images after one iteration."""

    iteration: int
    rows: list[SizeRow]
    """of each size class"""
    ious: list[float]
    """of each class"""
    areas: list[float]
    """pixels of each class in the targets, for one in the truth"""
    seconds: float
    """of the fit, or of the estimation where nothing was fitted"""


def source(recipe: str, words: Sequence[str], folder: Path) -> Source:
    """A recipe with its data set and network, whose targets are kept in a folder."""
    usual = [f"rounds.folder={folder}"]
    return source_of_round_0(resolve(load([*complete(recipe, [*usual, *words])])))


def chosen(source: Source, places: str, most: int | None) -> list[int]:
    """The training images at some of the places of the list sorted by ids."""
    ids = {index: str(source.data.sample(index)[0].id) for index in source.data.training}
    ordered = sorted(ids, key=ids.__getitem__)[PLACES[places]]
    step = 1 if most is None else -(-len(ordered) // most)
    return ordered[::step]


def round_0(source: Source, mine: Sequence[int]) -> RoundTargets:
    """The targets of the first round of these images."""
    found = read_images(source, mine)
    own = {index: found.readable[index] for index in mine if index in found.readable}
    if len(own) < len(mine):
        print(f"{len(mine) - len(own)} images cannot be read or have no evidence")
    cache = ArrayCache(cache_folder(source.store, source.segmenter.strategy))
    workers = source.rounds.workers
    return RoundTargets(source.segmenter, source, own, source.store, cache, 0, workers)


def measured(source: Source, mine: Sequence[int], share: str) -> Iterator[Measured]:
    """The targets after each iteration."""
    targets = round_0(source, mine)
    began = perf_counter()
    for iteration in targets.fits(list(targets.images)):
        fitted = perf_counter() - began
        began = perf_counter()
        keys = targets.keys()
        estimate_missing(targets, keys)
        seconds = fitted if iteration else perf_counter() - began
        yield count(source, targets, keys, SHARES[share])._replace(
            iteration=iteration, seconds=seconds
        )
        began = perf_counter()


def estimate_missing(targets: RoundTargets, keys: Mapping[int, str]) -> None:
    """Estimate the targets that are not kept."""
    missing = targets.missing(keys)
    for failure in track(targets.estimate(keys, missing), len(missing), "estimating"):
        if failure is not None:
            raise SystemExit(f"image {failure.id}: {failure.reason}")


def count(
    source: Source,
    targets: RoundTargets,
    keys: Mapping[int, str],
    share: Callable[[Tensor], float],
) -> Measured:
    """Compare the targets with the truth."""
    classes = len(source.segmenter.classes)
    sizes = SizeCounts()
    confusion = torch.zeros(classes, classes, dtype=torch.int64)
    pixels = torch.zeros(2, classes, dtype=torch.int64)
    for index, key in keys.items():
        evidence, truth = source.corrected(index)
        if truth is None:
            continue
        labels = harden(source.store.read(evidence.id, key), evidence.box_classes)
        sizes.add(labels, truth, share(truth), classes)
        own = confusion_matrix(labels, truth, classes)
        confusion += own
        pixels += torch.stack([own.sum(0), own.sum(1)])
    if not confusion.any():
        raise SystemExit("no image has a mask to compare its target with")
    areas = (pixels[0].double() / pixels[1]).tolist()
    return Measured(0, sizes.rows(), iou(confusion).tolist(), areas, 0.0)


def mean(values: Sequence[float]) -> float:
    return float(torch.tensor(values).nanmean())


def size_table(results: Sequence[Measured]) -> str:
    """A row for each iteration: mean IoU of all classes, and IoU and area of each size class."""
    counts = [f"{name} ({row.images})" for name, row in zip(SIZES, results[0].rows, strict=True)]
    head = ["iteration", "target mIoU", "coverage", *counts, "s"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for result in results:
        sizes = [f"{row.iou:.3f}, area {row.area:.2f}" for row in result.rows]
        coverage = mean([row.coverage for row in result.rows])
        cells = [
            str(result.iteration),
            f"{mean(result.ious):.3f}",
            f"{coverage:.2f}",
            *sizes,
            f"{result.seconds:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def class_table(results: Sequence[Measured], classes: Sequence[str]) -> str:
    """A row for each iteration: IoU and area of each class."""
    head = ["iteration", *classes]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for result in results:
        cells = [
            f"{value:.3f}, area {area:.2f}"
            for value, area in zip(result.ious, result.areas, strict=True)
        ]
        lines.append("| " + " | ".join([str(result.iteration), *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = reader(__doc__)
    parser.add_argument("--recipes", required=True, help="names with commas between them")
    parser.add_argument("--places", choices=PLACES, default="all", help="of the sorted images")
    parser.add_argument("--images", type=int, help="so many at most, spread over the list")
    parser.add_argument("--by", choices=SHARES, default="foreground", help="what a size is")
    parser.add_argument("--folder", type=Path, default=Path("runs/target_sizes"))
    parser.add_argument("--chosen-on", help="on which images the settings were chosen: printed")
    arguments = parser.parse_intermixed_args()
    print(f"{setting()}; {arguments.places} places; sizes by {arguments.by}", flush=True)
    if arguments.chosen_on:
        print(f"settings were chosen on {arguments.chosen_on}", flush=True)
    try:
        for recipe in arguments.recipes.split(","):
            show(recipe, arguments)
    except RecipeError as error:
        raise SystemExit("\n".join(error.errors)) from None


def show(recipe: str, arguments: argparse.Namespace) -> None:
    """Print the tables of one recipe."""
    origin = source(recipe, arguments.words, arguments.folder)
    mine = chosen(origin, arguments.places, arguments.images)
    results = list(measured(origin, mine, arguments.by))
    print(f"\n{recipe}: targets of {len(mine)} images\n\n{size_table(results)}\n")
    print(class_table(results, origin.segmenter.classes), flush=True)


if __name__ == "__main__":
    main()
