"""The session without any server: what a person does is saved at once, changes the target, and is
never lost."""

from __future__ import annotations

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.reviewing.sessions import (
    BOX,
    SCRIBBLE,
    ByLoss,
    Counting,
    Failing,
    material,
    session,
    with_network,
)
from tests.small import Everything, Squares
from weakseg.data.corrections.events import read_event
from weakseg.data.corrections.folder import CorrectionsFolder
from weakseg.data.files.folder import Folder
from weakseg.evidence import IGNORE
from weakseg.reviewing.layers import Picture
from weakseg.reviewing.refusals import (
    ChangedElsewhere,
    NotFound,
    NotSaved,
    StrategyFailed,
    WrongRequest,
)
from weakseg.reviewing.session import ReviewSession
from weakseg.strategies.base import Context
from weakseg.strategies.boxes_rect import BoxesRect
from weakseg.strategies.mixed import Mixed
from weakseg.training.targets import target_of


def labels_of(picture: Picture) -> np.ndarray[Any, Any]:
    """The classes that a layer shows."""
    assert picture.media_type == "image/png"
    return np.array(Image.open(io.BytesIO(picture.content)))


# what there is


def test_a_page_is_told_what_there_is(tmp_path: Path) -> None:
    told = session(tmp_path).described()
    assert [entry["name"] for entry in told["classes"]] == ["background", "bright", "dark"]
    assert told["classes"][1] == {"number": 1, "name": "bright", "colour": "#2f9e44"}
    assert told["strategy"] == "boxes_rect"
    assert told["count"] == 6
    assert told["has_truth"] is True
    assert told["has_prediction"] is False
    assert told["can_add_classes"] is False
    assert told["who"] == "me"
    assert told["corrections"] == str(tmp_path / "corrections")
    command = f"python -m weakseg.fit recipe=boxes_rect data.corrections={tmp_path}/corrections"
    assert told["train_command"] == command
    json.dumps(told)


def test_the_strategies_are_those_that_estimate(tmp_path: Path) -> None:
    told = session(tmp_path).described()["strategies"]
    names = [choice["name"] for choice in told]
    assert names[0] == "boxes_rect"
    assert {"boxes_crf", "mixed", "points", "scribbles_graphcut"} <= set(names)
    assert "boxes_ccnn" not in names  # which has a loss alone
    assert "cosegmentation" not in names  # which wants a network
    assert told[0]["needs"] == ["boxes", "box_classes"]


def test_the_images_of_a_session(tmp_path: Path) -> None:
    assert ReviewSession(material(tmp_path)).images.numbers == list(range(6))
    assert ReviewSession(material(tmp_path), "validation").images.numbers == [6, 7]
    assert ReviewSession(material(tmp_path), "all").images.numbers == list(range(8))


def test_an_image_with_its_evidence(tmp_path: Path) -> None:
    review = session(tmp_path)
    image = review.image(0)
    evidence, _ = Everything(train=6, val=2).sample(0)
    assert evidence.boxes is not None
    assert (image["width"], image["height"]) == (24, 24)
    left, top, right, bottom = evidence.boxes[0].tolist()
    box = {"class": "bright", "points": [[left, top], [right, bottom]], "by": "file"}
    assert image["boxes"] == [box]
    assert image["tags"] == ["bright"]
    assert image["revision"] == 0
    assert image["status"] is None
    assert (image["can_undo"], image["can_redo"]) == (False, False)
    assert image["layers"]["prediction"] is None
    for layer in ("photo", "marks", "target", "truth"):
        assert image["layers"][layer].startswith(f"/images/0/{layer}?v=")


