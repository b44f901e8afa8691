"""Runs every compiled kernel on random inputs, in a process of its own: `python -m
tests.functional.kernels`.

Prints a digest of the bits that each entry point returns, and which functions numba compiled and
which it read from its cache.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from importlib import import_module
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba.core.dispatcher import Dispatcher

import weakseg.functional as package
from weakseg.functional import colour_models_compiled as colour_models
from weakseg.functional.constraints import dual_compiled as dual
from weakseg.functional.constraints import newton_compiled as newton
from weakseg.functional.crf import meanfield_compiled as meanfield
from weakseg.functional.crf import permutohedral_compiled as lattice
from weakseg.functional.crf.kernels import Kernel
from weakseg.functional.regions import felzenszwalb_compiled as felzenszwalb
from weakseg.functional.regions import maxflow_compiled as maxflow

RANDOM = np.random.default_rng(0)
COPY = re.compile(r'^define linkonce_odr .*?@"?([^"(]*weakseg[^"(]*)', re.MULTILINE)


def kernels() -> Iterator[tuple[str, Dispatcher]]:
    """All compiled functions, by name."""
    (folder,) = package.__path__
    for path in sorted(Path(folder).rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        module = import_module(".".join([package.__name__, *parts]).removesuffix(".__init__"))
        for name, value in vars(module).items():
            if isinstance(value, Dispatcher) and value.py_func.__module__ == module.__name__:
                yield f"{path.stem}.{name}", value


def bounds_on_images(dtype: torch.dtype) -> tuple[Any, ...]:
    """Two images with five classes and three bounds each."""
    scores = torch.from_numpy(RANDOM.normal(size=(2, 5, 3000)) * 3).to(dtype)
    regions = torch.from_numpy(RANDOM.random((2, 3, 3000)) < 0.5).to(dtype)
    return (
        scores,
        torch.ones(2, 3000, dtype=dtype),
        torch.tensor([[0, 2, 4], [1, 3, -1]]),
        regions,
        RANDOM.normal(size=(2, 3)),
    )


def sums_of_the_dual(dtype: torch.dtype) -> Any:
    scores, counted, labels, regions, multipliers = bounds_on_images(dtype)
    return dual.sums(scores, counted, labels, regions, multipliers, 2.0, np.ones(2, bool))


def softmax_of_the_dual(dtype: torch.dtype) -> Any:
    scores, _, labels, regions, multipliers = bounds_on_images(dtype)
    probs, shown = torch.zeros_like(scores), torch.arange(5).expand(2, 5).contiguous()
    dual.softmax_into(
        probs, shown, scores, labels, regions, torch.from_numpy(multipliers).to(dtype), 2.0
    )
    return probs, dual.spans(scores)


def steps_of_newton() -> Any:
    one = np.ones((2, 3))
    bounds = newton.Bounds(
        one * 0.3, one * 0.5, one * -inf, one * inf, one * 0.5, np.full(2, 3000.0)
    )
    state = newton.begin(np.zeros((2, 3)))
    for _ in range(6):
        curvature = np.eye(3) * RANDOM.random((2, 3, 3)) * 300
        newton.judge(
            bounds,
            state,
            RANDOM.random(2) * 3000,
            RANDOM.random((2, 3)) * 3000,
            curvature,
            2.0,
            1e-14,
        )
        newton.advance(bounds, state, 1e-5)
    return *state, newton.largest_excess(bounds, state)


def filtered_by_the_lattice(columns: int) -> Any:
    placed = lattice.lattice(RANDOM.normal(size=(5, 3000)).astype(np.float32) * 3)
    assert placed is not None
    return (
        placed.corners,
        placed.weights,
        *placed.chains,
        placed.filter(RANDOM.normal(size=(3000, columns)).astype(np.float32), True),
    )


def mean_field(labels: int) -> Any:
    image = torch.from_numpy(RANDOM.integers(0, 256, (3, 40, 50), np.uint8))
    probs = torch.from_numpy(RANDOM.random((labels, 40, 50), np.float32)).softmax(0)
    return (meanfield.refine(image, probs, [Kernel(3, 3, None), Kernel(10, 30, 10)], True, 5),)


def superpixels() -> Any:
    return (felzenszwalb.regions(RANDOM.random((3, 40, 50)).astype(np.float32) * 255, 50.0, 20),)


def expansion_moves() -> Any:
    arcs, labels = (
        maxflow.graph(RANDOM.integers(0, 300, (900, 2)), RANDOM.random(900), 300),
        np.zeros(300, np.int64),
    )
    space = maxflow.flow(arcs)
    maxflow.expand(RANDOM.random((300, 4)), arcs, np.arange(4), space, labels)
    return labels, space.room, space.gain


def colours_of_an_image() -> Any:
    colours = torch.from_numpy(RANDOM.random((3000, 3), np.float32) * 255)
    owners = torch.from_numpy(RANDOM.integers(0, 4, 3000))
    mixture = colour_models.fit_mixture(colours, owners, 4, 5, 1.0)
    return *mixture, colour_models.log_densities(colours, mixture)


CALLS: dict[str, Callable[[], Any]] = {
    "sums of the dual, float32": lambda: sums_of_the_dual(torch.float32),
    "sums of the dual, float64": lambda: sums_of_the_dual(torch.float64),
    "softmax of the dual, float32": lambda: softmax_of_the_dual(torch.float32),
    "softmax of the dual, float64": lambda: softmax_of_the_dual(torch.float64),
    "colours of an image": colours_of_an_image,
    "Newton's steps": steps_of_newton,
    "lattice, 3 columns": lambda: filtered_by_the_lattice(3),
    "lattice, 16 columns": lambda: filtered_by_the_lattice(16),
    "mean field, 3 labels": lambda: mean_field(3),
    "mean field, 21 labels": lambda: mean_field(21),
    "superpixels": superpixels,
    "expansion moves": expansion_moves,
}


def digest(arrays: Any) -> str:
    return sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def copies(kernel: Dispatcher) -> list[str]:
    """The functions of weakseg that a kernel holds a copy of, which the linker may replace by
    another one."""
    return [
        name
        for compiled in kernel.overloads.values()
        for name in COPY.findall(compiled.library.get_llvm_str())
    ]


def main() -> None:
    torch.set_num_threads(1)
    found = dict(kernels())
    report = {
        "bits": {name: digest(call()) for name, call in CALLS.items()},
        "used": [name for name, kernel in found.items() if kernel.overloads],
        "never used": [name for name, kernel in found.items() if not kernel.overloads],
        "compiled": [name for name, kernel in found.items() if kernel.stats.cache_misses],
        "read": [name for name, kernel in found.items() if kernel.stats.cache_hits],
        "copies": {
            name: found_copies for name, kernel in found.items() if (found_copies := copies(kernel))
        },
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
