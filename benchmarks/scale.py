"""How the start of a run and its first round grow with the number of images: seconds and memory per
image of every phase, which should be the same for a thousand and for a hundred thousand.

    python benchmarks/scale.py                          1,000, 10,000 and 100,000 images
    python benchmarks/scale.py --sizes 1000,10000 --workers 2
    python benchmarks/scale.py --folder scale           keeps the data sets for the next call

Images are hard links to 32 small photos of noise (160 x 120), annotated with seven boxes each in
one COCO file; targets are filled boxes, so that what is measured is everything but the estimation.
Each size is run in a process of its own, twice: the second start finds what the first one has found
out. Memory is what the process holds by itself (anonymous memory), above what it held before the
data set was built; files that are mapped and shared with workers are not in it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: a worker has one thread, too

import numpy as np
import torch
from PIL import Image

from weakseg.data.files.folder import Folder
from weakseg.data.label_store import LabelStore
from weakseg.data.loader import shuffled
from weakseg.strategies import BoxesRect
from weakseg.training.evidence_check import check_evidence
from weakseg.training.image_records import ImageRecords
from weakseg.training.image_statistics import ImageStatistics
from weakseg.training.round_targets import RoundTargets
from weakseg.training.segmenter import Segmenter
from weakseg.training.target_figures import TargetFigures
from weakseg.training.target_keys import KeysById
from weakseg.utils.array_cache import ArrayCache
from weakseg.utils.memory import give_back

SIZES = (1000, 10_000, 100_000)
PHOTOS = 32
BOXES = 7
FLAT = 1.2  # a phase of the largest set may take so many times as long per image as in the middle
STEADY = 20e-6  # seconds per image below which a phase is too short to compare
PHASES = ("list", "check", "keys", "round 0", "order of an epoch")


def make(folder: Path, count: int) -> Path:
    """A data set of so many images, unless it is there already."""
    root = folder / f"images-{count}"
    if (root / "annotations.json").is_file():
        return root
    (root / "images").mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    photos = []
    for number in range(PHOTOS):
        small = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        photos.append(folder / f"photo-{number}.jpg")
        Image.fromarray(small).resize((160, 120), Image.Resampling.BICUBIC).save(photos[-1])
    images, objects = [], []
    for number in range(count):
        name = f"{number:07d}.jpg"
        (root / "images" / name).unlink(missing_ok=True)
        os.link(photos[number % PHOTOS], root / "images" / name)
        images.append({"id": number, "file_name": name, "width": 160, "height": 120})
        corners = random.integers((0, 0, 8, 8, 1), (120, 80, 40, 40, 4), (BOXES, 5)).tolist()
        for *bbox, category in corners:
            object = {"image_id": number, "category_id": category, "bbox": bbox}
            objects.append({"id": len(objects), **object})
    categories = [{"id": number, "name": f"class {number}"} for number in (1, 2, 3)]
    content = {"images": images, "annotations": objects, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(content))
    return root


def own_memory() -> int:
    """Bytes that this process holds by itself."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


