"""`weakseg.predict` as a command: what it prints, its exit codes, signals and kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.prediction.fakes import save_photo
from weakseg.predict import lines, main
from weakseg.prediction.images import Predicted
from weakseg.prediction.steps import Broken

ROOT = Path(__file__).parents[2]


@pytest.fixture
def words(trained: Path, tmp_path: Path) -> list[str]:
    for number in range(3):
        save_photo(tmp_path / "photos" / f"{number}.png", seed=number)
    return [f"run={trained}", f"images={tmp_path / 'photos'}", f"out={tmp_path / 'out'}"]


def test_it_prints_what_it_has_done(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = main([*words, "predict.flip=true", "device=cpu"])
    out = capsys.readouterr().out
    assert "predicted: 3 images in " in out
    assert f"masks: {tmp_path / 'out'}\n" in out
    assert f"summary: {tmp_path / 'out' / 'summary.json'}\n" in out
    assert "skipped" not in out
    assert len(list((tmp_path / "out").glob("*.png"))) == 3
    content = json.loads(done.summary.read_text())
    assert content["predict"]["flip"] is True
    assert content["model"]["recipe"] == "full"
    assert content["model"]["path"].endswith("best.ckpt")


@pytest.mark.slow
def test_it_exits_with_one_if_an_image_was_broken(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"")
    done = called([*words, "device=cpu"])
    assert done.returncode == 1, done.stderr
    assert "broken: 1 image\n" in done.stdout
    assert "  bad.jpg: " in done.stdout
    assert len(list((tmp_path / "out").glob("*.png"))) == 3
    (tmp_path / "photos" / "bad.jpg").unlink()
    again = called([*words, "device=cpu"])
    assert again.returncode == 0, again.stderr
    assert "predicted: 0 images\n" in again.stdout
    assert "skipped: 3 images, whose results were there already\n" in again.stdout


MISTAKES = [
    ("imags=x", "imags: no such word; did you mean images?"),
    ("parts=0", "parts"),
    ("format=coc", "format: expected png or coco"),
    ("precision=half", "precision: expected auto"),
    ("predict.flop=true", "predict.flop: no such key; did you mean flip?"),
    ("overlay=maybe", "overlay: expected true or false, but it is 'maybe'"),
]


@pytest.mark.parametrize(("word", "message"), MISTAKES)
def test_mistakes_exit_with_two(
    words: list[str], word: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*words, word])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_what_the_words_name_is_looked_at_before_torch_is_loaded(words: list[str]) -> None:
    inside = words[1].replace("images=", "out=") + "/masks"
    code = (
        "import sys; from weakseg.predict import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, *words[:2], inside]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
    assert "where the images are; name a folder beside it" in done.stderr


def test_help_and_show(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for flag, text in (("--help", "overlay=false"), ("--show", "overlay: false")):
        with pytest.raises(SystemExit) as end:
            main([*words, flag])
        assert end.value.code == 0
        assert text in capsys.readouterr().out


def test_a_run_without_checkpoint_is_one_line(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(SystemExit) as end:
        main([f"run={tmp_path / 'run'}", *words[1:]])
    assert end.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def called(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "weakseg.predict", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


class Running:
    """The command in a process of its own, with so many images that it is never done."""

    def __init__(self, words: list[str]) -> None:
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, "-m", "weakseg.predict", *words, "device=cpu"],
            cwd=ROOT,
            env={**os.environ, "WEAKSEG_TEST": self.mark},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def left(self) -> list[str]:
        """The processes that it has left behind."""
        found = []
        for file in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self.mark.encode() in file.read_bytes():
                    found.append(file.parent.name)
            except OSError:
                continue
        return found


@pytest.fixture
def many(words: list[str], tmp_path: Path) -> list[str]:
    first = tmp_path / "photos" / "0.png"
    for number in range(3, 3000):
        os.link(first, tmp_path / "photos" / f"{number}.png")
    # which take a while each
    return [*words, "predict.scales=[4,8]"]


def wait_for_masks(folder: Path, count: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if len(list(folder.glob("[0-9]*.png"))) >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"there are no {count} masks in {folder} after two minutes")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it_and_the_next_call_goes_on(
    many: list[str], tmp_path: Path, signum: signal.Signals
) -> None:
    running = Running(many)
    wait_for_masks(tmp_path / "out", 5)
    sent = time.monotonic()
    running.process.send_signal(signum)
    _, errors = running.process.communicate(timeout=60)
    assert time.monotonic() - sent < 8  # a second or two, on a machine that is not busy
    usual = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
    assert running.process.returncode == usual[signum]
    assert "Traceback" not in errors
    assert running.left() == []
    masks = list((tmp_path / "out").glob("[0-9]*.png"))
    assert all(np.asarray(Image.open(mask)).shape == (16, 24) for mask in masks)
    for photo in list((tmp_path / "photos").iterdir())[20:]:
        photo.unlink()
    kept = {mask.stem for mask in masks} & {p.stem for p in (tmp_path / "photos").iterdir()}
    done = main([*many, "device=cpu"])
    assert done.predicted + done.skipped == 20
    # the last ones may have been written but not noted
    assert len(kept) - 20 < len(kept) - done.skipped <= 10
    assert not list((tmp_path / "out").glob("*.part"))
    assert len(json.loads(done.summary.read_text())["images"]) >= 20


@pytest.mark.slow
def test_a_second_process_with_the_same_folder_is_refused(many: list[str], tmp_path: Path) -> None:
    running = Running(many)
    wait_for_masks(tmp_path / "out", 1)
    second = called([*many, "device=cpu"])
    running.process.kill()
    running.process.communicate()
    assert second.returncode == 1
    assert "another process is working in " in second.stderr
    assert len(second.stderr.splitlines()) == 1


def test_a_place_that_cannot_be_written_to(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be made: Not a directory; name another"):
        main([*words[:2], f"out={tmp_path / 'file' / 'out'}", "device=cpu"])


def test_the_first_broken_images_are_named_on_lines_of_their_own() -> None:
    broken = tuple(Broken(f"{number:02}.jpg", "cut\noff") for number in range(12))
    done = Predicted(Path("out"), Path("out/summary.json"), 3, 0, broken, 1.5, "net.onnx", ())
    shown = lines(done)
    assert shown[1] == "predicted: 3 images in 1.5 seconds, 2.0 images per second"
    assert shown[2:4] == ["broken: 12 images", r"  00.jpg: cut\noff"]
    assert shown[-3:] == [
        "  and 2 more, in summary.json",
        "masks: out",
        "summary: out/summary.json",
    ]
