"""Which recipe fits what is annotated in a data set, where nobody has named one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from weakseg.data.base import WeakData
from weakseg.data.files.photos import KINDS_OF, Photos
from weakseg.planning.facts import LOOKED_AT, WHOLE, annotated, spread
from weakseg.utils.messages import counted
from weakseg.utils.progress import track

# by what is annotated, the most telling first: recipes, the better ones first, which need an
# encoder with trained weights
RECIPES: dict[str, tuple[str, ...]] = {
    "masks": ("full",),
    "boxes": ("boxes",),
    "scribbles": ("scribbles",),
    "points": ("points_coseg", "points"),
    "tags": ("tags_coseg", "tags"),
}
MIXED = ("mixed_coseg", "mixed")
# marks of a data set without files, and the mask of each box, go by these names
ALIKE = {"marks": "scribbles", "instances": "boxes"}


class Proposal(NamedTuple):
    """What to train by."""

    recipes: tuple[str, ...]
    """the best first; the last needs no trained weights"""
    reason: str


def proposal(data: WeakData) -> Proposal | None:
    """The recipes that fit what is annotated; None where nothing is.

    Args:
        data: the data set, as it is without a recipe.
    """
    images = [kinds for kinds in _annotated(data) if kinds]
    if not images:
        return None
    counts = Counter(kind for kinds in images for kind in kinds)
    if set(counts) != {"tags"}:
        counts.pop("tags", None)  # which name what boxes and marks show as well
    found = [kind for kind in RECIPES if counts[kind]]
    have = " and ".join(f"{kind} on {counts[kind]}" for kind in found)
    reason = f"{have} of the {counted(len(images), 'annotated image')} that were looked at"
    # a strategy of one kind needs it on every image, and would leave out what tells more
    alone = counts[found[0]] == len(images)
    return Proposal(RECIPES[found[0]] if alone else MIXED, reason)


def _annotated(data: WeakData) -> Iterator[frozenset[str]]:
    """What is annotated in some of the images that are trained on, in the words for
    `data.evidence`."""
    indices = annotated(data)
    known = getattr(data, "evidence", None)
    if known is not None and not getattr(data, "masked", ()):
        yield from [frozenset({ALIKE.get(known, known)})] * len(indices)
        return
    files = isinstance(data, Photos) and not data.simulated
    chosen = spread(indices, LOOKED_AT if files else WHOLE)
    for index in track(chosen, len(chosen), "looking at the annotation", delay=1):
        try:
            yield _kinds_of(data, index)
        except Exception:  # of a data set of somebody's own; told when the image is read
            continue


def _kinds_of(data: WeakData, index: int) -> frozenset[str]:
    if isinstance(data, Photos) and not data.simulated:
        shapes = data.shapes_of(index)
        if not shapes["mask"]:  # which may be marks, or whole masks
            drawn = {
                word for word, kinds in KINDS_OF.items() if any(shapes[kind] for kind in kinds)
            }
            return frozenset(drawn)
    evidence, _ = data.corrected(index)
    return frozenset(ALIKE.get(kind, kind) for kind in evidence.annotations)
