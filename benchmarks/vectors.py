"""Whether the dense CRF needs rows as vectors, against three plain ways to write the same loops.

    python benchmarks/vectors.py                        about five minutes, most of it compiling
    python benchmarks/vectors.py --labels 3 --repeats 15

Each way replaces the mean field's step, which is most of the time: 9 of the 10 passes over the
pixels. First and last pass and the blur stay as they are. All ways take turns, each with a photo
that is new to it, and a ratio is that of the medians of CPU time; 1.3 or less would be enough to do
without vectors. See docs/explanation/vectors.md.

    loops      one pixel at a time, and a loop over its labels
    tiles      128 pixels at a time, so that the softmax is a loop over pixels
    unrolled   tiles, and instead of loops over labels one statement for each label
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from math import factorial, log
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import torch
from numba import njit

sys.path.insert(0, str(Path(__file__).parent))
from crf import SETTINGS, beliefs, photo, unseen

from weakseg.functional.compiled import OPTIONS
from weakseg.functional.crf import dense_crf, meanfield_compiled

Step = Callable[..., None]
TILE = 128
SERIES = tuple(np.float32(log(2) ** degree / factorial(degree)) for degree in range(6, -1, -1))
PER_E = np.float32(1 / log(2))
LOW = np.float32(-50)
plain = njit(**OPTIONS)


@plain
def exp(number: Any) -> Any:
    """As in vectors_compiled.py, for one number; a loop over it becomes vectors by itself."""
    power = max(number, LOW) * PER_E
    whole = np.rint(power)
    rest = power - whole
    series = SERIES[0]
    for factor in SERIES[1:]:
        series = series * rest + factor
    return series * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)


@plain
def softmax(tile: Any, here: int, sums: Any) -> None:
    """Over the labels of each pixel of a tile [labels,TILE]."""
    sums[:] = 0
    for row in tile:
        for p in range(here):
            row[p] = exp(row[p])
            sums[p] += row[p]
    for row in tile:
        for p in range(here):
            row[p] /= sums[p]


def loops(labels: int) -> Step:
    @plain
    def add_slice(term: Any, p: int, vertices: Any, row: Any) -> None:
        corners = term.corners[p]["numbers"]
        for k in range(len(corners)):
            weight = term.weights[p]["numbers"][k] * term.slice_scale[p]
            for label in range(labels):
                row[label] += vertices[np.uint32(corners[k])]["numbers"][label] * weight

    @plain
    def splat(term: Any, p: int, row: Any, vertices: Any) -> None:
        corners = term.corners[p]["numbers"]
        for k in range(len(corners)):
            weight = term.weights[p]["numbers"][k] * term.splat_scale[p]
            for label in range(labels):
                vertices[np.uint32(corners[k])]["numbers"][label] += row[label] * weight

    @plain
    def step(
        energy: Any, one: Any, two: Any, of_one: Any, of_two: Any, to_one: Any, to_two: Any
    ) -> None:
        row = np.empty(labels, np.float32)
        for p in range(len(energy)):
            for label in range(labels):
                row[label] = energy[p]["numbers"][label]
            add_slice(one, p, of_one, row)
            add_slice(two, p, of_two, row)
            total = np.float32(0)
            for label in range(labels):
                row[label] = exp(row[label])
                total += row[label]
            for label in range(labels):
                row[label] /= total
            splat(one, p, row, to_one)
            splat(two, p, row, to_two)

    return step


def tiles(labels: int) -> Step:
    @plain
    def sliced(term: Any, p: int, vertices: Any, label: int) -> Any:
        corners = term.corners[p]["numbers"]
        total = np.float32(0)
        for k in range(len(corners)):
            number = vertices[np.uint32(corners[k])]["numbers"][label]
            total += number * term.weights[p]["numbers"][k]
        return total * term.slice_scale[p]

    @plain
    def splat(term: Any, p: int, tile: Any, q: int, vertices: Any) -> None:
        corners = term.corners[p]["numbers"]
        for k in range(len(corners)):
            weight = term.weights[p]["numbers"][k] * term.splat_scale[p]
            for label in range(labels):
                vertices[np.uint32(corners[k])]["numbers"][label] += tile[label, q] * weight

    @plain
    def step(
        energy: Any, one: Any, two: Any, of_one: Any, of_two: Any, to_one: Any, to_two: Any
    ) -> None:
        tile = np.empty((labels, TILE), np.float32)
        sums = np.empty(TILE, np.float32)
        for first in range(0, len(energy), TILE):
            here = min(TILE, len(energy) - first)
            for q in range(here):
                p = np.uint32(first + q)
                for label in range(labels):
                    both = sliced(one, p, of_one, label) + sliced(two, p, of_two, label)
                    tile[label, q] = energy[p]["numbers"][label] + both
            softmax(tile, here, sums)
            for q in range(here):
                splat(one, np.uint32(first + q), tile, q, to_one)
                splat(two, np.uint32(first + q), tile, q, to_two)

    return step


def unrolled(labels: int) -> Step:
    """The source is written out with a name for each label, as a compiler would have to."""

    def each(statement: str) -> str:
        return "; ".join(statement.format(i=i) for i in range(labels))

    def corners(term: str, scale: str, *statements: str) -> str:
        lines = [
            f"            numbers = {term}.corners[p]['numbers']",
            f"            weights = {term}.weights[p]['numbers']",
            "            for k in range(len(numbers)):",
            f"                n = np.uint32(numbers[k]); w = weights[k] * {term}.{scale}[p]",
            *(f"                {each(statement)}" for statement in statements),
        ]
        return "\n".join(lines)

    def sliced(term: str) -> str:
        return corners(term, "slice_scale", f"r{{i}} += of_{term}[n]['numbers'][{{i}}] * w")

    def splatted(term: str) -> str:
        numbers = f"to_{term}[n]['numbers'][{{i}}]"
        return corners(
            term, "splat_scale", f"v{{i}} = {numbers} + r{{i}} * w", f"{numbers} = v{{i}}"
        )

    source = f"""
