"""What all data sets of files share, and the example of the page about one's own data."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.layouts import indexed, photo, text, voc
from tests.small import TinyNet, trainer
from weakseg.data.class_names import Naming, with_background
from weakseg.data.files.entries import Entry
from weakseg.data.files.photos import Photos
from weakseg.data.files.voc import VOC
from weakseg.data.formats.base import FormatError, Place
from weakseg.data.simulate.annotator import stream_of
from weakseg.reporting.dataset_check import check_dataset
from weakseg.strategies.boxes_rect import BoxesRect
from weakseg.strategies.points import Points
from weakseg.training.estimation import EstimationError
from weakseg.training.evidence_check import check_evidence
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "your-own-data.md").read_text()


@pytest.fixture
def ponds() -> dict[str, Any]:
    """What the example on the page defines."""
    (example,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        if "# ponds.py" in block
    ]
    names: dict[str, Any] = {}
    exec(example, names)
    return names


def test_the_example_of_the_page_reads_boxes_and_tells_what_is_wrong(
    ponds: dict[str, Any], tmp_path: Path
) -> None:
    for number in range(4):
        photo(tmp_path / f"{number}.jpg", number)
        text(tmp_path / f"{number}.txt", "duck;1;2;5;6\nheron;0;0;12;10\n")
    data = ponds["Ponds"](str(tmp_path))
    assert (data.classes, data.training, list(data.validation)) == (
        ("background", "duck", "heron"),
        [0, 1],
        [2, 3],
    )
    evidence, truth = data.sample(0)
    evidence.check(3)
    assert (evidence.id, truth) == ("2", None)
    assert evidence.boxes.tolist() == [[1, 2, 5, 6], [0, 0, 12, 10]]
    text(tmp_path / "2.txt", "duk;1;2;5;6\nheron;9;0;2;10\nduck;1\n")
    told = [
        str(problem).partition("2.txt, image '2', ")[2] for problem in check_dataset(data).problems
    ]
    assert [line.partition(":")[0] for line in told] == ["line 2", "line 3", "line 1"]
    assert "did you mean duck?" in told[2]


def test_a_training_on_files_from_end_to_end(tmp_path: Path) -> None:
    data = VOC(
        voc(tmp_path), classes_used=["cat", "dog"], others="background", long_side=10, batch_size=2
    )
    segmenter = Segmenter(TinyNet(), BoxesRect(), data.classes)
    trainer(tmp_path / "run", steps=2, callbacks=[Rounds(workers=0)]).fit(segmenter, data)
    assert segmenter.confusion.sum() > 0


def test_problems_of_listing_stop_a_training_before_it_starts(tmp_path: Path) -> None:
    data = VOC(voc(tmp_path), classes_used=["cat", "dog"], others="background")
    data.problems.append(FormatError(Place("here"), "the file", "there", "missing"))
    with pytest.raises(
        ValueError,
        match=(
            r"1 problem in the files; python -m weakseg.check.*\n  here: the file should be there"
        ),
    ):
        trainer(tmp_path / "run", steps=1, callbacks=[Rounds(workers=0)]).fit(
            Segmenter(TinyNet(), BoxesRect(), data.classes), data
        )


def test_an_empty_set_is_refused_with_what_was_wrong() -> None:
    data = Photos()
    data.problems.append(Place("here").wrong("the file", "JSON", "x"))
    with pytest.raises(
        ValueError,
        match="there is no image in the data set; here: the file should be JSON, but it is 'x'",
    ):
        data.take(Naming(("background", "cat")), [], [])


def test_simulated_evidence_needs_a_mask(tmp_path: Path) -> None:
    data = Photos(simulated=True)
    data.evidence = "boxes"
    data.take(Naming(("background", "cat")), [Entry("a", photo(tmp_path / "a.png"))], [])
    with pytest.raises(
        FormatError,
        match="image 'a': the mask that evidence is made from should be there, but it is missing",
    ):
        data.sample(0)
    with pytest.raises(ValueError, match="annotation_seed should be at least 0"):
        Photos(annotation_seed=-1)


def test_the_background_comes_first_and_names_are_their_own() -> None:
    assert (
        with_background(["a", "b"])
        == with_background(["background", "a", "b"])
        == ("background", "a", "b")
    )
    for wrong, message in (
        (["a", "background"], "background comes twice, or is not the first"),
        ([], "from 1 to 254 names"),
        ("ab" * 200, "a comes twice"),
    ):
        with pytest.raises(ValueError, match=message):
            with_background(wrong)


def test_a_share_of_the_training_images_has_masks_instead(tmp_path: Path) -> None:
    def masked(share: float, **more: Any) -> list[str]:
        data = VOC(
            voc(tmp_path),
            classes_used=["cat", "dog"],
            others="background",
            mask_share=share,
            **more,
        )
        kinds = [data.kind(index) for index in range(len(data))]
        assert set(kinds) <= {"masks", "boxes"}
        assert kinds[2:] == ["boxes", "boxes"]
        return [
            entry.id for entry, kind in zip(data.entries, kinds, strict=True) if kind == "masks"
        ]

    everything = ["2007_000001", "2007_000002"]
    assert masked(0) == []
    assert masked(1) == everything
    assert len(masked(0.1)) == 1
    assert {tuple(masked(0.5, annotation_seed=seed)) for seed in range(8)} == {
        (id,) for id in everything
    }
    evidence, truth = VOC(
        voc(tmp_path), classes_used=["cat", "dog"], others="background", mask_share=1
    ).sample(0)
    assert truth is not None
    assert torch.equal(evidence.marks, truth)
    assert (evidence.boxes, evidence.tags) == (None, None)
    with pytest.raises(
        ValueError,
        match="mask_share should lie from 0 to 1, a part of the training images, but it is 2",
    ):
        Photos(mask_share=2)


def test_simulated_scribbles_are_made_once_and_stay_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(
        "weakseg.data.files.photos.stream_of",
        lambda id, seed: made.append(id) or stream_of(id, seed),
    )
    data = VOC(
        voc(tmp_path), "scribbles", classes_used=["cat", "dog"], others="background", simulated=True
    )
    first, again, other = (
        each.sample(0)[0] for each in (data, data, pickle.loads(pickle.dumps(data)))
    )
    assert made == ["2007_000001"] * 2  # the copy in a loader process makes its own
    assert first.marks is not None
    assert torch.equal(first.marks, again.marks)
    assert torch.equal(first.marks, other.marks)


def test_masks_are_shared_out_among_images_that_have_one(tmp_path: Path) -> None:
    root = voc(tmp_path)
    (root / "VOCdevkit" / "VOC2012" / "SegmentationClass" / "2007_000001.png").unlink()
    data = VOC(root, classes_used=["cat", "dog"], others="background", mask_share=0.5)
    assert data.masked == {"2007_000002"}
    with pytest.raises(
        ValueError, match="mask_share=1 asks for masks of 2 training images, but 1 of them have one"
    ):
        VOC(root, classes_used=["cat", "dog"], others="background", mask_share=1)


def test_what_is_wrong_with_an_object_stops_or_is_left_out(tmp_path: Path) -> None:
    root = voc(tmp_path)
    clicks = root / "VOCdevkit" / "VOC2012" / "Points" / "background_from_scribbles.json"
    clicks.write_text(
        '{"2007_000001": [{"x": 11.0, "y": 9.9, "cls": 0}, {"x": 30.0, "y": 2.0, "cls": 0}]}'
    )
    with pytest.raises(
        FormatError,
        match=(
            "a point should be inside of the image, which is 12 wide and 10 high, but it is from "
            "30 2"
        ),
    ):
        VOC(root, "points", classes_used=["cat", "dog"], others="background").sample(0)
    data = VOC(root, "points", classes_used=["cat", "dog"], others="background", wrong="skip")
    evidence, _ = data.sample(0)
    assert evidence.marks is not None
    assert (evidence.marks != 255).sum() == 2
    assert evidence.marks[9, 11] == 0
    # nothing is passed over but an object
    for lost in ("SegmentationClass/2007_000001.png", "JPEGImages/2007_000002.jpg"):
        (root / "VOCdevkit" / "VOC2012" / lost).write_bytes(b"no image")
    for index in (0, 1):
        with pytest.raises(FormatError, match="should be one of"):
            data.sample(index)
    data.problems.append(FormatError(Place("here"), "the file", "there", "missing"))
    data.problems.append(FormatError(Place("here", "a", 3), "a point", "inside", "not"))
    with pytest.raises(ValueError, match=r"^1 problem in the files"):
        data.setup("fit")
    with pytest.raises(
        ValueError, match="wrong should be one of error, skip, cut, but it is 'pass'"
    ):
        Photos(wrong="pass")  # type: ignore[arg-type]


def test_a_wrong_object_is_reported_with_the_word_that_leaves_it_out(tmp_path: Path) -> None:
    root = voc(tmp_path)
    clicks = root / "VOCdevkit" / "VOC2012" / "Points" / "background_from_scribbles.json"
    clicks.write_text('{"2007_000001": [{"x": 30.0, "y": 2.0, "cls": 0}]}')
    options: dict[str, Any] = {
        "evidence": "points",
        "classes_used": ["cat", "dog"],
        "others": "background",
    }
    data = VOC(root, **options)
    with pytest.raises(
        EstimationError,
        match=r"\(data.wrong=skip leaves out .*weakseg.check.*\) on 1 image:\n.*object 1: a point",
    ):
        check_evidence(data, Points(), data.classes, 0, 1)
    assert (
        len(check_evidence(VOC(root, wrong="skip", **options), Points(), data.classes, 0, 1)) == 2
    )


def test_tags_of_masks_name_the_background_and_what_was_clicked_on(tmp_path: Path) -> None:
    root = voc(tmp_path)
    home = root / "VOCdevkit" / "VOC2012"
    # the cat fills the image
    indexed(home / "SegmentationClass" / "2007_000001.png", np.full((10, 12), 8))
    # somebody saw a dog
    (home / "Points" / "whats_the_point.json").write_text(
        '{"2007_000001": [{"x": 4, "y": 3, "cls": 12}]}'
    )
    for evidence, tags in (("tags", [True, True, False]), ("points", [True, True, True])):
        data = VOC(root, evidence, classes_used=["cat", "dog"], others="background")
        found = data.sample(0)[0].tags
        assert found is not None
        assert found.tolist() == tags
