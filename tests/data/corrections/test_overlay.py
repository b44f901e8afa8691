from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.data.corrections.events import (
    ACCEPT,
    REDO,
    UNDO,
    box,
    click,
    erase,
    history,
    outline,
    paint,
    stroke,
    tag,
    unbox,
    untag,
)
from weakseg.data.corrections.events import Event
from weakseg.data.corrections.history import History
from weakseg.data.corrections.overlay import Overlay, described, draws, lay_over
from weakseg.data.files.downsampling import downsample_evidence
from weakseg.data.formats.runs import from_coco_string
from weakseg.evidence import IGNORE, Evidence

CLASSES = ("background", "cat", "dog", "cow")
WIDTH, HEIGHT = 12, 8
CAT, DOG, COW = 1, 2, 3


def nothing() -> Evidence:
    image = torch.arange(3 * HEIGHT * WIDTH).view(3, HEIGHT, WIDTH).to(torch.uint8)
    return Evidence("a.png", image)


def marked() -> Evidence:
    """A line of dog at the top, one of background at the bottom."""
    marks = torch.full((HEIGHT, WIDTH), IGNORE, dtype=torch.uint8)
    marks[0] = DOG
    marks[-1] = 0
    return nothing()._replace(marks=marks, tags=torch.tensor([True, False, True, False]))


def masked() -> Evidence:
    marks = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    marks[2:6, 3:9] = DOG
    return nothing()._replace(marks=marks)


def boxed() -> Evidence:
    boxes = torch.tensor([[1.0, 1.0, 5.0, 5.0], [6.0, 2.0, 12.0, 8.0]])
    return nothing()._replace(
        boxes=boxes,
        box_classes=torch.tensor([CAT, DOG]),
        tags=torch.tensor([True, True, True, False]),
        large=torch.tensor([True, True, True, False]),
    )


def outlined() -> Evidence:
    evidence = boxed()
    masks = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.bool)
    masks[0, 2:4, 2:4] = True
    masks[1, 3:8, 7:12] = True
    return evidence._replace(box_masks=masks)


def tagged() -> Evidence:
    return nothing()._replace(
        tags=torch.tensor([True, False, True, False]),
        large=torch.tensor([True, False, False, False]),
    )


KINDS = {kind.__name__: kind() for kind in (nothing, marked, masked, boxed, outlined, tagged)}


def laid(evidence: Evidence, *events: Event, **how: Any) -> Overlay:
    made = lay_over(evidence, history(*events, size=(WIDTH, HEIGHT)), CLASSES, **how)
    made.evidence.check(len(CLASSES))
    return made


def rows_of(labels: Tensor | None) -> list[str]:
    """A raster as a person reads it."""
    assert labels is not None
    letters = {IGNORE: ".", 0: "b", CAT: "c", DOG: "d", COW: "w"}
    return ["".join(letters[value] for value in row) for row in labels.tolist()]


def same(one: Evidence, other: Evidence) -> bool:
    """Whether all fields are, bit for bit."""
    for mine, theirs in zip(one, other, strict=True):
        if isinstance(mine, Tensor) and isinstance(theirs, Tensor):
            if mine.dtype != theirs.dtype or not torch.equal(mine, theirs):
                return False
        elif mine is not theirs and mine != theirs:
            return False
    return True


# pixels, counted by hand --------------------------------------------------------------------------


def test_a_scribble_marks_the_pixels_under_it() -> None:
    # 3 wide, from x 2 to x 5 in the middle of row 3: middles at most 1.5 away from it
    made = laid(nothing(), stroke("cat", (2, 3.5), (5, 3.5), width=3)).evidence
    expected = [
        "............",
        "............",
        ".ccccc......",
        "ccccccc.....",
        ".ccccc......",
        "............",
        "............",
        "............",
    ]
    assert rows_of(made.marks) == expected
    assert rows_of(made.strokes) == expected
    assert made.painted is None
    assert made.tags is None
    assert made.boxes is None


def test_a_click_is_a_disc_and_one_of_no_width_a_pixel() -> None:
    made = laid(nothing(), click("dog", 9.2, 1.9, 0), click("cat", 4.5, 4.5, 3)).evidence
    assert rows_of(made.strokes) == [
        "............",
        ".........d..",
        "............",
        "...ccc......",
        "...ccc......",
        "...ccc......",
        "............",
        "............",
    ]


