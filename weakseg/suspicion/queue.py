"""The queue: images in the order in which a person should look at them, the most suspicious first.

What is known of an image comes as signals, numbers from 0 to 1 of which 1 is the most suspicious.
None of them needs the truth: docs/explanation/suspicion.md has their formulas, and how many wrong
annotations the beginning of the queue finds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

LEAST = 0.01  # agreement below this is none: one signal alone does not decide the order
NOTABLE = 0.1  # what adds less than this to the suspicion is no reason
REASONS = 2


class Signal(NamedTuple):
    """How a signal counts, and what it tells a person."""

    weight: float
    """the exponent of the agreement, 1 - signal"""
    reason: str
    """a short sentence; {} stands for the class of a signal that has one"""


SIGNALS = {
    "missing": Signal(1.0, "{} is annotated, but the network finds none there"),
    "unnamed": Signal(2.0, "the network finds {} where none is annotated"),
    "unlike": Signal(1.0, "{} is annotated, but images without it look more like it"),
    "alike": Signal(1.0, "it looks as much like {} as images that are annotated so"),
    "absent": Signal(1.0, "no pixel of the target is {}, though it is annotated"),
    "extra": Signal(1.0, "the target shows {}, which is not annotated"),
    "marks": Signal(1.0, "the target contradicts what is drawn"),
    "boxes": Signal(0.25, "the target does not fill the boxes of {}"),
    "disagreement": Signal(0.5, "the network predicts other classes than the target has"),
    "loss": Signal(0.5, "training has not fitted the target"),
    "colours": Signal(0.5, "the target runs over edges: its classes share colours"),
    "labels": Signal(0.25, "the labels themselves are unsure"),
    "uncertainty": Signal(0.1, "the network is unsure of many pixels"),
    "unlabelled": Signal(10.0, "no pixel of the target has a label"),
}
"""the signals by their names; of reasons that add the same, the one further up is given first"""


_ORDER = {name: place for place, name in enumerate(SIGNALS)}


class Suspicion(NamedTuple):
    """How suspicious an image is, and why."""

    image: str
    score: float
    """from 0 to 1, 1 is the most suspicious"""
    reasons: tuple[str, ...]
    """the most telling first"""


def rank(signals: Mapping[str, Mapping[str, float]]) -> list[Suspicion]:
    """Images with their suspicion, the most suspicious first; those with the same score in the
    order of their names.

    Args:
        signals: of each image, by its id: numbers from 0 to 1 by the names in `SIGNALS`. A signal
            may be about a class, which stands behind its name, as in missing/dog; of several
            classes the most suspicious one counts. What is not there, or nan, is not known.

    >>> found = rank({"a": {"colours": 0.1}, "b": {"missing/dog": 0.9, "colours": 0.1}})
    >>> found[0].image, found[1].image
    ('b', 'a')
    >>> found[0].reasons
    ('dog is annotated, but the network finds none there',)
    """
    found = [_suspicion(image, _parts(own)) for image, own in signals.items()]
    return sorted(found, key=lambda suspicion: (-suspicion.score, suspicion.image))


def score_of(signals: Mapping[str, float]) -> float:
    """The suspicion of one image: 1 less the product of the agreements, 1 - signal, each to the
    power of its weight.

    >>> score_of({"missing/cat": 0.5, "missing/dog": 0.75, "colours": 0.75})
    0.875
    """
    return _suspicion("", _parts(signals)).score


def reasons_of(signals: Mapping[str, float]) -> tuple[str, ...]:
    """What speaks against an image, in short sentences: the one or two signals that add most to its
    suspicion."""
    return _suspicion("", _parts(signals)).reasons


def _suspicion(image: str, parts: Mapping[str, float]) -> Suspicion:
    """The suspicion of an image from what each of its signals adds."""
    telling = sorted(
        (name for name, part in parts.items() if part >= NOTABLE),
        key=lambda name: (-parts[name], _ORDER[_base(name)]),
    )
    reasons = [SIGNALS[_base(name)].reason.format(_class(name)) for name in telling[:REASONS]]
    return Suspicion(image, 1 - math.exp(-sum(parts.values())), tuple(reasons))


def _parts(signals: Mapping[str, float]) -> dict[str, float]:
    """What each signal adds to the suspicion; of several classes, the most suspicious one alone."""
    best: dict[str, tuple[float, str]] = {}
    for name, value in signals.items():
        base = _base(name)
        if base not in SIGNALS:
            raise ValueError(
                f"{name} is no signal; expected one of {', '.join(SIGNALS)}, with a class behind "
                "it such as missing/dog where it is about one"
            )
        if not math.isnan(value) and (base not in best or value > best[base][0]):
            best[base] = value, name
    return {name: _part(SIGNALS[base].weight, value) for base, (value, name) in best.items()}


def _part(weight: float, value: float) -> float:
    return -weight * math.log(max(LEAST, 1 - min(1.0, max(0.0, value))))


def _base(name: str) -> str:
    return name.partition("/")[0]


def _class(name: str) -> str:
    return name.partition("/")[2] or "a class"
