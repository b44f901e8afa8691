"""One rule for each key that may be `auto`: from the facts, and from what is known of other keys,
to a value and the reason for it.

The numbers for photographs are those of `benchmarks/animals.txt`, with which 309 photographs of
animals are learned from boxes nearly as well as from masks; and, where more is at stake than these,
those of the published recipes voc_*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from weakseg.planning.facts import Facts
from weakseg.utils.messages import counted

Known = Mapping[str, Any]

STRIDE = 32  # of the deepest encoders: crops are multiples of it
# the long side of images, and the crops of them, on a CPU; a GPU has time for twice that
LONG = 256
CROP = 224
# pixels of the side of small objects: six cells of the logits of DeepLabV3+. Photographs of animals
# have that at LONG
LEAST_OBJECT = 24
SMALL = 0.1  # the share of the objects that is smaller than what is called small
LARGER = 2  # so many times LONG images are at most, however small the objects
BATCH = 8  # on a CPU; a GPU has room for twice that
MEMORY = 0.5  # of a device that a step may take
# images that a training sees: so many times each; of few images each more often, until it has seen
# so many in all, within bounds
TIMES = 10
FEWEST = 3200
OFTEN = 100
MOST = 160_000
FROM_RANDOM = 2  # times as long a training from random weights takes
ENOUGH = 20  # images to measure on
FEW = 50  # images without any mask that are all trained on
PER_CLASS = 5  # of them that show a class
AT_MOST = 500  # more make figures no more certain, but slower
MEGAPIXELS = 2e6  # pixels of images that take longer to read than a step needs
TAGS = ("tags", "tags_em", "tags_ccnn", "tags_ccnn_size")
# the networks that photographs are learned with, best first: that of all published figures, and the
# one for the toy set
ENCODERS = ("mobilenet_v2", "tu-regnetx_002")
LR = {"adamw": (1e-4, 1e-3), "sgd": (1e-3, 1e-2)}  # from pretrained weights, and from random ones


class Choice(NamedTuple):
    """What a rule decides."""

    value: Any
    reason: str


Rule = Callable[[Facts, Known], Choice]


# the data -----------------------------------------------------------------------------------------


def val_share(facts: Facts, known: Known) -> Choice:
    """Of the images that have masks: enough of each class, and no more than are needed."""
    if facts.split:
        return Choice(None, "the data set says itself which images are held out")
    if not facts.masked:
        return _held_out_without_masks(facts)
    rarest = min(facts.shown.values(), default=1.0)
    wanted = max(ENOUGH, min(AT_MOST, 0.2 * facts.annotated), min(AT_MOST, PER_CLASS / rarest))
    if facts.learns_masks:
        share = min(0.2 if wanted <= 0.2 * facts.masked else 0.5, wanted / facts.masked)
    elif facts.masked <= min(wanted, 0.25 * facts.annotated):
        return Choice(
            1.0, f"all {facts.masked} images with a mask, to measure on; the others train"
        )
    else:
        share = min(0.5, wanted / facts.masked)
    share = round(share, 3)
    number = max(1, round(share * facts.masked))
    return Choice(share, f"{number} of the {facts.masked} images with a mask, to measure on")


def _held_out_without_masks(facts: Facts) -> Choice:
    """What is annotated measures something, too, if there is enough to train on beside it."""
    if facts.annotated < FEW:
        images = counted(facts.annotated, "image")
        return Choice(0.0, f"no image has a mask, and {images} are too few to hold any out")
    share = round(min(0.2, AT_MOST / facts.annotated), 3)
    number = round(share * facts.annotated)
    return Choice(share, f"{number} images; as none has a mask, by what is annotated in them")


def long_side(facts: Facts, known: Known) -> Choice:
    """As large as time allows, larger for small objects, and never enlarged."""
    base = LONG * 2 if facts.machine.gpu else LONG
    where = "a GPU" if facts.machine.gpu else "a CPU"
    small = small_object(facts)
    wanted = base if small is None else LEAST_OBJECT / max(small, 1e-6)
    side = _multiple(min(max(base, wanted), LARGER * base))
    if facts.longest <= side:
        return Choice(None, f"the images, of {facts.longest} pixels at most, stay as they are")
    if small is None or side == base:
        return Choice(side, f"images of up to {facts.longest} pixels, trained on {where}")
    pixels = round(small * facts.longest)
    return Choice(
        side, f"a tenth of the objects has sides below {small:.1%} of the image ({pixels} pixels)"
    )


def crop(facts: Facts, known: Known) -> Choice:
    """Squares of one size, if images are larger; none from tags, which are of whole images."""
    if facts.evidence == "tags":
        return Choice(None, "tags say nothing of a part of an image")
    side = CROP * 2 if facts.machine.gpu else CROP
    longest = trained_side(facts, known)
    if longest <= side:
        return Choice(
            None, f"the images, of {longest} pixels at most, fit into a batch as they are"
        )
    return Choice(side, f"a multiple of {STRIDE}, smaller than the {longest} pixels of the images")


def scale(facts: Facts, known: Known) -> Choice:
    """At random, where a crop keeps the size of batches."""
    if known.get("data.crop") is not None:
        return Choice([0.75, 1.5], "at random, around the size of the images")
    if facts.evidence == "tags":
        return Choice([0.75, 1.0], "at random; whole images are not enlarged")
    return Choice([1.0, 1.0], "whole images stay as they are")


def workers(facts: Facts, known: Known) -> Choice:
    """Processes that read images while others are learned."""
    pixels = sorted(width * height for width, height in facts.sizes)[len(facts.sizes) // 2]
    spare = max(1, facts.machine.cores // facts.machine.devices)
    if facts.remote:
        return Choice(8, "images are at a URL, where reading is mostly waiting")
    if facts.machine.gpu:
        return Choice(min(8, spare), f"a GPU waits for images; {facts.machine.cores} cores")
    if pixels > MEGAPIXELS and spare > 1:
        return Choice(min(4, spare), f"images of {pixels / 1e6:.0f} megapixels take long to read")
    return Choice(0, "a step on a CPU takes longer than reading its images")


def batch_size(facts: Facts, known: Known) -> Choice:
    """As many as memory allows, up to what is usual."""
    usual = BATCH * 2 if facts.machine.gpu else BATCH
    side = known.get("data.crop") or trained_side(facts, known)
    batch = usual
    while batch > 1 and facts.bytes_per_pixel * batch * side**2 > MEMORY * facts.machine.memory:
        batch //= 2
    few = 2 ** int(math.log2(max(2, training_images(facts, known))))
    if few < batch:
        return Choice(few, f"there are only {counted(training_images(facts, known), 'image')}")
    if batch < usual:
        memory = f"{facts.machine.memory / 1e9:.0f} GB"
        return Choice(batch, f"more images of {side} pixels would take over half of {memory}")
    where = "a GPU" if facts.machine.gpu else "a CPU"
    return Choice(batch, f"usual for {where}; it fits into memory")


# the network and how it learns --------------------------------------------------------------------


def width(facts: Facts, known: Known) -> Choice:
    """That of ready weights."""
    return Choice(1.0, "the width of pretrained weights; 0.25 is for the toy set")


def encoder(facts: Facts, known: Known) -> Choice:
    """The best of those whose weights are at hand."""
    weights = known.get("network.weights", "auto")
    if weights not in (None, "auto"):
        return Choice(ENCODERS[0], "that of all our figures on photographs")
    for name in ENCODERS if weights == "auto" else ():
        if facts.at_hand.get(name):
            return Choice(name, f"its ImageNet weights are at hand ({facts.at_hand[name]})")
    return Choice(ENCODERS[-1], "the smallest, as it learns from random weights")


def weights(facts: Facts, known: Known) -> Choice:
    """ImageNet's, if they are at hand."""
    if facts.pretrained:
        return Choice(None, "init_from= has the weights")
    found = facts.at_hand.get(known.get("network.encoder"), "") or facts.at_hand.get(None, "")
    if found:
        return Choice("imagenet", f"they are at hand ({found})")
    return Choice(
        None,
        "ImageNet weights are neither on this machine nor can they be fetched; from random weights "
        "photographs are learned far worse: give network.weights=<file>",
    )