def test_painted_pixels_are_exact_and_no_strokes() -> None:
    corners = [(1.0, 1.0), (4.0, 1.0), (4.0, 3.0), (1.0, 3.0)]
    made = laid(nothing(), stroke("cat", (0, 1.5), (12, 1.5)), outline("dog", *corners)).evidence
    assert rows_of(made.marks)[:4] == [
        "............",
        "cdddcccccccc",
        ".ddd........",
        "............",
    ]
    assert rows_of(made.strokes)[1] == "c...cccccccc"
    assert rows_of(made.painted)[:3] == ["............", ".ddd........", ".ddd........"]
    # and what is drawn over painted pixels later is a stroke again
    later = laid(nothing(), paint("dog", (0, 0.5), (12, 0.5)), stroke("cat", (3.5, 0.5))).evidence
    assert rows_of(later.marks)[0] == "dddcdddddddd"
    assert rows_of(later.painted)[0] == "ddd.dddddddd"
    assert rows_of(later.strokes)[0] == "...c........"


def test_an_eraser_takes_marks_of_the_files_too() -> None:
    made = laid(marked(), stroke("cat", (0, 3.5), (3, 3.5)), erase((1.5, 0), (1.5, 8))).evidence
    assert rows_of(made.marks) == [
        "d.dddddddddd",
        "............",
        "............",
        "c.cc........",
        "............",
        "............",
        "............",
        "b.bbbbbbbbbb",
    ]
    assert rows_of(made.strokes)[3] == "c.cc........"


def test_a_class_without_a_mark_or_box_is_named_no_longer() -> None:
    top = erase((0, 0.5), (12, 0.5))
    assert laid(marked(), top).evidence.tags.tolist() == [True, False, False, False]  # type: ignore[union-attr]
    assert laid(boxed(), unbox("cat", 1, 1, 5, 5)).evidence.tags.tolist() == [  # type: ignore[union-attr]
        *(True, False, True, False)
    ]


@pytest.mark.parametrize(
    ("evidence", "events"),
    [
        # another mark shows it
        (marked(), [stroke("dog", (5, 4), (6, 4)), erase((0, 0.5), (12, 0.5))]),
        # the annotation names it without a place
        (tagged(), [box("dog", 1, 1, 4, 4), unbox("dog", 1, 1, 4, 4)]),
        (tagged(), [stroke("dog", (1, 1), (5, 1)), erase((0, 1), (12, 1), width=3)]),
        # and so did the person
        (marked(), [tag("dog"), erase((0, 0.5), (12, 0.5))]),
    ],
)
def test_a_class_that_something_else_names_stays(evidence: Evidence, events: list[Event]) -> None:
    tags = laid(evidence, *events).evidence.tags
    assert tags is not None
    assert tags[DOG]


def test_boxes_come_and_go() -> None:
    made = laid(boxed(), box("cow", 8, 7, 2, 1.5), unbox("cat", 1.5, 0.5, 5, 5)).evidence
    assert made.boxes is not None
    assert made.box_classes is not None
    assert made.boxes.tolist() == [[6, 2, 12, 8], [2, 1.5, 8, 7]]
    assert made.box_classes.tolist() == [DOG, COW]
    assert made.tags.tolist() == [True, False, True, True]  # type: ignore[union-attr]
    # 33 of 96 pixels are more than a tenth
    assert made.large.tolist() == [True, False, True, True]  # type: ignore[union-attr]
    small = laid(boxed(), box("cow", 0, 0, 3, 3)).evidence
    assert small.large.tolist() == [True, True, True, False]  # type: ignore[union-attr]


def test_without_its_last_box_an_image_is_background() -> None:
    one = boxed()
    made = laid(one, unbox("cat", 1, 1, 5, 5), unbox("dog", 6, 2, 12, 8)).evidence
    assert made.boxes is not None
    assert made.boxes.shape == (0, 4)
    assert made.box_classes is not None
    assert made.box_classes.dtype == torch.int64
    assert made.annotations == ("boxes", "tags")
    assert laid(nothing(), box("cat", 0, 0, 2, 2), unbox("cat", 0, 0, 2, 2)).evidence.boxes is None


