from __future__ import annotations

import pytest

from weakseg.data.simulate.annotator import check_annotation_kind, stream_of


def test_a_stream_depends_on_the_name_and_the_number() -> None:
    draws = {(id, seed): stream_of(id, seed).random() for id in ("a", "b") for seed in (0, 1)}
    assert len(set(draws.values())) == 4
    assert stream_of("a", 0).random() == draws["a", 0]


def test_what_cannot_be_asked_for() -> None:
    check_annotation_kind("tags")
    check_annotation_kind(None, none=True)
    with pytest.raises(
        ValueError,
        match="evidence should be one of masks, boxes, points, scribbles, tags, but it is lines",
    ):
        check_annotation_kind("lines")
    with pytest.raises(ValueError, match="or null, but it is lines"):
        check_annotation_kind("lines", none=True)
