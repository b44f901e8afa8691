"""What a training step costs: measured on a few small images, and scaled to those of a data set, to
about a factor of two."""

from __future__ import annotations

import copy
import gc
import logging
import math
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.data.files.photos import Photos
from weakseg.data.formats.images import image_size
from weakseg.evidence import Batch
from weakseg.training.segmenter import Segmenter
from weakseg.utils.messages import counted

# of what is measured; batch norm wants more than one image
SIDE = 128
IMAGES = 2
# what a step takes beside what it keeps for its backward pass; 1.04 to 1.31 on seven networks on a
# CPU
BEYOND = 1.25
COPIES = 3  # of the weights: gradients and, in AdamW, two moments
# of the free memory that is proposed to be used: estimates may be wrong by a factor of two
SHARE = 0.5
# proposed for photographs; most published figures are of about such sizes
LONG = 512
CROP = 320
SLOW = 10.0  # seconds of a step, from which on smaller images are proposed
# so many times what the machine has in all cannot be right, even where the estimate is twice too
# high
SURELY = 2.0
# bytes per pixel, more than any network takes: what fits even so is not measured before training
HEAVIEST = 16 * 1024
HALF = 0.6  # of float32, as weights, sums and norms stay what they are
ENDLESS = 1000  # epochs, where a trainer has neither epochs nor steps
LOOKED_AT = 200  # images whose headers are read before training

log = logging.getLogger(__name__)


class Memory(NamedTuple):
    """Of a device, in bytes."""

    free: int
    total: int


class Unit(NamedTuple):
    """What a step costs, per pixel of its batch and beside that."""

    fixed: float
    """bytes"""
    per_pixel: float
    """bytes"""
    seconds: float
    """per pixel"""
    device: str

    def memory(self, pixels: float) -> float:
        """Bytes of a step on so many pixels, about."""
        return self.fixed + self.per_pixel * pixels

    def time(self, pixels: float) -> float:
        """Seconds of a step on so many pixels, about."""
        return self.seconds * pixels


