"""`weakseg.label` as a command."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.small import SIZE
from weakseg import label
from weakseg.data.formats.images import read_mask
from weakseg.utils.output_folder import OutputFolder

ROOT = Path(__file__).parents[2]
WORDS = [
    "recipe=boxes_rect",
    "data=tests.labelling.methods.Broken",
    "network=tests.small.TinyNet",
    "rounds.workers=0",
]


def test_what_is_wrong_is_named_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, f"rounds.folder={tmp_path / 'labels'}", f"out={tmp_path / 'out'}"]
    assert label.command(words) == 1
    shown = capsys.readouterr()
    assert "broken: 1 image\n  number 3: image disc/3: its file is cut off" in shown.out
    assert "without evidence: 1 image\n  disc/5: has no boxes" in shown.out
    assert re.search("labelled: 15 images in .* seconds, 15 of them estimated now\n", shown.out)
    assert "skipped" not in shown.out
    assert f"masks: {tmp_path / 'out'}\n" in shown.out
    assert f"summary: {tmp_path / 'out' / 'summary.json'}\n" in shown.out
    done = label.main(words)
    assert (done.labelled, done.skipped) == (0, 15)
    again = capsys.readouterr().out
    assert "labelled: 0 images\n" in again
    assert "skipped: 15 images, whose results were there already\n" in again


def test_whole_data_sets_exit_with_0(tmp_path: Path) -> None:
    words = [word for word in WORDS if not word.startswith("data=")]
    folders = [f"rounds.folder={tmp_path / 'labels'}", f"out={tmp_path / 'out'}"]
    assert label.command([*words, "data=tests.small.Squares", *folders]) == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["recipe=boxes", "out=x", "formt=coco"], "formt: no such word; did you mean format?"),
        (["recipe=boxes", "out=x", "strategy.shre=1"], "did you mean share?"),
        (["recipe=boxes"], "out: missing"),
        (["out=x"], "recipe, run: expected one of the two"),
        (["recipe=boxes", "out=x", "parts=0"], "parts: it should be at least 1, but it is 0"),
        (["recipe=boxes", "out=x", "parts=2", "part=3"], "part should lie from 1 to 2"),
        (["run=nowhere", "out=x"], "run: there is no nowhere"),
    ],
)
def test_mistakes_exit_with_2(
    words: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        label.main(words)
    assert caught.value.code == 2
    assert line in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_folder_that_another_process_writes_into_is_refused(tmp_path: Path) -> None:
    words = [*WORDS, f"rounds.folder={tmp_path / 'labels'}", f"out={tmp_path / 'out'}"]
    with OutputFolder(tmp_path / "out"):
        done = subprocess.run(
            [sys.executable, "-m", "weakseg.label", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "another process is working in" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_after_kill_9_the_next_call_goes_on(tmp_path: Path) -> None:
    words = ["recipe=boxes_rect", "data=tests.small.Squares", "data.train=1500", "data.val=0"]
    words += ["network=tests.small.TinyNet", "rounds.workers=0"]
    words += [f"rounds.folder={tmp_path / 'labels'}", f"out={tmp_path / 'out'}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "weakseg.label", *words],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and len(list((tmp_path / "out").rglob("*.png"))) < 20:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    there = list((tmp_path / "out").rglob("*.png"))
    assert 20 <= len(there) < 1500
    assert all(read_mask(file).shape == (SIZE, SIZE) for file in there)
    assert not (tmp_path / "out" / "summary.json").exists()
    done = label.main(words)
    assert done.estimated == 0  # all targets were in the store
    assert done.skipped >= len(there) - 1
    assert done.labelled + done.skipped == 1500
    assert not list((tmp_path / "out").rglob(".*.part"))