def test_boxes_are_cut_off_at_the_rim() -> None:
    made = laid(nothing(), box("cat", -5, -5, 3, 3), box("dog", 10, 6, 100, 100)).evidence
    assert made.boxes is not None
    assert made.boxes.tolist() == [[0, 0, 3, 3], [10, 6, 12, 8]]


def test_an_added_box_is_full_and_a_removed_one_takes_its_mask_with_it() -> None:
    made = laid(outlined(), unbox("cat", 1, 1, 5, 5), box("cow", 0, 0, 2.4, 3)).evidence
    assert made.box_masks is not None
    assert made.box_masks.shape == (2, HEIGHT, WIDTH)
    assert torch.equal(made.box_masks[0], outlined().box_masks[1])  # type: ignore[index]
    full = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    full[:3, :2] = True
    assert torch.equal(made.box_masks[1], full)
    empty = laid(outlined(), unbox("cat", 1, 1, 5, 5), unbox("dog", 6, 2, 12, 8)).evidence
    assert empty.box_masks is not None
    assert empty.box_masks.shape == (0, HEIGHT, WIDTH)


def test_boxes_keep_the_precision_of_the_file() -> None:
    exact = boxed()._replace(boxes=boxed().boxes.double())  # type: ignore[union-attr]
    made = laid(exact, box("cow", 1, 1, 4, 4)).evidence
    assert made.boxes is not None
    assert made.boxes.dtype == torch.float64


def test_tags_name_what_is_shown_and_what_was_said() -> None:
    assert laid(marked(), tag("cow")).evidence.tags.tolist() == [True, False, True, True]  # type: ignore[union-attr]
    assert laid(tagged(), untag("dog")).evidence.tags.tolist() == [True, False, False, False]  # type: ignore[union-attr]
    # the first tag of an image that has boxes alone
    only_boxes = boxed()._replace(tags=None, large=None)
    assert laid(only_boxes, tag("cow")).evidence.tags.tolist() == [True, True, True, True]  # type: ignore[union-attr]
    assert laid(nothing(), tag("cow")).evidence.tags.tolist() == [True, False, False, True]  # type: ignore[union-attr]
    # marks name their class where there are tags at all
    assert laid(tagged(), click("cat", 1, 1)).evidence.tags.tolist() == [True, True, True, False]  # type: ignore[union-attr]


# what has no effect -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("evidence", "event", "why"),
    [
        (boxed(), box("cow", 20, 20, 30, 30), "lies outside of the image"),
        (boxed(), box("background", 1, 1, 4, 4), "background is the background"),
        (boxed(), unbox("cat", 1, 1, 7, 5), "no such box of cat"),
        (boxed(), unbox("dog", 1, 1, 5, 5), "no such box of dog"),
        (nothing(), unbox("cat", 1, 1, 5, 5), "no such box of cat"),
        (nothing(), outline("cat", (20, 20), (30, 20), (30, 30)), "covers no pixel"),
        (nothing(), erase((1, 1), (2, 2)), "there are no marks"),
        (marked(), erase((1, 4), (2, 4)), "there are no marks"),
        (marked(), untag("cow"), "no tag cow"),
        (nothing(), untag("cow"), "no tag cow"),
        (marked(), click("bird", 1, 1), "no class 'bird' in the data set"),
        (marked(), box("bird", 1, 1, 4, 4), "no class 'bird' in the data set"),
    ],
)
def test_what_has_no_effect_is_named_and_changes_nothing(
    evidence: Evidence, event: Event, why: str
) -> None:
    made = laid(evidence, event)
    assert len(made.remarks) == 1
    assert made.remarks[0].startswith("image a.png: ")
    assert why in made.remarks[0]
    assert same(made.evidence, evidence)


