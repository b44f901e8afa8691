"""A network's prediction within what the evidence of an image says: where its classes are, but
neither which nor how much of them.

A network that has learned from pseudo-labels is wrong in ways that the evidence of an image rules
out. It takes one animal for another, and it takes small ones, which its grid hardly resolves, for
background. Both look like "no object here" once the impossible classes are left out. What it knows
beyond the evidence is which pixels belong together with the object rather than with what is around
it. So the prediction is reduced to that, by two steps without any constant to choose.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST = 1e-4  # a probability beyond this from 0 or 1 counts as this
_MOST = 20_000  # pixels that a shift is found from; of more, every k-th
_STEPS = 40  # halvings of an interval of logits
_WIDEST = 30.0  # a shift of logits is no larger than this


def calibrate_areas(probs: Tensor, classes: Tensor, inside: Tensor, areas: Tensor) -> Tensor:
    """What a network predicts for the classes that an image can have, with their areas as given:
    float [K,H,W] that sums to 1.

    1. The probability that a pixel is not background, whatever class it goes to, belongs to those
       classes that can be there, in the proportions that the network gives them.
    2. The logits of each class are shifted by one number, so that its probabilities sum to its
       area.

    Args:
        probs: of the network, float [C,H,W].
        classes: which of its classes the image can have, int64 [K]; the first is 0, background.
        inside: where each of them can be, bool [K,H,W].
        areas: of each of them in pixels, float [K]; that of the background is not used.

    >>> probs = torch.tensor([[[0.9, 0.99, 0.8]], [[0.05, 0, 0.05]], [[0.05, 0.01, 0.15]]])
    >>> inside = torch.tensor([[[True, True, True]], [[True, True, False]]])
    >>> calibrate_areas(probs, torch.tensor([0, 2]), inside, torch.tensor([2.0, 1])).round(
    ...     decimals=2
    ... )
    tensor([[[0.2300, 0.7700, 1.0000]],
            [[0.7700, 0.2300, 0.0000]]])
    """
    objects = _objects(probs, classes[1:], inside[1:])
    shifted = [
        _shifted(own, mask, float(area))
        for own, mask, area in zip(objects, inside[1:], areas[1:], strict=True)
    ]
    foreground = torch.stack(shifted) if shifted else objects
    # objects of several classes may claim more than the whole of a pixel
    background = (1 - foreground.sum(0)).clamp(min=0)
    joint = torch.cat([background[None], foreground])
    return joint / joint.sum(0)


def _objects(probs: Tensor, classes: Tensor, inside: Tensor) -> Tensor:
    """The probability of not being background, shared among the classes that can be there."""
    own = probs[classes].clamp(min=_LEAST) * inside
    return (1 - probs[0]).clamp(min=0) * own / own.sum(0).clamp(min=_LEAST)


def _shifted(probs: Tensor, mask: Tensor, area: float) -> Tensor:
    """Probabilities [H,W] with shifted logits, so that they sum to an area over the mask; 0 outside
    of it."""
    out = torch.zeros_like(probs)
    logits = probs[mask].double().clamp(_LEAST, 1 - _LEAST).logit()
    if not len(logits):
        return out
    some = logits[:: -(-len(logits) // _MOST)]
    wanted = area * len(some) / len(logits)
    low, high = -_WIDEST, _WIDEST
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if float((some + middle).sigmoid().sum()) < wanted:
            low = middle
        else:
            high = middle
    out[mask] = (logits + high).sigmoid().to(probs.dtype)
    return out
