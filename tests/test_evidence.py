"""Evidence: what is missing or impossible is named, with the image."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from weakseg.evidence import Evidence

IMAGE = torch.zeros(3, 4, 6, dtype=torch.uint8)
BOX = torch.tensor([[0.0, 0.0, 2.0, 2.0]])


def test_need_names_the_image_and_what_it_has() -> None:
    evidence = Evidence(
        "2008_000008",
        IMAGE,
        tags=torch.tensor([True, False]),
        marks=torch.zeros(4, 6, dtype=torch.uint8),
    )
    evidence.need("tags", "marks")
    with pytest.raises(ValueError, match="image 2008_000008 has no boxes; it has tags, marks"):
        evidence.need("boxes")
    with pytest.raises(ValueError, match="has no boxes and no large; it has no evidence at all"):
        Evidence("cat", IMAGE).need("boxes", "large")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tags": torch.tensor([True, False, True])},
        {"boxes": BOX, "box_classes": torch.tensor([2])},
        {"boxes": torch.zeros(0, 4), "box_classes": torch.zeros(0, dtype=torch.int64)},
        {"marks": torch.full((4, 6), 255, dtype=torch.uint8)},
    ],
    ids=lambda fields: " ".join(fields) or "nothing",
)
def test_sound_evidence_passes(fields: dict[str, Any]) -> None:
    Evidence("cat", IMAGE, **fields).check(3)


@pytest.mark.parametrize(
    ("fields", "annotations"),
    [
        ({}, ()),
        ({"tags": torch.tensor([True, False, True])}, ("tags",)),
        (
            {"tags": torch.zeros(3, dtype=torch.bool), "large": torch.tensor([True, False, False])},
            (),
        ),
        (
            {"boxes": torch.zeros(0, 4), "box_classes": torch.zeros(0, dtype=torch.int64)},
            ("boxes",),
        ),
        ({"marks": torch.full((4, 6), 255, dtype=torch.uint8)}, ()),
        ({"marks": torch.tensor([[1] * 6] * 3 + [[255] * 6], dtype=torch.uint8)}, ("masks",)),
        (
            {
                "marks": torch.tensor(
                    [[1] * 6] * 2 + [[0] * 5 + [255]] + [[255] * 6], dtype=torch.uint8
                )
            },
            ("marks",),
        ),
        (
            {
                "tags": torch.tensor([True, False, True]),
                "boxes": BOX,
                "box_classes": torch.tensor([2]),
                "marks": torch.tensor([[2] + [255] * 5] + [[255] * 6] * 3, dtype=torch.uint8),
            },
            ("boxes", "marks", "tags"),
        ),
    ],
)
def test_what_can_be_learned_from(fields: dict[str, Any], annotations: tuple[str, ...]) -> None:
    assert Evidence("cat", IMAGE, **fields).annotations == annotations


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"image": IMAGE.float()},
            r"image should be uint8 \[3,H,W\], but it is float32 \[3, 4, 6\]",
        ),
        ({"image": IMAGE[:1]}, r"but it is uint8 \[1, 4, 6\]"),
        ({"image": IMAGE[:, :0]}, "at least one pixel"),
        ({"tags": torch.tensor([True])}, r"tags should be bool \[3\], but it is bool \[1\]"),
        ({"large": torch.tensor([1, 0, 0])}, "large should be bool"),
        (
            {"marks": torch.zeros(6, 4, dtype=torch.uint8)},
            r"marks should be uint8 \[4,6\], the size of the image",
        ),
        (
            {"strokes": torch.zeros(4, 6)},
            r"strokes should be uint8 \[4,6\], the size of the image, but it is float32 \[4, 6\]",
        ),
        (
            {"painted": torch.full((4, 6), 3, dtype=torch.uint8)},
            "painted names class 3, but there are 3 classes, 0 to 2",
        ),
        (
            {"marks": torch.full((4, 6), 3, dtype=torch.uint8)},
            "marks names class 3, but there are 3 classes, 0 to 2",
        ),
        ({"boxes": BOX}, "boxes and box_classes belong together"),
        ({"box_classes": torch.tensor([1])}, "belong together"),
        ({"boxes": BOX.int(), "box_classes": torch.tensor([1])}, r"boxes should be float \[N,4\]"),
        (
            {"boxes": BOX, "box_classes": torch.tensor([1, 2])},
            r"box_classes should be int64 \[1\], one per box",
        ),
        ({"boxes": BOX, "box_classes": torch.tensor([3])}, "box_classes names class 3"),
        ({"boxes": BOX, "box_classes": torch.tensor([-1])}, "box_classes names class -1"),
        ({"boxes": BOX.flip(1), "box_classes": torch.tensor([1])}, "empty or inverted"),
        (
            {"boxes": BOX, "box_classes": torch.tensor([0])},
            "a box has class 0, which is the background",
        ),
        (
            {"boxes": BOX + 6, "box_classes": torch.tensor([1])},
            "lies outside of the image, which is 6 wide and 4 high",
        ),
        ({"boxes": BOX - 2, "box_classes": torch.tensor([1])}, "lies outside of the image"),
        (
            {
                "boxes": torch.tensor([[0.0, 0.0, float("inf"), 2.0]]),
                "box_classes": torch.tensor([1]),
            },
            "lies outside of the image",
        ),
        ({"image": IMAGE.numpy()}, "image should be a torch.Tensor, but it is ndarray"),
        ({"tags": [True, False, True]}, "tags should be a torch.Tensor, but it is list"),
        ({"boxes": BOX * float("nan"), "box_classes": torch.tensor([1])}, "empty or inverted"),
    ],
)
def test_impossible_evidence_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"image cat: .*{message}"):
        Evidence(**{"id": "cat", "image": IMAGE, **fields}).check(3)


def test_an_id_is_text() -> None:
    with pytest.raises(ValueError, match=r"id should be text, but it is int; write str\(7\)"):
        Evidence(7, IMAGE).check(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (torch.full((4, 6), 3, dtype=torch.uint8), "the truth names class 3"),
        (torch.zeros(3, 3, dtype=torch.uint8), r"the truth should be uint8 \[4,6\]"),
        (torch.zeros(4, 6), "but it is float32"),
        ([[0]], "should be a torch.Tensor or None, but it is list"),
    ],
)
def test_an_impossible_truth_is_named(truth: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"image cat: .*{message}"):
        Evidence("cat", IMAGE).check_truth(truth, 3)
    Evidence("cat", IMAGE).check_truth(torch.full((4, 6), 255, dtype=torch.uint8), 3)
    Evidence("cat", IMAGE).check_truth(None, 3)


def test_masks_of_boxes_belong_to_boxes() -> None:
    image, box, label = (
        torch.zeros(3, 4, 6, dtype=torch.uint8),
        torch.tensor([[0.0, 0, 2, 2]]),
        torch.tensor([1]),
    )
    Evidence(
        "a", image, boxes=box, box_classes=label, box_masks=torch.zeros(1, 4, 6, dtype=torch.bool)
    ).check(2)
    with pytest.raises(
        ValueError,
        match=r"box_masks should be bool \[1,4,6\], one per box, but it is bool \[2, 4, 6\]",
    ):
        Evidence(
            "a",
            image,
            boxes=box,
            box_classes=label,
            box_masks=torch.zeros(2, 4, 6, dtype=torch.bool),
        ).check(2)
    with pytest.raises(ValueError, match=r"box_masks should be bool \[0,4,6\], one per box"):
        Evidence("a", image, box_masks=torch.zeros(1, 4, 6, dtype=torch.bool)).check(2)
