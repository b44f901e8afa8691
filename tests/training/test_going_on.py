"""What `resume=` refuses before it touches anything, and what it says."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from tests.faults.runs import TINY, start
from tests.small import Refine, Squares, TinyNet, trainer
from weakseg.config.recipe import RecipeError, load
from weakseg.run import load as load_run
from weakseg.training.checkpoints import PLACE, WholeFiles
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter

WORDS = [
    "recipe=boxes_rect",
    *TINY,
    "data.train=4",
    "data.batch_size=2",
    "trainer.max_steps=2",
    "trainer.check_val_every_n_epoch=1",
    "trainer.log_every_n_steps=1",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start(tmp_path_factory.mktemp("run"), WORDS)


def flip(file: Path, place: int) -> bytes:
    """Flip a bit in the middle of a file; returns what it was."""
    whole = file.read_bytes()
    file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    return whole


def refused(words: list[str], root: Path) -> str:
    with pytest.raises(RecipeError) as caught:
        start(root, words)
    (line,) = caught.value.errors
    return line


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_flipped_bit_in_a_checkpoint_is_refused_in_one_line_that_says_what_to_do(
    run: Path, part: float
) -> None:
    file = run / "checkpoints" / "last.ckpt"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    whole = flip(file, int(part * file.stat().st_size))
    try:
        line = refused([f"resume={run}"], run.parents[1])
        assert line.startswith(f"resume: {file} is damaged")
        assert f"init_from={run / 'checkpoints' / 'best.ckpt'}" in line
        assert "delete it" in line
        started = refused([*WORDS, f"init_from={file}"], run.parents[1])
        assert started.startswith(f"init_from: {file} is damaged")
        with pytest.raises(ValueError, match="is damaged"):
            load_run(run)
        with pytest.raises(ValueError, match="is damaged"):
            WholeFiles().load_checkpoint(file)
    finally:
        file.write_bytes(whole)
    # nothing was touched
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("content", [b"", b"no checkpoint", pickle.dumps({"a": 1})])
def test_what_is_no_checkpoint_is_refused_in_one_line(run: Path, content: bytes) -> None:
    file = run / "checkpoints" / "last.ckpt"
    whole = file.read_bytes()
    file.write_bytes(content)
    try:
        assert refused([f"resume={run}"], run.parents[1]).startswith(f"resume: {file} is ")
    finally:
        file.write_bytes(whole)


@pytest.mark.parametrize("known", [None, {}, {"format": 1, "rows": 2}])
def test_a_run_of_another_version_is_refused_in_one_line(
    run: Path, known: dict[str, int] | None
) -> None:
    file = run / "checkpoints" / "last.ckpt"
    whole = file.read_bytes()
    content = torch.load(file, weights_only=True)
    del content[PLACE]
    WholeFiles().save_checkpoint(content | ({} if known is None else {PLACE: known}), file)
    try:
        line = refused([f"resume={run}"], run.parents[1])
        assert line.startswith(f"resume: {file} was made by another version of weakseg")
        assert line.endswith(f"recipe={run / 'recipe.yaml'} init_from={file}")
    finally:
        file.write_bytes(whole)


@pytest.mark.parametrize("lacking", ["loops", "optimizer_states", "weakseg"])
def test_a_checkpoint_that_only_holds_weights_is_refused(run: Path, lacking: str) -> None:
    file = run / "checkpoints" / "last.ckpt"
    whole = file.read_bytes()
    content = torch.load(file, weights_only=True)
    del content[lacking]
    WholeFiles().save_checkpoint(content, file)
    try:
        line = refused([f"resume={run}"], run.parents[1])
        assert line.startswith(
            f"resume: {file} is no checkpoint that a run can go on from: it has no {lacking}"
        )
        file.write_bytes((run / "checkpoints" / "best.ckpt").read_bytes())
        assert "it has no optimizer_states (best.ckpt is of that kind" in refused(
            [f"resume={run}"], run.parents[1]
        )
    finally:
        file.write_bytes(whole)


@pytest.mark.parametrize(
    "name", ["metrics.csv", "checkpoints/last.ckpt", "checkpoints/best.ckpt", "report.html"]
)
def test_a_folder_in_the_place_of_a_file_is_refused_before_anything_is_touched(
    run: Path, name: str
) -> None:
    file = run / name
    kept = file.rename(file.with_name("kept"))
    file.mkdir()
    try:
        assert (
            refused([f"resume={run}"], run.parents[1])
            == f"resume: expected a file, but {file} is none; move it away to go on"
        )
    finally:
        file.rmdir()
        kept.rename(file)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("seed: 0", "seed: 1"),
        lambda text: text.replace("batch_size: 2", "batch_size: 4"),
        lambda text: text.partition("trainer:")[0],
        lambda text: text.replace("max_steps: 2", "max_steps: 9"),
    ],
)
def test_a_run_does_not_go_on_by_another_recipe(run: Path, change: Callable[[str], str]) -> None:
    file = run / "recipe.yaml"
    text = file.read_text()
    assert change(text) != text
    file.write_text(change(text))
    try:
        line = refused([f"resume={run}"], run.parents[1])
        assert line.startswith(
            f"resume: {file} is not the recipe that this run was trained with until now; undo the "
            "change"
        )
        file.write_text(f"# a comment of the user\n{text}")
        assert start(run.parents[1], [f"resume={run}"]) == run
    finally:
        file.write_text(text)


@pytest.mark.parametrize("damage", ["gone", "empty", "shorter", "no head", "binary"])
def test_lost_rows_of_the_record_are_told_of(run: Path, damage: str) -> None:
    file = run / "metrics.csv"
    whole = file.read_bytes()
    head, first, *_ = lines = whole.splitlines(keepends=True)
    file.unlink()
    left = {
        "empty": b"",
        "shorter": head + first,
        "no head": b"".join(lines[1:]),
        "binary": bytes(range(256)) * 9,
    }
    if damage in left:
        file.write_bytes(left[damage])
    try:
        with pytest.warns(
            UserWarning,
            match=rf"metrics.csv has {int(damage == 'shorter')} of the {len(lines) - 1} rows",
        ):
            assert start(run.parents[1], [f"resume={run}"]) == run
    finally:
        file.write_bytes(whole)


def other_processes(run: Path, change: Any) -> None:
    """Pretend that the run was trained by another number of processes."""
    file = run / "checkpoints" / "last.ckpt"
    content = torch.load(file, weights_only=True)
    content["weakseg-run"]["processes"] = change
    WholeFiles().save_checkpoint(content, file)


def test_going_on_with_other_processes_asks_for_one_word(run: Path) -> None:
    file = run / "checkpoints" / "last.ckpt"
    whole = file.read_bytes()
    try:
        other_processes(run, 2)
        line = refused([f"resume={run}"], run.parents[1])
        assert "trained by 2 processes and would go on with 1, so its results would differ" in line
        assert "write processes=1" in line
        assert refused([f"resume={run}", "processes=2"], run.parents[1]).startswith(
            "processes: expected 1,"
        )
        assert start(run.parents[1], [f"resume={run}", "processes=1"]) == run
    finally:
        file.write_bytes(whole)
    assert start(run.parents[1], [f"resume={run}"]) == run


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["resume={run}", "processes=none"],
            "processes: expected a whole number from 1 on, but it is 'none'",
        ),
        (
            ["resume={run}", "processes=0"],
            "processes: expected a whole number from 1 on, but it is '0'",
        ),
        (
            ["recipe=boxes", "processes=2"],
            "processes: belongs to resume=; a new run has as many as",
        ),
    ],
)
def test_a_number_of_processes_that_is_none(run: Path, words: list[str], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load([word.format(run=run) for word in words])
    (line,) = caught.value.errors
    assert line.startswith(message)


class Hooks(pl.Callback):
    """Writes down which epoch began and ended at which step."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int, int]] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.heard.append(("start", trainer.current_epoch, trainer.global_step))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.heard.append(("end", trainer.current_epoch, trainer.global_step))


