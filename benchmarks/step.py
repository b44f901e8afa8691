"""What a training step of weakseg takes, against the same arithmetic without weakseg.

    python benchmarks/step.py                    DeepLabV3+ with MobileNetV2, 224 pixels, batch 8
    python benchmarks/step.py --network resnet50 --size 321 --batch 2
    python benchmarks/step.py --parts fit        the step in Trainer.fit against a bare loop alone
    python benchmarks/step.py --parts losses     what estimating inside `loss` adds alone
    python benchmarks/step.py --precision bf16-mixed --memory channels_last
    python benchmarks/step.py --freed returned   memory that tensors leave goes back to the system
    python benchmarks/step.py --repeats 15       steadier medians

Fit: a training with the callbacks of a run, after each step of which a bare loop takes one: the
same network, optimizer and batch, cross-entropy, and nothing else. "Ratio" is the median of the
bare loop's time over that of `Trainer.fit`, from one batch's end to the end of the next one; 1 is
as fast.

Losses: each turn takes one whole step (forward, loss, backward, optimizer) with `full` and with
every other strategy, so that a busy machine slows all of them. "Step" is the ratio of the medians.
"Loss" is what forward and backward of the loss alone take beyond those of `full`, as a share of a
step of `full`: the same thing with less noise.
"""

from __future__ import annotations

import argparse
import copy
import logging
import os
import platform
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import IGNORE, Batch
from weakseg.networks import DeepLabV3Plus
from weakseg.optimizers import AdamW
from weakseg.strategies import BoxesCCNN, BoxesEM, Full, Mixed, Tags, TagsCCNN, TagsCCNNSize, TagsEM
from weakseg.strategies.base import Strategy
from weakseg.training.image_statistics import ImageStatistics
from weakseg.training.label_monitor import LabelMonitor
from weakseg.training.metrics_file import Record
from weakseg.training.outputs import read_loss
from weakseg.training.segmenter import Segmenter
from weakseg.training.step_timer import StepTimer
from weakseg.utils.memory import keep_freed

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


# the step in Trainer.fit --------------------------------------------------------------------------


class Batches:
    """The same batch again and again."""

    def __init__(self, one: Batch, number: int) -> None:
        self.one = one
        self.number = number

    def __len__(self) -> int:
        return self.number

    def __iter__(self) -> Iterator[Batch]:
        return iter([self.one] * self.number)


class Bare:
    """A loop as everybody writes it."""

    def __init__(self, network: torch.nn.Module, precision: str, device: torch.device) -> None:
        self.network = network
        self.device = device
        self.precision = precision
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=1e-3, weight_decay=1e-4, fused=True
        )
        shape = (1, 3, 1, 1)
        self.mean = torch.tensor([123.7, 116.3, 103.5], device=device).view(shape)
        self.std = torch.tensor([58.4, 57.1, 57.4], device=device).view(shape)

    def step(self, images: Tensor, target: Tensor) -> None:
        """Forward, loss, backward, update."""
        with self._cast():
            logits = self.network((images - self.mean) / self.std)
            logits = F.interpolate(logits, images.shape[-2:], mode="bilinear")
            loss = F.cross_entropy(logits, target, ignore_index=IGNORE)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        wait(self.device)

    def _cast(self) -> AbstractContextManager[Any]:
        if self.precision == "bf16-mixed":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()


class InTurns(pl.Callback):
    """After each step of a training, one of a bare loop; the times of both, the first ones left
    out."""

    def __init__(self, bare: Bare) -> None:
        self.bare = bare
        self.fit: list[float] = []
        self.loop: list[float] = []
        self._ended = 0.0

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        wait(self.bare.device)
        now = perf_counter()
        assert batch.target is not None
        self.bare.step(batch.image, batch.target)
        ended = perf_counter()
        if batch_idx > 1:
            self.fit.append(now - self._ended)
            self.loop.append(ended - now)
        self._ended = perf_counter()


