"""One pass over the images of a data set: predict each, count, forget it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from weakseg.config.recipe import RecipeError
from weakseg.config.values import plain
from weakseg.evaluation.counted import CountedImage
from weakseg.evaluation.counting import COLUMNS, Counts, ImageFigures, count_objects, count_pixels
from weakseg.evaluation.dataset import Measured
from weakseg.evaluation.pictures import Thumbnail, thumbnail
from weakseg.evaluation.results import Evaluation, cells_of
from weakseg.evaluation.selection import MOST, Selection, select, worst_first
from weakseg.evidence import Evidence, Example
from weakseg.functional.agreement import CHOOSES
from weakseg.functional.calibration import reliability_curve
from weakseg.functional.class_matching import renumber, renumber_evidence
from weakseg.trained.model import TrainedModel
from weakseg.training.label_quality import Agreement
from weakseg.utils.progress import track

KEPT = 128  # images whose pictures are kept until it is known which are shown


class Measurement:
    """Figures of a trained network, over the images of a data set that have a truth; where none
    has, how well it agrees with what is annotated on them, as in training.

    Args:
        model: the network.
        measured: the images.
    """

    def __init__(self, model: TrainedModel, measured: Measured) -> None:
        self.model = model
        self.measured = measured
        self.counts = Counts(model.classes)
        self.agreement = Agreement(model.classes)
        self.unmeasured: list[ImageFigures] = []
        """images without truth"""
        self.keeps_pictures = True
        """whether small pictures of the first images are kept for the page"""
        self._kept: dict[int, Thumbnail] = {}

    def run(self) -> None:
        """Predict and count all images; a RecipeError if there is nothing to measure with."""
        self.find_truth()
        indices = self.measured.indices
        for counted in track(self.count(indices), len(indices), "evaluating"):
            self.add(counted)

    def count(self, indices: Sequence[int]) -> Iterator[CountedImage]:
        """Predict these images and count what each of them shows, without adding it up.

        Args:
            indices: of images of the data set.
        """
        for (example,) in self.measured.data.examples(indices):
            yield self._counted(example)

    def add(self, counted: CountedImage) -> None:
        """Add what was counted on an image, here or by another process. The figures are the same
        to the last digit if images are added in the same order."""
        number, name, height, width, confidence, pixels, agreement, objects = counted
        if pixels is None:
            self._add_agreement(number, agreement)
            nan = math.nan
            none = torch.zeros(0, 3, dtype=torch.int64)
            self.unmeasured.append(
                ImageFigures(number, name, width, height, nan, nan, confidence, [], none)
            )
        else:
            self.counts.add(number, name, (height, width), confidence, pixels)
        if objects is not None:
            self.counts.add_objects(objects)

    @property
    def images(self) -> list[ImageFigures]:
        """Those that were measured."""
        return self.counts.images or self.unmeasured

    @property
    def score(self) -> str:
        """The figure of an image by which it is good or bad."""
        if self.counts.images:
            return "miou"
        names = [name.removeprefix("val/") for name in CHOOSES]
        return next((name for name in names if self.agreement.scores.get(name)), "")

    def evaluation(self) -> Evaluation:
        """What was measured."""
        with_truth = bool(self.counts.images)
        figures = self.counts.figures() if with_truth else self.agreement.figures()
        curve = reliability_curve(self.counts.reliability)
        return Evaluation(
            classes=self.model.classes,
            figures=figures,
            per_class=self._classes(figures),
            images=[self._row(image) for image in self.images],
            measured_on=self._sentence(),
            model=self.model.origin._asdict(),
            data=self.measured.section,
            reliability=[
                {"confidence": sure, "accuracy": right, "pixels": pixels}
                for sure, right, pixels in curve
            ],
            cells=cells_of(self.counts.images),
            settings=plain(self.model.inference),
        )

    def selection(self) -> Selection:
        """The images of the page."""
        if not self.counts.images:
            scores = self.agreement.scores.get(self.score, {})
            values = [scores.get(image.number, math.nan) for image in self.images]
            return worst_first(torch.tensor(values), MOST)
        images = self.counts.images
        return select(
            torch.tensor([image.miou for image in images], dtype=torch.float64),
            torch.tensor([image.iou for image in images], dtype=torch.float64),
            cells_of(images),
        )

    def picture(self, place: int) -> Thumbnail:
        """The image at a place in the list; predicted once more where it was not kept."""
        number = self.images[place].number
        if number not in self._kept:
            evidence, truth = self._renumbered(*self.measured.data.corrected(number))
            _, labels = self._predict(evidence)
            return thumbnail(evidence, labels, truth, len(self.model.classes))
        return self._kept[number]

    def find_truth(self) -> None:
        """Before anything long begins: some image has a truth, or an annotation; a RecipeError if
        there is nothing to measure with."""
        for index in self.measured.indices:
            evidence, truth = self.measured.data.corrected(index)
            if truth is not None or evidence.annotations:
                return
        raise RecipeError(
            f"data: {self.measured.sentence} can measure nothing: expected masks, or at least "
            "boxes, marks or tags, but none of these images has any; name a folder of masks with "
            "data.masks, or write data.whole=true where polygons outline all that there is"
        )

    def _counted(self, example: Example) -> CountedImage:
        number = example.number
        evidence, truth = self._renumbered(example.evidence, example.truth)
        confidence, labels = self._predict(evidence)
        if self.keeps_pictures and len(self._kept) < KEPT:
            classes = len(self.model.classes)
            self._kept[number] = thumbnail(evidence, labels, truth, classes)
        agreement: dict[str, Tensor] = {}
        pixels = None
        if truth is None:
            alone = Agreement(self.model.classes)
            alone.add(number, labels, evidence)
            agreement = alone.counts
        else:
            pixels = count_pixels(confidence, labels, truth, len(self.model.classes))
        height, width = labels.shape
        sure = float(confidence.mean())
        objects = self._counted_objects(number, evidence)
        return CountedImage(number, evidence.id, height, width, sure, pixels, agreement, objects)

    def _renumbered(
        self, evidence: Evidence, truth: Tensor | None
    ) -> tuple[Evidence, Tensor | None]:
        """With the numbers that classes have in the network."""
        table = self.measured.table
        if table is None:
            return evidence, truth
        evidence = renumber_evidence(evidence, table, len(self.model.classes))
        return evidence, None if truth is None else renumber(truth, table)

    def _predict(self, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """The likeliest class of every pixel [H,W], behind its probability."""
        confidence, labels = self.model.probabilities(evidence.image).max(0)
        if not math.isfinite(confidence.sum()):
            raise FloatingPointError(
                f"the prediction of the image {evidence.id} is not finite: the weights in "
                f"{self.model.origin.path} are no numbers, or the image is far from those that "
                "they were trained on"
            )
        return confidence, labels

    def _add_agreement(self, number: int, counted: Mapping[str, Tensor]) -> None:
        known = self.agreement
        for name, counts in counted.items():
            known.counts[name] = known.counts[name] + counts if name in known.counts else counts
            known.scores[name][number] = float(known.figure_of[name](counts).nanmean())

    def _counted_objects(self, number: int, evidence: Evidence) -> dict[str, Any] | None:
        if not self.model.finds_objects:
            return None
        truth = self.measured.data.true_instances(number)
        found = None if truth is None else self.model.objects(evidence.image)
        if truth is None or found is None:
            return None
        table = self.measured.table
        if table is not None:
            truth = truth._replace(classes=renumber(truth.classes, table))
        return count_objects(found, truth)

    def _row(self, image: ImageFigures) -> dict[str, Any]:
        row: dict[str, Any] = {
            "name": image.name,
            "number": image.number,
            "width": image.width,
            "height": image.height,
        }
        if self.counts.images:
            row |= {"miou": image.miou, "pixel_accuracy": image.pixel_accuracy}
        else:
            row |= {
                name: scores.get(image.number, math.nan)
                for name, scores in self.agreement.scores.items()
                if scores
            }
        row["confidence"] = image.confidence
        if self.counts.images:
            row["iou"] = dict(zip(self.model.classes, image.iou, strict=True))
        return row

    def _classes(self, figures: dict[str, float]) -> list[dict[str, Any]]:
        """A row per class of all figures that have a value for each."""
        names = dict.fromkeys(name.partition("/")[0] for name in figures if "/" in name)
        shares = self.counts.of_classes("share") if self.counts.images else None
        return [
            {"class": label}
            | {name: figures[f"{name}/{label}"] for name in names if f"{name}/{label}" in figures}
            | ({} if shares is None else {COLUMNS[-1]: float(shares[number])})
            for number, label in enumerate(self.model.classes)
        ]

    def _sentence(self) -> str:
        without = len(self.unmeasured)
        if not without:
            return self.measured.sentence
        if not self.counts.images:
            return f"{self.measured.sentence}, by what is annotated: none of them has a mask"
        return f"{self.measured.sentence}, without {without} that have no mask"