def step(energy, one, two, of_one, of_two, to_one, to_two):
    tile = np.empty(({labels}, TILE), np.float32)
    sums = np.empty(TILE, np.float32)
    for first in range(0, len(energy), TILE):
        here = min(TILE, len(energy) - first)
        for q in range(here):
            p = np.uint32(first + q)
            {each("r{i} = energy[p]['numbers'][{i}]")}
{sliced("one")}
{sliced("two")}
            {each("tile[{i}, q] = r{i}")}
        softmax(tile, here, sums)
        for q in range(here):
            p = np.uint32(first + q)
            {each("r{i} = tile[{i}, q]")}
{splatted("one")}
{splatted("two")}
"""
    scope = {"np": np, "TILE": TILE, "softmax": softmax}
    exec(source, scope)
    return plain(scope["step"])  # type: ignore[no-any-return]


def measure(name: str, labels: int, repeats: int) -> None:
    """One line of the table; the results of all ways are compared, too."""
    crf = SETTINGS[name]
    image, probs = photo(), beliefs(labels)
    ways = {"vectors": meanfield_compiled._step} | {
        make.__name__: make(labels) for make in (loops, tiles, unrolled)
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    expected = dense_crf(image, probs, crf)
    for turn in range(repeats + 1):
        for way, step in ways.items():
            meanfield_compiled._step = step
            fresh = unseen(image)
            start = process_time()
            found = dense_crf(fresh, probs, crf)
            if turn:  # the first one compiles
                times[way].append(process_time() - start)
            assert (found - expected)[:, 8:].abs().max() < 1e-2
    meanfield_compiled._step = ways["vectors"]
    medians = {way: median(some) for way, some in times.items()}
    ratios = [f"{medians[way] / medians['vectors']:.2f}" for way in ways if way != "vectors"]
    cells = [name, str(labels), f"{medians['vectors'] * 1e3:.0f}", *ratios]
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=int, nargs="+", default=[2, 3, 4, 5, 21])
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| xy/rgb | labels | vectors, ms | loops | tiles | unrolled |")
    print("|---|---|---|---|---|---|")
    for name in SETTINGS:
        for labels in arguments.labels:
            measure(name, labels, arguments.repeats)


if __name__ == "__main__":
    main()
