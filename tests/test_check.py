import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from torch import Tensor

from tests.data.layouts import photo, text, voc, voc_xml
from weakseg.check import command, main
from weakseg.data.toy.dataset import Toy
from weakseg.evidence import Evidence
from weakseg.training.memory_budget import Memory

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return voc(tmp_path)


def test_a_healthy_set(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data=voc", f"data.root={place}", "cost=false"]) == 0
    out = capsys.readouterr().out
    assert "4 images, 2 of them only measured on" in " ".join(out.split())
    assert "0 errors, 1 warning" in " ".join(out.split())
    assert "contact sheet: runs/check/sheet.png" in out
    assert "a training step" not in out
    assert sorted(path.name for path in place.iterdir()) == ["VOCdevkit", "runs"]
    with Image.open("runs/check/sheet.png") as sheet:
        assert sheet.width > 500
    (line,) = Path("runs/check/problems.txt").read_text().splitlines()
    assert line.startswith("warning: the data set: every class should be shown by some image")


def test_what_a_training_takes_and_what_to_begin_with(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            ["recipe=boxes", "data=voc", f"data.root={place}", "trainer.max_steps=40", "sheet=null"]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "a training step (boxes, DeepLabV3Plus) on 2 images of 12 by 10 pixels: about " in out
    assert "  an epoch of 1 step: " in out
    assert "; all 40 steps: " in out
    assert "plan for boxes on " in out
    assert "  optimizer.lr=0.001 " in out
    assert "trainer.max_steps" not in out  # which the words give
    assert main(["recipe=boxes", "data.train=3", "data.val=1", "data.size=32", "out=null"]) == 0
    out = capsys.readouterr().out
    assert "a training step (boxes, DeepLabV3Plus) on 8 images of 32 by 32 pixels" in out
    assert "plan" not in out


def test_a_step_that_takes_more_memory_than_there_is_is_a_warning(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "weakseg.training.memory_budget.memory_of", lambda device: Memory(1000, 1000)
    )
    assert main(["recipe=boxes", "data=voc", f"data.root={place}", "out=null"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "warning: a training step: its memory should be at most the 0 MB that are free, but it is "
        "about " in out
    )
    assert "data.batch_size=1 would train on 1 image of 12 by 10 pixels" in out
    assert "0 errors, 2 warnings" in out


def test_another_folder_and_another_sheet(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["data=voc", f"data.root={place}", "out=here/there", "sheet=mine.png", "cost=false"])
        == 0
    )
    assert Path("mine.png").is_file()
    assert [path.name for path in Path("here/there").iterdir()] == ["problems.txt"]
    Path("file").touch()
    with pytest.raises(SystemExit):
        main(["data=voc", f"data.root={place}", "out=file/below"])
    assert "out: the folder file/below cannot be made: Not a directory" in capsys.readouterr().err


def test_without_a_recipe_all_that_the_files_hold_is_looked_at(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abc":
        photo(place / "images" / f"{name}.png")
        text(place / "annotations" / f"{name}.xml", voc_xml("dog", (3, 2, 8, 7)))
    assert (
        main(["data=folder", f"data.root={place}", "data.format=voc_xml", "out=null", "cost=false"])
        == 0
    )
    assert "0 errors, 0 warnings" in " ".join(capsys.readouterr().out.split())


def test_an_ill_one(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(place / "images" / "a.png")
    text(place / "annotations" / "a.xml", voc_xml("dog", (8, 2, 3, 7)))
    words = [
        "data=folder",
        f"data.root={place}",
        "data.format=voc_xml",
        "data.classes=[dog]",
        "data.val_share=0",
        "out=null",
        "cost=false",
    ]
    assert main(words) == 1
    assert "a box should be wider and higher than 0" in capsys.readouterr().out
    assert not Path("runs").exists()


def test_the_data_set_of_a_recipe(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            [
                "recipe=boxes",
                "data.train=3",
                "data.val=1",
                "data.size=32",
                "sheet=toy.png",
                "out=null",
                "cost=false",
            ]
        )
        == 0
    )
    assert Path("toy.png").is_file()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["data=vco"], "data.name: there is no vco; did you mean voc?"),
        (["data=voc"], "data.root: missing; expected a path"),
        (["data=voc", "data.rot=x"], "data.rot: no such key; did you mean root?"),
        (
            ["data=voc", "data.root=VOCdevkit/VOC2012/Annotations"],
            "data: root should be the folder VOCdevkit",
        ),
        (["data=voc", "data.root=.", "data.evidence=box"], "did you mean boxes?"),
        (["data=folder", "data.root=.", "data.format=coc"], "did you mean coco?"),
        (["dta=voc"], "dta: no such section; did you mean data?"),
        (["dta=voc"], "data: missing; write data=folder"),
        (["data=voc", "sheat=a.png"], "sheat: no such section"),
        (
            ["data=voc", "workers=two"],
            "workers: expected a whole number from 0 to 999, but it is 'two'",
        ),
        (["data=voc", "cost=yes"], "cost: expected true or false, but it is 'yes'"),
        (["data=toy", "sheet=nowhere/a.png"], "sheet: there is no folder"),
    ],
)
def test_words_that_are_wrong(
    place: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("data", ["folder", "voc", "coco", "cityscapes"])
def test_a_root_that_is_no_folder_is_named_in_full(
    place: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text(place / "export.zip", "")
    words = [f"data={data}", *["data.format=coco"] * (data == "folder"), "out=null"]
    for name, says in {
        "VOCdevkt": f"there is none at {place / 'VOCdevkt'}; did you mean VOCdevkit?",
        "export.zip": f"{place / 'export.zip'} is a file",
        "a" * 5000: f"there is none at {place / 'a'}",
    }.items():
        with pytest.raises(SystemExit) as stop:
            main([*words, f"data.root={name}"])
        assert stop.value.code == 2
        assert f"data: root should be a folder, but {says}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--help"], ["data=voc", "-h"]])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    assert "python -m weakseg.check data=" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "words", "warned"),
    [
        (
            ["dog", "dog", "dog", "dgo"],
            [],
            "dgo (seen 1), beside dog (seen 3); if they are the same, data.rename={dgo: dog}",
        ),
        (["dog", "dog", "dog", "Dog "], [], "Dog (seen 1), beside dog"),
        (["bicycle", "bicycle", "bicycle", "bicyle"], [], "bicyle (seen 1), beside bicycle"),
        (["dog", "dog", "dog", "dgo"], ["data.classes=[dog,dgo]"], ""),
        (["dog", "dgo", "dog", "dgo"], [], ""),
        (["cat", "cat", "cat", "car"], [], ""),
        (["lot 1", "lot 1", "lot 1", "lot 2"], [], ""),
    ],
)
def test_a_class_that_is_probably_another_one_mistyped_is_a_warning(
    names: list[str],
    words: list[str],
    warned: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number, name in enumerate(names):
        photo(tmp_path / "images" / f"{number}.png", number)
        text(tmp_path / "annotations" / f"{number}.xml", voc_xml(name, (3, 2, 8, 7)))
    place = [
        "data=folder",
        f"data.root={tmp_path}",
        "data.format=voc_xml",
        "data.val_share=0",
        *words,
    ]
    assert main([*place, "out=null", "cost=false"]) == 0
    out = capsys.readouterr().out
    assert (
        "warning: the data set: every class should be called the same everywhere" in out
    ) is bool(warned)
    assert warned in out


def test_a_file_of_problems_is_named_only_if_there_are_some(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(place / "images" / "a.png")
    text(place / "annotations" / "a.xml", voc_xml("dog", (3, 2, 8, 7)))
    words = [
        "data=folder",
        f"data.root={place}",
        "data.format=voc_xml",
        "data.val_share=0",
        "cost=false",
        "sheet=null",
    ]
    assert main(words) == 0
    assert "problems:" not in capsys.readouterr().out
    assert Path("runs/check/problems.txt").read_text() == ""
    text(place / "annotations" / "a.xml", "<annotation/>")
    assert main([*words, "data.classes=[dog]"]) == 0
    assert "problems: runs/check/problems.txt" in capsys.readouterr().out


class Private(Toy):
    """Needs a key, and fails with it."""

    def __init__(self, api_key: str = "", **options: Any) -> None:
        super().__init__(train=2, val=1, size=32, **options)
        self.api_key = api_key

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        raise RuntimeError(f"the server has refused {self.api_key}")


def test_the_command_has_the_exit_codes_of_its_usage(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data=voc", f"data.root={place}", "cost=false", "out=null"]
    assert command([]) == 0
    assert command(words) == 0
    (place / "VOCdevkit/VOC2012/JPEGImages/2007_000001.jpg").write_bytes(b"no image")
    assert command(words) == 1
    assert command(["data=voc", "data.rot=x"]) == 2
    assert "did you mean root?" in capsys.readouterr().err


def test_the_command_reports_a_failure_in_a_line_without_secrets(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "weakseg.reporting.dataset_check.check_dataset",
        lambda data, workers: data.sample(0),
    )
    assert command([f"data={__name__}.Private", "data.api_key=hunter2", "out=null"]) == 1
    err = capsys.readouterr().err
    assert "the server has refused" in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("error: ")
    assert "hunter2" not in err


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_in_a_line(tmp_path: Path, signum: int, code: int) -> None:
    words = ["recipe=boxes", "data.train=5000", "out=null", "workers=0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "weakseg.check", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "looking" not in (line := process.stderr.readline(60)) and line:
        pass  # until the images are being read
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert f"stopped by {signal.Signals(signum).name}" in err
    assert "Traceback" not in err
