"""Classes matched by their names: what is number 2 in one place may be number 5 in another."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import torch
from torch import Tensor

from weakseg.evidence import Evidence


def match_classes(theirs: Sequence[str], ours: Sequence[str]) -> Tensor | None:
    """The number among our classes of each of theirs, int64 [256]; None if they are the same. A
    ValueError names classes that we lack.

    What is no class stays what it is, such as 255.

    >>> match_classes(["background", "cat"], ["background", "dog", "cat"])[:3]
    tensor([0, 2, 2])
    """
    if tuple(theirs) == tuple(ours):
        return None
    if unknown := [name for name in theirs if name not in ours]:
        raise ValueError(none_of(unknown, ours))
    table = torch.arange(256)
    table[: len(theirs)] = torch.tensor([list(ours).index(name) for name in theirs])
    return table


def none_of(unknown: Sequence[str], classes: Sequence[str]) -> str:
    """What to tell a person about names that are no class, with the nearest one that is for each
    that has one.

    >>> none_of(["dgo", "cow"], ["background", "dog"])
    'dgo, cow are none of the classes background, dog; did you mean dog?'
    """
    near = [match for name in unknown for match in get_close_matches(name[:100], classes, n=1)]
    hint = f"; did you mean {', '.join(dict.fromkeys(near))}?" if near else ""
    return (
        f"{', '.join(unknown)} {'is' if len(unknown) == 1 else 'are'} none of the classes "
        f"{', '.join(classes)}{hint}"
    )


def renumber(labels: Tensor, table: Tensor) -> Tensor:
    """Labels of any shape and integer type with our numbers."""
    return table[labels.long()].to(labels.dtype)


def renumber_evidence(evidence: Evidence, table: Tensor, classes: int) -> Evidence:
    """Evidence with our numbers; our classes are so many."""
    return evidence._replace(
        marks=_renumbered(evidence.marks, table),
        strokes=_renumbered(evidence.strokes, table),
        painted=_renumbered(evidence.painted, table),
        box_classes=_renumbered(evidence.box_classes, table),
        tags=_moved(evidence.tags, table, classes),
        large=_moved(evidence.large, table, classes),
    )


def _renumbered(labels: Tensor | None, table: Tensor) -> Tensor | None:
    return None if labels is None else renumber(labels, table)


def _moved(flags: Tensor | None, table: Tensor, classes: int) -> Tensor | None:
    if flags is None:
        return None
    moved = torch.zeros(classes, dtype=torch.bool)
    moved[table[: len(flags)][flags]] = True
    return moved


def order_rows(value: Tensor, wider: Sequence[int], table: Tensor, classes: int) -> Tensor:
    """A tensor of weights with the rows of its classes in another order: `table` says where each of
    them goes.

    Args:
        value: of a network for so many classes.
        wider: the shape of the same tensor in a network for one class more. Along the sides that
            differ, it has a row per class, or several behind each other.

    >>> order_rows(torch.tensor([0.0, 1.0, 2.0]), [4], torch.tensor([0, 2, 1]), 3)
    tensor([0., 2., 1.])
    """
    for side, (length, longer) in enumerate(zip(value.shape, wider, strict=True)):
        each = longer - length
        if not each:
            continue
        if each * classes != length:
            raise ValueError(
                f"a tensor {list(value.shape)} for {classes} classes would be {list(wider)} for "
                "one more: no rows per class"
            )
        rows = torch.arange(length).view(classes, each)[table[:classes].argsort()]
        value = value.index_select(side, rows.flatten())
    return value
