"""Defaults are sound for images of any size: the same scene, drawn at other sizes, has targets that
are about as good."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from weakseg.data.simulate.annotator import AnnotationKind, Annotator
from weakseg.data.toy.canvas import Scene
from weakseg.data.toy.drawing import CLASSES, draw_scene
from weakseg.evidence import IGNORE, Evidence, Prediction
from weakseg.functional.colour_features import colour_features
from weakseg.functional.confusion import confusion_matrix, iou
from weakseg.functional.painting import grow_marks
from weakseg.functional.resolution import downsample
from weakseg.strategies.base import Context, Strategy, fits_together
from weakseg.strategies.boxes_crf import BoxesCRF
from weakseg.strategies.cosegmentation import Cosegmentation
from weakseg.strategies.mixed import Mixed
from weakseg.strategies.points import Points
from weakseg.strategies.scribbles_graphcut import ScribblesGraphCut

USUAL = 128
"""pixels of the sides of pictures that others are compared with"""
SEEN = 512
"""pixels of the long side that an encoder sees, `strategy.long_side`"""
SCENES = 2
NEAR = 0.1
"""mIoU: at 64 pixels, what is thin is a pixel or two"""


class Case(NamedTuple):
    """An estimator, and what is annotated for it."""

    strategy: Callable[[], Strategy]
    kind: AnnotationKind


CASES = {
    "boxes": Case(BoxesCRF, "boxes"),
    "boxes by their colours": Case(lambda: BoxesCRF(colours=0.3), "boxes"),
    "boxes together": Case(lambda: BoxesCRF(together=True), "boxes"),
    "scribbles": Case(ScribblesGraphCut, "scribbles"),
    "scribbles, mixed": Case(lambda: Mixed(marks="graphcut"), "scribbles"),
    "points": Case(Points, "points"),
    "discs of points": Case(lambda: Points(superpixels=None), "points"),
    "cosegmentation": Case(Cosegmentation, "points"),
}
each_case = pytest.mark.parametrize("name", CASES)


@lru_cache
def scene(number: int, size: int) -> Scene:
    return draw_scene(np.random.default_rng(number), size)


def annotated(number: int, kind: AnnotationKind, size: int) -> dict[str, Tensor]:
    """What a simulated person annotates on a picture."""
    drawn = scene(number, size)
    return Annotator().annotate(
        kind,
        torch.from_numpy(drawn.truth),
        torch.from_numpy(drawn.instances),
        drawn.classes,
        len(CLASSES),
        np.random.default_rng(number),
    )


def evidence(number: int, kind: AnnotationKind, size: int) -> Evidence:
    """A picture with boxes of its own, or with the clicks and strokes of the usual size, carried
    over: a person would not put them at other places."""
    found = annotated(number, kind, size if kind == "boxes" else USUAL)
    if "marks" in found:
        truth = torch.from_numpy(scene(number, size).truth)
        found["marks"] = carried_over(found["marks"], truth, grown=kind == "scribbles")
    image = torch.from_numpy(scene(number, size).image).movedim(-1, 0).contiguous()
    return Evidence(f"picture {number}", image, **found)


def carried_over(marks: Tensor, truth: Tensor, grown: bool) -> Tensor:
    """Marks at the places of a picture of another size, but for those that the truth there
    contradicts."""
    times = len(truth) / len(marks)
    rows, columns = torch.nonzero(marks != IGNORE, as_tuple=True)
    moved = torch.full_like(truth, IGNORE)
    moved[((rows + 0.5) * times).long(), ((columns + 0.5) * times).long()] = marks[rows, columns]
    thick = grow_marks(moved, 0.75 * times if grown else 0.0)
    return thick.where(thick == truth, IGNORE)


@lru_cache
def target_quality(name: str, size: int, scenes: int = SCENES) -> float:
    """The mIoU of the targets of a few pictures, where they have a label."""
    strategy = CASES[name].strategy()
    examples = [evidence(number, CASES[name].kind, size) for number in range(scenes)]
    confusion = torch.zeros(len(CLASSES), len(CLASSES), dtype=torch.int64)
    for number, target in enumerate(targets(strategy, examples)):
        truth = torch.from_numpy(scene(number, size).truth)
        confusion += confusion_matrix(target, truth, len(CLASSES))
    return float(iou(confusion).nanmean())


def targets(strategy: Strategy, examples: Sequence[Evidence]) -> list[Tensor]:
    """The targets of the first round; of a strategy that fits all images, by their colours, which
    stand for the features of a network."""
    contexts = [Context()] * len(examples)
    if fits_together(strategy):
        contexts = [Context(by_colours(each.image)) for each in examples]
        for _ in range(strategy.iterations):
            described = [strategy.describe(*pair) for pair in zip(examples, contexts, strict=True)]
            fitted = strategy.continue_fit(contexts[0].fitted, strategy.fit(described))
            contexts = [each._replace(fitted=fitted) for each in contexts]
    found = [strategy.estimate(*pair) for pair in zip(examples, contexts, strict=True)]
    return [each if isinstance(each, Tensor) else each.labels for each in found]


def by_colours(image: Tensor) -> Prediction:
    """Features of colours, of an image that is as large at most as what the encoder would see."""
    probs = torch.full((len(CLASSES), *image.shape[1:]), 1 / len(CLASSES))
    return Prediction(probs, intermediate=colour_features(downsample(image, SEEN)))


@each_case
@pytest.mark.parametrize("size", [64, 250])
def test_targets_of_small_pictures_are_about_as_good(name: str, size: int) -> None:
    assert target_quality(name, size) == pytest.approx(target_quality(name, USUAL), abs=NEAR)


@pytest.mark.slow
@each_case
@pytest.mark.parametrize(("size", "usual", "scenes"), [(1000, 250, SCENES), (4000, 1000, 1)])
def test_targets_of_large_pictures_are_about_as_good(
    name: str, size: int, usual: int, scenes: int
) -> None:
    expected = target_quality(name, usual, scenes)
    assert target_quality(name, size, scenes) == pytest.approx(expected, abs=NEAR)
