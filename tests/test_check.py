from pathlib import Path

import pytest
from PIL import Image

from tests.data.layouts import photo, text, voc, voc_xml
from weakseg.check import main

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return voc(tmp_path)


def test_a_healthy_set(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data=voc", f"data.root={place}"]) == 0
    out = capsys.readouterr().out
    assert "4 images, 2 of them only measured on" in " ".join(out.split())
    assert "0 errors, 1 warning" in " ".join(out.split())
    with Image.open("check.png") as sheet:
        assert sheet.width > 500


def test_an_ill_one(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(place / "images" / "a.png")
    text(place / "annotations" / "a.xml", voc_xml("dog", (8, 2, 3, 7)))
    words = ["data=folder", f"data.root={place}", "data.format=voc_xml", "data.classes=[dog]", "data.val_share=0", "sheet=null"]
    assert main(words) == 1
    assert "a box should be wider and higher than 0" in capsys.readouterr().out
    assert not Path("check.png").exists()


def test_the_data_set_of_a_recipe(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe=boxes", "data.train=3", "data.val=1", "data.size=32", "sheet=toy.png"]) == 0
    assert Path("toy.png").is_file()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["data=vco"], "data.name: there is no vco; did you mean voc?"),
        (["data=voc"], "data.root: missing; expected a path"),
        (["data=voc", "data.rot=x"], "data.rot: no such key; did you mean root?"),
        (["data=voc", "data.root=nowhere"], "data: root should be the folder VOCdevkit"),
        (["data=voc", "data.root=.", "data.evidence=box"], "did you mean boxes?"),
        (["data=folder", "data.root=.", "data.format=coc"], "did you mean coco?"),
        (["dta=voc"], "dta: no such section; did you mean data?"),
        (["dta=voc"], "data: missing; write data=folder"),
        (["data=voc", "sheat=a.png"], "sheat: no such section"),
        (["data=voc", "workers=two"], "workers: expected a whole number, at least 0, but it is 'two'"),
        (["data=toy", "sheet=nowhere/a.png"], "sheet: there is no folder"),
    ],
)
def test_words_that_are_wrong(place: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--help"], ["data=voc", "-h"]])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    assert "python -m weakseg.check data=" in capsys.readouterr().out