def lr(facts: Facts, known: Known) -> Choice:
    """Small where features need not be learned anew."""
    name = facts.names.get("optimizer", "adamw")
    if name not in LR:
        raise ValueError(f"optimizer.lr: auto is known of {' and '.join(LR)}; give {name} a number")
    trained, random = LR[name]
    if pretrained(facts, known):
        return Choice(trained, f"{name} from pretrained weights")
    return Choice(random, f"{name} from random weights")


def head_multiplier(facts: Facts, known: Known) -> Choice:
    """Faster than a pretrained body."""
    if pretrained(facts, known) and facts.has_body:
        return Choice(10.0, "the head is new, the body is pretrained")
    return Choice(1.0, "head and body both learn from random weights")


def freeze_batchnorm(facts: Facts, known: Known) -> Choice:
    """Statistics of many images are better than those of a few."""
    if pretrained(facts, known) and facts.has_body:
        return Choice(True, "statistics of the pretrained body are better than those of few images")
    return Choice(False, "random weights have no statistics yet")


# the strategy -------------------------------------------------------------------------------------


def together(facts: Facts, known: Known) -> Choice:
    """Over all images, where features mean something."""
    if not facts.has_stages:
        return Choice(False, "the network has no intermediate features")
    if pretrained(facts, known):
        return Choice(
            True, "features of pretrained weights tell what boxes of a class have in common"
        )
    return Choice(False, "features of random weights tell nothing")