def test_the_layers_of_an_image(tmp_path: Path) -> None:
    review = session(tmp_path)
    evidence, truth = Everything(train=6, val=2).sample(1)
    assert truth is not None
    photo = np.array(Image.open(io.BytesIO(review.picture(1, "photo").content)))
    assert np.array_equal(photo, evidence.image.permute(1, 2, 0).numpy())
    assert np.array_equal(labels_of(review.picture(1, "truth")), truth.numpy())
    assert evidence.marks is not None
    marks = Image.open(io.BytesIO(review.picture(1, "marks").content))
    assert np.array_equal(np.array(marks), evidence.marks.numpy())
    alpha = np.array(marks.convert("RGBA"))[..., 3]
    assert np.array_equal(alpha == 0, evidence.marks.numpy() == IGNORE)
    target = np.array(Image.open(io.BytesIO(review.picture(1, "target").content)).convert("RGBA"))
    labels = labels_of(review.picture(1, "target"))
    assert set(target[labels == 0][:, 3]) == {0}
    assert set(target[labels == 2][:, 3]) == {255}
    assert Image.open(io.BytesIO(review.picture(1, "thumbnail").content)).format == "JPEG"


def test_an_image_that_is_not_of_the_session_is_not_found(tmp_path: Path) -> None:
    review = session(tmp_path)
    for number in (6, -1, 10**9):
        with pytest.raises(NotFound, match="no image"):
            review.image(number)
        with pytest.raises(NotFound, match="no image"):
            review.picture(number, "photo")
        with pytest.raises(NotFound, match="no image"):
            review.add(number, 0, {"action": "accept"})


# what a person does


def test_a_box_changes_the_target_and_undo_brings_it_back(tmp_path: Path) -> None:
    review = session(tmp_path)
    before = labels_of(review.picture(0, "target"))
    image = review.add(0, 0, BOX)
    assert image["revision"] == 1
    assert image["boxes"][-1] == {"class": "dark", "points": BOX["points"], "by": "person"}
    assert image["undo"] == "add_box"
    after = labels_of(review.picture(0, "target"))
    assert (after[1:9, 1:8] == 2).mean() > 0.5
    image = review.add(0, 1, {"action": "undo"})
    assert (image["can_undo"], image["redo"]) == (False, "add_box")
    assert np.array_equal(labels_of(review.picture(0, "target")), before)


def test_the_target_is_the_one_that_a_round_would_train_on(tmp_path: Path) -> None:
    review = session(tmp_path, Mixed(boxes="rect"))
    review.add(2, 0, BOX)
    review.add(2, 1, SCRIBBLE)
    data = Everything(train=6, val=2, corrections=tmp_path / "corrections")
    evidence, _ = data.corrected(2)
    expected = target_of(Mixed(boxes="rect"), evidence, Context(), 3).labels
    assert np.array_equal(labels_of(review.picture(2, "target")), expected.numpy())


def test_a_box_that_reaches_over_the_rim_is_the_persons(tmp_path: Path) -> None:
    review = session(tmp_path)
    points = [[-4, 3], [6, 40]]
    image = review.add(0, 0, {"action": "add_box", "class": "dark", "points": points})
    assert image["boxes"][-1] == {"class": "dark", "points": [[0, 3], [6, 24]], "by": "person"}


def test_a_scribble_is_in_the_marks_and_in_the_target(tmp_path: Path) -> None:
    review = session(tmp_path)
    image = review.add(0, 0, {**SCRIBBLE, "seconds": 2.5})
    assert image["strokes"][0]["class"] == "dark"
    assert image["seconds"] == 2.5
    assert labels_of(review.picture(0, "marks"))[2, 5] == 2
    assert labels_of(review.picture(0, "target"))[2, 5] == 2


class Renamed(Everything):
    """A data set that calls a class by another name than its files do."""

    @property
    def other_names(self) -> dict[str, str | None]:
        return {"gloomy": "dark"}


def test_the_page_shows_the_evidence_that_training_has(tmp_path: Path) -> None:
    folder = tmp_path / "corrections"
    now = session(tmp_path, data=Renamed(train=6, val=2))
    stroke = {**SCRIBBLE, "class": "gloomy"}
    evidence, _ = Renamed(train=6, val=2).sample(0)
    height, width = evidence.image.shape[-2:]
    CorrectionsFolder(folder).add(evidence.id, read_event(stroke), 0, (width, height), {})
    trained = Renamed(train=6, val=2, corrections=folder).corrected(0)[0]
    shown = now.images.evidence(0)
    assert shown.marks is not None
    assert trained.marks is not None
    assert torch.equal(shown.marks, trained.marks)
    assert bool((shown.marks == now.classes.index("dark")).any())


