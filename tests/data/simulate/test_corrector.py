from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from weakseg.data.corrections.events import Event, read_event, written_event
from weakseg.data.corrections.history import History
from weakseg.data.corrections.overlay import lay_over
from weakseg.data.simulate.correction_events import View
from weakseg.data.simulate.corrector import LOOK, SECONDS, Corrector, largest_mistake
from weakseg.data.toy.dataset import Toy
from weakseg.evidence import IGNORE, Evidence
from weakseg.training.targets import correct_target

CLASSES = ("background", "cat", "dog")
SIZE = (40, 30)


def test_a_missed_object_gets_a_stroke_along_its_middle() -> None:
    truth = labels((slice(10, 19), slice(5, 35), 1))
    (event,) = correct(labels(), truth)
    assert (event.action, event.label, event.width) == ("scribble", "cat", 3.0)
    x, y = np.array(event.points).T
    assert np.ptp(x) > 8
    assert (abs(y - 14.5) <= 2.5).all()
    assert marked(event) <= set(zip(*np.nonzero(truth.numpy()), strict=True))


def test_the_stroke_is_as_narrow_as_the_region() -> None:
    truth = labels((slice(10, 13), slice(5, 35), 2))
    (event,) = correct(labels(), truth)
    assert event.width <= 3
    assert marked(event) <= set(zip(*np.nonzero(truth.numpy()), strict=True))


def test_of_two_mistakes_the_larger_one_is_mended_first() -> None:
    truth = labels((slice(2, 8), slice(2, 8), 1), (slice(10, 25), slice(10, 30), 2))
    assert correct(labels(), truth)[0].label == "dog"
    (event,) = correct(labels((slice(10, 25), slice(10, 30), 2)), truth)
    assert event.label == "cat"


def test_thin_rims_and_small_regions_are_not_seen() -> None:
    truth = labels((slice(5, 25), slice(5, 30), 1))
    assert correct(labels((slice(6, 24), slice(6, 29), 1)), truth) == ()
    assert correct(labels(), labels((slice(5, 9), slice(5, 9), 1))) == ()
    assert correct(labels(), labels((slice(5, 9), slice(5, 9), 1)), smallest=16)


def test_wrong_labels_come_before_missing_ones_and_unknown_pixels_are_no_mistake() -> None:
    truth = labels((slice(0, 20), slice(0, 40), 1), (slice(22, 28), slice(5, 15), 2))
    shown = labels((slice(0, 20), slice(0, 40), IGNORE))
    assert correct(shown, truth)[0].label == "dog"
    shown[22:28, 5:15] = 2
    assert correct(shown, truth)[0].label == "cat"
    truth[0:20] = IGNORE
    assert correct(shown, truth) == ()


def test_a_click_falls_where_the_region_is_deepest() -> None:
    (event,) = correct(labels(), labels((slice(10, 19), slice(5, 14), 1)), tool="click")
    assert event.points == ((9.5, 14.5),)
    assert event.seconds == LOOK + SECONDS["click"]


def test_events_belong_to_the_file_whatever_the_resolution_of_the_labels() -> None:
    truth = labels((slice(10, 19), slice(5, 14), 1))
    view = View(labels(), truth, evidence(), CLASSES, (80, 90))
    (event,) = Corrector("click").correct(view, np.random.default_rng(0))
    assert event.points == ((19.0, 43.5),)


def test_a_click_of_a_wrong_class_is_rubbed_out_with_its_tag() -> None:
    truth = labels((slice(10, 19), slice(5, 35), 1))
    marks = labels((slice(0, 30), slice(0, 40), IGNORE), (slice(14, 15), slice(9, 10), 2))
    shown = labels((slice(10, 19), slice(5, 35), 2))
    before = evidence(marks=marks, tags=torch.tensor([True, False, True]))
    events = correct(shown, truth, before)
    assert [event.action for event in events] == ["erase", "remove_tag", "scribble"]
    assert events[0].points == ((9.5, 14.5),)
    assert sum(event.seconds for event in events) == pytest.approx(LOOK + 2.4 + 1.0 + 10.9)
    after = lay_over(before, History("a", SIZE, {}, events), CLASSES).evidence
    assert after.tags is not None
    assert after.tags.tolist() == [True, True, False]
    assert after.marks is not None
    assert set(after.marks.unique().tolist()) == {1, IGNORE}


def test_swapped_tags_are_taken_back_and_named_anew() -> None:
    truth = labels((slice(10, 19), slice(5, 35), 1))
    events = correct(labels(), truth, evidence(tags=torch.tensor([True, False, True])))
    assert [(event.action, event.label) for event in events] == [
        ("remove_tag", "dog"),
        ("add_tag", "cat"),
    ]


def test_an_object_without_a_box_gets_one() -> None:
    truth = labels((slice(10, 19), slice(5, 35), 1))
    events = correct(labels(), truth, boxed())
    assert events == (
        Event("add_box", "cat", ((5.0, 10.0), (35.0, 19.0)), who="simulated", seconds=LOOK + 7),
    )


@pytest.mark.parametrize(
    ("box", "label"), [((5.0, 10.0, 35.0, 19.0), 2), ((16.0, 12.0, 40.0, 28.0), 1)]
)
def test_a_box_of_a_wrong_class_or_in_a_wrong_place_is_replaced(
    box: tuple[float, float, float, float], label: int
) -> None:
    truth = labels((slice(10, 19), slice(5, 35), 1))
    left, top, right, bottom = map(int, box)
    shown = labels((slice(top, bottom), slice(left, right), label))
    events = correct(shown, truth, boxed((*box, label)))
    assert [event.action for event in events] == ["remove_box", "add_box"]
    assert events[0].box == box
    assert (events[1].label, events[1].box) == ("cat", (5.0, 10.0, 35.0, 19.0))


