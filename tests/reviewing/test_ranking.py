"""The most suspicious images first: from the run's own list, or measured in the background."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from tests.reviewing.sessions import BOX, material, session, with_network
from tests.small import Everything
from weakseg.config.recipe import RecipeError
from weakseg.reviewing.ranking import known_ranking, suspicion_of
from weakseg.reviewing.session import ReviewSession
from weakseg.reviewing.words import check_words
from weakseg.strategies.boxes_rect import BoxesRect
from weakseg.suspicion.queue import Suspicion
from weakseg.suspicion.review_file import write_queue
from weakseg.suspicion.signals import network_signals


def wait_for_background(review: ReviewSession) -> None:
    end = time.monotonic() + 60
    while review.background.doing or review.background.waiting:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_order_is_that_of_the_run(tmp_path: Path) -> None:
    found = [
        Suspicion("disc/4", 0.9, ("the network finds dark where none is annotated",)),
        Suspicion("disc/1", 0.5, ()),
        Suspicion("disc/0", 0.1, ()),
    ]
    write_queue(tmp_path / "review.csv", found, {each.image: {} for each in found})
    review = session(tmp_path, run=tmp_path)
    review.begin()
    wait_for_background(review)  # only reading tells the names of these
    rows = review.queue()["images"]
    assert [row["number"] for row in rows] == [4, 1, 0, 2, 3, 5]
    assert rows[0]["score"] == 0.9
    assert rows[0]["reasons"] == ["the network finds dark where none is annotated"]
    assert rows[3]["score"] is None
    assert review.image(4)["reasons"] == rows[0]["reasons"]
    review.add(4, 0, {"action": "accept"})
    assert [row["number"] for row in review.queue()["images"]] == [1, 0, 2, 3, 5, 4]


def test_a_damaged_list_is_told_and_the_images_are_measured_anew(tmp_path: Path) -> None:
    (tmp_path / "review.csv").write_text("nothing of it")
    review = session(tmp_path, run=tmp_path)
    assert "measured anew" in review.described()["remarks"][0]
    assert "line 1" in review.described()["remarks"][0]


def test_without_a_list_images_are_measured_in_the_background(tmp_path: Path) -> None:
    review = session(tmp_path)
    # most of the image is said to be dark, and the target will not show that
    review.add(3, 0, {"action": "add_tag", "class": "dark"})
    review.add(3, 1, {"action": "add_tag", "class": "bright"})
    review.begin()
    wait_for_background(review)
    rows = review.queue()["images"]
    assert rows[0]["number"] == 3
    assert "bright" in rows[0]["reasons"][0]
    assert all(row["score"] is not None for row in rows)
    assert review.queue()["working"] is None
    review.end()


def test_an_image_that_cannot_be_measured_has_no_score(tmp_path: Path) -> None:
    review = ReviewSession(material(tmp_path, strategy_name="points"))
    review.end()
    assert {row["score"] for row in review.queue()["images"]} == {None}


def test_a_network_that_finds_something_else_is_a_reason(tmp_path: Path) -> None:
    evidence, truth = Everything(train=6, val=2).sample(0)  # bright
    assert truth is not None
    right = torch.nn.functional.one_hot(truth.long(), 3).permute(2, 0, 1).float()
    wrong = right[[0, 2, 1]]  # dark in its place
    classes = ("background", "bright", "dark")
    fine = suspicion_of(truth, evidence, classes, right)
    odd = suspicion_of(truth, evidence, classes, wrong)
    assert odd.score > fine.score + 0.3
    assert any("bright is annotated, but the network finds none" in text for text in odd.reasons)
    assert network_signals(truth, evidence, classes, wrong)["missing/bright"] > 0.9


def test_a_network_is_asked_where_there_is_one(tmp_path: Path) -> None:
    review = ReviewSession(with_network(tmp_path, BoxesRect()))
    review.begin()
    wait_for_background(review)
    assert all(row["score"] is not None for row in review.queue()["images"])
    review.end()


def test_the_background_rests_while_a_person_waits(tmp_path: Path) -> None:
    review = session(tmp_path)
    with review.background.paused():
        review.begin()
        time.sleep(0.2)
        # at most the step that had begun
        assert sum(row["score"] is not None for row in review.queue()["images"]) <= 1
        review.add(0, 0, BOX)
    wait_for_background(review)
    assert all(row["score"] is not None for row in review.queue()["images"])
    review.end()


def test_an_ended_session_begins_nothing(tmp_path: Path) -> None:
    review = session(tmp_path)
    review.end()
    review.begin()
    assert not review.background.waiting


@pytest.mark.parametrize("strategy", ["clustering"])
def test_a_joint_strategy_is_fitted_in_the_background(tmp_path: Path, strategy: str) -> None:
    from weakseg.reviewing.refusals import StillWorking

    review = session(tmp_path)
    with pytest.raises(StillWorking, match="is being fitted"):
        review.picture(0, "target", strategy)
    wait_for_background(review)
    assert review.picture(0, "target", strategy).media_type == "image/png"
    review.end()


def test_a_file_comes_before_the_list_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    first, second = Suspicion("disc/1", 0.5, ("a",)), Suspicion("disc/2", 0.9, ("b",))
    for place, found in ((tmp_path / "run", first), (tmp_path, second)):
        write_queue(place / "review.csv", [found], {found.image: {}})
    assert known_ranking(tmp_path / "run") == {"disc/1": first}
    assert known_ranking(tmp_path / "run", tmp_path / "review.csv") == {"disc/2": second}
    assert known_ranking(tmp_path / "nowhere") == known_ranking(None) == {}
    with pytest.raises(RecipeError) as error:
        check_words(data={"name": "toy"}, queue=tmp_path / "gone.csv")
    assert "queue: there is no file" in error.value.errors[0]
