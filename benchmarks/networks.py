"""What the networks cost: parameters, multiply-adds, memory, and time against DeepLabV3+ on a
ResNet-50.

    python benchmarks/networks.py                          all, 224 pixels, batch 2, 21 classes
    python benchmarks/networks.py --only fcn8s pspnet      some, and DeepLabV3+ on ResNet-50

Networks are as their constructors make them, at full size and with random weights. Each turn takes
the reference and one network, forward alone and then forward and backward, so that a busy machine
slows both. Times are medians of the ratios of each turn. Multiply-adds are those of convolutions
and matrix products in one forward pass of one image, as `torch.utils.flop_counter` counts them.
Memory is what training on the batch takes beyond the weights at its peak: on a GPU as torch counts
it, on a CPU as a process of its own finds it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from weakseg.config.recipe import build
from weakseg.networks import NAMES

CLASSES = 21
REFERENCE = "deeplabv3plus"
VARIANTS: dict[str, dict[str, Any]] = {
    "deeplabv1 multi_scale": {"multi_scale": True},
    "deeplabv2 vgg16": {"encoder": "vgg16"},
    "deeplabv2 scales": {"scales": [1, 0.75, 0.5]},
    "deeplabv3 stride 8": {"output_stride": 8},
    "deeplabv3plus mobilenet_v2": {"encoder": "mobilenet_v2"},
    "deeplabv3plus tu-xception65": {"encoder": "tu-xception65"},
}


class Setting(NamedTuple):
    """What all networks are given."""

    images: int
    size: int
    device: str

    def batch(self, images: int | None = None) -> Tensor:
        """Random images, normalised."""
        return torch.randn(images or self.images, 3, self.size, self.size, device=self.device)


def made(name: str) -> nn.Module:
    """A network by its name in a recipe, or one of the variants."""
    network: nn.Module = build(
        {"name": name.split()[0], "classes": CLASSES, **VARIANTS.get(name, {})},
        "network",
        "weakseg.networks",
    )
    return network


def total(output: Any) -> Tensor:
    """A number that depends on all logits, auxiliary ones too."""
    parts = list(output.values()) if isinstance(output, Mapping) else [output]
    logits = [each for part in parts for each in (part if isinstance(part, list) else [part])]
    return torch.stack([each.float().square().mean() for each in logits]).sum()


def wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def count(name: str, size: int) -> tuple[int, int]:
    """Parameters, and multiply-adds of one image; nothing is computed."""
    with torch.device("meta"):
        network = made(name).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.randn(1, 3, size, size))
    return sum(
        parameter.numel() for parameter in network.parameters()
    ), counter.get_total_flops() // 2


def forward(network: nn.Module, image: Tensor, device: str) -> float:
    """Seconds of a forward pass alone."""
    network.eval()
    start = perf_counter()
    with torch.no_grad():
        network(image)
    wait(device)
    return perf_counter() - start


def both(network: nn.Module, image: Tensor, device: str) -> float:
    """Seconds of forward and backward in training."""
    network.train()
    start = perf_counter()
    total(network(image)).backward()
    wait(device)
    seconds = perf_counter() - start
    network.zero_grad()
    return seconds


def times(name: str, setting: Setting, repeats: int) -> list[tuple[float, float, float, float]]:
    """Per turn: seconds of the reference forward and in training, and the same of the network."""
    networks = [
        made(each).to(setting.device, memory_format=torch.channels_last)
        for each in (REFERENCE, name)
    ]
    image = setting.batch().contiguous(memory_format=torch.channels_last)
    turns = []
    for turn in range(repeats + 1):
        found = [
            measure(network, image, setting.device)
            for network in networks
            for measure in (forward, both)
        ]
        # the first turn warms up
        turns += [(found[0], found[1], found[2], found[3])] if turn else []
    return turns


def peak(name: str, setting: Setting) -> float:
    """Bytes that training on a batch takes beyond the weights."""
    if setting.device.startswith("cuda"):
        network = made(name).to(setting.device)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        both(network, setting.batch(), setting.device)
        return torch.cuda.max_memory_allocated() - before
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_on_the_cpu, (name, setting))


def _peak_on_the_cpu(name: str, setting: Setting) -> float:
    network = made(name)
    before = _most()
    both(network, setting.batch(), setting.device)
    return _most() - before


def _most() -> float:
    """Bytes that this process has had at most. On Linux `ru_maxrss` would begin with those of the
    process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * float(
            next(
                line.split()[1]
                for line in status.read_text().splitlines()
                if line.startswith("VmHWM")
            )
        )
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (
        1 if platform.system() == "Darwin" else 1024
    )


def main() -> None:
    # that one trains on objects, not on logits
    everything = [*(name for name in NAMES if name != "maskrcnn"), *VARIANTS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", choices=everything, metavar="NAME", help=", ".join(everything)
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    setting = Setting(arguments.batch, arguments.size, arguments.device)
    names = [REFERENCE, *(name for name in arguments.only or everything if name != REFERENCE)]
    on_gpu = setting.device.startswith("cuda")
    where = (
        torch.cuda.get_device_name()
        if on_gpu
        else f"{platform.machine()}, {torch.get_num_threads()} of {os.cpu_count()} cores"
    )
    print(f"{date.today()}, {where}, Python {platform.python_version()}, torch {torch.__version__}")
    print(
        f"{setting.size} pixels, batch {setting.images}, {CLASSES} classes; times are per image, "
        f"{REFERENCE} (resnet50) = 1\n"
    )
    print(
        "| network | parameters, M | multiply-adds, G | forward, ms | forward, ratio | training, "
        "ms | training, ratio | memory, MB |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in names:
        print(row(name, setting, arguments.repeats), flush=True)


def row(name: str, setting: Setting, repeats: int) -> str:
    parameters, products = count(name, setting.size)
    turns = times(name, setting, repeats)
    alone, training = (
        median(turn[place] for turn in turns) / setting.images * 1e3 for place in (2, 3)
    )
    ratios = [median(turn[place] / turn[place - 2] for turn in turns) for place in (2, 3)]
    figures = [
        f"{parameters / 1e6:.2f}",
        f"{products / 1e9:.1f}",
        f"{alone:.0f}",
        f"{ratios[0]:.2f}",
        f"{training:.0f}",
        f"{ratios[1]:.2f}",
    ]
    return " | ".join([f"| {name}", *figures, f"{peak(name, setting) / 1e6:.0f} |"])


if __name__ == "__main__":
    main()
