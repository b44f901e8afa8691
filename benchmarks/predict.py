"""Prediction of a folder against the bare network on the same batches.

    python benchmarks/predict.py                     DeepLabV3+ with MobileNetV2, 96 photographs
    python benchmarks/predict.py --repeats 9         steadier medians
    python benchmarks/predict.py --images 24 --size 128

Each turn takes both, so that a busy machine slows both: the folder, from JPEG files to masks and
summary; and `model.logits` alone on the same batches, which are in memory already. The ratio is
that of the medians; 1 would be a folder whose reading, deciding and writing cost nothing. The ratio
of the processor's time counts the work of all threads, and does not depend on what else the machine
does. With onnxruntime and an exported graph (`--onnx net.onnx`), the same is measured of it.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from weakseg.config.recipe import Recipe
from weakseg.data.formats.images import read_image
from weakseg.networks import DeepLabV3Plus
from weakseg.prediction import images as prediction
from weakseg.prediction.work import half_precision
from weakseg.strategies import Full
from weakseg.trained.checkpoint import CheckpointModel
from weakseg.trained.loading import choose_device, load_model
from weakseg.trained.model import Origin, TrainedModel
from weakseg.training.segmenter import Segmenter

CLASSES = tuple(f"class{number}" for number in range(21))
SHAPES = [(375, 500), (500, 375), (333, 500)]  # those of most photographs of PASCAL VOC
UNTRAINED = Origin("untrained", "checkpoint", "0" * 64, "", None, "random")


def draw_photos(folder: Path, count: int, size: int) -> None:
    """Photographs of clouds: JPEG files that take about as long to read as real ones."""
    random = np.random.default_rng(0)
    for number in range(count):
        height, width = (max(1, side * size // 500) for side in SHAPES[number % len(SHAPES)])
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
        grain = random.normal(0, 6, smooth.shape)
        pixels = (smooth + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:05}.jpg", quality=90)


def untrained(device: torch.device) -> TrainedModel:
    torch.manual_seed(0)
    network = DeepLabV3Plus(classes=len(CLASSES), encoder="mobilenet_v2")
    segmenter = Segmenter(network, Full(), CLASSES)
    return CheckpointModel(segmenter, Recipe("", {}), UNTRAINED, device)


class Recorder:
    """A model's `logits`, noting which images come together."""

    def __init__(self, model: TrainedModel) -> None:
        self.logits: Callable[[Tensor], Tensor] = model.logits
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.shapes.append(tuple(images.shape))
        return self.logits(images)


def batches_of(folder: Path, shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """The images of a folder in batches of these shapes."""
    images: dict[tuple[int, ...], list[Tensor]] = {}
    for file in sorted(folder.iterdir()):
        image = read_image(file).contiguous()
        images.setdefault(tuple(image.shape), []).append(image)
    return [torch.stack([images[shape[1:]].pop() for _ in range(shape[0])]) for shape in shapes]


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


class Turn(NamedTuple):
    """What one of the two has taken."""

    seconds: float
    work: float
    """seconds of the processor, of all threads"""


class Contest:
    """A folder and the bare network, in turns."""

    def __init__(self, model: TrainedModel, photos: Path, batch_size: int, workers: int) -> None:
        self.model = model
        self.photos = photos
        self.words = {"batch_size": batch_size, "workers": workers}
        recorder = Recorder(model)
        model.logits = recorder  # type: ignore[method-assign]
        self.folder()
        model.logits = recorder.logits  # type: ignore[method-assign]
        self.batches = batches_of(photos, recorder.shapes)

    def folder(self) -> Turn:
        """All of the folder."""
        work = process_time()
        with (
            tempfile.TemporaryDirectory() as out,
            mock.patch.object(prediction, "load_model", return_value=self.model),
        ):
            done = prediction.predict_images("", self.photos, Path(out) / "masks", **self.words)
        assert not done.broken
        return Turn(done.seconds, process_time() - work)

    def bare(self) -> Turn:
        """The network alone."""
        half = half_precision("auto", self.model.device)
        start = perf_counter()
        work = process_time()
        with torch.no_grad(), torch.autocast(self.model.device.type, half, enabled=bool(half)):
            for batch in self.batches:
                self.model.logits(batch)
        wait(self.model.device)
        return Turn(perf_counter() - start, process_time() - work)

    def run(self, repeats: int) -> tuple[list[Turn], list[Turn]]:
        folder: list[Turn] = []
        bare: list[Turn] = []
        self.bare()
        for turn in range(repeats):
            steps = [(self.folder, folder), (self.bare, bare)]
            for step, turns in steps if turn % 2 else reversed(steps):
                turns.append(step())
        return folder, bare


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--size", type=int, default=500, help="longer side of the photographs")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--onnx", help="an exported graph, to be measured, too")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    models = {"torch": untrained(device)}
    if arguments.onnx:
        models["onnxruntime"] = load_model(arguments.onnx, device=arguments.device)
    print(f"{date.today()}, {where(device)}")
    print(
        f"{arguments.images} photographs of up to {arguments.size} pixels, batch "
        f"{arguments.batch}, {arguments.workers} readers and writers, {arguments.repeats} turns\n"
    )
    print("| network | folder, images/s | bare, images/s | ratio | of single turns | of work |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as root:
        photos = Path(root) / "photos"
        photos.mkdir()
        draw_photos(photos, arguments.images, arguments.size)
        for name, model in models.items():
            contest = Contest(model, photos, arguments.batch, arguments.workers)
            print(row(name, arguments.images, *contest.run(arguments.repeats)), flush=True)


def row(name: str, images: int, folder: list[Turn], bare: list[Turn]) -> str:
    ours = median(turn.seconds for turn in folder)
    theirs = median(turn.seconds for turn in bare)
    ratios = sorted(b.seconds / f.seconds for f, b in zip(folder, bare, strict=True))
    work = median(turn.work for turn in bare) / median(turn.work for turn in folder)
    return (
        f"| {name} | {images / ours:.2f} | {images / theirs:.2f} | {theirs / ours:.2f} | "
        f"{ratios[0]:.2f} to {ratios[-1]:.2f} | {work:.2f} |"
    )


def where(device: torch.device) -> str:
    """The machine and the versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "?")
    cores = f"{model}, {torch.get_num_threads()} of {os.cpu_count()} cores"
    machine = torch.cuda.get_device_name() if device.type == "cuda" else cores
    return f"{machine}, Python {platform.python_version()}, torch {torch.__version__}"


if __name__ == "__main__":
    main()
