"""Names of classes as a person writes them, as the tensors that evidence is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import torch
from torch import Tensor


def tags_named(names: Iterable[str], classes: Sequence[str]) -> Tensor:
    """Tags of an image that shows the classes of these names: bool [C]. Background, the first class, is always among them.

    For an image that shows no background at all, set the first one to False yourself; strategies that learn from tags alone refuse it.

    >>> tags_named(["dog"], ["background", "cat", "dog"])
    tensor([ True, False,  True])
    """
    if isinstance(names, str):
        raise TypeError(f"names should be a list of names, but it is the text {names!r}; write [{names!r}]")
    tags = torch.zeros(len(classes), dtype=torch.bool)
    tags[0] = True
    for name in names:
        if name not in classes:
            raise ValueError(f"there is no class {name!r}; {nearest(name, classes)}")
        tags[list(classes).index(name)] = True
    return tags


def nearest(name: str, classes: Sequence[str]) -> str:
    """What to tell a person who wrote a name that is no class: the nearest one that is, or all of them.

    >>> nearest("dgo", ["background", "dog"])
    'did you mean dog?'
    """
    lower = {known.lower(): known for known in reversed(classes)}
    near = get_close_matches(str(name).lower(), lower, n=1)
    return f"did you mean {lower[near[0]]}?" if near else f"the classes are {', '.join(classes)}"
