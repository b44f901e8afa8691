"""The queue: scores, order and reasons from signals."""

from __future__ import annotations

import math

import pytest

from weakseg.suspicion.queue import SIGNALS, rank, reasons_of, score_of


def test_the_most_suspicious_image_comes_first() -> None:
    signals = {"a": {"colours": 0.2}, "b": {"colours": 0.9}, "c": {"colours": 0.5}}
    assert [found.image for found in rank(signals)] == ["b", "c", "a"]


def test_images_of_the_same_score_come_by_their_names() -> None:
    assert [found.image for found in rank({"b": {}, "c": {}, "a": {}})] == ["a", "b", "c"]


def test_every_signal_raises_the_score_and_no_score_leaves_its_range() -> None:
    for name in SIGNALS:
        scores = [score_of({name: value}) for value in (0.0, 0.3, 0.6, 0.9)]
        assert scores == sorted(set(scores))
        assert scores[0] == 0
    assert score_of(dict.fromkeys(SIGNALS, 1.0)) <= 1


def test_what_is_not_known_does_not_count() -> None:
    assert score_of({"loss": math.nan, "colours": 0.3}) == score_of({"colours": 0.3})
    assert reasons_of({"loss": math.nan}) == ()


def test_of_several_classes_the_most_suspicious_one_counts() -> None:
    both = {"missing/cat": 0.2, "missing/dog": 0.9}
    assert score_of(both) == score_of({"missing/dog": 0.9})
    assert reasons_of(both) == ("dog is annotated, but the network finds none there",)


def test_the_reasons_are_the_two_that_add_most() -> None:
    reasons = reasons_of({"marks": 0.5, "missing/dog": 0.9, "unnamed/cat": 0.6, "colours": 0.01})
    assert reasons == (
        "dog is annotated, but the network finds none there",
        "the network finds cat where none is annotated",
    )


def test_values_beyond_the_range_count_as_its_ends() -> None:
    assert score_of({"loss": 1.5}) == score_of({"loss": 1.0})
    assert score_of({"loss": -1}) == 0


def test_an_unknown_signal_is_refused() -> None:
    with pytest.raises(
        ValueError, match="mising/dog is no signal; expected one of missing, unnamed"
    ):
        score_of({"mising/dog": 0.5})