def peak_memory() -> int:
    """The most that the process has held so far, mapped files included."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


class Phases:
    """Seconds of each phase, and the memory that is held after it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.memory: dict[str, int] = {}
        self.before = own_memory()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure what is done within."""
        start = perf_counter()
        yield
        self.seconds[name] = perf_counter() - start
        self.memory[name] = own_memory() - self.before


def one_start(root: Path, store: LabelStore, workers: int) -> Phases:
    """A start of a run up to its first step, without a network."""
    strategy = BoxesRect()
    segmenter = Segmenter(torch.nn.Conv2d(3, 4, 1), strategy, ["background", *_classes()])
    phases = Phases()
    with phases.phase("list"):
        data = Folder(root, "coco", evidence="boxes", val_share=0.01)
    records = ImageRecords(store)
    with phases.phase("check"):
        seen = check_evidence(data, strategy, data.classes, 0, 1, records, workers)
    targets = RoundTargets(segmenter, data, seen, store, ArrayCache(), 0, workers, records=records)
    with phases.phase("keys"):
        targets.begin()
        keys = targets.keys()
    statistics = ImageStatistics()
    with phases.phase("round 0"):
        figures = TargetFigures(data.classes, keys, statistics)
        for index, known in records.measured(seen, keys):
            figures.add(index, seen[index].id, known)
        for made in targets.make(keys, figures.open()):
            if made.measured is None:
                raise RuntimeError(str(made.wrong))
            figures.add(made.number, seen[made.number].id, made.measured)
        figures.figures()
        data.use_targets(store, KeysById((seen[index].id, key) for index, key in keys.items()))
        give_back()  # as rounds do
    with phases.phase("order of an epoch"):
        shuffled(len(data.training), 0, 0)
    return phases


def _classes() -> list[str]:
    return [f"class {number}" for number in (1, 2, 3)]


def child(root: Path, store: Path, workers: int) -> None:
    """What one process measures, as JSON."""
    one_start(make(store / "warm", 64), LabelStore(store / "warm" / "labels"), 0)  # imports, caches
    phases = one_start(root, LabelStore(store / root.name), workers)
    print(json.dumps([phases.seconds, phases.memory, peak_memory()]))


def measured(root: Path, store: Path, workers: int) -> tuple[dict[str, float], dict[str, int], int]:
    """The same from a new process."""
    words = [sys.executable, __file__, "--child", str(root), str(store), str(workers)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    seconds, memory, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, memory, peak


def table(sizes: list[int], found: dict[int, dict[str, Any]]) -> Iterator[str]:
    """The rows of a table of all phases."""
    yield "| phase | " + " | ".join(f"{size:,} images" for size in sizes) + " |"
    yield "|---" * (len(sizes) + 1) + "|"
    for start in ("first", "second"):
        for phase in PHASES:
            cells = [f"{1e6 * found[size][start][0][phase] / size:.0f} µs" for size in sizes]
            yield f"| {start} start: {phase} | " + " | ".join(cells) + " |"
        whole = [f"{sum(found[size][start][0].values()):.1f} s" for size in sizes]
        yield f"| {start} start: all of it | " + " | ".join(whole) + " |"
        held = [f"{found[size][start][1]['round 0'] / size:,.0f} B" for size in sizes]
        yield f"| {start} start: memory per image | " + " | ".join(held) + " |"
        peak = [f"{found[size][start][2] / 2**20:,.0f} MB" for size in sizes]
        yield f"| {start} start: most memory | " + " | ".join(peak) + " |"


def uneven(sizes: list[int], found: dict[int, dict[str, Any]]) -> Iterator[str]:
    """The phases that take more per image in the largest set than in the one before it."""
    for start in ("first", "second"):
        for phase in PHASES:
            small, large = (found[size][start][0][phase] / size for size in sizes[-2:])
            if large > STEADY and large > FLAT * small:
                yield f"{start} start, {phase}: {1e6 * small:.0f} to {1e6 * large:.0f} µs per image"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--workers", type=int, default=2, help="of the pool")
    parser.add_argument("--folder", help="for the data sets; a temporary one if it is left out")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(Path(arguments.child[0]), Path(arguments.child[1]), int(arguments.child[2]))
        return 0
    sizes = [int(size) for size in arguments.sizes.split(",")]
    found: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(arguments.folder or scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for size in sizes:
            root = make(folder, size)
            store = Path(scratch) / "labels"
            found[size] = {
                start: measured(root, store, arguments.workers) for start in ("first", "second")
            }
            print(f"{size:,} images: done", file=sys.stderr)
    print("\n".join(table(sizes, found)))
    steep = list(uneven(sizes, found)) if len(sizes) > 1 else []
    print("\n".join(steep) or f"flat: no phase takes {FLAT - 1:.0%} more per image")
    return int(bool(steep))


if __name__ == "__main__":
    sys.exit(main())
