from __future__ import annotations

import random

import pytest

from tests.data.corrections.events import (
    ACCEPT,
    EXCLUDE,
    REDO,
    REOPEN,
    SKIP,
    UNDO,
    actions,
    click,
    history,
    tag,
)
from weakseg.data.corrections.counts import CorrectionCounts, count_corrections
from weakseg.data.corrections.events import Event
from weakseg.data.corrections.history import History, read_history, written_history
from weakseg.data.corrections.keeping import changed_images, kept, read_kept

LOOK = Event("look", seconds=3)


def test_undo_takes_back_the_last_edit_or_verdict_and_redo_makes_it_again() -> None:
    made = history(tag("cat"), click("dog", 1, 1), ACCEPT)
    assert (actions(made.edits), made.status) == (["add_tag", "click"], "accepted")
    made = made.after(UNDO)
    assert (actions(made.edits), made.status) == (["add_tag", "click"], None)
    made = made.after(UNDO).after(LOOK)
    assert (actions(made.edits), actions(made.undone)) == (["add_tag"], ["accept", "click"])
    assert actions(made.after(REDO).edits) == ["add_tag", "click"]
    # what is done anew is the end of what could be made again
    assert made.after(tag("dog")).undone == ()
    with pytest.raises(ValueError, match="nothing to redo"):
        made.after(tag("dog")).after(REDO)
    with pytest.raises(ValueError, match="nothing to undo"):
        history(LOOK).after(UNDO)


def test_the_last_verdict_counts_and_an_edit_opens_it_again() -> None:
    assert history().status is None
    assert history(ACCEPT, EXCLUDE).status == "excluded"
    assert history(EXCLUDE, tag("cat")).status is None
    assert history(SKIP, LOOK).status == "skipped"
    assert history(ACCEPT, REOPEN).status is None


def test_every_second_counts_even_of_what_was_undone() -> None:
    assert history(Event("click", "cat", ((1, 1),), seconds=2), LOOK, UNDO, LOOK).seconds == 8


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_events_is_a_stack_of_edits(seed: int) -> None:
    rng = random.Random(seed)
    made = history()
    stack: list[int] = []
    undone: list[int] = []
    for number in range(60):
        action = rng.choice(["edit", "verdict", "undo", "undo", "redo", "look"])
        event = {
            "edit": tag(str(number)),
            "verdict": Event("accept", who=str(number)),
            "undo": UNDO,
            "redo": REDO,
            "look": LOOK,
        }[action]
        if (action == "undo" and not stack) or (action == "redo" and not undone):
            continue
        if action == "undo":
            undone.append(stack.pop())
        elif action == "redo":
            stack.append(undone.pop())
        elif action != "look":
            stack.append(number)
            undone = []
        made = made.after(event)
        assert [int(each.label or each.who) for each in made.applied] == stack
        assert [int(each.label or each.who) for each in made.undone] == undone
        assert read_history(written_history(made)) == made


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"format": "weakseg correction 2"}, "format 'weakseg correction 1'"),
        ({"image": None}, "image should be the id"),
        ({"size": [4]}, "size should be width and height"),
        ({"size": [4, 0]}, "size should be width and height"),
        ({"size": [4.0, 3]}, "size should be width and height"),
        ({"size": [True, 3]}, "size should be width and height"),
        ({"before": []}, "before should be an object"),
        ({"events": {}}, "events a list"),
        ({"events": [{"action": "undo"}, {"action": "click"}]}, "event 2: click: class"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(change: dict[str, object], what: str) -> None:
    with pytest.raises(ValueError, match=r"expected|should") as error:
        read_history({**written_history(history(tag("cat"))), **change})
    assert what in str(error.value)


def test_what_a_run_began_with_is_kept_in_words() -> None:
    histories = {
        "a": History("a", (4, 3), {"tags": ["cat"]}, (tag("dog"), EXCLUDE)),
        "b": History("b", (4, 3), {}, (click("cat", 1, 2, 3),)),
    }
    again = read_kept(kept(histories))
    assert again == {name: each._replace(before={}) for name, each in histories.items()}
    assert changed_images(histories, again) == []
    assert read_kept("") == {}


def test_only_what_training_depends_on_is_a_change() -> None:
    one = {"a": history(tag("cat"), ACCEPT), "b": history(tag("cat")), "c": history(LOOK)}
    same = {"a": history(tag("cat"), LOOK, SKIP), "b": history(tag("cat"), tag("dog"), UNDO)}
    assert changed_images(one, same) == []
    other = {"a": history(tag("cat"), EXCLUDE), "d": history(tag("dog"))}
    assert changed_images(one, other) == ["a", "b", "d"]
    assert changed_images({"a": history(tag("cat"))}, {"a": history(tag("cat"), size=(9, 9))}) == [
        "a"
    ]


def test_corrections_are_counted() -> None:
    counts = count_corrections(
        [history(tag("cat"), ACCEPT), history(LOOK, EXCLUDE), history(tag("dog"), UNDO, LOOK, SKIP)]
    )
    assert counts == CorrectionCounts(1, 1, 1, 1, 6)
    assert str(counts) == ("1 image corrected, 1 accepted, 1 skipped, 1 excluded, in 0.1 minutes")
