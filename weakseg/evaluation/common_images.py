"""What several evaluations have in common: images, which are matched by their names, and
classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from weakseg.config.recipe import RecipeError
from weakseg.evaluation.bootstrap import ClassCounts, count_classes
from weakseg.evaluation.sides import Side

FEW = 30  # images below which intervals say little
FEWEST = 5  # images that show a class, below which it has no interval
LISTED = 5  # names in a line


class Common(NamedTuple):
    """The images and the classes that all sides of a comparison have."""

    images: list[str]
    places: list[list[int]]
    """for each side, the places of these images in its own list"""
    classes: list[str]
    counts: list[ClassCounts]
    """of each side"""
    whole: bool
    """whether no side has any other image or class"""
    notes: list[str]
    """what is not the same, in sentences"""


def find_common(sides: Sequence[Side]) -> Common:
    """Match the images and the classes of all sides by their names; a RecipeError if there is
    nothing in common."""
    classes, notes = _classes(sides)
    measured = [_measured(side) for side in sides]
    names = [name for name in measured[0] if all(name in each for each in measured)]
    if not names:
        raise RecipeError(
            "runs: the evaluations have no image in common: "
            + "; ".join(f"{side.name}: {side.evaluation.measured_on}" for side in sides)
            + "; evaluate all on the same data: python -m weakseg.evaluate run=... data=... out=..."
        )
    if any(len(each) > len(names) for each in measured):
        own = ", ".join(
            f"{side.letter} {len(each)}" for side, each in zip(sides, measured, strict=True)
        )
        notes.append(f"compared on the {len(names)} images that all have: of their own, {own}")
    places, counts = _counted(sides, measured, names, classes)
    if all(len(side.evaluation.classes) == len(classes) for side in sides):
        same = _same_truth(names, counts, notes)
        if len(same) < len(names):
            names = same
            places, counts = _counted(sides, measured, names, classes)
    whole = not notes
    shown = torch.stack([each.either > 0 for each in counts]).any(0).sum(0).tolist()
    rare = [name for name, count in zip(classes, shown, strict=True) if count < FEWEST]
    if rare:
        notes.append(f"no interval for {', '.join(rare)}: fewer than {FEWEST} images show it")
    if len(names) < FEW:
        few = f"{len(names)} image{'s' * (len(names) > 1)}"
        notes.append(f"intervals from {few} are rough, and rather too narrow")
    return Common(names, places, classes, counts, whole, notes)


def _classes(sides: Sequence[Side]) -> tuple[list[str], list[str]]:
    """The classes that all have, in the order of the first, and which others there are."""
    known = [side.evaluation.classes for side in sides]
    common = [name for name in known[0] if all(name in each for each in known)]
    others = [
        f"{side.letter} also {', '.join(name for name in each if name not in common)}"
        for side, each in zip(sides, known, strict=True)
        if set(each) - set(common)
    ]
    if len(common) < 2:
        raise RecipeError(
            "runs: the networks have hardly a class in common: "
            + "; ".join(f"{side.name}: {', '.join(side.evaluation.classes)}" for side in sides)
        )
    note = f"compared on the {len(common)} classes that all have; {'; '.join(others)}"
    return common, [note] if others else []


def _measured(side: Side) -> dict[str, int]:
    """The places of the images with a truth, by their names."""
    evaluation = side.evaluation
    places = sorted(set(evaluation.cells[:, 0].tolist()))
    if not places:
        raise RecipeError(
            f"runs: {side.name} was measured on no image with a mask, which a comparison needs: "
            f"{evaluation.measured_on}; evaluate it on data with masks, and give that folder"
        )
    return {evaluation.images[place]["name"]: place for place in places}


def _counted(
    sides: Sequence[Side],
    measured: Sequence[dict[str, int]],
    names: Sequence[str],
    classes: Sequence[str],
) -> tuple[list[list[int]], list[ClassCounts]]:
    """The places of images among those of each side, and their counts."""
    places = [[each[name] for name in names] for each in measured]
    counts = []
    for side, own in zip(sides, places, strict=True):
        numbers = [side.evaluation.classes.index(name) for name in classes]
        counts.append(count_classes(side.evaluation.cells, own, numbers))
    return places, counts


def _same_truth(names: list[str], counts: Sequence[ClassCounts], notes: list[str]) -> list[str]:
    """Those images whose truth has as many pixels of each class for all sides: others only have the
    same name."""
    other = torch.stack([(each.truth != counts[0].truth).any(1) for each in counts]).any(0)
    wrong = [name for name, differs in zip(names, other.tolist(), strict=True) if differs]
    if not wrong:
        return names
    listed = ", ".join(wrong[:LISTED]) + ", ..." * (len(wrong) > LISTED)
    what = f"{len(wrong)} image{'s' * (len(wrong) > 1)} of the same name with another truth"
    if len(wrong) == len(names):
        raise RecipeError(
            f"runs: the evaluations have no image in common, but {what} ({listed}): other sizes, "
            "or other masks"
        )
    notes.append(f"without {what}: {listed}")
    return [name for name in names if name not in set(wrong)]