def prior_sigma(facts: Facts, known: Known) -> Choice:
    """Photographers aim."""
    return Choice(0.5, "subjects of photographs are likelier in the middle")


def shrink(facts: Facts, known: Known) -> Choice:
    """So that an image has about 64 cells in each direction."""
    side = trained_side(facts, known)
    return Choice(max(1, round(side / 64)), f"images of {side} pixels have some 64 cells a side")


def warmup(facts: Facts, known: Known) -> Choice:
    """What is learned before labels are made of it."""
    steps = known.get("trainer.max_steps") or 0
    name = facts.names.get("strategy", "")
    if name in TAGS:
        return Choice(steps // 2, "classification for half of the steps, then labels of its scores")
    if name == "boxes_em" and not pretrained(facts, known):
        return Choice(steps * 2 // 5, "filled boxes first, as the weights are random")
    return Choice(0, "pretrained weights need none")


def every(facts: Facts, known: Known) -> Choice:
    """Three later rounds within the training."""
    epochs = epochs_of(facts, known)
    return Choice(max(1, round(epochs / 4)), f"three later rounds within {_about(epochs)}")


# the trainer --------------------------------------------------------------------------------------


def max_steps(facts: Facts, known: Known) -> Choice:
    """Each image ten times, within bounds."""
    images = training_images(facts, known)
    longer = 1 if pretrained(facts, known) else FROM_RANDOM
    seen = longer * min(max(TIMES * images, min(FEWEST, OFTEN * images)), MOST)
    each = (known.get("data.batch_size") or BATCH) * facts.machine.devices
    steps = max(1, math.ceil(seen / each / 10) * 10)
    start = "pretrained" if pretrained(facts, known) else "random"
    return Choice(
        steps, f"{counted(images, 'image')}, each {_times(steps * each / images)}; {start} weights"
    )


def check_val_every_n_epoch(facts: Facts, known: Known) -> Choice:
    """About eight times in all."""
    epochs = epochs_of(facts, known)
    return Choice(max(1, round(epochs / 8)), f"some eight times within {_about(epochs)}")


def log_every_n_steps(facts: Facts, known: Known) -> Choice:
    """About forty times in all."""
    steps = known.get("trainer.max_steps") or 400
    return Choice(max(1, min(50, steps // 40)), f"some forty times within {steps} steps")


# what several rules need --------------------------------------------------------------------------


def pretrained(facts: Facts, known: Known) -> bool:
    """Whether the network begins with weights that others trained."""
    return facts.pretrained or known.get("network.weights") is not None


def small_object(facts: Facts) -> float | None:
    """The side that a tenth of the objects does not reach, as a share of the image's; None if no
    size is known."""
    if not facts.objects:
        return None
    ordered = sorted(facts.objects)
    return ordered[int(SMALL * len(ordered))]


def trained_side(facts: Facts, known: Known) -> int:
    """The longest side that images have in training, before any crop."""
    side: int = known.get("data.long_side") or facts.longest
    return min(facts.longest, side)


def training_images(facts: Facts, known: Known) -> int:
    """How many images are trained on, with what the plan holds out."""
    share = known.get("data.val_share")
    if facts.split or share is None:
        return facts.images
    able = facts.masked or facts.annotated
    held_out: int = round(share * able)
    return max(1, facts.annotated - held_out)


def epochs_of(facts: Facts, known: Known) -> float:
    """How often a training sees each image."""
    each = (known.get("data.batch_size") or BATCH) * facts.machine.devices
    steps_of_epoch = max(1, training_images(facts, known) // each)
    return float((known.get("trainer.max_steps") or 0) / steps_of_epoch)


def _multiple(pixels: float) -> int:
    return math.ceil(pixels / STRIDE) * STRIDE


def _about(epochs: float) -> str:
    return f"about {counted(round(epochs), 'epoch')}"


def _times(number: float) -> str:
    return f"{number:.2g} times" if number < 10 else f"{number:.0f} times"


RULES: dict[str, Rule] = {
    "data.val_share": val_share,
    "data.long_side": long_side,
    "data.crop": crop,
    "data.scale": scale,
    "data.workers": workers,
    "network.width": width,
    "network.encoder": encoder,
    "network.weights": weights,
    "data.batch_size": batch_size,
    "optimizer.lr": lr,
    "optimizer.head_multiplier": head_multiplier,
    "optimizer.freeze_batchnorm": freeze_batchnorm,
    "strategy.together": together,
    "strategy.prior_sigma": prior_sigma,
    "strategy.shrink": shrink,
    "trainer.max_steps": max_steps,
    "strategy.warmup": warmup,
    "rounds.every": every,
    "trainer.check_val_every_n_epoch": check_val_every_n_epoch,
    "trainer.log_every_n_steps": log_every_n_steps,
}
"""in the order in which they are asked; data.format is recognised before there are facts"""
