"""The check of all evidence before anything long begins: every problem of every image is found at
once."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.data.files.photos import KINDS_OF, Photos
from weakseg.data.formats.base import FormatError
from weakseg.evidence import IGNORE, Evidence
from weakseg.strategies.base import Strategy
from weakseg.training.corrections_check import report_corrections
from weakseg.training.estimation import Failure, raise_together
from weakseg.utils.fingerprint import fingerprint
from weakseg.utils.processes import anywhere, gather
from weakseg.utils.progress import track

# to begin with
RECIPES = {
    "masks": "full",
    "boxes": "boxes",
    "points": "points",
    "scribbles": "scribbles",
    "tags": "tags",
}
SAMPLED = 100  # images, to name what there is in place of what is wanted
HINT = (
    "data.wrong=skip leaves out single objects that cannot be right; python -m weakseg.check "
    "data=... shows all of them"
)


class CheckedImage(NamedTuple):
    """What rounds keep of an image's evidence."""

    id: str
    fingerprint: str
    size: tuple[int, int]
    """of the image, height and width"""
    boxes: int
    """how many"""


def check_evidence(
    data: WeakData, strategy: Strategy, classes: Sequence[str], rank: int, world: int
) -> dict[int, CheckedImage]:
    """Check this rank's share of all images; problems of any rank are raised on all. Returns what
    its training images hold."""
    if not data.training:
        raise ValueError(why_none(data))
    mine = data.training[rank::world]
    # nothing is estimated for these, so they need not have what the strategy needs
    others = list(data.validation)[rank::world]
    held_out = set(others)
    seen: dict[int, CheckedImage] = {}
    failures: list[Failure] = []
    objects = False
    shown: list[bool] = []
    boxed: list[bool] = []
    remarks: list[str] = []
    for index in track([*mine, *others], len(mine) + len(others), "reading the evidence", world):
        id = f"number {index}"
        try:
            evidence, truth = data.sample(index)
            id = str(evidence.id)
            evidence, effects = data.lay_over(evidence)
            remarks += effects
            seen[index] = checked_image(evidence, truth, len(classes))
            if index not in held_out:
                evidence.need(*strategy.needs)
                strategy.check(evidence, classes)
                shown.append(_shows_objects(evidence))
                boxed.append(evidence.boxes is not None)
        except Exception as error:
            # a reader of files may raise anything: it is reported with the image's name
            objects |= isinstance(error, FormatError) and error.place.number is not None
            failures.append(image_failure(id, error))
    hint = f" ({HINT})" if anywhere(objects) else ""
    raise_together(failures, f"the evidence does not fit {type(strategy).__name__}{hint}")
    _expect_boxes(strategy, [has for part in gather(boxed) for has in part])
    _expect_objects([shows for part in gather(shown) for shows in part], data)
    counts = Counter(entry.id for part in gather(list(seen.values())) for entry in part)
    if twice := [id for id, count in counts.items() if count > 1]:
        raise ValueError(
            f"{len(twice)} ids belong to more than one image: {', '.join(twice[:5])}; every image "
            "needs an id of its own"
        )
    # a share of images that there are none of is refused now, not after long estimations
    data.groups  # noqa: B018
    check_pseudo_labels(data, rank, world)
    report_corrections(data, [image.id for image in seen.values()], remarks, rank)
    return {index: seen[index] for index in mine}


def why_none(data: WeakData) -> str:
    """Why there is no image to train on."""
    return f"there is no image to train on: {_reason(data)}"


def _reason(data: WeakData) -> str:
    held_out = set(data.validation)
    others = [index for index in range(len(data)) if index not in held_out]
    if not others:
        return (
            f"all {len(data)} images are only measured on; leave some out of data.val or "
            "data.val_share"
        )
    if any(map(data.is_annotated, others)):
        return f"those that are not only measured on are all excluded in {data.corrections}"
    return (
        "nothing is annotated; draw on some images with python -m weakseg.review data=... and give "
        "data.corrections"
    )


def check_pseudo_labels(data: WeakData, rank: int, world: int) -> None:
    """Look at the headers of this rank's share of the pseudo-labelled images, if there are any;
    problems of any rank are raised on all."""
    labels = data.pseudo_labels
    if labels is None:
        return
    if rank == 0:
        print(f"pseudo-labels of {labels.folder}: {labels.counts}", file=sys.stderr)
    mine = range(rank, len(labels), world)
    failures = [
        Failure(labels.images[place].name, problem)
        for place in track(mine, len(mine), "looking at the pseudo-labels", world)
        if (problem := labels.problem(place))
    ]
    raise_together(failures, f"the pseudo-labels of {labels.folder} do not fit their images")


def checked_image(evidence: Evidence, truth: Tensor | None, classes: int) -> CheckedImage:
    """What rounds keep of an image; a ValueError if evidence or truth cannot be what they claim to
    be."""
    evidence.check(classes)
    evidence.check_truth(truth, classes)
    height, width = evidence.image.shape[-2:]
    boxes = 0 if evidence.boxes is None else len(evidence.boxes)
    return CheckedImage(evidence.id, fingerprint(*evidence), (height, width), boxes)


def image_failure(id: str, error: Exception) -> Failure:
    """What is wrong with an image that could not be read or checked."""
    reason = str(error).removeprefix(f"image {id}").lstrip(": ")
    ours = isinstance(error, ValueError)
    return Failure(id, reason if ours else f"{type(error).__name__}: {reason}")


def _shows_objects(evidence: Evidence) -> bool:
    """False where an image was searched for boxes and has none, and no pixel is marked: that is
    background, whatever its tags name."""
    marks = evidence.marks
    marked = marks is not None and bool(((marks > 0) & (marks != IGNORE)).any())
    return evidence.boxes is None or len(evidence.boxes) > 0 or marked


def _expect_boxes(strategy: Strategy, boxed: Sequence[bool]) -> None:
    """The projection loss is of boxes alone."""
    if strategy.terms.projection and boxed and not any(boxed):
        raise ValueError(
            f"terms.projection is a loss of boxes, but none of the {len(boxed)} training images "
            "has a list of boxes; leave it out, or take a recipe and data.evidence with boxes"
        )


def _expect_objects(shown: Sequence[bool], data: WeakData) -> None:
    """An image without an object is background. All images without one are a mistake, such as files
    without the kind that is wanted."""
    if shown and not any(shown):
        raise ValueError(
            f"none of the {len(shown)} training images has a box, or a marked pixel: all would be "
            f"background. {_there_is(data)}"
        )


def _there_is(data: WeakData) -> str:
    """What the files hold in place of what is wanted, and how to train on it."""
    kinds = Counter[str]()
    if isinstance(data, Photos):
        for index in data.training[:SAMPLED]:
            kinds += data.shapes_of(index)
    words = [word for word, shapes in KINDS_OF.items() if any(kinds[shape] for shape in shapes)]
    if not words:
        return (
            "If the files hold something else, say what, such as data.evidence=masks; python -m "
            "weakseg.check data=... shows what there is"
        )
    recipes = " or ".join(f"recipe={RECIPES[word]}" for word in words)
    return (
        f"The files hold {' and '.join(words)}: write {recipes} (or a recipe of yours, with "
        f"data.evidence={words[0]})"
    )