def test_each_event_is_signed_and_has_the_state_before(tmp_path: Path) -> None:
    review = session(tmp_path)
    review.add(0, 0, BOX)
    review.add(0, 1, {"action": "accept", "who": "somebody else"})
    content = json.loads((tmp_path / "corrections" / "images" / "disc" / "0.json").read_text())
    first, second = content["events"]
    assert first["who"] == "me"
    assert second["who"] == "somebody else"
    assert first["when"].endswith("+00:00")
    assert content["before"]["boxes"][0]["class"] == "bright"
    assert content["status"] == "accepted"


def test_seconds_raise_no_revision(tmp_path: Path) -> None:
    review = session(tmp_path)
    image = review.look(0, 4)
    assert (image["revision"], image["seconds"]) == (0, 4)
    assert review.add(0, 0, BOX)["revision"] == 1
    assert review.look(0, 1.5)["seconds"] == 5.5
    with pytest.raises(WrongRequest, match="seconds"):
        review.look(0, "many")


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (None, "should be an object"),
        ({"action": "explode"}, "action should be one of"),
        ({**BOX, "class": "horse"}, "class should be one of"),
        ({**BOX, "class": "background"}, "background"),
        ({**BOX, "points": [[1, 1], [1, 9]]}, "wider and higher"),
        ({**SCRIBBLE, "points": [[float("nan"), 1]]}, "two numbers"),
        ({"action": "undo"}, "nothing to undo"),
        ({"action": "redo"}, "nothing to redo"),
    ],
)
def test_an_event_that_cannot_be_is_refused_and_nothing_is_written(
    tmp_path: Path, event: Any, line: str
) -> None:
    review = session(tmp_path)
    with pytest.raises(WrongRequest, match=line):
        review.add(0, 0, event)
    assert review.image(0)["revision"] == 0
    assert not list(tmp_path.glob("corrections/images/**/*.json"))


@pytest.mark.parametrize("revision", [None, "1", -1, True, 1.0])
def test_an_event_says_which_revision_it_is_about(tmp_path: Path, revision: Any) -> None:
    with pytest.raises(WrongRequest, match="revision"):
        session(tmp_path).add(0, revision, BOX)


def test_verdicts_are_counted_and_decided_images_come_last(tmp_path: Path) -> None:
    review = session(tmp_path)
    for number, verdict in ((0, "accept"), (1, "skip"), (2, "exclude")):
        review.add(number, 0, {"action": verdict})
    queue = review.queue()
    assert queue["counts"] == {"accepted": 1, "skipped": 1, "excluded": 1, "open": 3}
    assert [entry["number"] for entry in queue["images"]] == [3, 4, 5, 0, 1, 2]
    assert queue["images"][-1]["status"] == "excluded"
    data = Everything(train=6, val=2, corrections=tmp_path / "corrections")
    assert data.training == [0, 1, 3, 4, 5]
    # it can be brought back
    assert ReviewSession(material(tmp_path, data=data)).images.numbers == list(range(6))


# two at once


def test_another_session_on_the_folder_is_seen_and_never_overwritten(tmp_path: Path) -> None:
    one, other = session(tmp_path), session(tmp_path)
    assert other.image(0)["revision"] == 0
    one.add(0, 0, BOX)
    assert other.image(0)["revision"] == 1
    one.add(0, 1, SCRIBBLE)
    with pytest.raises(ChangedElsewhere) as conflict:
        other.add(0, 1, {"action": "accept"})
    assert conflict.value.image["revision"] == 2
    assert conflict.value.image["strokes"]
    assert one.image(0)["status"] is None


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    review = session(tmp_path)

    def click(place: int) -> None:
        event = {"action": "click", "class": "dark", "points": [[place, place]], "width": 1}
        while True:
            try:
                review.add(0, review.image(0)["revision"], event)
            except ChangedElsewhere:
                continue
            return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(click, range(20)))
    image = session(tmp_path).image(0)
    assert image["revision"] == 20
    assert sorted(stroke["points"][0][0] for stroke in image["strokes"]) == list(range(20))


