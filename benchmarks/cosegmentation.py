"""How long do the iterations of cosegmentation take beside the estimates that follow? In this
checkout, and in an older one.

    python benchmarks/cosegmentation.py @benchmarks/animals.txt data.root=VOCdevkit \\
        network.weights=mobilenet_v2.pth
    git worktree add ../before <commit>
    python benchmarks/cosegmentation.py --before ../before

Images are read and the encoder is queried once; nothing is trained. Each checkout then describes
and fits all images in all iterations, and estimates all targets, in a process of its own. They take
turns: of --repeats the median, in seconds of the processor, as another program on the machine
changes these least. The first turn, in which kernels are compiled, does not count. Options of the
strategy are the defaults of each checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from cosegmentation_turns import Image
from sweep import reader, setting
from target_sizes import PLACES, chosen, round_0, source

from weakseg.config.recipe import RecipeError
from weakseg.training.queries import network_fingerprint, query_untrained
from weakseg.utils.array_cache import ArrayCache
from weakseg.utils.progress import track

WORKER = Path(__file__).with_name("cosegmentation_turns.py")


class Turn(NamedTuple):
    """Seconds of the processor, for all images."""

    iterations: float
    estimates: float


class Checkout:
    """A process that runs the code of a checkout on images in a file, a turn at a time."""

    def __init__(self, folder: Path, images: Path) -> None:
        paths = {**os.environ, "PYTHONPATH": str(folder.resolve())}
        self.process = subprocess.Popen(
            [sys.executable, WORKER, images],
            env=paths,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def turn(self) -> Turn:
        """Describe, fit and estimate all images once."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("turn\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the process ended with {self.process.wait()}, see above")
        return Turn(**json.loads(line))

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def images_of(recipe: str, places: str, most: int, words: list[str]) -> list[Image]:
    """Evidence of the training images, and what the encoder sees in them."""
    with tempfile.TemporaryDirectory() as folder:
        origin = source(recipe, words, Path(folder))
        mine = list(round_0(origin, chosen(origin, places, most)).images)
        network = network_fingerprint(origin.segmenter)
        images = []
        for index in track(mine, len(mine), "querying the encoder"):
            evidence, _ = origin.corrected(index)
            seen = query_untrained(origin.segmenter, evidence.image, network, ArrayCache())
            images.append((evidence._asdict(), seen._asdict()))
        return images


def measured(checkouts: dict[str, Path], images: list[Image], repeats: int) -> dict[str, Turn]:
    """The median turn of each checkout; they take turns."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.pt"
        torch.save(images, file)
        running = {name: Checkout(path, file) for name, path in checkouts.items()}
        turns: dict[str, list[Turn]] = {name: [] for name in checkouts}
        for _ in track(range(repeats + 1), repeats + 1, "turns"):
            for name, checkout in running.items():
                turns[name].append(checkout.turn())
        for checkout in running.values():
            checkout.close()
    return {name: medians(own[1:]) for name, own in turns.items()}


def medians(turns: list[Turn]) -> Turn:
    return Turn(median(turn.iterations for turn in turns), median(turn.estimates for turn in turns))


def table(results: dict[str, Turn]) -> str:
    """A row for each checkout."""
    lines = ["| checkout | iterations, s | estimates, s | ratio |", "|---|---|---|---|"]
    for name, (iterations, estimates) in results.items():
        lines.append(
            f"| {name} | {iterations:.2f} | {estimates:.2f} | {iterations / estimates:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = reader(__doc__)
    parser.add_argument("--recipe", default="tags_coseg")
    parser.add_argument("--before", type=Path, help="a checkout of older code")
    parser.add_argument("--places", choices=PLACES, default="even", help="of the sorted images")
    parser.add_argument("--images", type=int, default=60, help="so many at most")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--chosen-on", help=argparse.SUPPRESS)  # stands in animals.txt
    arguments = parser.parse_intermixed_args()
    try:
        images = images_of(arguments.recipe, arguments.places, arguments.images, arguments.words)
    except RecipeError as error:
        raise SystemExit("\n".join(error.errors)) from None
    checkouts = {"this": Path(__file__).parents[1]}
    if arguments.before is not None:
        checkouts = {"before": arguments.before, **checkouts}
    results = measured(checkouts, images, arguments.repeats)
    print(f"{setting()}; {arguments.recipe}, {len(images)} images\n\n{table(results)}")
    if arguments.before is not None:
        before, now = results["before"], results["this"]
        print(f"\niterations {before.iterations / now.iterations:.1f} times as fast as before")


if __name__ == "__main__":
    main()
