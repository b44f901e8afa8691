"""How long targets from scribbles take: for one photo of 375 x 500, and for a whole round with one
worker, with two, and with two processes that know nothing of each other.

    python benchmarks/estimate.py                   both, one to three minutes
    python benchmarks/estimate.py --repeats 15      steadier medians
    python benchmarks/estimate.py --only photo      one part: photo or round

"Photo" is `scribbles_graphcut` against one call of scikit-image's SLIC on the same photo, in turns,
so that a busy machine slows both; ratios are those of the medians. Superpixels and features are
made once per photo and kept for later rounds; the cut is what every round takes. "Round" reads,
estimates, stores and measures photos that differ, from files, as `Rounds` does with
rounds.workers=1 and 2. Two independent processes do the same with half of the photos each, in one
thread without a pool: more than they do together is not to be had from two cores. They have started
and compiled when they are timed, so it is the time of the pool after its first image that is
compared with theirs.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: a worker has one thread, too

import numpy as np
import torch
from PIL import Image
from skimage import data, transform
from skimage.segmentation import slic
from torch import Tensor

from weakseg.data.files.folder import Folder
from weakseg.data.label_store import LabelStore
from weakseg.data.simulate.annotator import Annotator
from weakseg.evidence import Evidence, Prediction
from weakseg.functional.regions.region_graph import regions
from weakseg.strategies import ScribblesGraphCut
from weakseg.strategies.base import Context
from weakseg.training.estimation import for_each
from weakseg.training.image_work import Job, Make, Reading
from weakseg.utils.array_cache import ArrayCache

CLASSES = 21
SIZE = (375, 500)
# rows and columns of the truth that scribbles are drawn into
GRIDS = {"4 classes scribbled": (2, 2), "all 21 scribbled": (3, 7)}


class Round(NamedTuple):
    """Seconds of one round."""

    whole: float
    after_first: float


def photo() -> Tensor:
    small = transform.resize(data.coffee(), SIZE, anti_aliasing=True)
    return torch.from_numpy(
        np.ascontiguousarray((small * 255).round().astype(np.uint8).transpose(2, 0, 1))
    )


def scribbled(image: Tensor, rows: int, columns: int, seed: int = 0) -> Evidence:
    """An image with a scribble in each field of a grid, all of different classes."""
    y, x = torch.meshgrid(
        torch.arange(SIZE[0]) * rows // SIZE[0],
        torch.arange(SIZE[1]) * columns // SIZE[1],
        indexing="ij",
    )
    truth = (y * columns + x).to(torch.uint8)
    fields = Annotator().annotate(
        "scribbles", truth, None, (), CLASSES, np.random.default_rng(seed)
    )
    return Evidence(f"photo-{seed}", image, marks=fields["marks"])


def a_prediction() -> Prediction:
    """Blobs of all classes."""
    coarse = torch.randn(1, CLASSES, 12, 16, generator=torch.Generator().manual_seed(0)) * 2
    return Prediction(torch.nn.functional.interpolate(coarse, SIZE, mode="bilinear")[0].softmax(0))


def seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


def time_photo(repeats: int) -> None:
    """A line for each number of classes and each kind of round."""
    image = photo()
    strategy = ScribblesGraphCut()
    network = a_prediction()
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    evidence = {name: scribbled(image, *grid) for name, grid in GRIDS.items()}
    cases = [
        (f"round {bool(prediction):d}, {name}", each, prediction)
        for name, each in evidence.items()
        for prediction in (None, network)
    ]
    times: dict[str, list[float]] = defaultdict(list)
    for turn in range(repeats + 1):
        calls: dict[str, Callable[[], object]] = {
            "SLIC": lambda: slic(pixels, 600, 10, channel_axis=-1),
            "superpixels": lambda: strategy.superpixels(image),
            "graph": lambda: regions(image, strategy.superpixels),
        }
        for name, each, prediction in cases:
            calls[name] = partial(strategy.estimate, each, Context(prediction))
        for name, call in calls.items():
            taken = seconds(call)
            if turn:  # the first turn compiles
                times[name].append(taken)
    ms = {name: 1e3 * median(values) for name, values in times.items()}
    count = int(strategy.superpixels(image).max()) + 1
    print(
        "\n"
        f"one photo of {SIZE[0]} x {SIZE[1]}, {count} superpixels; scikit-image's SLIC takes "
        f"{ms['SLIC']:.0f} ms\n"
    )
    print(
        "| target | ms | against SLIC | superpixels, ms | features, ms | unaries and cut, ms |\n"
        "|---|---|---|---|---|---|"
    )
    for name, _, _ in cases:
        parts = (
            f"{ms['superpixels']:.0f} | {ms['graph'] - ms['superpixels']:.0f} | "
            f"{ms[name] - ms['graph']:.0f}"
        )
        print(f"| {name} | {ms[name]:.0f} | {ms[name] / ms['SLIC']:.2f} | {parts} |")


def make_data(folder: Path, count: int) -> Folder:
    """Photos that differ, shifted and lighter or darker from place to place, with scribbles."""
    image = photo()
    for name in ("images", "annotations"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        random = torch.Generator().manual_seed(number)
        light = torch.nn.functional.interpolate(
            torch.rand(1, 1, 5, 7, generator=random), SIZE, mode="bilinear"
        )[0]
        shift = torch.randint(0, 300, (2,), generator=random).tolist()
        shown = (image.roll(shift, (1, 2)) * (0.7 + 0.3 * light)).to(torch.uint8)
        marks = scribbled(shown, 2, 2, number).marks
        assert marks is not None
        Image.fromarray(shown.permute(1, 2, 0).numpy()).save(
            folder / "images" / f"{number:04d}.jpg", quality=92
        )
        Image.fromarray(marks.numpy()).save(folder / "annotations" / f"{number:04d}.png")
    return data_in(folder)


def data_in(folder: Path) -> Folder:
    """The photos of a folder."""
    classes = [f"class {number}" for number in range(1, 4)]
    return Folder(folder, "mask_png", classes, evidence="scribbles", val_share=0)


def worker_of(data: Folder, folder: Path) -> Make:
    """What makes a target, into a folder."""
    context = Context(cache=ArrayCache(folder / "cache"))
    store = LabelStore(folder)
    return Make(Reading(data), ScribblesGraphCut(), context, data.classes, store)


def jobs_of(numbers: Iterable[int]) -> Iterator[Job]:
    return (Job(number, f"{number:032x}") for number in numbers)


def one_round(data: Folder, workers: int) -> Round:
    """Targets of all images, into a new folder."""
    with TemporaryDirectory() as folder:
        work = worker_of(data, Path(folder))
        start = perf_counter()
        ends = []
        jobs = jobs_of(range(len(data)))
        for made in for_each(work, jobs, len(data), workers, light=True):
            if made.wrong is not None:
                raise RuntimeError(made.wrong.reason)
            ends.append(perf_counter())
    return Round(ends[-1] - start, ends[-1] - ends[0])


def independent(folder: Path, count: int) -> Round:
    """The same by two processes that are told when to begin, and do half of the images each."""
    words = [sys.executable, __file__, "--half", str(folder)]
    halves = [
        subprocess.Popen([*words, str(half)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for half in range(2)
    ]
    for half in halves:
        assert half.stdout is not None
        half.stdout.readline()  # it has compiled
    start = perf_counter()
    for half in halves:
        assert half.stdin is not None
        half.stdin.write(b"begin\n")
        half.stdin.flush()
    for half in halves:
        if half.wait():
            raise RuntimeError("a process has failed")
    taken = perf_counter() - start
    # as if its first image had been made before, as in a pool that has started
    return Round(taken, taken * (count - 2) / count)


def half_of_a_round(root: Path, half: int) -> None:
    """What one of the two processes does."""
    data = data_in(root)
    with TemporaryDirectory() as folder:
        work = worker_of(data, Path(folder))
        work(Job(0, "f" * 32))  # compiles
        print("ready", flush=True)
        sys.stdin.readline()
        for job in jobs_of(range(half, len(data), 2)):
            if (wrong := work(job).wrong) is not None:
                raise RuntimeError(wrong.reason)
        sys.stdout.flush()
        os._exit(0)  # taking modules apart is no work on images


def time_round(images: int, repeats: int) -> None:
    with TemporaryDirectory() as folder:
        data = make_data(Path(folder), images)
        worker_of(data, Path(folder) / "warm")(Job(0, "f" * 32))  # compiles
        ways: dict[str, Callable[[], Round]] = {
            "1 worker": lambda: one_round(data, 1),
            "2 workers": lambda: one_round(data, 2),
            "2 processes": lambda: independent(Path(folder), images),
        }
        times: dict[str, list[Round]] = defaultdict(list)
        for _ in range(repeats):
            for name, way in ways.items():
                times[name].append(way())
    print(f"\na round of {images} photos, read, estimated, stored and measured\n")
    print(
        "| who | seconds | after the first image, s | images/s | times 1 worker |\n"
        "|---|---|---|---|---|"
    )
    medians = {
        name: Round(*map(median, zip(*rounds, strict=True))) for name, rounds in times.items()
    }
    alone = medians["1 worker"].after_first
    for name, (whole, after) in medians.items():
        print(
            f"| {name} | {whole:.1f} | {after:.1f} | {images / after:.1f} | {alone / after:.2f} |"
        )
    reached = median(
        apart.after_first / pool.after_first
        for pool, apart in zip(times["2 workers"], times["2 processes"], strict=True)
    )
    print(f"\n2 workers reach {reached:.2f} of what 2 independent processes do (goal 0.95)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7, help="turns of the photo")
    parser.add_argument(
        "--images",
        type=int,
        default=256,
        help="of the round; at least 64, or no second worker starts",
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of the round")
    parser.add_argument("--only", choices=("photo", "round"))
    parser.add_argument("--half", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.half:
        half_of_a_round(Path(arguments.half[0]), int(arguments.half[1]))
        return
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "?",
    )
    print(
        f"{date.today()}, {model}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__}"
    )
    if arguments.only != "round":
        time_photo(arguments.repeats)
    if arguments.only != "photo":
        time_round(arguments.images, arguments.rounds)


if __name__ == "__main__":
    main()
