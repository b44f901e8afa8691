"""What estimating inside `loss` adds to a training step, for each strategy that does so.

    python benchmarks/step.py    DeepLabV3+ with MobileNetV2, 224 pixels, batch 8, 21 classes
    python benchmarks/step.py --repeats 15       steadier medians

Each turn takes one whole step (forward, loss, backward, optimizer) with `full` and with every other
strategy, so that a busy machine slows all of them. "Step" is the ratio of the medians. "Loss" is
what forward and backward of the loss alone take beyond those of `full`, as a share of a step of
`full`: the same thing with less noise.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections import defaultdict
from datetime import date
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import Batch
from weakseg.networks import DeepLabV3Plus
from weakseg.strategies import BoxesCCNN, BoxesEM, Full, Mixed, Tags, TagsCCNN, TagsCCNNSize, TagsEM
from weakseg.strategies.base import Strategy
from weakseg.training.outputs import read_loss

CLASSES = 21


def strategies() -> dict[str, Strategy]:
    late = Tags(warmup=0)  # from the first step on with the part that costs
    return {
        "full": Full(),
        "tags_em": TagsEM(),
        "tags_em mode=fixed": TagsEM(mode="fixed"),
        "tags_em resolution=scores": TagsEM(resolution="scores"),
        "tags_ccnn": TagsCCNN(),
        "tags_ccnn resolution=scores": TagsCCNN(resolution="scores"),
        "tags_ccnn_size": TagsCCNNSize(),
        "tags_ccnn_size resolution=scores": TagsCCNNSize(resolution="scores"),
        "boxes_em": BoxesEM(),
        "boxes_ccnn": BoxesCCNN(),
        "boxes_ccnn resolution=scores": BoxesCCNN(resolution="scores"),
        "mixed": Mixed(),
        "tags": late,
    }


def batch(images: int, size: int, device: torch.device) -> Batch:
    """Coloured rectangles of two classes on each image, with every kind of evidence about them."""
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 60, (images, 3, size, size), generator=random)
    target = torch.zeros(images, size, size, dtype=torch.int64)
    tags = torch.zeros(images, CLASSES, dtype=torch.bool)
    boxes = []
    labels = []
    for image in range(images):
        tags[image, 0] = True
        own = torch.randperm(CLASSES - 1, generator=random)[:2] + 1
        corners = torch.randint(0, size // 2, (2, 2), generator=random)
        for label, (x, y) in zip(own.tolist(), corners.tolist(), strict=True):
            tags[image, label] = True
            target[image, y : y + size // 3, x : x + size // 3] = label
            pixels[image, :, y : y + size // 3, x : x + size // 3] += 9 * label
        boxes.append(torch.cat([corners, corners + size // 3], 1).float().to(device))
        labels.append(own.to(device))
    return Batch(
        ids=[str(image) for image in range(images)],
        image=pixels.to(torch.uint8).to(device),
        target=target.to(device),
        tags=tags.to(device),
        boxes=boxes,
        box_classes=labels,
        large=(tags & (torch.arange(CLASSES) % 2 == 0)).to(device),
    )


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def sum_of_terms(strategy: Strategy, logits: Tensor, batch: Batch) -> Tensor:
    return torch.stack(
        list(read_loss(strategy.loss(logits, batch), "the loss").terms.values())
    ).sum()


class Step:
    """One network in training, which every strategy moves in turn."""

    def __init__(self, images: int, size: int, device: torch.device) -> None:
        torch.manual_seed(0)
        self.device = device
        self.network = DeepLabV3Plus(classes=CLASSES, encoder="mobilenet_v2").to(
            device, memory_format=torch.channels_last
        )
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=1e-3)
        self.batch = batch(images, size, device)
        self.image = self.batch.image.float() / 255

    def enlarged(self, logits: Tensor, strategy: Strategy) -> Tensor:
        return (
            logits
            if strategy.wants.resolution == "scores"
            else F.interpolate(logits, self.image.shape[-2:], mode="bilinear", align_corners=False)
        )

    def whole(self, strategy: Strategy) -> float:
        """Seconds of a whole step."""
        start = perf_counter()
        logits = self.enlarged(self.network(self.image), strategy)
        sum_of_terms(strategy, logits, self.batch).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        wait(self.device)
        return perf_counter() - start

    def loss(self, strategy: Strategy) -> float:
        """Seconds of forward and backward of the loss alone, from the network's scores on."""
        with torch.no_grad():
            scores = self.network(self.image)
        wait(self.device)
        scores.requires_grad_()
        start = perf_counter()
        sum_of_terms(strategy, self.enlarged(scores, strategy), self.batch).backward()
        wait(self.device)
        return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    step = Step(arguments.batch, arguments.size, device)
    many = {name: one.to(device) for name, one in strategies().items()}
    wholes: dict[str, list[float]] = defaultdict(list)
    losses: dict[str, list[float]] = defaultdict(list)
    for turn in range(arguments.repeats + 1):
        for name, strategy in many.items():
            whole = step.whole(strategy)
            loss = step.loss(strategy)
            if turn:  # the first turn warms up
                wholes[name].append(whole)
                losses[name].append(loss)
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "?",
    )
    where = (
        torch.cuda.get_device_name()
        if device.type == "cuda"
        else f"{model}, {torch.get_num_threads()} of {os.cpu_count()} cores"
    )
    print(f"{date.today()}, {where}, Python {platform.python_version()}, torch {torch.__version__}")
    print(
        f"DeepLabV3+ MobileNetV2, {arguments.size} pixels, batch {arguments.batch}, {CLASSES} "
        "classes\n"
    )
    print(
        "| strategy | ms per step | step, against full | loss alone, ms | added, of a step of "
        "full |\n"
        "| --- | --- | --- | --- | --- |"
    )
    base = median(wholes["full"])
    plain = median(losses["full"])
    for name in many:
        whole = median(wholes[name])
        loss = median(losses[name])
        print(
            f"| {name} | {whole * 1e3:.0f} | {whole / base:.2f} | {loss * 1e3:.0f} | "
            f"{(loss - plain) / base:+.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