def hear(folder: Path, steps: int, **arguments: Any) -> tuple[list[tuple[str, int, int]], int]:
    pl.seed_everything(7, verbose=False)
    hooks, rounds, data = Hooks(), Rounds(when="epochs", count=5), Squares()
    keeps = ModelCheckpoint(folder, save_last=True, save_on_train_epoch_end=True)
    fit = trainer(folder, steps, callbacks=[rounds, hooks, keeps], plugins=[WholeFiles()])
    fit.fit(
        Segmenter(TinyNet(), Refine(), data.classes),
        datamodule=data,
        weights_only=True,
        **arguments,
    )
    return hooks.heard, rounds.round


@pytest.mark.parametrize("stops", [3, 6, 7])
def test_callbacks_hear_once_of_each_epoch_whoever_wrote_the_checkpoint(
    tmp_path: Path, stops: int
) -> None:
    """With Lightning's own ModelCheckpoint, too, whose checkpoints are written while an epoch
    ends."""
    whole, _ = hear(tmp_path / "whole", 12)
    first, _ = hear(tmp_path / "stopped", stops)
    rest, _ = hear(tmp_path / "stopped", 12, ckpt_path=tmp_path / "stopped" / "last.ckpt")
    ended = [epoch for what, epoch, _ in [*first, *rest] if what == "end"]
    assert ended == sorted(set(ended))
    if stops % 3 == 0:
        assert [*first, *rest] == whole