def test_classes_of_other_names_are_renamed_as_those_of_files() -> None:
    rename = {"Katze": "cat", "bird": None}
    made = laid(nothing(), click("Katze", 1, 1), click("bird", 5, 5), rename=rename)
    assert made.remarks == ()
    assert rows_of(made.evidence.marks)[0] == "............"
    assert rows_of(made.evidence.marks)[1] == ".c.........."
    assert rows_of(made.evidence.marks)[5] == "............"
    # a class of the data set is itself, whatever else files call so
    kept = laid(nothing(), click("cat", 1, 1), rename={"cat": "dog"}).evidence
    assert rows_of(kept.marks)[1] == ".c.........."


# brute force --------------------------------------------------------------------------------------


def near_line(x: float, y: float, points: Sequence[tuple[float, float]]) -> float:
    """The distance of a place from a line, sampled densely."""
    ends = points[1:] if len(points) > 1 else points
    starts = points[:-1] if len(points) > 1 else points
    places = [
        (ax + (bx - ax) * step / 400, ay + (by - ay) * step / 400)
        for (ax, ay), (bx, by) in zip(starts, ends, strict=True)
        for step in range(401)
    ]
    return min(((x - px) ** 2 + (y - py) ** 2) ** 0.5 for px, py in places)


@pytest.mark.parametrize("seed", range(8))
def test_strokes_cover_what_is_near_them(seed: int) -> None:
    rng = random.Random(seed)
    points = [
        (rng.uniform(-3, WIDTH + 3), rng.uniform(-3, HEIGHT + 3)) for _ in range(rng.randint(1, 4))
    ]
    width = rng.uniform(1.6, 5)
    for action in ("scribble", "paint"):
        made = laid(nothing(), Event(action, "dog", tuple(points), width)).evidence
        for row in range(HEIGHT):
            for column in range(WIDTH):
                distance = near_line(column + 0.5, row + 0.5, points)
                if abs(distance - width / 2) > 0.02 and made.marks is not None:
                    inside = distance < width / 2
                    assert (made.marks[row, column] == DOG) == inside