def test_targets_are_estimated_once_for_each_state(tmp_path: Path) -> None:
    counting = Counting()
    review = session(tmp_path, counting)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: review.picture(0, "target"), range(16)))
    assert counting.count == 1
    review.add(0, 0, {"action": "accept"})
    review.picture(0, "target")
    assert counting.count == 1  # a verdict changes no evidence
    review.add(0, 1, BOX)
    review.picture(0, "target")
    assert counting.count == 2


def test_a_layer_tells_which_corrections_it_shows(tmp_path: Path) -> None:
    review = session(tmp_path)
    address = review.image(0)["layers"]["target"]
    assert address.endswith(f"?v={review.picture(0, 'target').version}")
    review.add(0, 0, BOX)
    assert not address.endswith(f"?v={review.picture(0, 'target').version}")
    assert session(tmp_path).tag != review.tag


# what goes wrong


def test_a_strategy_that_raises_is_quoted_and_the_event_is_kept(tmp_path: Path) -> None:
    review = session(tmp_path, Failing())
    review.picture(0, "target")
    image = review.add(0, 0, BOX)
    assert image["revision"] == 1
    with pytest.raises(StrategyFailed, match=r"boxes_rect failed on disc/0: .*a box at the rim is"):
        review.picture(0, "target")
    assert session(tmp_path).image(0)["revision"] == 1
    assert review.add(0, 1, {"action": "undo"})["revision"] == 2
    review.picture(0, "target")


def test_a_strategy_without_its_evidence_says_what_is_missing(tmp_path: Path) -> None:
    review = session(tmp_path, data=Squares(train=4, val=1))
    with pytest.raises(StrategyFailed, match=r"points cannot estimate a target: .* no marks"):
        review.picture(0, "target", "points")
    with pytest.raises(WrongRequest, match="no strategy 'horse'"):
        review.picture(0, "target", "horse")


def test_another_strategy_can_be_chosen(tmp_path: Path) -> None:
    review = session(tmp_path)
    filled = labels_of(review.picture(0, "target", "boxes_rect"))
    marked = labels_of(review.picture(0, "target", "full"))
    evidence, _ = Everything(train=6, val=2).sample(0)
    assert evidence.marks is not None
    assert np.array_equal(marked, evidence.marks.numpy())
    assert not np.array_equal(filled, marked)


def test_without_estimates_and_network_a_strategy_is_proposed(tmp_path: Path) -> None:
    review = session(tmp_path, ByLoss(), strategy_name="boxes_ccnn")
    image = review.image(0)
    assert review.described()["strategy"] == review.described()["strategies"][0]["name"]
    assert "boxes_ccnn estimates no target" in image["warning"]
    assert "boxes_rect" in image["warning"]
    with pytest.raises(StrategyFailed, match="boxes_ccnn estimates no target"):
        review.picture(0, "target")
    assert labels_of(review.picture(0, "target", "boxes_rect")).max() > 0


def test_without_estimates_the_target_is_the_prediction_with_strokes_in_it(tmp_path: Path) -> None:
    strategy = ByLoss()
    material = with_network(tmp_path, strategy, strategy_name="boxes_ccnn")
    review = ReviewSession(material)
    predicted = labels_of(review.picture(0, "prediction"))
    assert np.array_equal(labels_of(review.picture(0, "target")), predicted)
    paint = {"action": "paint", "class": "dark", "points": [[12, 12]], "width": 4}
    review.add(0, 0, paint)
    labels = labels_of(review.picture(0, "target"))
    assert labels[12, 12] == 2
    assert review.described()["has_prediction"] is True


def test_a_broken_file_of_corrections_is_told_and_never_overwritten(tmp_path: Path) -> None:
    session(tmp_path).add(0, 0, BOX)
    file = tmp_path / "corrections" / "images" / "disc" / "0.json"
    file.write_text(file.read_text()[:40])
    broken = file.read_bytes()
    review = session(tmp_path)
    image = review.image(0)
    assert "0.json cannot be read" in image["warning"]
    assert "cannot be read" in review.queue()["images"][0]["broken"]
    with pytest.raises(NotSaved, match="repair or remove the file"):
        review.add(0, 0, SCRIBBLE)
    assert file.read_bytes() == broken
    assert review.add(1, 0, SCRIBBLE)["revision"] == 1


