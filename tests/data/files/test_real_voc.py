"""The cut of PASCAL VOC with animals: masks, boxes and clicks that people made agree with each
other when each is read right.

Set WEAKSEG_DATA to the folder that holds VOCdevkit, or a folder with VOCdevkit in it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from weakseg.data.files.voc import VOC
from weakseg.reporting.dataset_check import check_image

FOLDER = os.environ.get("WEAKSEG_DATA", "")
ROOT = next((path.parent for path in Path(FOLDER).glob("**/VOCdevkit")), None) if FOLDER else None
ANIMALS = ["cat", "cow", "dog", "horse", "sheep"]
MANY = range(0, 309, 7)

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(
        ROOT is None,
        reason="no real photographs: WEAKSEG_DATA should name the folder that VOCdevkit is in",
    ),
]


def animals(**options: object) -> VOC:
    return VOC(ROOT, train="train_animals5", val="val_animals5", classes_used=ANIMALS, **options)


def test_the_lists_have_as_many_images_as_they_should() -> None:
    assert (len(VOC(ROOT).training), len(VOC(ROOT).validation)) == (437, 445)
    data = animals()
    assert (len(data.training), len(data.validation), len(data.classes)) == (309, 324, 6)


def test_drawn_boxes_lie_close_around_the_masks() -> None:
    """Of images with one box, box and mask were drawn apart. The rim of 255 around an object is in
    the box and not in the mask, so the box is a little larger, and as much on one side as on the
    other."""
    data, off = animals(), []
    for index in MANY:
        evidence, truth = data.sample(index)
        evidence.check(6)
        if len(evidence.boxes) == 1:
            rows, columns = np.nonzero((truth == evidence.box_classes[0]).numpy())
            tight = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            off.append(evidence.boxes[0].numpy() - tight)
    assert len(off) > 20
    left, top, right, bottom = np.median(off, 0)
    assert max(abs(left + right), abs(top + bottom)) <= 1
    assert 0 <= min(-left, -top, right, bottom) <= max(-left, -top, right, bottom) <= 5


def test_clicks_hit_what_they_name() -> None:
    data, hits = animals(evidence="points"), []
    for index in MANY:
        evidence, truth = data.sample(index)
        known = (evidence.marks != 255) & (truth != 255)
        hits += (evidence.marks[known] == truth[known]).tolist()
    assert len(hits) > 100
    assert np.mean(hits) > 0.95


def test_boxes_and_masks_name_the_same_classes() -> None:
    data = animals(long_side=256)
    for index in MANY:
        evidence, truth = data.sample(index)
        assert max(evidence.image.shape) <= 256
        assert evidence.image.shape[1:] == truth.shape
        assert set(evidence.box_classes.tolist()) == set(
            evidence.tags.nonzero().flatten().tolist()
        ) - {0}


def test_nothing_is_wrong_with_it() -> None:
    data = VOC(ROOT)
    assert [
        problem for index in range(0, 882, 40) for problem in check_image(data, index).problems
    ] == []
