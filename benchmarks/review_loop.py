"""Does it pay to look at the most suspicious images first? A simulated person corrects a data set
with wrong annotations in the circle of weakseg.review: train, look at some images, correct one
thing on each, train again. One table and one picture.

    python benchmarks/review_loop.py                      the toy set with wrong clicks, three seeds
    python benchmarks/review_loop.py --seeds 1 --rounds 1 --orders worst,random
    python benchmarks/review_loop.py --recipe boxes data.annotator.box_missing=0.2
    python benchmarks/review_loop.py @benchmarks/animals.txt data.root=VOCdevkit \\
        network.weights=mobilenet_v2.pth

Orders: worst first, as weakseg.fit has written them into review.csv; random; and oracle, by the
number of wrong pixels in the target, which nobody can know. The person sees the target, and the
prediction where that has no label. Beside them full masks on as many images as may be drawn in the
same time, drawn at random.

Words go to every run, as on the command line of weakseg.fit, with {seed} for its number; @file
reads them from a file. Without any, the toy set is used as TOY says. The data set must have masks,
which the person knows. All runs of a seed start from the same weights and make the same number of
steps. Finished runs and reviews are kept: a second call goes on where the first was stopped. After
a change of the code take another folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from label_efficiency import build, initial_weights, seeds_of
from review_chart import Curve, review_chart
from review_round import ORDERS, Order, Review, keep_only, looks_of, review, seconds_of
from sweep import Figures, cell, complete, figures_of, reader, run_of, setting

from weakseg.config.recipe import RecipeError, Resolved, load, resolve
from weakseg.data.simulate.corrector import SOURCES, Corrector
from weakseg.evaluation.annotation_cost import SECONDS, AnnotationCost, seconds_per_image
from weakseg.strategies.base import fits_together
from weakseg.utils.files import write_whole
from weakseg.utils.fingerprint import fingerprint

TOY = (
    "data=toy",
    "data.train=64",
    "data.val=100",
    "data.size=48",
    "data.drawing_seed={seed}",
    "data.batch_size=16",
    "data.annotator.point_background=2",
    "data.annotator.class_swapped=0.3",
    "strategy.weight=0",
    "trainer.max_steps=60",
    "rounds.workers=0",
)


class Point(NamedTuple):
    """What one seed has come to after some corrections."""

    corrections: float
    looks: float
    """at an image, with or without a correction"""
    hours: float
    """of all annotation so far, with the corrections"""
    miou: float
    """of the network, on the images held out"""
    target: float
    """mIoU of the targets, where they have a label; nan if there are none"""


class Setup(NamedTuple):
    """What is the same for all orders."""

    recipe: str
    words: Sequence[str]
    rounds: int
    each: int
    corrector: Corrector
    folder: Path


class Results(NamedTuple):
    """The points of every seed that is finished, in the order of the rounds."""

    orders: Mapping[Order, Sequence[Sequence[Point]]]
    masks: Sequence[Point]
    """with full masks alone, one per seed"""


def follow(setup: Setup, order: Order, seed: int, start: Path) -> list[Point]:
    """Train, review, and train again, as often as there are rounds."""
    points = []
    corrections = 0
    folder: Path | None = None
    for number in range(setup.rounds + 1):
        words = words_of(setup, seed, start, folder)
        figures = figures_of(f"{order}, seed {seed}, round {number}", words, setup.folder)
        point = point_of(corrections, looks_of(folder), hours(words, folder), figures)
        points.append(point)
        if number < setup.rounds:
            run = run_of(words, setup.folder)
            task = Review(words, run, folder, order, setup.each, setup.corrector, seed)
            name = fingerprint(*sorted(words), order, setup.each, str(setup.corrector))
            folder = setup.folder / "corrections" / f"{order}-{seed}-{number + 1}-{name[:12]}"
            corrections = review(task, folder)
    return points


def words_of(setup: Setup, seed: int, start: Path, folder: Path | None) -> list[str]:
    """Those of one run, with the corrections of a folder."""
    own = [
        f"seed={seed}",
        f"init_from={start}",
        "trainer.enable_checkpointing=true",
        *([] if folder is None else [f"data.corrections={folder}"]),
    ]
    words = [word.replace("{seed}", str(seed)) for word in setup.words]
    return complete(setup.recipe, [*words, *own])


def hours(words: Sequence[str], folder: Path | None) -> float:
    """Of annotation: published ones for what there was at the beginning, and those of the
    corrections."""
    recipe = resolve(load(words))
    data: Any = recipe.build("data")
    seconds = seconds_per_image(recipe.sections["data"])
    cost = AnnotationCost(seconds, len(data.training), seconds_of(folder)).hours
    if cost is None:
        raise SystemExit("data.evidence: the kind of annotation should be named, such as points")
    return cost


def with_masks(setup: Setup, seed: int, start: Path, budget: float) -> Point:
    """Full masks on as many images as may be drawn in so many hours."""
    count = max(1, round(budget * 3600 / SECONDS["masks"]))
    words = complete("full", [*words_of(setup, seed, start, None)[1:], "data.evidence=masks"])
    words = [word for word in words if not word.startswith("strategy.")]
    folder = setup.folder / "corrections" / f"masks-{seed}-{count}-{fingerprint(*words)[:12]}"
    keep_only(words, count, seed, folder)
    words.append(f"data.corrections={folder}")
    figures = figures_of(f"{count} masks, seed {seed}", words, setup.folder)
    return point_of(0, count, count * SECONDS["masks"] / 3600, figures)


def point_of(corrections: int, looks: int, spent: float, figures: Figures) -> Point:
    """A point from the figures of a run."""
    return Point(
        corrections, looks, spent, figures["val/miou"], figures.get("label/miou", float("nan"))
    )


def needed(points: Sequence[tuple[float, float]], level: float) -> float | None:
    """How far along a curve is as high as a level for the first time, between points on the
    straight line; None if it never is.

    >>> needed([(0, 0.5), (10, 0.7)], 0.6), needed([(0, 0.5), (10, 0.7)], 0.8)
    (5.0, None)
    """
    for place, (x, y) in enumerate(points):
        if y >= level:
            if place == 0:
                return float(x)
            before, low = points[place - 1]
            return round(before + (x - before) * (level - low) / (y - low), 6)
    return None


def mean_curve(seeds: Sequence[Sequence[Point]]) -> list[Point]:
    """The mean over the seeds, round by round."""
    return [Point(*map(mean, zip(*points, strict=True))) for points in zip(*seeds, strict=True)]


def table(results: Results) -> str:
    """A row per order and round, as markdown; and how much each order needs for what random order
    reaches in the end."""
    lines = [
        "| order | corrections | looks at an image | hours | val mIoU | target mIoU |",
        "|---|---|---|---|---|---|",
    ]
    curves = {order: mean_curve(seeds) for order, seeds in results.orders.items()}
    for order, seeds in results.orders.items():
        for number, point in enumerate(curves[order]):
            here = [seed[number] for seed in seeds]
            scores = cell([each.miou for each in here])
            targets = cell([each.target for each in here])
            lines.append(
                f"| {order} | {point.corrections:.0f} | {point.looks:.1f} | {point.hours:.3f} | "
                f"{scores} | {targets} |"
            )
    if results.masks:
        spent = mean(point.hours for point in results.masks)
        scores = cell([point.miou for point in results.masks])
        lines += ["", f"Full masks alone, drawn in {spent:.3f} hours: val mIoU {scores}."]
    if "random" in curves:
        lines += ["", *summary(curves)]
    return "\n".join(lines)


def summary(curves: Mapping[Order, Sequence[Point]]) -> list[str]:
    """What each order needs for the accuracy, and for the targets, that random order has at its
    end: corrections, looks and hours, and which part that is of what random order needs."""
    last = curves["random"][-1]
    lines = []
    for figure, name in (("miou", "val mIoU"), ("target", "target mIoU")):
        level = getattr(last, figure)
        for order, points in curves.items():
            if order != "random" and not isnan(level):
                shares = [
                    _share(points, last, effort, figure)
                    for effort in ("corrections", "looks", "hours")
                ]
                lines.append(
                    f"- {name} {level:.3f}, as random at its end: {order} needs "
                    f"{', '.join(shares)}."
                )
    return lines


def _share(points: Sequence[Point], last: Point, effort: str, figure: str) -> str:
    start = getattr(points[0], effort)
    way = [(getattr(point, effort) - start, getattr(point, figure)) for point in points]
    whole = getattr(last, effort) - start
    found = needed(way, getattr(last, figure))
    unit = "hours of review" if effort == "hours" else effort
    return f"more {unit}" if found is None else f"{found / whole:.0%} of the {unit}"


def main() -> None:
    parser = reader(__doc__)
    parser.add_argument("--recipe", default="points", help="of the runs that are corrected")
    parser.add_argument("--orders", default=",".join(ORDERS), help="some of them, such as worst")
    parser.add_argument("--rounds", type=int, default=3, help="of review")
    parser.add_argument("--each", type=int, default=8, help="corrections in a round")
    parser.add_argument("--tool", default="scribble", help="scribble or click")
    parser.add_argument("--no-masks", action="store_true", help="no runs with full masks")
    parser.add_argument("--seeds", default="3", help="how many, or which ones, such as 1,2,5")
    parser.add_argument("--folder", type=Path, default=Path("runs/review_loop"))
    arguments = parser.parse_intermixed_args()
    orders = arguments.orders.split(",")
    if unknown := [order for order in orders if order not in ORDERS]:
        parser.error(f"{unknown[0]} is no order; they are {', '.join(ORDERS)}")
    if min(arguments.rounds, arguments.each) < 1:
        parser.error("--rounds and --each should be at least 1")
    try:
        compare(arguments, orders, seeds_of(arguments.seeds))
    except RecipeError as error:
        raise SystemExit("\n".join(error.errors)) from None


def expect_single(recipe: Resolved, classes: Sequence[str]) -> None:
    """A person waits for the target of one image, not for a fit to all of them."""
    strategy: Any = recipe.build("strategy", classes=len(classes))
    if fits_together(strategy) or strategy.wants.box_masks:
        raise SystemExit(
            f"--recipe {recipe.name}: expected one that estimates each image by itself, and "
            "classes of pixels, such as points, boxes or mixed"
        )


def compare(arguments: argparse.Namespace, orders: Sequence[Order], seeds: Sequence[int]) -> None:
    """Follow each order with each seed; table and picture are written after each of them."""
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    setup = Setup(
        arguments.recipe,
        arguments.words or TOY,
        arguments.rounds,
        arguments.each,
        Corrector(arguments.tool),
        folder,
    )
    found: dict[Order, list[list[Point]]] = {order: [] for order in orders}
    masks: list[Point] = []
    for seed in seeds:
        words = complete(setup.recipe, [word.replace("{seed}", str(seed)) for word in setup.words])
        recipe, data, network = build([*words, f"seed={seed}"])
        expect_single(recipe, data.classes)
        start = initial_weights(recipe, network, folder)
        for order in orders:
            found[order].append(follow(setup, order, seed, start))
            complete_seeds = {name: points for name, points in found.items() if points}
            write(Results(complete_seeds, masks), setup, seeds)
        if not arguments.no_masks:
            budget = max(found[order][-1][-1].hours for order in orders)
            masks.append(with_masks(setup, seed, start, budget))
    print(f"\n{write(Results(found, masks), setup, seeds)}\ntable and picture: {folder}")


def write(results: Results, setup: Setup, seeds: Sequence[int]) -> str:
    """Table and picture of all that is finished; returns the table."""
    about = (
        f"{setting()}; recipe {setup.recipe}, {' '.join(setup.words)}; seeds "
        f"{', '.join(map(str, seeds))}; {setup.each} corrections in a round"
    )
    text = f"{table(results)}\n\n{about}\n\n{SOURCES}\n"
    write_whole(setup.folder / "review_loop.md", text.encode())
    curves = {order: Curve(order, seeds) for order, seeds in results.orders.items()}
    picture = review_chart(list(curves.values()), results.masks)
    write_whole(setup.folder / "review_loop.svg", picture.encode())
    return text


if __name__ == "__main__":
    main()
