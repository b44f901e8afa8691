import numpy as np
import pytest
import torch

from weakseg.data.from_masks import evidence_from_mask, regions_of, stream_of
from weakseg.evidence import Evidence

TRUTH = torch.zeros(30, 40, dtype=torch.uint8)
TRUTH[2:12, 3:13] = 1
TRUTH[2:12, 20:35] = 1
TRUTH[15:29, 5:20] = 2
TRUTH[15:29, 20] = 255
FIELDS = {
    "masks": {"marks"},
    "boxes": {"boxes", "box_classes", "tags", "large"},
    "points": {"marks", "tags"},
    "scribbles": {"marks", "tags"},
    "tags": {"tags", "large"},
}


@pytest.mark.parametrize("kind", FIELDS)
def test_what_was_asked_for_and_no_other(kind: str) -> None:
    made = evidence_from_mask(kind, TRUTH, None, (), 4, np.random.default_rng(0))
    assert set(made) == FIELDS[kind]
    evidence = Evidence("a", torch.zeros(3, 30, 40, dtype=torch.uint8), **made)
    evidence.check(4)
    if "marks" in made:
        marked = evidence.marks != 255
        assert marked.any()
        assert torch.equal(evidence.marks[marked], TRUTH[marked])
    if "tags" in made:
        assert evidence.tags.tolist() == [True, True, True, False]
    if "large" in made:
        assert evidence.large.tolist() == [True, True, True, False]


def test_boxes_of_regions_and_of_known_objects() -> None:
    made = evidence_from_mask("boxes", TRUTH, None, (), 4, np.random.default_rng(0))
    assert made["boxes"].tolist() == [[3, 2, 13, 12], [20, 2, 35, 12], [5, 15, 20, 29]]
    assert made["box_classes"].tolist() == [1, 1, 2]
    together = (TRUTH == 1).int()
    made = evidence_from_mask("boxes", TRUTH, together, [1], 4, np.random.default_rng(0))
    assert made["boxes"].tolist() == [[3, 2, 35, 12]]


def test_regions_touch_at_corners_and_classes_do_not_mix() -> None:
    objects, labels = regions_of(torch.tensor([[1, 0, 2], [0, 1, 2], [255, 0, 1]], dtype=torch.uint8))
    assert objects.tolist() == [[1, 0, 2], [0, 1, 2], [0, 0, 1]]
    assert labels == [1, 2]


def test_a_stream_depends_on_the_name_and_the_number() -> None:
    draws = {(id, seed): stream_of(id, seed).random() for id in ("a", "b") for seed in (0, 1)}
    assert len(set(draws.values())) == 4
    assert stream_of("a", 0).random() == draws["a", 0]