class Plan(NamedTuple):
    """What decides how many pixels are in a batch."""

    batch_size: int
    height: int
    """of the highest image"""
    width: int
    """of the widest image"""
    crop: int | None = None
    scale: float = 1.0
    """largest factor of resizing at random"""
    long_side: int | None = None
    """that images are to be shrunk to, beyond what `height` and `width` say; None to leave them"""
    whole: bool = False
    """whether crops would cost evidence: tags are of whole images"""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images in a batch, which are padded to the same size."""
        if self.crop is not None:
            return self.crop, self.crop
        factor = self.scale * min(1.0, (self.long_side or self.longest) / self.longest)
        return max(1, round(self.height * factor)), max(1, round(self.width * factor))

    @property
    def longest(self) -> int:
        """The longer side of the largest image."""
        return max(self.height, self.width)

    @property
    def pixels(self) -> int:
        """Of a whole batch."""
        height, width = self.size
        return self.batch_size * height * width


def plan_of(data: WeakData, sizes: Sequence[tuple[int, int]]) -> Plan:
    """The plan of a data set whose images are read at these widths and heights."""
    augmentation = data.augmentation
    height = max(height for _, height in sizes)
    width = max(width for width, _ in sizes)
    whole = getattr(data, "evidence", None) == "tags"
    return Plan(
        data.batch_size, height, width, augmentation.crop, augmentation.scale[1], whole=whole
    )


def sizes_of(data: WeakData, most: int = LOOKED_AT) -> list[tuple[int, int]]:
    """Width and height of images as they are read: by the headers of files spread over the data
    set, or of the first image."""
    if not isinstance(data, Photos):
        image = data.corrected(data.training[0])[0].image
        return [(image.shape[-1], image.shape[-2])]
    chosen = data.training[:: max(1, len(data.training) // most)]
    return [_shrunk(image_size(data.entries[index].image), data.long_side) for index in chosen]


def _shrunk(size: tuple[int, int], long_side: int | None) -> tuple[int, int]:
    factor = min(1.0, (long_side or max(size)) / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def measure(segmenter: Segmenter, device: str = "cpu", share: float = 1.0) -> Unit:
    """What a step of a network costs, from two forward and backward passes of a copy of it on two
    images of 128 by 128 pixels.

    The loss is cross-entropy at the size of the images. What a strategy's own loss takes beyond
    that is not in it.

    Args:
        segmenter: with the network; it stays as it is, and so do all streams of random numbers.
        device: where it will be trained.
        share: of what float32 takes, for training in half precision.
    """
    devices = [torch.device(device)] if device != "cpu" else []
    with torch.random.fork_rng(devices):
        network = copy.deepcopy(segmenter).to(device).train()
        kept = _kept(network, device)
        start = time.perf_counter()
        _step(network, device)  # the first one warmed up
        seconds = time.perf_counter() - start
    weights = sum(parameter.nbytes for parameter in network.parameters() if parameter.requires_grad)
    pixels = IMAGES * SIDE * SIDE
    del network
    gc.collect()
    return Unit(COPIES * weights, BEYOND * share * kept / pixels, seconds / pixels, device)


def _kept(segmenter: Segmenter, device: str) -> int:
    """Bytes of all that a forward pass keeps for the backward pass, weights apart."""
    own = {parameter.untyped_storage().data_ptr() for parameter in segmenter.parameters()}
    storages: dict[int, int] = {}
    # else a later tensor might lie where an earlier one was, and count only once
    alive: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = _loss(segmenter, device)
    loss.backward()  # type: ignore[no-untyped-call]
    return sum(storages.values())


def _step(segmenter: Segmenter, device: str) -> None:
    _loss(segmenter, device).backward()  # type: ignore[no-untyped-call]
    if device != "cpu":
        torch.cuda.synchronize()


def _loss(segmenter: Segmenter, device: str) -> Tensor:
    image = torch.randint(0, 256, (IMAGES, 3, SIDE, SIDE), dtype=torch.uint8, device=device)
    if not segmenter.adapter.has_losses:
        labels = torch.randint(0, len(segmenter.classes), (IMAGES, SIDE, SIDE), device=device)
        return F.cross_entropy(segmenter(image), labels)
    box = torch.tensor([[SIDE / 4, SIDE / 4, SIDE / 2, SIDE / 2]], device=device)
    inside = torch.zeros(1, SIDE, SIDE, dtype=torch.bool, device=device)
    inside[:, SIDE // 4 : SIDE // 2, SIDE // 4 : SIDE // 2] = True
    one = torch.ones(1, dtype=torch.int64, device=device)
    batch = Batch(
        ["a", "b"],
        image,
        boxes=[box] * IMAGES,
        box_classes=[one] * IMAGES,
        box_masks=[inside] * IMAGES,
    )
    terms = segmenter.adapter.losses(segmenter.normalise(image), batch)
    return torch.stack(list(terms.values())).sum()


def memory_of(device: str = "cpu") -> Memory | None:
    """The memory of a device, as the limits of this process allow it; None where it cannot be found
    out."""
    if device != "cpu":
        return Memory(*torch.cuda.mem_get_info(device))
    found = [_of_machine(), _of_container(), _of_process()]
    known = [memory for memory in found if memory is not None]
    return (
        Memory(min(memory.free for memory in known), min(memory.total for memory in known))
        if known
        else None
    )


def _of_machine() -> Memory | None:
    lines = _text("/proc/meminfo").splitlines()
    entries = {
        name: int(rest.split()[0]) * 1024
        for name, _, rest in (line.partition(":") for line in lines)
        if rest.split()
    }
    if {"MemAvailable", "MemTotal"} <= entries.keys():
        swap = entries.get("SwapTotal", 0)
        return Memory(entries["MemAvailable"], entries["MemTotal"] + swap)
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
    return Memory(total, total)


def _of_container() -> Memory | None:
    """The limit of a container, by the files of cgroups in either version."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        most = _text(f"/sys/fs/cgroup/{limit}").strip()
        now = _text(f"/sys/fs/cgroup/{used}").strip()
        if most.isdecimal() and now.isdecimal():
            return Memory(max(0, int(most) - int(now)), int(most))
    return None


