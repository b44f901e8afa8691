"""What an image costs one core, and what a million images would take on many: for the page on many
machines.

    python benchmarks/machines.py                   all of it, a few minutes on one core
    python benchmarks/machines.py --images 48       steadier
    python benchmarks/machines.py --only label      one part: label, predict or ray

Photos of 500 x 375 with five classes, as JPEG files; one process, whose processor seconds count, so
that it does not matter much what else the machine does. "label" is all of `weakseg label` per
image: read, check, estimate, score and write; "read" is the part of it that comes first. "predict"
and "evaluate" are with a DeepLabV3+ on a MobileNetV2. What a process takes before its first image
is measured apart: starts, the network, and code that is compiled at first. The table of a million
images divides by the number of cores, and adds that; it is arithmetic, not a measurement.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data as pictures
from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.data.formats.images import read_image
from weakseg.data.simulate.annotator import Annotator
from weakseg.evidence import Evidence
from weakseg.utils.engine import Pool, spread

SIZE = (375, 500)
CLASSES = 5
FOLDER = "WEAKSEG_PHOTOS"  # in the environment: where the photos are
STRATEGIES = {
    "boxes_rect": "boxes",
    "boxes": "boxes",
    "points": "points",
    "scribbles": "scribbles",
    "clustering": "boxes",
    "boxes_coseg": "boxes",
}
"""recipes, and the evidence that they learn from"""
CORES = (1, 8, 64, 512)
MILLION = 1_000_000


class Cost(NamedTuple):
    """Of one image, and of all that a process does before its first one; in seconds."""

    image: float
    start: float


class Photos(WeakData):
    """Photos on the disk, with evidence that stands ready in memory.

    Args:
        count: how many.
        kind: of evidence: boxes, points or scribbles.
    """

    classes = tuple(f"class {number}" for number in range(CLASSES))

    def __init__(self, count: int = 24, kind: str = "boxes", **loading: Any) -> None:
        super().__init__(**{"batch_size": 2, **loading})
        self.count = count
        self.kind = kind
        self.validation = range(0)

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        """A photo, its evidence and its truth."""
        image = read_image(Path(os.environ[FOLDER]) / f"{index}.jpg")
        fields, truth = annotated(index, self.kind)
        return Evidence(f"{index}", image, **fields), truth


@cache
def annotated(index: int, kind: str) -> tuple[dict[str, Tensor], Tensor]:
    """Evidence and truth of three ellipses in a photo."""
    random = np.random.default_rng(index)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    truth = np.zeros(SIZE, np.uint8)
    found = []
    for label in random.choice(np.arange(1, CLASSES), 3, replace=False):
        centre = random.integers((80, 80), (SIZE[0] - 80, SIZE[1] - 80))
        size = random.integers(40, 75, 2)
        inside = ((y - centre[0]) / size[0]) ** 2 + ((x - centre[1]) / size[1]) ** 2 <= 1
        truth[inside] = label
        found.append((int(label), inside))
    labels = torch.from_numpy(truth)
    if kind == "boxes":
        boxes = [[*edges(inside)] for _, inside in found]
        classes = [label for label, _ in found]
        return {"boxes": torch.tensor(boxes), "box_classes": torch.tensor(classes)}, labels
    return Annotator().annotate(kind, labels, None, (), CLASSES, random), labels


def edges(inside: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    rows = np.flatnonzero(inside.any(1))
    columns = np.flatnonzero(inside.any(0))
    return float(columns[0]), float(rows[0]), columns[-1] + 1.0, rows[-1] + 1.0


def save_photos(folder: Path, count: int) -> None:
    """Parts of three photographs, mirrored and turned so that no two are alike."""
    shown = [pictures.coffee(), pictures.astronaut(), pictures.chelsea()]
    for number in range(count):
        random = np.random.default_rng(number)
        picture = Image.fromarray(shown[number % 3]).rotate(float(random.uniform(-15, 15)))
        left, top = (random.uniform(0, 0.2, 2) * picture.size).tolist()
        box = (left, top, left + picture.width * 0.75, top + picture.height * 0.75)
        picture.resize(SIZE[::-1], box=box).save(folder / f"{number}.jpg", quality=90)


def seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


def processor_seconds(call: Callable[[], object]) -> float:
    """Of all threads of this process: what others do on the machine matters less."""
    start = process_time()
    call()
    return process_time() - start


def cost(call: Callable[[int], object], images: int) -> Cost:
    """From calls with few images and calls with more of them, each from the beginning."""
    few = max(2, images // 4)
    call(few)  # compiles
    first = median(processor_seconds(lambda: call(few)) for _ in range(3))
    second = median(processor_seconds(lambda: call(images)) for _ in range(3))
    image = max(0.0, second - first) / (images - few)
    return Cost(image, max(0.0, first - few * image))


def label_costs(root: Path, images: int) -> dict[str, Cost]:
    """Of labelling by each strategy, and of reading."""
    from weakseg.labelling.dataset import label_dataset

    found = {}
    for name, kind in STRATEGIES.items():

        def label(count: int, name: str = name, kind: str = kind) -> None:
            with TemporaryDirectory(dir=root) as out:
                label_dataset(
                    name,
                    out=Path(out) / "labels",
                    device="cpu",
                    data={"name": "machines.Photos", "count": str(count), "kind": kind},
                    rounds={"workers": "0", "folder": f"{out}/targets"},
                )

        found[name] = cost(label, images)
        print(f"{name}: {found[name].image:.3f} s", file=sys.stderr)
    return found


def network_costs(root: Path, images: int) -> dict[str, Cost]:
    """Of predicting and evaluating with a network that one step has trained."""
    from weakseg.evaluation.model import evaluate_model
    from weakseg.fit import main as fit
    from weakseg.prediction.images import predict_images

    run = fit(
        [
            *("recipe=boxes_rect", "data=machines.Photos", "data.count=4", "data.crop=128"),
            *("network=deeplabv3plus", "network.encoder=mobilenet_v2", "network.weights=null"),
            *("trainer.max_steps=1", "trainer.accelerator=cpu", "rounds.workers=0"),
            *("trainer.enable_progress_bar=false", f"trainer.default_root_dir={root / 'runs'}"),
        ]
    )

    def predict(count: int) -> None:
        files = [str(Path(os.environ[FOLDER]) / f"{number}.jpg") for number in range(count)]
        with TemporaryDirectory(dir=root) as out:
            predict_images(run, files, Path(out) / "masks", device="cpu", workers=1)

    def evaluate(count: int) -> None:
        with TemporaryDirectory(dir=root) as out:
            evaluate_model(run, Photos(count), out=out, subset="all", device="cpu")

    return {"predict": cost(predict, images), "evaluate": cost(evaluate, images)}


def reading_cost(images: int) -> Cost:
    """Of reading and checking alone, as every start and every part does."""
    from weakseg.labelling.images import read_images
    from weakseg.labelling.source import source_of_recipe

    data = {"name": "machines.Photos", "count": str(images), "kind": "boxes"}
    source = source_of_recipe("boxes_rect", {"data": data}, None, None, "cpu")
    read_images(source, range(2))
    return Cost(processor_seconds(lambda: read_images(source, range(images))) / images, 0)


class Nothing:
    """Work that takes no time."""

    def __call__(self, items: list[int]) -> list[int]:
        return items


def ray_costs() -> dict[str, float]:
    """What Ray takes: until the first result, and for each further image."""
    few = median(seconds(lambda: list(spread(Nothing, {}, range(2), Pool(2)))) for _ in range(2))
    many = seconds(lambda: list(spread(Nothing, {}, range(20_000), Pool(2))))
    return {"first": few, "image": max(0.0, many - few) / 20_000}


def start_seconds() -> float:
    """Of a command until it could begin: Python, torch, weakseg."""
    command = [sys.executable, "-c", "import weakseg.labelling.dataset"]
    return median(seconds(lambda: subprocess.run(command, check=True)) for _ in range(3))


def table_of_a_million(costs: dict[str, Cost], start: float) -> list[str]:
    """Hours, or minutes, of a million images by the number of cores."""
    head = " | ".join(f"{cores} core{'s' * (cores > 1)}" for cores in CORES)
    lines = [f"| | processor seconds per image | {head} |", f"|{'---|' * (2 + len(CORES))}"]
    for name, each in costs.items():
        wanted = [MILLION / cores * each.image + start + each.start for cores in CORES]
        cells = " | ".join(in_words(value) for value in wanted)
        lines.append(f"| {name} | {each.image:.3f} | {cells} |")
    return lines


def in_words(value: float) -> str:
    """Seconds as days, hours or minutes.

    >>> in_words(7200)
    '2.0 h'
    """
    if value >= 2 * 86400:
        return f"{value / 86400:.1f} d"
    return f"{value / 3600:.1f} h" if value >= 3600 else f"{max(1, round(value / 60))} min"


def main() -> None:
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("--images", type=int, default=24)
    words.add_argument("--only", choices=("label", "predict", "ray"))
    arguments = words.parse_args()
    torch.set_num_threads(1)
    only = arguments.only
    costs: dict[str, Cost] = {}
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "photos").mkdir()
        os.environ[FOLDER] = str(root / "photos")
        save_photos(root / "photos", arguments.images)
        if only in (None, "label"):
            costs["read"] = reading_cost(arguments.images)
            costs |= {
                f"label recipe={name}": each
                for name, each in label_costs(root, arguments.images).items()
            }
        if only in (None, "predict"):
            costs |= network_costs(root, arguments.images)
    machine = f"{platform.machine()}, one thread, torch {torch.__version__}, {date.today()}"
    print(f"\n{machine}, {arguments.images} photos of 500 x 375\n")
    start = start_seconds()
    if costs:
        print("\n".join(table_of_a_million(costs, start)))
    print(f"\na process begins to work after {start:.1f} s")
    if only in (None, "ray") and find_spec("ray") is not None:
        ray = ray_costs()
        print(f"Ray: {ray['first']:.1f} s to the first result, then {1e3 * ray['image']:.2f} ms")


if __name__ == "__main__":
    main()
