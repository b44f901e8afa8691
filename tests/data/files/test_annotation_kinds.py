from __future__ import annotations

from typing import Any

import pytest

from weakseg.data.files.cityscapes import Cityscapes
from weakseg.data.files.coco import Coco
from weakseg.data.files.folder import Folder
from weakseg.data.files.voc import VOC
from weakseg.data.simulate.annotator import stream_of


def test_a_stream_depends_on_the_name_and_the_number() -> None:
    draws = {(id, seed): stream_of(id, seed).random() for id in ("a", "b") for seed in (0, 1)}
    assert len(set(draws.values())) == 4
    assert stream_of("a", 0).random() == draws["a", 0]


@pytest.mark.parametrize("data", [Folder, Coco, VOC, Cityscapes])
def test_evidence_that_no_data_set_has(data: Any) -> None:
    with pytest.raises(
        ValueError,
        match="evidence should be one of masks, boxes, points, scribbles, tags, but it is 'lines'",
    ):
        data(root="nowhere", **({"format": "csv"} if data is Folder else {}), evidence="lines")
