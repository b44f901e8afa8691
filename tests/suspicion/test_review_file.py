"""review.csv is written and read back."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from weakseg.suspicion.queue import rank
from weakseg.suspicion.review_file import read_queue, write_queue

SIGNALS = {
    "plain": {"colours": 0.25},
    'with, "comma"/é\n': {"missing/dog": 0.9, "missing/cat": 0.5, "unnamed/cat": 0.6},
    "nothing": {},
}


def test_a_queue_is_read_as_it_was_written(tmp_path: Path) -> None:
    queue = rank(SIGNALS)
    write_queue(tmp_path / "review.csv", queue, SIGNALS)
    again = read_queue(tmp_path / "review.csv")
    assert [found.image for found in again] == ['with, "comma"/é\n', "plain", "nothing"]
    assert [found.reasons for found in again] == [found.reasons for found in queue]
    assert [found.score for found in again] == pytest.approx(
        [found.score for found in queue], abs=1e-4
    )


def test_each_signal_has_a_column(tmp_path: Path) -> None:
    write_queue(tmp_path / "review.csv", rank(SIGNALS), SIGNALS)
    with (tmp_path / "review.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "score", "missing", "unnamed", "colours", "reason"]
    assert rows[0]["missing"] == "0.9000"
    assert rows[0]["colours"] == ""
    assert rows[0]["reason"].startswith("dog is annotated")


def test_an_empty_queue_is_a_queue(tmp_path: Path) -> None:
    write_queue(tmp_path / "review.csv", [], {})
    assert read_queue(tmp_path / "review.csv") == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1 should be image,score,...,reason, but it is empty"),
        ("a,b\n1,2\n", "line 1 should be image,score,...,reason, but it is a,b"),
        ("image,score,reason\na,high,x\n", "line 2 should begin with an image and its score"),
        ("image,score,reason\na,0.5\n", "line 2 should have 3 cells, as line 1, but it has 2"),
    ],
)
def test_a_file_that_is_no_queue(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "review.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=says):
        read_queue(path)


def test_many_images_take_little_time(tmp_path: Path) -> None:
    signals = {
        f"image {number}": {"missing/dog": number % 100 / 100, "loss": 0.5, "colours": 0.25}
        for number in range(5000)
    }
    queue = rank(signals)
    write_queue(tmp_path / "review.csv", queue, signals)
    assert len(read_queue(tmp_path / "review.csv")) == 5000


def test_the_name_of_an_image_may_be_no_text(tmp_path: Path) -> None:
    names = {"caf\udce9.jpg": {"colours": 0.5}, "\ud800": {}}  # of a file named in Latin-1; of JSON
    write_queue(tmp_path / "review.csv", rank(names), names)
    assert {found.image for found in read_queue(tmp_path / "review.csv")} == set(names)
