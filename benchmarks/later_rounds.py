"""What does a trained network know that the evidence does not? Ways to estimate the targets of
boxes again with the predictions of a network that has learned the first ones, against the truth.

    python -m weakseg.fit recipe=boxes ...
    python benchmarks/later_rounds.py runs/boxes/latest
    python benchmarks/later_rounds.py runs/boxes/latest --images 80 data.train=other_list

Nothing is trained. The run is one of `boxes_crf`; words change its data. Targets are those of the
training images, at even and at odd places of the list sorted by ids: choose on the one half,
confirm on the other. Size classes are by the share of an image that is not background; a class has
the IoU of all classes but background together.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from sweep import setting
from target_sizes import chosen
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence, Prediction
from weakseg.functional.boxes import box_unary, fill_boxes
from weakseg.functional.confusion import confusion_matrix, mean_iou
from weakseg.functional.crf import dense_crf
from weakseg.functional.object_sizes import SIZES, SizeCounts, foreground_share
from weakseg.labelling.source import Source, source_of_run
from weakseg.strategies.shared.with_prediction import with_prediction
from weakseg.utils.progress import track

LEAST = 1e-3


class Image(NamedTuple):
    """What all ways begin with."""

    evidence: Evidence
    truth: Tensor
    classes: Tensor
    """that it can have, int64 [K]"""
    prior: Tensor
    """by the boxes, float [K,H,W]"""
    inside: Tensor
    """where each class can be, bool [K,H,W]"""
    first: Tensor
    """the target of round 0, uint8 [H,W]"""
    views: list[Tensor]
    """probabilities of the network, float [C,H,W]: of the image, and of its mirror image"""
    refine: Callable[[Tensor], Tensor]
    """the likeliest classes of unaries [K,H,W] after the CRF of the run"""

    @property
    def probs(self) -> Tensor:
        """The mean prediction for both views."""
        return torch.stack(self.views).mean(0)

    def within_boxes(self, probs: Tensor) -> Tensor:
        """Probabilities of the possible classes, as if no other existed."""
        own = probs[self.classes].clamp(min=LEAST) * self.inside
        return own / own.sum(0)

    def labels(self, probs: Tensor) -> Tensor:
        """The likeliest classes."""
        return self.classes.to(torch.uint8)[probs.max(0).indices]

    def placed(self, weight: float, views: int = 2) -> Tensor:
        """The target with the prediction reduced to where the classes are."""
        numbers = torch.searchsorted(self.classes, self.first.long())
        seen = Prediction(torch.stack(self.views[:views]).mean(0))
        joint = with_prediction(
            self.prior, numbers, self.evidence, seen, self.classes, self.inside, weight
        )
        return self.refine(joint)


def product(image: Image, weight: float) -> Tensor:
    """The CRF over prior times prediction, as it is."""
    joint = image.prior.clamp(min=LEAST) * image.within_boxes(image.probs) ** weight
    joint = joint * image.inside
    return image.refine(joint / joint.sum(0))


def without(image: Image, doubtful: Tensor) -> Tensor:
    """The first target, ignored where it is in doubt."""
    return image.first.masked_fill(doubtful, IGNORE)


def views_agree_against(image: Image) -> Tensor:
    """Where both views have one label, and it is another one than that of the first target."""
    one, other = (image.labels(image.within_boxes(view)) for view in image.views)
    return (one == other) & (one != image.first)


WAYS: dict[str, Callable[[Image], Tensor]] = {
    "round 0": lambda image: image.first,
    "the network alone, in the boxes": lambda image: image.labels(image.within_boxes(image.probs)),
    "the CRF of the network alone": lambda image: image.refine(image.within_boxes(image.probs)),
    "the CRF of prior x prediction^0.25": lambda image: product(image, 0.25),
    "the CRF of prior x prediction^1": lambda image: product(image, 1.0),
    "prior x where^0.125": lambda image: image.placed(0.125),
    "prior x where^0.25": lambda image: image.placed(0.25),
    "prior x where^0.25, one view": lambda image: image.placed(0.25, views=1),
    "prior x where^0.5": lambda image: image.placed(0.5),
    "both views against it: the network": lambda image: torch.where(
        views_agree_against(image), image.labels(image.within_boxes(image.probs)), image.first
    ),
    "both views against it: 255": lambda image: without(image, views_agree_against(image)),
    "the network against it: 255": lambda image: without(
        image, image.labels(image.within_boxes(image.probs)) != image.first
    ),
    "prior x where^0.25 against it: 255": lambda image: without(
        image, image.placed(0.25) != image.first
    ),
}


def images_of(source: Source, mine: list[int]) -> Iterator[Image]:
    """The images of a run of boxes_crf that have boxes and a mask."""
    strategy: Any = source.segmenter.strategy
    for index in track(mine, len(mine), "estimating"):
        evidence, truth = source.corrected(index)
        boxes, box_classes = evidence.boxes, evidence.box_classes
        if truth is None or boxes is None or box_classes is None:
            continue
        height, width = truth.shape
        classes = torch.unique(torch.cat([box_classes.new_zeros(1), box_classes]))
        places = torch.searchsorted(classes, box_classes)
        prior = box_unary(
            boxes, places, len(classes), height, width, strategy.unary, strategy.share
        )
        inside = torch.ones(len(classes), height, width, dtype=torch.bool)
        for place, label in enumerate(classes[1:], 1):
            own = box_classes == label
            inside[place] = fill_boxes(boxes[own], box_classes[own], height, width) == label

        def refine(
            probs: Tensor,
            image: Tensor = evidence.image,
            classes: Tensor = classes,
            inside: Tensor = inside,
        ) -> Tensor:
            likely = dense_crf(image, probs, strategy.crf) * inside
            return classes.to(torch.uint8)[likely.max(0).indices]

        plain = source.segmenter.predict(evidence.image, plain=True).probs
        mirrored = source.segmenter.predict(evidence.image.flip(-1), plain=True).probs.flip(-1)
        views = [plain, mirrored]
        first = refine(prior)
        yield Image(evidence, truth, classes, prior, inside, first, views, refine)


def rows(source: Source, mine: list[int]) -> list[str]:
    """A row of the table for each way: of the images at even and at odd places."""
    classes = len(source.segmenter.classes)
    confusions = {way: torch.zeros(2, classes, classes, dtype=torch.int64) for way in WAYS}
    sizes = {way: (SizeCounts(), SizeCounts()) for way in WAYS}
    for number, image in enumerate(images_of(source, mine)):
        for way, estimate in WAYS.items():
            labels = estimate(image)
            confusions[way][number % 2] += confusion_matrix(labels, image.truth, classes)
            sizes[way][number % 2].add(labels, image.truth, foreground_share(image.truth), classes)
    return [row(way, confusions[way], sizes[way]) for way in WAYS]


def row(way: str, confusions: Tensor, sizes: tuple[SizeCounts, SizeCounts]) -> str:
    found = [mean_iou(confusion) for confusion in confusions]
    each = [of_half.rows() for of_half in sizes]
    coverage = torch.tensor([size.coverage for half in each for size in half]).nanmean()
    cells = [f"{even.iou:.3f} / {odd.iou:.3f}" for even, odd in zip(*each, strict=True)]
    head = [way, f"{found[0]:.3f} / {found[1]:.3f}", f"{float(coverage):.2f}"]
    return "| " + " | ".join([*head, *cells]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="folder of a run of boxes_crf")
    parser.add_argument("words", nargs="*", metavar="data.key=value")
    parser.add_argument("--checkpoint", default="last")
    parser.add_argument("--images", type=int, help="so many at most, spread over the list")
    arguments = parser.parse_intermixed_args()
    data = dict(word.removeprefix("data.").split("=", 1) for word in arguments.words)
    source = source_of_run(
        arguments.run, arguments.checkpoint, {"data": data} if data else {}, "auto"
    )
    mine = chosen(source, "all", arguments.images)
    print(f"{setting()}; {len(mine)} images", flush=True)
    head = ["targets", "mIoU, even / odd", "coverage", *SIZES]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *rows(source, mine)]
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
