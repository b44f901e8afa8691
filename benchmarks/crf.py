"""How fast the dense CRF is, against the original C++ code (pip install 'weakseg[pydensecrf]'), and
how much memory it takes.

    python benchmarks/crf.py                 all tables, about three minutes
    python benchmarks/crf.py --repeats 9     steadier medians
    python benchmarks/crf.py --only memory   one part: labels, threads, boxes, scale, memory or gpu
    python benchmarks/crf.py --only scale --voc VOCdevkit --train train_animals5
                                             scale=0.5 on photographs with boxes and masks

Both run in turns, so that a busy machine slows both; a ratio is that of the medians. Every turn has
a photo that has not been seen, of a size that has. "Lattice" is what a second call with the same
photo saves, "iterations" is the rest.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: threads are what this measures

import numpy as np
import torch
from skimage import data, transform
from torch import Tensor

from weakseg.data.files.voc import VOC
from weakseg.evidence import Evidence
from weakseg.functional.boxes import box_unary
from weakseg.functional.confusion import confusion_matrix, mean_iou
from weakseg.functional.crf import DenseCRF, dense_crf
from weakseg.strategies import BoxesCRF
from weakseg.strategies.base import Context

# in pixels, as the C++ code has them; the default is 13 %, 65 pixels of these photos
SETTINGS = {
    "67/3": DenseCRF(smooth_xy=1, bilateral_xy=67),
    "80/13": DenseCRF(smooth_xy=3, bilateral_weight=10, bilateral_xy=80, bilateral_rgb=13),
}
LABELS = (2, 3, 5, 21)
SCALES = (1.0, 0.5)
SIZE = (375, 500)
NUMBERS = count()


def photo(height: int = SIZE[0], width: int = SIZE[1]) -> Tensor:
    small = transform.resize(data.coffee(), (height, width), anti_aliasing=True)
    return torch.from_numpy(
        np.ascontiguousarray((small * 255).round().astype(np.uint8).transpose(2, 0, 1))
    )


def unseen(image: Tensor) -> Tensor:
    """The photo with one pixel changed: new to whoever remembers photos, and as hard as before."""
    number = next(NUMBERS)
    changed = image.clone()
    changed[:, 0, 0] = torch.tensor([number % 256, number // 256 % 256, 1])
    return changed


def beliefs(labels: int, height: int = SIZE[0], width: int = SIZE[1]) -> Tensor:
    """A noisy rectangle for each label but the first."""
    random = torch.Generator().manual_seed(labels)
    scores = torch.rand(labels, height, width, generator=random) * 2
    scores[0] += 1
    for label in range(1, labels):
        top, left = (
            int(torch.randint(size * 2 // 3, (), generator=random)) for size in (height, width)
        )
        scores[label, top : top + height // 3, left : left + width // 3] += 2
    return scores.softmax(0)


def by_pydensecrf(image: Tensor, probs: Tensor, crf: DenseCRF) -> tuple[float, float]:
    """Seconds for lattices and for iterations, with everything that a user has to do beside."""
    from pydensecrf import densecrf

    start = perf_counter()
    labels, height, width = probs.shape
    colours = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    field = densecrf.DenseCRF2D(width, height, labels)
    field.addPairwiseGaussian(sxy=crf.smooth_xy, compat=crf.smooth_weight)
    field.addPairwiseBilateral(
        sxy=crf.bilateral_xy, srgb=crf.bilateral_rgb, rgbim=colours, compat=crf.bilateral_weight
    )
    built = perf_counter()
    field.setUnaryEnergy(np.ascontiguousarray(-probs.clamp(min=1e-20).log().flatten(1).numpy()))
    torch.from_numpy(np.array(field.inference(crf.iterations))).view_as(probs)
    return built - start, perf_counter() - built


def seconds(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def table(title: str, head: tuple[str, ...], lines: list[tuple[str, ...]]) -> None:
    print(f"\n{title}\n")
    for line in (head, ("---",) * len(head), *lines):
        print("| " + " | ".join(line) + " |", flush=True)


def labels_table(repeats: int) -> None:
    lines = []
    for name, crf in SETTINGS.items():
        for labels in LABELS:
            image = photo()
            probs = beliefs(labels)
            dense_crf(image, probs, crf)
            ours = []
            again = []
            theirs = []
            for _ in range(repeats):
                fresh = unseen(image)
                work = partial(dense_crf, fresh, probs, crf)
                ours.append(seconds(work))
                theirs.append(by_pydensecrf(fresh, probs, crf))
                again.append(seconds(work))
            lattice, iterations = (median(part) for part in zip(*theirs, strict=True))
            whole = median(ours)
            rest = median(again)
            old = median(sum(parts) for parts in theirs)
            cells = [
                f"{old / whole:.1f}",
                f"{lattice / (whole - rest):.1f}",
                f"{iterations / rest:.1f}",
            ]
            lines.append((name, str(labels), *cells, f"{whole * 1e3:.0f}", f"{old * 1e3:.0f}"))
    head = (
        "xy/rgb",
        "labels",
        "times faster",
        "lattice",
        "iterations",
        "weakseg ms",
        "pydensecrf2 ms",
    )
    table(f"One image, {SIZE[1]} x {SIZE[0]}, 10 iterations, one thread", head, lines)


def threads_table(repeats: int) -> None:
    lines = []
    many = 6
    for name, crf in SETTINGS.items():
        for labels in LABELS:
            image = photo()
            probs = beliefs(labels)
            dense_crf(image, probs, crf)
            one = []
            two = []
            theirs = []
            for _ in range(repeats):
                theirs.append(sum(by_pydensecrf(image, probs, crf)))
                for threads, times in ((1, one), (2, two)):
                    torch.set_num_threads(threads)
                    images = [unseen(image) for _ in range(many)]
                    times.append(seconds(partial(dense_crf, images, [probs] * many, crf)) / many)
                torch.set_num_threads(1)
            ratios = [f"{median(theirs) / median(times):.1f}" for times in (one, two)]
            lines.append(
                (name, str(labels), *ratios, f"{median(one) * 1e3:.0f}", f"{median(two) * 1e3:.0f}")
            )
    head = (
        "xy/rgb",
        "labels",
        "times faster, 1 thread",
        "2 threads",
        "ms per image, 1 thread",
        "2 threads",
    )
    table(f"A list of {many} images against a loop over pydensecrf2", head, lines)


def boxes_table(repeats: int) -> None:
    lines = []
    many = 6
    boxes = torch.tensor([[60.0, 50, 300, 330], [250, 100, 460, 300]])
    classes = torch.tensor([5, 12])
    for name, crf in SETTINGS.items():
        strategy = BoxesCRF(crf=crf)

        def estimate(image: Tensor, strategy: BoxesCRF = strategy) -> Tensor:
            return strategy.estimate(
                Evidence(id="photo", image=image, boxes=boxes, box_classes=classes), Context()
            )

        image = photo()
        probs = box_unary(boxes, classes, 21, *SIZE, "wssl_code", 0.2)
        estimate(image)
        one = []
        two = []
        theirs = []
        for _ in range(repeats):
            theirs.append(sum(by_pydensecrf(image, probs, crf)))
            for threads, times in ((1, one), (2, two)):
                images = [unseen(image) for _ in range(many)]
                with ThreadPoolExecutor(threads) as pool:
                    times.append(
                        seconds(lambda images=images, pool=pool: list(pool.map(estimate, images)))
                        / many
                    )
        ratios = [f"{median(theirs) / median(times):.1f}" for times in (one, two)]
        lines.append(
            (
                name,
                *ratios,
                f"{median(one) * 1e3:.0f}",
                f"{median(two) * 1e3:.0f}",
                f"{median(theirs) * 1e3:.0f}",
            )
        )
    head = (
        "xy/rgb",
        "times faster, 1 thread",
        "2 threads",
        "ms per image, 1 thread",
        "2 threads",
        "pydensecrf2 ms",
    )
    table(
        "strategy=boxes_crf with two boxes against a loop over pydensecrf2 with all 21 labels",
        head,
        lines,
    )


def scale_table(repeats: int) -> None:
    """One full computation against a part of the resolution, on what may be drawn without data."""
    lines = []
    for name, crf in SETTINGS.items():
        for labels in LABELS:
            image = photo()
            probs = beliefs(labels)
            times: dict[float, list[float]] = {scale: [] for scale in SCALES}
            found = {scale: dense_crf(image, probs, replace(crf, scale=scale)) for scale in SCALES}
            for _ in range(repeats):
                for scale in SCALES:
                    work = partial(dense_crf, unseen(image), probs, replace(crf, scale=scale))
                    times[scale].append(seconds(work))
            lines.append((name, str(labels), *_scale_cells(times, _agreement(found))))
    head = ("xy/rgb", "labels", *_scale_head())
    table("A part of the resolution, noisy rectangles, one thread", head, lines)


def voc_table(root: Path, train: str, count: int) -> None:
    """The same for the targets of recipe=boxes_crf, with their mean IoU against the masks."""
    data = VOC(root=root, train=train, val=None, evidence="boxes")
    step = max(1, len(data.training) // count)
    places = list(data.training)[::step][:count]
    lines = []
    for rgb in (3, 5, 13):
        crf = DenseCRF(bilateral_rgb=rgb)
        times: dict[float, list[float]] = {scale: [] for scale in SCALES}
        same = {scale: [0, 0] for scale in SCALES}
        confusions = {scale: torch.zeros(21, 21, dtype=torch.int64) for scale in SCALES}
        for place in places:
            evidence, truth = data.sample(place)
            found = {}
            for scale in SCALES:
                strategy = BoxesCRF(crf=replace(crf, scale=scale))
                start = perf_counter()
                found[scale] = strategy.estimate(evidence, Context())
                times[scale].append(perf_counter() - start)
                same[scale][0] += int((found[scale] == found[1.0]).sum())
                same[scale][1] += found[scale].numel()
                if truth is not None:
                    confusions[scale] += confusion_matrix(found[scale], truth, 21)
        shares = [one / of for one, of in same.values()]
        scores = [f"{mean_iou(confusion):.4f}" for confusion in confusions.values()]
        lines.append((str(rgb), *_scale_cells(times, shares), *scores))
    head = ("rgb", *_scale_head(), *(f"target mIoU, {scale:g}" for scale in SCALES))
    table(f"strategy=boxes_crf on {len(places)} photographs of {train}", head, lines)


def _agreement(found: dict[float, Tensor]) -> list[float]:
    whole = found[1.0].argmax(0)
    return [float((each.argmax(0) == whole).double().mean()) for each in found.values()]


def _scale_head() -> list[str]:
    parts = [f"{scale:g}" for scale in SCALES[1:]]
    return [
        *(f"ms, {scale:g}" for scale in SCALES),
        *(f"times faster, {part}" for part in parts),
        *(f"same labels, {part}" for part in parts),
    ]


def _scale_cells(times: dict[float, list[float]], same: list[float]) -> list[str]:
    whole, *parts = [median(each) for each in times.values()]
    return [
        *(f"{each * 1e3:.0f}" for each in (whole, *parts)),
        *(f"{whole / part:.1f}" for part in parts),
        *(f"{share:.2%}" for share in same[1:]),
    ]


def memory_table() -> None:
    lines = []
    for height, width, labels in (
        (375, 500, 3),
        (375, 500, 21),
        (1000, 1500, 3),
        (1000, 1500, 21),
        (3000, 4000, 3),
    ):
        for name in SETTINGS:
            command = [
                sys.executable,
                __file__,
                "--peak",
                name,
                str(height),
                str(width),
                str(labels),
            ]
            peak, took = map(
                float,
                subprocess.run(command, check=True, capture_output=True, text=True).stdout.split(),
            )
            pixels = height * width
            size = f"{width} x {height}"
            lines.append(
                (
                    name,
                    size,
                    str(labels),
                    f"{peak / 1e6:.0f}",
                    f"{peak / pixels:.0f}",
                    f"{took:.1f}",
                )
            )
    table(
        "Peak memory of one call, beside image and probs",
        ("xy/rgb", "image", "labels", "MB", "bytes per pixel", "seconds"),
        lines,
    )


def peak(name: str, height: int, width: int, labels: int) -> None:
    """In a process of its own: what the peak of memory rises by in one call."""
    image = photo(height, width)
    probs = beliefs(labels, height, width)
    crf = SETTINGS[name]
    dense_crf(photo(20, 30), beliefs(labels, 20, 30), crf)
    floor = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    took = seconds(lambda: dense_crf(image, probs, crf))
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(int(status["VmHWM"].split()[0]) * 1024 - floor, took)


def gpu_table(repeats: int) -> None:
    if not torch.cuda.is_available():
        print("\nNo GPU here: nothing was measured on one.")
        return
    lines = []
    many = 8
    for name, crf in SETTINGS.items():
        for labels in LABELS:
            image = photo()
            probs = beliefs(labels)
            there = [probs.cuda()] * many
            times = []
            again = []
            torch.cuda.reset_peak_memory_stats()
            for _ in range(repeats + 2):
                fresh = [unseen(image).cuda() for _ in range(many)]
                times.append(seconds(partial(on_gpu, fresh, there, crf)) / many)
                again.append(seconds(partial(on_gpu, fresh, there, crf)) / many)
            off = (
                (dense_crf(image.cuda(), probs.cuda(), crf).cpu() - dense_crf(image, probs, crf))
                .abs()
                .max()
                .item()
            )
            cells = [f"{median(part[2:]) * 1e3:.1f}" for part in (times, again)]
            lines.append(
                (
                    name,
                    str(labels),
                    *cells,
                    f"{off:.0e}",
                    f"{torch.cuda.max_memory_allocated() / 1e6:.0f}",
                )
            )
    head = (
        "xy/rgb",
        "labels",
        "ms per image",
        "with lattices known",
        "off the CPU by at most",
        "peak MB",
    )
    table(f"Batches of {many} on {torch.cuda.get_device_name()}", head, lines)


def on_gpu(images: list[Tensor], probs: list[Tensor], crf: DenseCRF) -> None:
    torch.cuda.synchronize()
    dense_crf(images, probs, crf)
    torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=("labels", "threads", "boxes", "scale", "memory", "gpu"))
    parser.add_argument("--voc", type=Path, help="the folder VOCdevkit, for --only scale")
    parser.add_argument("--train", default="train", help="which of its lists")
    parser.add_argument("--images", type=int, default=60, help="how many of these")
    parser.add_argument("--peak", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        name, *numbers = arguments.peak
        return peak(name, *map(int, numbers))
    torch.set_num_threads(1)
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
    parts = {
        "labels": lambda: labels_table(arguments.repeats),
        "threads": lambda: threads_table(arguments.repeats),
        "boxes": lambda: boxes_table(arguments.repeats),
        "scale": (
            partial(voc_table, arguments.voc, arguments.train, arguments.images)
            if arguments.voc
            else lambda: scale_table(arguments.repeats)
        ),
        "memory": memory_table,
        "gpu": lambda: gpu_table(arguments.repeats),
    }
    for name, part in parts.items():
        if arguments.only in (None, name):
            part()


if __name__ == "__main__":
    main()