def _of_process() -> Memory | None:
    """What `ulimit -v` leaves."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    fields = _text("/proc/self/statm").split()
    if most == resource.RLIM_INFINITY or not fields:
        return None
    return Memory(max(0, most - int(fields[0]) * resource.getpagesize()), most)


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def proposed(plan: Plan, unit: Unit, free: float) -> tuple[Plan, list[str]]:
    """A plan whose steps fit into half of that memory and are not slow, and the words that make it;
    none where the plan is such a one."""
    better = plan
    if plan.crop is None and plan.longest > LONG:
        better = better._replace(long_side=LONG)
    heavy = unit.memory(better.pixels) > SHARE * free or unit.time(better.pixels) > SLOW
    if heavy and max(better.size) > CROP:
        better = better._replace(long_side=CROP) if plan.whole else better._replace(crop=CROP)
    while unit.memory(better.pixels) > SHARE * free and better.batch_size > 1:
        better = better._replace(batch_size=better.batch_size // 2)
    keys = ("long_side", "crop", "batch_size")
    return better, [
        f"data.{key}={getattr(better, key)}"
        for key in keys
        if getattr(better, key) != getattr(plan, key)
    ]


def plan_text(plan: Plan, unit: Unit) -> str:
    """The batch and what a step on it costs, in words.

    >>> plan_text(Plan(8, 300, 400), Unit(0, 1000, 1e-6, "cpu"))
    '8 images of 400 by 300 pixels: about 960 MB of memory and 1 s'
    """
    height, width = plan.size
    return (
        f"{counted(plan.batch_size, 'image')} of {width} by {height} pixels: about "
        f"{in_bytes(unit.memory(plan.pixels))} of memory and {in_time(unit.time(plan.pixels))}"
    )


def in_bytes(number: float) -> str:
    """A number of bytes with two digits.

    >>> in_bytes(3.14e9), in_bytes(256e6)
    ('3.1 GB', '260 MB')
    """
    if number >= 1e9:
        return f"{number / 1e9:.1f} GB" if number < 1e10 else f"{number / 1e9:.0f} GB"
    return f"{float(f'{number / 1e6:.2g}'):.0f} MB"


def in_time(seconds: float) -> str:
    """A time as people say it.

    >>> in_time(0.0312), in_time(95), in_time(5400), in_time(200_000)
    ('0.03 s', '1.6 min', '1.5 h', '2.3 days')
    """
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{float(f'{seconds / size:.2g}'):g} {unit}"
    return f"{float(f'{seconds:.1g}' if seconds < 1 else f'{seconds:.2g}'):g} s"


def device_of(settings: Mapping[str, Any]) -> tuple[str, float]:
    """Where a trainer with these settings trains, and which share of the bytes of float32 its
    numbers take, about."""
    wanted = settings.get("accelerator", "auto")
    gpu = wanted in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "cuda" if gpu else "cpu", HALF if "16" in str(settings.get("precision") or "") else 1.0


def steps_of(settings: Mapping[str, Any], data: WeakData) -> tuple[int, int]:
    """Steps of an epoch, and of the whole training by a trainer with these settings."""
    epoch = max(1, len(data.training) // data.batch_size)
    most = settings.get("max_steps") or -1
    epochs = settings.get("max_epochs")
    by_epochs = epoch * (ENDLESS if epochs is None else epochs)
    if most == -1:
        return epoch, by_epochs
    return epoch, most if epochs is None else min(most, by_epochs)


def check_memory(
    segmenter: Segmenter, data: WeakData, device: str = "cpu", share: float = 1.0
) -> str:
    """Warn of a step that takes more memory than there is; what to say if it is far more than there
    will ever be, or "".

    Costs nothing where the images of a batch are small.
    """
    try:
        crop = data.augmentation.crop
        plan = plan_of(data, [(crop, crop)] if crop else sizes_of(data))
        memory = memory_of(device)
        if memory is None or HEAVIEST * plan.pixels < memory.free:
            return ""
        unit = measure(segmenter, device, share)
    except Exception as error:  # what is wrong with images or network is said later, and better
        log.debug("memory was not estimated: %s", error)
        return ""
    needed = unit.memory(plan.pixels)
    better, words = proposed(plan, unit, memory.free)
    hint = (
        f"; {' '.join(words)} would take about {in_bytes(unit.memory(better.pixels))}"
        if words
        else ""
    )
    message = (
        f"a training step on {plan_text(plan, unit)}, but there are {in_bytes(memory.free)} free "
        f"of {in_bytes(memory.total)}{hint}"
    )
    if needed > SURELY * memory.total:
        return message
    if needed > memory.free:
        warnings.warn(message, stacklevel=2)
    return ""


def describe_cost(
    segmenter: Segmenter,
    data: WeakData,
    sizes: Sequence[tuple[int, int]],
    recipe: str,
    settings: Mapping[str, Any],
) -> tuple[list[str], tuple[str, str] | None]:
    """Lines about what a training takes; and, if a step takes more memory than is free, what was
    expected and what it is.

    Args:
        segmenter: with the network.
        data: with how images are cropped and batched.
        sizes: width and height of the images as they are read.
        recipe: name of the training.
        settings: of its trainer.
    """
    device, share = device_of(settings)
    try:
        unit = measure(segmenter, device, share)
    except Exception as error:
        # a network of somebody's own may need anything; training will say what
        return [
            f"what a training step takes could not be measured: {type(error).__name__}: {error}"
        ], None
    plan = plan_of(data, sizes)
    memory = memory_of(device)
    better, words = proposed(plan, unit, memory.free if memory else math.inf)
    epoch, steps = steps_of(settings, data)
    seconds = unit.time(plan.pixels)
    where = (
        "this GPU"
        if device == "cuda"
        else f"{counted(torch.get_num_threads(), 'thread')} of this machine"
    )
    lines = [
        f"a training step ({recipe}, {type(segmenter.network).__name__}) on "
        f"{plan_text(plan, unit)}, on {where}",
        f"  an epoch of {counted(epoch, 'step')}: {in_time(seconds * epoch)}; all "
        f"{counted(steps, 'step')}: {in_time(seconds * steps)}",
        "  measured with cross-entropy on small images, to about a factor of two; validation and "
        "the making of targets come on top",
    ]
    hint = f"{' '.join(words)} would train on {plan_text(better, unit)}"
    if words:
        lines.append(f"  {hint}")
    if memory is None or unit.memory(plan.pixels) <= memory.free:
        return lines, None
    came = f"about {in_bytes(unit.memory(plan.pixels))}"
    return lines, (
        f"at most the {in_bytes(memory.free)} that are free",
        f"{came}; {hint}" if words else came,
    )


class OutOfMemory(Callback):
    """Says what to change when the memory was too small for a step."""

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Add a note with the words to the error."""
        data: Any = getattr(trainer, "datamodule", None)
        if not ran_out(exception) or not isinstance(data, WeakData):
            return
        exception.add_note(hint_for(data))


def ran_out(error: BaseException) -> bool:
    """Whether an error is one of too little memory, of a GPU or of the machine."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and (
        "allocate memory" in str(error) or "out of memory" in str(error)
    )


def hint_for(data: WeakData) -> str:
    """What makes the images of a batch smaller, or fewer, for this data set."""
    batch = max(1, data.batch_size // 2)
    words = [f"data.batch_size={batch}"] if data.batch_size > 1 else []
    try:
        plan = plan_of(data, sizes_of(data))
    except Exception:  # the images could not be read, which is not what is asked here
        return f"try {' '.join(words)}"
    height, width = plan.size
    if not plan.whole and (plan.crop is None or plan.crop > CROP):
        words.append(f"data.crop={min(CROP, max(plan.size) // 2)}")
    if plan.longest > LONG and isinstance(data, Photos):
        words.append(f"data.long_side={CROP if plan.whole else LONG}")
    return (
        f"each step was on {plan.batch_size} images of {width} by {height} pixels; try "
        f"{' '.join(words)}; weakseg.check estimates memory"
    )
