"""What the two ways from tags to targets cost that are computed in every training step:
`constrained_posterior` and `em_adapt`.

    python benchmarks/posterior.py                    10 images, 21 classes, one thread
    python benchmarks/posterior.py --sizes 41         scores of 41x41 only
    python benchmarks/posterior.py --repeats 3        a quick look

Beside them a plain solver, image by image in numpy: projected gradient descent as in the released
code of CCNN (Pathak, Krähenbühl and Darrell, ICCV 2015), which is in C++. That C++ itself is not
run here: the plain solver follows its algorithm, and stops where it stops.

Each turn takes all three in a row, so that a busy machine slows all of them. Medians, in
milliseconds per batch. "CPU" is the processor time of `constrained_posterior`, which other programs
on the machine disturb less.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from weakseg.functional.constraints.bounds import Constraints, tag_constraints
from weakseg.functional.constraints.posterior import constrained_posterior
from weakseg.functional.tags import em_adapt

CLASSES = 21
KINDS = ("fresh", "mild", "background")
TRIES = 3000
FIRST_RATE = 1e5
LEAST_RATE = 1e-8
Floats = NDArray[np.float64]


def scores(kind: str, images: int, size: int, random: torch.Generator) -> Tensor:
    """Smooth ones with some noise: weak as of a fresh network, stronger, or strong with background
    ahead nearly everywhere."""
    coarse = torch.randn(images, CLASSES, size // 8 + 1, size // 8 + 1, generator=random)
    smooth = F.interpolate(coarse, (size, size), mode="bilinear") * (0.1 if kind == "fresh" else 3)
    noisy = smooth + 0.3 * torch.randn(images, CLASSES, size, size, generator=random)
    noisy[:, 0] += 5 * (kind == "background")
    return noisy


def some_tags(images: int, random: torch.Generator) -> Tensor:
    """Background and one, two or three other classes."""
    tags = torch.zeros(images, CLASSES, dtype=torch.bool)
    tags[:, 0] = True
    for image in range(images):
        tags[image, torch.randperm(CLASSES - 1, generator=random)[: 1 + image % 3] + 1] = True
    return tags


def one_sided(
    bounds: Constraints, image: int, shown: NDArray[np.int64], pixels: int
) -> tuple[Floats, Floats, Floats]:
    """The bounds as A p >= b with multipliers up to a cap: A [J,K], b [J], caps [J], in the scale
    of the released code."""
    rows: list[tuple[Floats, float, float]] = []
    for place, label in enumerate(shown):
        lower, upper, slack = (
            values[image, label].item()
            for values in (bounds.lower, bounds.upper, bounds.slack_lower)
        )
        unit = np.eye(len(shown))[place]
        rows += [(unit, lower, slack * pixels)] if lower > 0 else []
        rows += [(-unit, -upper, np.inf)] if upper < 1 else []
    matrix, bound, cap = zip(*rows, strict=True)
    return np.array(matrix), np.array(bound), np.array(cap)


def softmax(logits: Floats) -> tuple[Floats, float]:
    """Over the classes [K,N], and the logarithms of the sums of exponentials, added up."""
    top = logits.max(0)
    powers = np.exp(logits - top)
    total = powers.sum(0)
    return powers / total, float((np.log(total) + top).sum())


def plain(logits: Floats, matrix: Floats, bound: Floats, cap: Floats) -> Floats:
    """Probabilities [K,N] of one image by projected gradient descent with a rate that grows by a
    tenth, or halves."""
    pixels = logits.shape[1]
    multipliers = np.zeros(len(bound))
    rate = FIRST_RATE
    probs, value = softmax(logits)
    for _ in range(TRIES):
        trial = (multipliers - rate * (matrix @ probs.mean(1) - bound)).clip(0, cap)
        there, potential = softmax(logits + (matrix.T @ trial / pixels)[:, None])
        height = potential - trial @ bound
        if height < value:
            multipliers = trial
            probs = there
            value = height
            rate = rate * 1.1
        else:
            rate *= 0.5
        if rate <= LEAST_RATE:
            break
    return probs


def plain_batch(logits: Tensor, tags: Tensor, bounds: Constraints) -> list[Floats]:
    found = []
    for image in range(len(logits)):
        shown = tags[image].nonzero().flatten().numpy()
        some = logits[image].flatten(1)[shown].double().numpy()
        found.append(plain(some, *one_sided(bounds, image, shown, some.shape[1])))
    return found


def timed(work: Callable[[], object], clock: Callable[[], float] = perf_counter) -> float:
    """Milliseconds."""
    start = clock()
    work()
    return (clock() - start) * 1e3


def row(kind: str, images: int, size: int, turns: int) -> str:
    """One row of the table."""
    random = torch.Generator().manual_seed(0)
    logits = scores(kind, images, size, random)
    tags = some_tags(images, random)
    bounds = tag_constraints(tags)
    taken: dict[str, list[float]] = defaultdict(list)
    for turn in range(turns + 1):
        start = process_time()
        ours = timed(lambda: constrained_posterior(logits, tags, bounds))
        burnt = (process_time() - start) * 1e3
        adapted = timed(lambda: em_adapt(logits, tags))
        if turn:  # the first turn warms up
            taken["ours"].append(ours)
            taken["burnt"].append(burnt)
            taken["adapted"].append(adapted)
        if turn in (1, 2, 3):  # it takes long
            taken["plain"].append(timed(lambda: plain_batch(logits, tags, bounds)))
    found = constrained_posterior(logits, tags, bounds)
    other = plain_batch(logits, tags, bounds)
    near = max(
        float(np.abs(found.probs[i].flatten(1)[tags[i]].numpy().mean(1) - probs.mean(1)).max())
        for i, probs in enumerate(other)
    )
    ours, burnt, adapted, slow = (
        median(taken[name]) for name in ("ours", "burnt", "adapted", "plain")
    )
    steps = int(found.steps.max())
    return (
        f"| {size} | {kind} | {ours:.2f} | {burnt:.2f} | {steps} | {slow:.0f} | {slow / ours:.0f} "
        f"| {near:.0e} | {adapted:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs="+", default=[41, 65, 224])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "?",
    )
    cores = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    print(
        f"{date.today()}, {model}, {cores}, Python {platform.python_version()}, torch "
        f"{torch.__version__}"
    )
    print(
        f"batch {arguments.batch}, {CLASSES} classes, ms per batch; plain: projected gradient in "
        "numpy, not the C++ of CCNN's authors\n"
    )
    print(
        "| pixels | scores | constrained_posterior | CPU | steps | plain | ratio | means differ "
        "by | em_adapt |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for size in arguments.sizes:
        for kind in KINDS:
            print(row(kind, arguments.batch, size, arguments.repeats), flush=True)


if __name__ == "__main__":
    main()
