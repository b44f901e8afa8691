"""How a run ends that cannot go on: in a line that says why, with the traceback in its folder, and
only with advice that works."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.small import TinyNet
from tests.test_fit import SMALL, TINY
from weakseg.data.label_store import LabelStore
from weakseg.data.toy.dataset import Toy
from weakseg.evidence import Batch, Evidence
from weakseg.fit import command, main
from weakseg.strategies.base import Context, Strategy

ROOT = Path(__file__).parents[1]
RUN = [
    "recipe=boxes_rect",
    *SMALL,
    "trainer.accelerator=cpu",
    "trainer.max_steps=9",
    "trainer.log_every_n_steps=1",
]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class WrongBox(Toy):
    """The box of one image lies outside of it."""

    def sample(self, index: int) -> tuple[Evidence, torch.Tensor | None]:
        evidence, truth = super().sample(index)
        boxes = torch.tensor([[900.0, 900.0, 950.0, 950.0]])
        return (
            evidence._replace(boxes=boxes, box_classes=torch.tensor([1]))
            if index == 1
            else evidence
        ), truth


class CannotEstimate(Strategy):
    """Fails on each image."""

    def estimate(self, evidence: Evidence, context: Context) -> torch.Tensor:
        raise ValueError("this one is odd")


class WantsTooMuch(Strategy):
    """Has not the memory for any image."""

    def estimate(self, evidence: Evidence, context: Context) -> torch.Tensor:
        raise MemoryError("can't allocate memory: you tried to allocate 9 bytes")


class Odd(Strategy):
    """Has a mistake in it, which the first step finds."""

    def loss(self, logits: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        return {"mean": logits.mean() + [][0]}


class OddLater(Odd):
    """Has a mistake in it, which the third step finds."""

    calls = 0

    def loss(self, logits: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        self.calls += 1
        return super().loss(logits, batch) if self.calls == 3 else {"mean": logits.square().mean()}


class NoNumber(OddLater):
    """Its third loss is not finite."""

    def loss(self, logits: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        self.calls += 1
        return {"mean": logits.square().mean() * (float("nan") if self.calls == 3 else 1)}


class Unnamed(TinyNet):
    """Wants more memory than there is."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp:75] DefaultCPUAllocator: can't allocate memory: you "
            "tried to allocate 9 bytes."
        )


BEFORE = {
    "data": ([f"data={__name__}.WrongBox", *TINY], "toy-00001"),
    "network": (
        ["network=tests.small.TinyNet", "network.classes=4"],
        "TinyNet returns 4 classes, but the data set has 5",
    ),
    "memory of an estimation": (
        [f"strategy={__name__}.WantsTooMuch", *TINY],
        "image toy-00000: MemoryError: can't allocate memory",
    ),
    "estimation": (
        [f"strategy={__name__}.CannotEstimate", *TINY],
        "image toy-00000: ValueError: this one is odd",
    ),
    "memory": (
        [f"network={__name__}.Unnamed", "network.classes=5"],
        "too little memory: [enforce fail at alloc_cpu.cpp:75]",
    ),
    "code": (
        [f"strategy={__name__}.Odd", *TINY],
        "IndexError: list index out of range (test_endings.py, line ",
    ),
}


@pytest.mark.parametrize("what", BEFORE)
def test_what_fails_before_the_first_step_is_a_line_and_leaves_no_folder(
    what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words, reason = BEFORE[what]
    assert command([*RUN, *words]) == 1
    said = capsys.readouterr().err
    assert f"error: {reason}" in said or (reason in said and "\nerror: " in said)
    assert "go on with" not in said
    # for a mistake in the code there is no other place
    assert ("Traceback" in said) == (what == "code")
    assert not list(Path().glob("runs/boxes_rect/*"))


def test_what_fails_later_is_a_line_with_its_traceback_in_the_folder_and_can_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command([*RUN, *TINY, f"strategy={__name__}.OddLater"]) == 1
    (run,) = Path("runs/boxes_rect").glob("[0-9]*")
    said = capsys.readouterr().err
    lines = said[said.index("error: ") :].splitlines()
    assert lines[0].startswith("error: IndexError: list index out of range (test_endings.py, line ")
    assert lines[1:] == [
        f"the traceback is in {run}/error.txt",
        f"stopped; go on with: python -m weakseg.fit resume={run}",
    ]
    assert "Traceback" not in said
    assert "Traceback" in (run / "error.txt").read_text()
    main([f"resume={run}", "trainer.max_steps=1"])
    assert not (run / "error.txt").exists()  # it is of another attempt


def test_nobody_is_advised_to_do_the_same_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert command([*RUN, *TINY, f"strategy={__name__}.NoNumber"]) == 1
    said = capsys.readouterr().err
    assert "error: the loss of step 2 is not finite" in said
    assert "go on with" not in said


def test_a_damaged_checkpoint_is_a_line_and_no_advice(capsys: pytest.CaptureFixture[str]) -> None:
    run = main([*RUN, *TINY])
    (run / "checkpoints" / "last.ckpt").write_bytes(b"no checkpoint")
    capsys.readouterr()
    assert command([f"resume={run}"]) != 0
    said = capsys.readouterr().err
    assert f"{run}/checkpoints/last.ckpt" in said
    assert said.count("\n") == 1
    assert "Traceback" not in said
    assert "go on with" not in said
    assert run.is_dir()


def test_a_folder_that_cannot_be_written_to_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    run = main([*RUN, *TINY])
    (run / ".lock").unlink()
    (run / ".lock").mkdir()  # for a user who may write anywhere, too
    assert command([f"resume={run}"]) == 1
    said = capsys.readouterr().err
    assert f"error: the folder {run} cannot be written to: Is a directory" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
def test_a_full_disk_is_a_line(
    later: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "some/file")

    if later:
        monkeypatch.setattr("weakseg.training.checkpoints.write_whole", full)
    else:
        monkeypatch.setattr(LabelStore, "write", full)
    assert command([*RUN, *TINY]) == 1
    said = capsys.readouterr().err
    assert "No space left on device" in said[said.index("error: ") :]
    assert "Traceback" not in said
    assert ("go on with" in said) == later


def test_the_report_is_there_when_the_table_cannot_be_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def closed(*_: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("weakseg.reporting.results.print_tables", closed)
    assert command([*RUN, *TINY]) == 1
    assert len(list(Path("runs").glob("boxes_rect/[0-9]*/report.html"))) == 1


def test_a_mistyped_word_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["recipe=boxs"]) == 2
    assert command(["--list"]) == 0


def test_too_little_memory_for_torch_is_said_once() -> None:
    code = """
import sys

class Refuses:
    def find_spec(self, name, *_):
        if name == "torch":
            raise ImportError("failed to map segment")

sys.meta_path.insert(0, Refuses())
from weakseg.fit import command
sys.exit(command(["recipe=boxes"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("failed to map segment") == 1
    assert done.stderr.startswith("error: torch cannot be loaded, for want of memory (ulimit -v)")