def in_fit(arguments: argparse.Namespace, network: torch.nn.Module) -> InTurns:
    """The times of a training, step by step beside those of a bare loop."""
    device = torch.device(arguments.device)
    twin = copy.deepcopy(network).to(device)
    if arguments.memory == "channels_last":
        twin = twin.to(memory_format=torch.channels_last)
    turns = InTurns(Bare(twin, arguments.precision, device))
    callbacks = [StepTimer(), LabelMonitor(), ImageStatistics(), turns]
    steps = arguments.repeats + 2
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            default_root_dir=folder,
            max_steps=steps,
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=1,
            precision=arguments.precision,
            callbacks=callbacks,
            logger=Record(Path(folder)),
            log_every_n_steps=10,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        optimizer = AdamW(schedule="constant", memory_format=arguments.memory)
        classes = [str(number) for number in range(CLASSES)]
        segmenter = Segmenter(network, Full(), classes, optimizer)
        loader: Any = Batches(batch(arguments.batch, arguments.size, torch.device("cpu")), steps)
        trainer.fit(segmenter, loader)
    return turns


def print_fit(arguments: argparse.Namespace) -> None:
    """The table of the first part."""
    torch.manual_seed(0)
    turns = in_fit(arguments, DeepLabV3Plus(CLASSES, arguments.network))
    fit = median(turns.fit)
    loop = median(turns.loop)
    print(
        f"| step of | ms | ratio |\n| --- | --- | --- |\n| a bare loop | {loop * 1e3:.0f} | 1 |\n"
        f"| Trainer.fit | {fit * 1e3:.0f} | {loop / fit:.3f} |\n",
        flush=True,
    )


# what estimating adds -----------------------------------------------------------------------------


def sum_of_terms(strategy: Strategy, logits: Tensor, batch: Batch) -> Tensor:
    return torch.stack(
        list(read_loss(strategy.loss(logits, batch), "the loss").terms.values())
    ).sum()


class Step:
    """One network in training, which every strategy moves in turn."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        torch.manual_seed(0)
        self.device = torch.device(arguments.device)
        self.network = DeepLabV3Plus(CLASSES, arguments.network).to(self.device)
        if arguments.memory == "channels_last":
            self.network = self.network.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=1e-3)
        self.batch = batch(arguments.batch, arguments.size, self.device)
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


def print_losses(arguments: argparse.Namespace) -> None:
    """The table of the second part."""
    step = Step(arguments)
    many = {name: one.to(step.device) for name, one in strategies().items()}
    wholes: dict[str, list[float]] = defaultdict(list)
    losses: dict[str, list[float]] = defaultdict(list)
    for turn in range(arguments.repeats + 1):
        for name, strategy in many.items():
            whole = step.whole(strategy)
            loss = step.loss(strategy)
            if turn:  # the first turn warms up
                wholes[name].append(whole)
                losses[name].append(loss)
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


def machine(device: torch.device) -> str:
    """What this is measured on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return f"{models[0] if models else '?'}, {torch.get_num_threads()} of {os.cpu_count()} cores"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", default=["fit", "losses"], choices=["fit", "losses"])
    parser.add_argument("--network", default="mobilenet_v2", help="encoder of DeepLabV3+")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--precision", default="32-true", choices=["32-true", "bf16-mixed"])
    parser.add_argument("--memory", default="contiguous", choices=["contiguous", "channels_last"])
    parser.add_argument(
        "--freed",
        default="kept",
        choices=["kept", "returned"],
        help="what happens on a CPU to memory that tensors leave; runs keep it",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable()  # what Lightning says of devices and workers
    device = torch.device(arguments.device)
    if device.type == "cpu" and arguments.freed == "kept":
        keep_freed()
    print(
        f"{date.today()}, {machine(device)}, Python {platform.python_version()}, torch "
        f"{torch.__version__}\n"
        f"DeepLabV3+ {arguments.network}, {arguments.size} pixels, batch {arguments.batch}, "
        f"{CLASSES} classes, {arguments.precision}, {arguments.memory}\n"
    )
    if "fit" in arguments.parts:
        print_fit(arguments)
    if "losses" in arguments.parts:
        print_losses(arguments)


if __name__ == "__main__":
    main()
