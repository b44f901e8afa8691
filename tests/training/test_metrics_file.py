import csv
import math
import multiprocessing
import os
import signal
import struct
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only

from weakseg.training.metrics_file import Record, read_record


def raw(folder: Path) -> list[list[str]]:
    """What another program reads."""
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_each_row_is_on_disk_at_once_and_a_new_figure_adds_a_column(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.log_metrics({"loss/total": 0.5, "epoch": 0}, step=0)
    assert raw(tmp_path) == [["step", "epoch", "round", "loss/total"], ["0", "0", "", "0.5"]]
    record.log_metrics({"label/miou": 0.75, "round": 0.0}, step=3)
    assert raw(tmp_path) == [
        ["step", "epoch", "round", "loss/total", "label/miou"],
        ["0", "0", "", "0.5", ""],
        ["3", "", "0", "", "0.75"],
    ]
    assert read_record(tmp_path / "metrics.csv")[1] == {
        "step": "3",
        "epoch": "",
        "round": "0",
        "loss/total": "",
        "label/miou": "0.75",
    }
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.csv"]


def test_numbers_read_back_exactly(tmp_path: Path) -> None:
    values = [
        0.1,
        1 / 3,
        5e-324,
        1.7976931348623157e308,
        float(torch.tensor(0.1)),
        -0.0,
        math.inf,
        -math.inf,
        math.nan,
    ]
    record = Record(tmp_path)
    for value in values:
        record.log_metrics({"x": value}, step=1)
    back = [float(row["x"]) for row in read_record(tmp_path / "metrics.csv")]
    assert struct.pack("9d", *back[:-1], math.nan) == struct.pack("9d", *values[:-1], math.nan)
    assert math.isnan(back[-1])


def test_awkward_names_of_classes_survive(tmp_path: Path) -> None:
    names = ['val/iou/a,b "c"', "val/iou/=1+1", "val/iou/Ähre"]
    record = Record(tmp_path)
    for name in names:
        record.log_metrics({name: 1.0}, step=0)
    assert list(read_record(tmp_path / "metrics.csv")[0])[3:] == names


def test_an_existing_file_is_continued(tmp_path: Path) -> None:
    Record(tmp_path).log_metrics({"a": 1.0}, step=0)
    again = Record(tmp_path)
    again.log_metrics({"a": 2.0}, step=1)
    again.log_metrics({"b": 3.0}, step=2)
    assert raw(tmp_path) == [
        ["step", "epoch", "round", "a", "b"],
        ["0", "", "", "1.0", ""],
        ["1", "", "", "2.0", ""],
        ["2", "", "", "", "3.0"],
    ]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_last_row_that_was_cut_short_is_dropped(tmp_path: Path, cut: int) -> None:
    record = Record(tmp_path)
    record.log_metrics({"a": 1.0, "b": 10.0}, step=0)
    # "1,,,2.0,20.0\n": eleven cuts leave a part of it
    record.log_metrics({"a": 2.0, "b": 20.0}, step=1)
    content = (tmp_path / "metrics.csv").read_bytes()
    (tmp_path / "metrics.csv").write_bytes(content[:-cut])
    assert [row["step"] for row in read_record(tmp_path / "metrics.csv")] == ["0"]
    Record(tmp_path).log_metrics({"a": 3.0, "b": 30.0}, step=1)
    assert raw(tmp_path)[1:] == [["0", "", "", "1.0", "10.0"], ["1", "", "", "3.0", "30.0"]]


def test_a_head_that_was_cut_short_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,epo")
    Record(tmp_path).log_metrics({"a": 1.0}, step=0)
    assert raw(tmp_path) == [["step", "epoch", "round", "a"], ["0", "", "", "1.0"]]


def test_a_row_with_too_few_columns_is_dropped_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,epoch,round,a\n0,,,1.0\n1,,\n2,,,3.0\n")
    assert [row["a"] for row in read_record(tmp_path / "metrics.csv")] == ["1.0", "3.0"]


def test_rewind_forgets_what_a_resumed_run_logs_again(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.log_metrics({"label/miou": 0.5, "round": 0}, step=0)
    for step in range(4):
        record.log_metrics({"a": float(step)}, step=step)
        if step == 1:
            record.log_metrics({"label/miou": 0.6, "round": 1}, step=2)  # after two steps
    record.log_metrics({"label/miou": 0.7, "round": 2}, step=4)
    again = Record(tmp_path)
    again.rewind(2)
    rows = [(row["step"], row["round"], row["a"]) for row in read_record(tmp_path / "metrics.csv")]
    assert rows == [("0", "0", ""), ("0", "", "0.0"), ("1", "", "1.0"), ("2", "1", "")]
    again.log_metrics({"a": 9.0}, step=2)
    assert len(raw(tmp_path)) == 6
    again.rewind(0)
    assert raw(tmp_path) == [["step", "epoch", "round", "label/miou", "a"]]


def test_rewind_of_a_run_that_logged_nothing_writes_nothing(tmp_path: Path) -> None:
    Record(tmp_path).rewind(0)
    assert list(tmp_path.iterdir()) == []
    assert read_record(tmp_path / "metrics.csv") == []


def test_a_row_with_a_cell_that_is_no_number_is_no_row(tmp_path: Path) -> None:
    Record(tmp_path).log_metrics({"a": 1.0}, step=0)
    with (tmp_path / "metrics.csv").open("ab") as file:
        file.write(b"1,,,\x00\x00\n2,,,nan\n")
    assert [(row["step"], row["a"]) for row in read_record(tmp_path / "metrics.csv")] == [
        ("0", "1.0"),
        ("2", "nan"),
    ]


def test_other_ranks_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Record(tmp_path).log_metrics({"a": 1.0}, step=0)
    torn = (tmp_path / "metrics.csv").read_bytes() + b"1,,"
    (tmp_path / "metrics.csv").write_bytes(torn)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    record = Record(tmp_path)
    record.log_metrics({"b": 1.0}, step=1)
    record.rewind(0)
    assert (tmp_path / "metrics.csv").read_bytes() == torn


class Line(pl.LightningModule):
    """One weight, trained for a few steps."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def train_dataloader(self) -> torch.utils.data.DataLoader[float]:
        return torch.utils.data.DataLoader([1.0, 1.0, 1.0])

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        loss = (self.weight * batch.float()).sum()
        self.log("loss/total", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.25)


def test_a_trainer_takes_it_as_a_logger(tmp_path: Path) -> None:
    trainer = pl.Trainer(
        logger=Record(tmp_path),
        max_epochs=2,
        log_every_n_steps=1,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Line())
    rows = read_record(tmp_path / "metrics.csv")
    assert [(row["step"], row["epoch"], row["loss/total"]) for row in rows] == [
        ("0", "0", "1.0"),
        ("1", "0", "0.75"),
        ("2", "0", "0.5"),
        ("3", "1", "0.25"),
        ("4", "1", "0.0"),
        ("5", "1", "-0.25"),
    ]
    assert trainer.log_dir == str(tmp_path)


def _write_forever(folder: Path) -> None:
    record = Record(folder)
    for step in range(10**9):
        record.log_metrics({f"figure/{step // 20}": step / 7, "loss": 1.0}, step=step)


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_at_most_the_last_row(tmp_path: Path) -> None:
    for attempt in range(8):
        folder = tmp_path / str(attempt)
        writer = multiprocessing.get_context("fork").Process(target=_write_forever, args=(folder,))
        writer.start()
        while not (folder / "metrics.csv").is_file():
            pass
        writer.join(0.05 + 0.031 * attempt)
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
        rows = read_record(folder / "metrics.csv")
        assert [int(row["step"]) for row in rows] == list(range(len(rows)))
        assert all(float(row[f"figure/{step // 20}"]) == step / 7 for step, row in enumerate(rows))
        Record(folder).log_metrics({"loss": 2.0}, step=len(rows))
        assert len(raw(folder)) == len(rows) + 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_gets_full_is_told_with_the_file(tmp_path: Path) -> None:
    record = Record(tmp_path)
    (tmp_path / "metrics.csv").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*/metrics.csv'"):
        record.log_metrics({"loss": 1.0}, step=0)
