"""Masks that people have corrected in an annotation tool become corrections of a run's data set,
pixel by pixel."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.data.written import toy_photos
from weakseg.config.verb import read_words
from weakseg.data.corrections.folder import CorrectionsFolder
from weakseg.data.files.folder import Folder
from weakseg.data.formats.writing.formats import write_labels
from weakseg.data.formats.writing.labels import LabelledImage
from weakseg.evidence import IGNORE
from weakseg.integrations.corrections import VERB, command, lines, main
from weakseg.strategies.base import Context
from weakseg.strategies.boxes_crf import BoxesCRF
from weakseg.training.targets import target_of

SIZE = 32
CLASSES = ("background", "fish", "leaf", "umbrella", "wheel")
NAMES = ("north/000.png", "south/001.png")
# how each tool's export is read, by the name of its writer
FORMATS = {
    "label_studio": ("label_studio", "label_studio.json"),
    "cvat": ("cvat", "cvat.xml"),
    "coco": ("coco", "coco.json"),
    "datumaro": ("datumaro", "datumaro/annotations/default.json"),
    "voc": ("mask_png", "voc/SegmentationClass"),
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder whose data set has four images, before its first checkpoint."""
    toy_photos(tmp_path / "photos", count=4, size=SIZE)
    folder = tmp_path / "runs" / "boxes" / "made"
    folder.mkdir(parents=True)
    recipe = {
        "strategy": {"name": "boxes_crf"},
        "network": {"name": "fcn32s"},
        "data": {
            "name": "folder",
            "root": str(tmp_path / "photos"),
            "format": "coco",
            "classes": list(CLASSES[1:]),
        },
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder


def masks(seed: int) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """Noisy masks, with holes, specks and pixels without a label."""
    random = np.random.default_rng(seed)
    found = {}
    for name in NAMES:
        labels = np.zeros((SIZE, SIZE), np.uint8)
        labels[4:20, 6:30] = 1 + random.integers(0, 3)
        labels[8:14, 10:20] = 4
        labels[random.random((SIZE, SIZE)) < 0.05] = 0
        labels[24:28, 2:9] = IGNORE
        found[name] = labels
    return found


def export(folder: Path, written: str, labels: dict[str, np.ndarray]) -> Path:  # type: ignore[type-arg]
    images = [LabelledImage(name, mask) for name, mask in labels.items()]
    photos = folder / "photos" / "images"
    write_labels(written, images, CLASSES, folder / "out", images_in=photos)  # type: ignore[arg-type]
    return folder / "out" / FORMATS[written][1]


def corrected(run: Path, tmp_path: Path) -> Folder:
    """The data set of the run with the corrections."""
    classes = list(CLASSES[1:])
    return Folder(tmp_path / "photos", "coco", classes, corrections=run / "corrections")


def painted(run: Path, tmp_path: Path) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """The painted pixels of each corrected image, as training has them."""
    data = corrected(run, tmp_path)
    found = {}
    for index in range(len(data)):
        evidence, _ = data.corrected(index)
        if evidence.painted is not None:
            found[evidence.id] = evidence.painted.numpy()
    return found


@pytest.mark.parametrize("written", FORMATS)
def test_the_masks_of_an_export_are_painted_exactly(
    written: str, run: Path, tmp_path: Path
) -> None:
    labels = masks(0)
    file = export(tmp_path, written, labels)
    words = [f"run={run}", f"annotations={file}", f"format={FORMATS[written][0]}"]
    done = main(words)
    assert (done.corrected, done.same, done.failed) == (2, 0, ())
    found = painted(run, tmp_path)
    assert set(found) == set(NAMES)
    for name, mask in labels.items():
        np.testing.assert_array_equal(found[name], mask)


def test_targets_are_the_masks_and_other_images_are_estimated(run: Path, tmp_path: Path) -> None:
    labels = masks(0)
    main([f"run={run}", f"annotations={export(tmp_path, 'label_studio', labels)}"])
    data = corrected(run, tmp_path)
    strategy = BoxesCRF()
    for index in range(len(data)):
        evidence, _ = data.corrected(index)
        target = target_of(strategy, evidence, Context(), len(CLASSES)).labels
        if evidence.id in labels:
            known = labels[evidence.id] != IGNORE
            np.testing.assert_array_equal(target.numpy()[known], labels[evidence.id][known])
        else:
            plain, _ = data.sample(index)
            assert target.equal(target_of(strategy, plain, Context(), len(CLASSES)).labels)


def test_a_second_call_changes_nothing_and_a_new_export_wins(run: Path, tmp_path: Path) -> None:
    first, second = masks(0), masks(1)
    words = [f"run={run}", f"annotations={export(tmp_path, 'label_studio', first)}"]
    main(words)
    folder = CorrectionsFolder(run / "corrections")
    before = {name: folder.file(name).read_bytes() for name in NAMES}
    done = main(words)
    assert (done.corrected, done.same) == (0, 2)
    assert {name: folder.file(name).read_bytes() for name in NAMES} == before
    export(tmp_path, "label_studio", second)
    assert main(words).corrected == 2
    for name, mask in second.items():
        known = mask != IGNORE
        np.testing.assert_array_equal(painted(run, tmp_path)[name][known], mask[known])


def test_who_drew_how_long_and_what_was_there_before_is_kept(run: Path, tmp_path: Path) -> None:
    file = export(tmp_path, "label_studio", masks(0))
    tasks = json.loads(file.read_text())
    for task in tasks:
        result = task.pop("predictions")[0]["result"]
        task["annotations"] = [{"id": 1, "result": result, "lead_time": 12.5, "completed_by": 1}]
    file.write_text(json.dumps(tasks))
    main([f"run={run}", f"annotations={file}", "who=ann"])
    history = CorrectionsFolder(run / "corrections").read(NAMES[0])
    assert history is not None
    assert history.status == "accepted"
    assert history.seconds == 12.5
    assert {event.who for event in history.events} == {"ann"}
    assert history.before["boxes"]


def test_images_that_the_export_does_not_have_are_left_alone(run: Path, tmp_path: Path) -> None:
    one = {NAMES[1]: masks(0)[NAMES[1]]}
    main([f"run={run}", f"annotations={export(tmp_path, 'cvat', one)}", "format=cvat"])
    assert CorrectionsFolder(run / "corrections").images() == [NAMES[1]]


def test_a_broken_entry_does_not_stop_the_others(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = masks(0)
    extra = np.zeros((SIZE, SIZE), np.uint8)
    file = export(tmp_path, "label_studio", {**labels, "north/gone.png": extra})
    tasks = json.loads(file.read_text())
    tasks[0]["predictions"][0]["result"][0]["value"]["rle"] = [1, 2, 3]
    file.write_text(json.dumps(tasks))
    assert command([f"run={run}", f"annotations={file}"]) == 1
    shown = capsys.readouterr().out
    assert "not taken: " in shown
    assert "bits that are cut off at the end" in shown
    assert NAMES[1] in CorrectionsFolder(run / "corrections").images()


def test_it_says_how_to_train_with_them(run: Path, tmp_path: Path) -> None:
    done = main([f"run={run}", f"annotations={export(tmp_path, 'coco', masks(0))}", "format=coco"])
    assert lines(done) == [
        "corrected: 2 images",
        f"corrections: {run / 'corrections'}",
        f"train with them: python -m weakseg.fit recipe={run / 'recipe.yaml'} "
        f"data.corrections={run / 'corrections'}",
    ]


def test_the_words_of_the_page_are_those_of_the_command() -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "annotation-tools.md"
    module = r"^python -m weakseg\.integrations\.corrections (.*)$"
    [words] = re.findall(module, page.read_text(), re.MULTILINE)
    values = {"run": "runs/boxes/latest", "annotations": Path("export.json")}
    assert read_words(VERB, words.split()).values == values


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["run=gone", "annotations=x.json"], "run: expected a run folder, with a recipe.yaml"),
        (["run={run}"], "annotations"),
        (["run={run}", "annotations=x.json", "format=cvta"], "did you mean cvat"),
        (["run={run}", "annotations=x.json", "data.foo=1"], "data.foo: no such key"),
        (["run={run}", "annotations=x.json"], "there should be annotations at"),
    ],
)
def test_mistakes_are_named(
    words: list[str], reason: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([word.format(run=run) for word in words])
    assert caught.value.code == 2
    assert reason in capsys.readouterr().err