def test_what_a_killed_process_left_is_taken_away(tmp_path: Path) -> None:
    part = tmp_path / "corrections" / "images" / ".0.json.1234abcd.part"
    part.parent.mkdir(parents=True)
    part.write_text("{")
    assert session(tmp_path).queue()["counts"]["open"] == 6
    assert not part.exists()


def test_a_folder_that_cannot_be_written_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "corrections").write_text("a file in its place")
    review = session(tmp_path)
    with pytest.raises(NotSaved, match="nothing was saved"):
        review.add(0, 0, BOX)
    assert review.image(0)["revision"] == 0
    (tmp_path / "corrections").unlink()
    assert review.add(0, 0, BOX)["revision"] == 1


# files


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photographs with nothing annotated."""
    root = tmp_path / "photos"
    root.mkdir()
    random = np.random.default_rng(0)
    for number in range(3):
        pixels = random.integers(0, 255, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.jpg")
    return root


def of_files(photos: Path, **loading: Any) -> ReviewSession:
    data = Folder(photos, corrections=photos / "corrections", **loading)
    found = material(photos, Mixed(boxes="rect"), data, strategy_name="mixed")
    return ReviewSession(found, "all")


def number_of(review: ReviewSession, name: str) -> int:
    return next(row["number"] for row in review.queue()["images"] if row["name"] == name)


def test_classes_are_named_on_the_page(photos: Path) -> None:
    review = of_files(photos)
    assert review.described()["can_add_classes"] is True
    told = review.add_class(" cat ")
    assert [entry["name"] for entry in told["classes"]] == ["background", "cat"]
    wrong: dict[Any, str] = {"cat": "already", "": "should be", 3: "should be", "x" * 999: "should"}
    for name, line in wrong.items():
        with pytest.raises(WrongRequest, match=line):
            review.add_class(name)
    other = of_files(photos)
    other.add_class("dog")
    box = {"action": "add_box", "class": "dog", "points": [[5, 5], [40, 30]]}
    assert review.add(0, 0, box)["boxes"][0]["class"] == "dog"
    assert labels_of(review.picture(0, "target"))[15, 20] == 2
    with pytest.raises(WrongRequest, match="stand in its files"):
        session(photos).add_class("cat")


def test_an_image_that_is_removed_meanwhile_is_marked_in_the_queue(photos: Path) -> None:
    review = of_files(photos)
    review.add_class("cat")
    box = {"action": "add_box", "class": "cat", "points": [[5, 5], [40, 30]]}
    number = number_of(review, "1.jpg")
    review.add(number, 0, box)
    content = (photos / "1.jpg").read_bytes()
    (photos / "1.jpg").unlink()
    for layer in ("photo", "thumbnail", "target"):
        with pytest.raises(NotFound, match=r"1\.jpg is gone"):
            review.picture(number, layer)
    with pytest.raises(NotFound, match="is gone"):
        review.add(number, 1, {"action": "accept"})
    broken = {row["name"]: row["broken"] for row in review.queue()["images"]}
    assert "gone" in broken.pop("1.jpg")
    assert set(broken.values()) == {None}
    (photos / "1.jpg").write_bytes(content)
    assert review.image(number)["revision"] == 1
    assert all(row["broken"] is None for row in review.queue()["images"])


def test_an_image_that_is_replaced_meanwhile_is_read_anew(photos: Path) -> None:
    review = of_files(photos)
    review.add_class("cat")
    box = {"action": "add_box", "class": "cat", "points": [[5, 5], [40, 30]]}
    number = number_of(review, "1.jpg")
    assert review.add(number, 0, box)["warning"] is None
    assert labels_of(review.picture(number, "target")).shape[:2] == (40, 60)
    assert labels_of(review.picture(number, "photo")).shape[:2] == (40, 60)
    content = (photos / "1.jpg").read_bytes()
    Image.new("RGB", (20, 90)).save(photos / "1.jpg")
    after = review.image(number)
    assert (after["width"], after["height"]) == (20, 90)
    assert "the image was 60 by 40 pixels large, and is 20 by 90" in after["warning"]
    assert labels_of(review.picture(number, "target")).shape[:2] == (90, 20)
    assert labels_of(review.picture(number, "photo")).shape[:2] == (90, 20)
    with pytest.raises(WrongRequest, match=r"was 60 by 40 .* is 20 by 90; put the old one back"):
        review.add(number, 1, box)
    assert review.add(number, 1, {"action": "exclude"})["status"] == "excluded"
    (photos / "1.jpg").write_bytes(content)
    assert review.image(number)["warning"] is None
    assert review.add(number, 2, box)["revision"] == 3


def test_a_damaged_image_is_marked_in_the_queue(photos: Path) -> None:
    review = of_files(photos)
    (photos / "2.jpg").write_bytes(b"no image at all")
    number = number_of(review, "2.jpg")
    with pytest.raises(NotFound, match=r"2\.jpg"):
        review.picture(number, "thumbnail")
    with pytest.raises(NotFound, match=r"2\.jpg"):
        review.image(number)
    assert [row["name"] for row in review.queue()["images"] if row["broken"]] == ["2.jpg"]


def test_coordinates_are_those_of_the_file_whatever_was_read(photos: Path) -> None:
    review = of_files(photos, long_side=30)
    review.add_class("cat")
    box = {"action": "add_box", "class": "cat", "points": [[10, 10], [40, 30]]}
    image = review.add(0, 0, box)
    assert (image["width"], image["height"]) == (60, 40)
    assert image["boxes"][0]["points"] == [[10, 10], [40, 30]]
    labels = labels_of(review.picture(0, "target"))
    assert labels.shape == (20, 30)
    assert labels[10, 12] == 1


def test_a_thumbnail_is_turned_as_its_camera_noted(photos: Path) -> None:
    pixels = np.zeros((200, 400, 3), np.uint8)
    pixels[:, :100] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    Image.fromarray(pixels).save(photos / "0.jpg", exif=exif)
    review = of_files(photos)
    picture = review.picture(number_of(review, "0.jpg"), "thumbnail")
    small = Image.open(io.BytesIO(picture.content))
    assert small.size == (80, 160)
    found = np.array(small.convert("L"))
    assert found[:30].mean() > 240
    assert found[60:].mean() < 15


class Lazy(Squares):
    """Ids that only reading tells."""

    def __init__(self, **loading: Any) -> None:
        super().__init__(**loading)
        self.read: list[int] = []

    def sample(self, index: int) -> Any:
        self.read.append(index)
        return super().sample(index)


def test_nothing_is_read_before_it_is_looked_at(tmp_path: Path) -> None:
    data = Lazy(train=50, val=5)
    review = session(tmp_path, data=data)
    rows = review.queue()["images"]
    assert len(rows) == 50
    assert data.read == []
    review.image(7)
    assert data.read == [7]
    assert review.queue()["images"][7]["name"] == "disc/7"


def test_five_thousand_images_are_listed_at_once(photos: Path) -> None:
    for number in range(3, 5000):
        os.link(photos / "0.jpg", photos / f"{number}.jpg")
    review = of_files(photos)
    assert len(review.queue()["images"]) == 5000
    assert not torch.is_grad_enabled() or review.image(4999)["width"] == 60


def test_a_trained_network_with_other_numbers_of_classes(tmp_path: Path) -> None:
    """What was annotated is renumbered, and so is what a person draws."""
    strategy = BoxesRect()
    found = with_network(tmp_path, strategy)
    assert found.segmenter is not None
    found.segmenter.classes = ("background", "dark", "bright")
    found.table = torch.arange(256)
    found.table[1], found.table[2] = 2, 1
    review = ReviewSession(found)
    image = review.add(0, 0, BOX)
    assert [box["class"] for box in image["boxes"]] == ["bright", "dark"]
    assert labels_of(review.picture(0, "target"))[5, 4] == 1
