"""Names of classes as a person writes them, as the tensors that evidence is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from weakseg.utils.messages import did_you_mean

# letters of a name from which on one other letter is probably a mistake, and no other word
LONG = 5


def tags_named(names: Iterable[str], classes: Sequence[str]) -> Tensor:
    """Tags of an image that shows the classes of these names: bool [C]. Background, the first
    class, is always among them.

    For an image that shows no background at all, set the first one to False yourself; strategies
    that learn from tags alone refuse it.

    >>> tags_named(["dog"], ["background", "cat", "dog"])
    tensor([ True, False,  True])
    """
    if isinstance(names, str):
        raise TypeError(
            f"names should be a list of names, but it is the text {names!r}; write [{names!r}]"
        )
    tags = torch.zeros(len(classes), dtype=torch.bool)
    tags[0] = True
    for name in names:
        if name not in classes:
            raise ValueError(f"there is no class {name!r}; {spelling_hint(name, classes)}")
        tags[list(classes).index(name)] = True
    return tags


def nearly_same(one: str, other: str) -> bool:
    """Whether one name is probably the other one mistyped: other capitals or spaces, two letters
    swapped, or, of long names, one wrong.

    >>> (
    ...     nearly_same("dgo", "dog"),
    ...     nearly_same("Traffic light", "traffic_light"),
    ...     nearly_same("bicyle", "bicycle"),
    ... )
    (True, True, True)
    >>> nearly_same("cat", "car"), nearly_same("man", "woman"), nearly_same("class 1", "class 2")
    (False, False, False)
    """
    plain = [
        "".join(letter for letter in name.casefold() if letter.isalnum()) for name in (one, other)
    ]
    longest = max(map(len, plain))
    if not all(plain) or abs(len(plain[0]) - len(plain[1])) > 1:
        return False
    # without their common beginning, and then, as they come turned round, their common end
    one, other = _apart(*_apart(*plain))
    swapped = len(one) == 2 and one == other[::-1]
    wrong = max(len(one), len(other)) == 1 and longest >= LONG and not (one + other).isdecimal()
    return not one + other or swapped or wrong


def _apart(one: str, other: str) -> tuple[str, str]:
    """What is behind the common beginning of both, turned round."""
    same = next(
        (place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )
    return one[same:][::-1], other[same:][::-1]


def spelling_hint(name: str, classes: Sequence[str]) -> str:
    """The end of a message about a name that is no class: the most similar class, or all classes.

    >>> spelling_hint("dgo", ["background", "dog"])
    'did you mean dog?'
    """
    hint = did_you_mean(str(name), reversed(classes)) or f"; the classes are {', '.join(classes)}"
    return hint.removeprefix("; ")