def test_a_box_around_nothing_is_removed() -> None:
    shown = labels((slice(10, 20), slice(5, 15), 2))
    (event,) = correct(shown, labels(), boxed((5.0, 10.0, 15.0, 20.0, 2)))
    assert (event.action, event.label, event.box) == ("remove_box", "dog", (5, 10, 15, 20))


def test_a_right_box_with_a_wrong_target_gets_a_stroke() -> None:
    truth = labels((slice(10, 19), slice(5, 35), 1))
    shown = labels((slice(10, 19), slice(5, 15), 1))
    (event,) = correct(shown, truth, boxed((5.0, 10.0, 35.0, 19.0, 1)))
    assert (event.action, event.label) == ("scribble", "cat")


def test_what_a_stroke_has_not_mended_is_outlined() -> None:
    region = (slice(10, 19), slice(5, 35), 1)
    strokes = labels((slice(0, 30), slice(0, 40), IGNORE), (slice(14, 15), slice(9, 30), 1))
    before = evidence(marks=strokes)._replace(strokes=strokes)
    (event,) = correct(labels(), labels(region), before)
    assert (event.action, event.label) == ("fill", "cat")
    after = lay_over(evidence(), History("a", SIZE, {}, (event,)), CLASSES).evidence
    assert after.painted is not None
    assert bool((after.painted == labels((slice(0, 30), slice(0, 40), IGNORE), region)).all())


def test_the_same_stream_gives_the_same_events_and_a_file_holds_them() -> None:
    truth = labels((slice(10, 25), slice(5, 35), 1))
    events = correct(labels(), truth)
    assert correct(labels(), truth) == events
    assert tuple(read_event(written_event(event)) for event in events) == events


def test_whoever_corrects_long_enough_makes_the_target_the_truth() -> None:
    """Up to what is too thin to be seen."""
    data = Toy(train=4, val=0, size=48, evidence="points")
    corrector = Corrector(smallest=5)
    shares = [corrected_shares(data, index, corrector) for index in range(4)]
    steps = torch.tensor([share[:8] + share[-1:] * (8 - len(share)) for share in shares]).mean(0)
    assert bool((steps.diff() >= -0.01).all())
    assert float(steps[0]) < 0.85
    assert float(steps[-1]) > 0.95
    assert all(share[-1] > 0.93 for share in shares)


def corrected_shares(data: Toy, index: int, corrector: Corrector) -> list[float]:
    """The share of right pixels after each correction of an image whose target is empty."""
    before, truth = data.sample(index)
    history = History("a", (48, 48))
    rng = np.random.default_rng(index)
    shares = []
    for _ in range(60):
        now = lay_over(before, history, data.classes).evidence
        target = correct_target(torch.zeros_like(truth), now)
        shares.append(float((target == truth).float().mean()))
        view = View(target, truth, now, data.classes, (48, 48))
        events = corrector.correct(view, rng)
        if not events:
            return shares
        history = history._replace(events=(*history.events, *events))
    raise AssertionError("there is no end of corrections")


def test_no_tool_but_a_stroke_and_a_click() -> None:
    with pytest.raises(ValueError, match="scribble or click, but it is 'hammer'"):
        Corrector(tool="hammer")  # type: ignore[arg-type]


def test_a_region_may_have_a_hole() -> None:
    truth = labels((slice(5, 25), slice(5, 30), 1), (slice(10, 20), slice(10, 25), 2))
    view = View(labels((slice(10, 20), slice(10, 25), 2)), truth, evidence(), CLASSES, SIZE)
    region = largest_mistake(view, 20)
    assert region is not None
    assert region.label == 1
    assert int(region.pixels.sum()) == 20 * 25 - 10 * 15


def correct(
    shown: Tensor,
    truth: Tensor,
    before: Evidence | None = None,
    tool: str = "scribble",
    smallest: int = 20,
) -> tuple[Event, ...]:
    """What a person does about an image of 40 x 30 pixels."""
    view = View(shown, truth, before or evidence(), CLASSES, SIZE)
    return Corrector(tool, smallest=smallest).correct(view, np.random.default_rng(0))  # type: ignore[arg-type]


def labels(*parts: tuple[slice, slice, int]) -> Tensor:
    """Background with rectangles on it."""
    found = torch.zeros(SIZE[1], SIZE[0], dtype=torch.uint8)
    for rows, columns, label in parts:
        found[rows, columns] = label
    return found


def evidence(marks: Tensor | None = None, tags: Tensor | None = None) -> Evidence:
    image = torch.zeros(3, SIZE[1], SIZE[0], dtype=torch.uint8)
    return Evidence("a", image, marks=marks, tags=tags)


def boxed(*boxes: tuple[float, float, float, float, int]) -> Evidence:
    """Evidence of boxes: x1 y1 x2 y2 and the class of each."""
    corners = torch.tensor([box[:4] for box in boxes], dtype=torch.float32).reshape(-1, 4)
    return evidence()._replace(
        boxes=corners, box_classes=torch.tensor([box[4] for box in boxes], dtype=torch.int64)
    )


def marked(event: Event) -> set[tuple[int, int]]:
    """The pixels that a stroke covers."""
    after = lay_over(evidence(), History("a", SIZE, {}, (event,)), CLASSES).evidence
    assert after.strokes is not None
    return set(zip(*np.nonzero(after.strokes.numpy() != IGNORE), strict=True))