def random_event(rng: random.Random) -> Event:
    label = rng.choice(CLASSES[1:])
    points = [
        (rng.uniform(-2, WIDTH + 2), rng.uniform(-2, HEIGHT + 2)) for _ in range(rng.randint(3, 6))
    ]
    width = rng.uniform(0, 4)
    known = rng.choice([("cat", 1, 1, 5, 5), ("dog", 6, 2, 12, 8)])
    return rng.choice(
        [
            box(label, *points[0], points[0][0] + 3, points[0][1] + 2),
            unbox(*known),
            click(label, *points[0], width),
            stroke(rng.choice(CLASSES), *points, width=width),
            paint(rng.choice(CLASSES), *points, width=width),
            outline(rng.choice(CLASSES), *points),
            erase(*points, width=width),
            tag(label),
            untag(label),
        ]
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", KINDS)
def test_any_events_make_evidence_and_undoing_all_gives_back_the_first(
    kind: str, seed: int
) -> None:
    rng = random.Random(seed)
    evidence = KINDS[kind]
    first = Evidence(*(value.clone() if isinstance(value, Tensor) else value for value in evidence))
    events = [random_event(rng) for _ in range(12)]
    made = laid(evidence, *events).evidence
    # strokes and painted pixels are marks, and apart from each other
    if made.strokes is not None and made.painted is not None and made.marks is not None:
        for drawn in (made.strokes, made.painted):
            there = drawn != IGNORE
            assert torch.equal(made.marks[there], drawn[there])
        assert not ((made.strokes != IGNORE) & (made.painted != IGNORE)).any()
    # nothing of the original has changed, and what was undone is as if it had never been
    assert same(evidence, first)
    assert laid(evidence, *events, *[UNDO] * 12).evidence is evidence
    assert same(laid(evidence, *events, ACCEPT, UNDO).evidence, made)
    assert same(laid(evidence, *events, UNDO, UNDO, REDO, REDO).evidence, made)
    assert same(laid(evidence, *events, UNDO).evidence, laid(evidence, *events[:-1]).evidence)


@pytest.mark.parametrize("seed", range(12))
def test_whether_anything_was_drawn_is_whether_there_is_evidence(seed: int) -> None:
    rng = random.Random(seed)
    for count in (1, 2, 3, 5):
        made = history(*(random_event(rng) for _ in range(count)), size=(WIDTH, HEIGHT))
        inside = lay_over(nothing(), made, CLASSES)
        if not inside.remarks:  # what was drawn outside of the image is not looked for
            assert draws(made, CLASSES) == bool(inside.evidence.kinds)


def test_what_was_taken_away_again_was_not_drawn() -> None:
    whole = erase((0, 4), (12, 4), width=20)
    for events in (
        [],
        [tag("bird")],
        [whole],
        [click("cat", 1, 1), whole],
        [box("cat", 1, 1, 5, 5), unbox("cat", 1, 1, 5, 5)],
        [outline("cat", (0, 0), (4, 0), (4, 4)), whole],
    ):
        assert not draws(history(*events), CLASSES)
    assert draws(history(click("cat", 1, 1), whole, click("cat", 1, 1)), CLASSES)
    assert draws(history(click("bird", 1, 1), tag("cat")), CLASSES)
    made = laid(nothing(), click("cat", 1, 1), whole).evidence
    assert (made.marks, made.strokes, made.painted) == (None, None, None)


# other resolutions --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_coordinates_are_those_of_the_file_whatever_was_shrunk(kind: str) -> None:
    """Corners on a grid of 4 pixels: at half the resolution everything is half as large."""
    large = KINDS[kind]._replace(image=torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8))
    small, _ = downsample_evidence(large, None, WIDTH // 2)
    events = [
        outline("cow", (4, 0), (8, 0), (8, 4), (4, 4)),
        box("cow", 2, 2, 6, 8),
        click("cat", 1, 7, 2),
        unbox("dog", 6, 2, 12, 8),
    ]
    made, halved = (laid(evidence, *events).evidence for evidence in (large, small))
    assert halved.image.shape == (3, 4, 6)
    assert made.painted is not None
    assert halved.painted is not None
    assert torch.equal(halved.painted, made.painted[::2, ::2])
    assert halved.boxes is not None
    assert made.boxes is not None
    assert torch.allclose(halved.boxes * 2, made.boxes)
    assert halved.marks is not None
    assert halved.marks[3, 0] == CAT


def test_a_file_that_has_grown_since_takes_corrections_along() -> None:
    twice = Evidence("a.png", torch.zeros(3, 2 * HEIGHT, 2 * WIDTH, dtype=torch.uint8))
    made = laid(twice, outline("cow", (4, 0), (8, 0), (8, 4), (4, 4))).evidence
    assert made.painted is not None
    rows, columns = torch.nonzero(made.painted == COW, as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 7, 8, 15)


def test_a_thin_stroke_is_never_lost() -> None:
    small = Evidence("a.png", torch.zeros(3, 2, 3, dtype=torch.uint8))
    made = laid(small, stroke("cat", (4.1, 4.1), (4.2, 4.2), width=0.1)).evidence
    assert rows_of(made.strokes) == ["...", ".c."]


# for whoever reads the files ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_evidence_before_can_be_told_from_the_file(kind: str) -> None:
    evidence = KINDS[kind]
    small, _ = downsample_evidence(evidence, None, WIDTH // 2)
    for each in (evidence, small):
        found = described(each, (WIDTH, HEIGHT), CLASSES)
        assert (found == {}) == (kind == "nothing")
        if each.tags is not None:
            names = [name for name, there in zip(CLASSES, each.tags.tolist(), strict=True) if there]
            assert found["tags"] == names
        if evidence.boxes is not None:
            edges = [[*one["points"][0], *one["points"][1]] for one in found["boxes"]]
            assert edges == evidence.boxes.tolist()
            assert [one["class"] for one in found["boxes"]] == ["cat", "dog"]
        if each.marks is not None:
            width, height = found["marks"]["size"]
            marks = np.full((height, width), IGNORE, np.uint8)
            for name, counts in found["marks"]["coco_runs"].items():
                runs = from_coco_string(counts)
                values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
                marks[values.reshape(width, height).T] = CLASSES.index(name)
            assert np.array_equal(marks, each.marks.numpy())


def test_without_corrections_evidence_is_the_same_object() -> None:
    evidence = marked()
    assert lay_over(evidence, None, CLASSES).evidence is evidence
    assert lay_over(evidence, History("a", (4, 3), {}, (ACCEPT,)), CLASSES).evidence is evidence
