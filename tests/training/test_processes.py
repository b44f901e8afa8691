"""Whole runs as a person starts them: in processes of their own, two at a time, and killed."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from weakseg.suspicion.review_file import NAME, read_queue

ROOT = Path(__file__).parents[2]
SMALL = [
    "data.train=8",
    "data.val=5",
    "data.size=32",
    "network=tests.small.TinyNet",
    "network.classes=5",
]
WORDS = [
    "recipe=boxes",
    *SMALL,
    "trainer.accelerator=cpu",
    "trainer.log_every_n_steps=1",
    "trainer.enable_progress_bar=false",
]
TWO = ["trainer.strategy=ddp", "trainer.devices=2"]
LOSSES = [
    "strategy.class_weights=auto",
    "strategy.terms.dice=1",
    "strategy.terms.focal=2",
    "strategy.terms.projection=0.5",
]

pytestmark = pytest.mark.slow


def printed(folder: Path, *words: str) -> str:
    """What a command of Python has printed, begun in a folder; it must go well."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "weakseg.fit", *words]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(folder: Path, *words: str) -> Path:
    """The run folder of a run that goes well."""
    process = start(folder, *words)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    return only_run(folder)


def only_run(folder: Path) -> Path:
    (found,) = (folder / "runs").glob("boxes/[0-9]*")
    return found


def targets(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (folder / "runs" / "labels").glob("??/*-*")}


def figures(run: Path, prefix: str) -> dict[str, str]:
    """The last value of each figure."""
    with (run / "metrics.csv").open() as file:
        return {
            name: value
            for row in csv.DictReader(file)
            for name, value in row.items()
            if name.startswith(prefix) and value
        }


def suspicions(run: Path) -> dict[str, float]:
    return {found.image: found.score for found in read_queue(run / NAME)}


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(
        run / "checkpoints" / "last.ckpt", weights_only=True
    )["state_dict"]
    return state


def test_two_processes_share_images_without_annotation(tmp_path: Path) -> None:
    words = ["recipe=self_training", *SMALL, *WORDS[len(SMALL) + 1 :], *TWO]
    words += ["data.annotated=0.5", "data.batch_size=2", "rounds.every=1", "rounds.count=2"]
    process = start(tmp_path, *words, "trainer.max_steps=4")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    (folder,) = (tmp_path / "runs").glob("self_training/[0-9]*")
    predicted = [name for name in targets(tmp_path) if name.endswith(".npz")]
    assert len(predicted) == 4  # each once
    shares = figures(folder, "unlabelled/share/")
    assert sum(map(float, shares.values())) == pytest.approx(1)
    assert float(figures(folder, "loss/")["loss/pseudo_labels"]) > 0


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    words = [
        *WORDS,
        "optimizer=sgd",
        "optimizer.lr=0.05",
        "optimizer.freeze_batchnorm=true",
        "network.dropout=0",
        "data.crop=null",
        "data.scale=1,1",
    ]
    words.append("trainer.max_steps=6")
    one = run(tmp_path / "one", *words, "data.batch_size=4")
    two = run(tmp_path / "two", *words, "data.batch_size=2", *TWO)
    assert len(targets(tmp_path / "one")) == 8
    assert targets(tmp_path / "one") == targets(tmp_path / "two")
    assert figures(one, "label/") == figures(two, "label/")
    assert {file.name for file in one.iterdir()} == {file.name for file in two.iterdir()}
    assert float(figures(one, "loss/total")["loss/total"]) == pytest.approx(
        float(figures(two, "loss/total")["loss/total"]), rel=1e-5
    )
    for name, value in weights(one).items():
        assert torch.allclose(value, weights(two)[name], atol=1e-5), name
    assert suspicions(one) == pytest.approx(suspicions(two), abs=1e-2)


def test_two_processes_measure_what_one_measures(tmp_path: Path) -> None:
    words = [
        *WORDS,
        "optimizer.lr=1e-30",
        "optimizer.weight_decay=0",
        "optimizer.freeze_batchnorm=true",
        "trainer.max_steps=1",
    ]
    one = run(tmp_path / "one", *words)
    two = run(tmp_path / "two", *words, *TWO)
    assert all(torch.equal(value, weights(two)[name]) for name, value in weights(one).items())
    assert figures(one, "val/")
    assert figures(one, "val/") == figures(two, "val/")


def test_two_processes_augment_on_the_device_what_loaders_augment(tmp_path: Path) -> None:
    words = [*WORDS, *TWO, "data.batch_size=2", "data.workers=1", "data.colour=0.3"]
    words += ["data.crop=28", "data.scale=0.5,2", "trainer.max_steps=6"]
    host, device = (
        weights(run(tmp_path / where, *words, f"data.augment_on={where}"))
        for where in ("host", "device")
    )
    assert all(torch.equal(value, device[name]) for name, value in host.items())


@pytest.mark.parametrize(
    "extra",
    [["data.workers=0"], ["data.workers=2"], TWO, [*TWO, *LOSSES], ["data.augment_on=device"]],
    ids=["plain", "loaders", "ddp", "losses", "device"],
)
def test_kill_9_and_resume_ends_with_the_same_weights(tmp_path: Path, extra: list[str]) -> None:
    words = [
        *WORDS,
        *extra,
        "data.batch_size=2",
        "trainer.max_steps=40",
        "rounds.when=epochs",
        "rounds.every=3",
    ]
    whole = run(tmp_path / "whole", *words)
    process = start(tmp_path / "killed", *words)
    wait_for_steps(tmp_path / "killed", 11)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    killed = only_run(tmp_path / "killed")
    assert not (killed / "report.html").exists()
    resumed = run(tmp_path / "killed", f"resume={killed.relative_to(tmp_path / 'killed')}")
    assert resumed == killed
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(whole).items())
    assert steps(whole) == steps(resumed) == list(range(40))
    assert (whole / NAME).read_text() == (resumed / NAME).read_text()


def steps(run: Path) -> list[int]:
    with (run / "metrics.csv").open() as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row["loss/total"]]


def wait_for_steps(folder: Path, count: int, recipe: str = "boxes") -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        logs = list((folder / "runs").glob(f"{recipe}/[0-9]*/metrics.csv"))
        if logs and logs[0].read_text().count("\n") > count:
            return
        time.sleep(0.01)
    raise AssertionError("the run never got so far")


def test_sigterm_is_no_success(tmp_path: Path) -> None:
    process = start(tmp_path, *WORDS, "data.batch_size=2", "trainer.max_steps=100000")
    wait_for_steps(tmp_path, 3)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert "go on with: python -m weakseg.fit resume=runs/boxes/" in output


@pytest.mark.parametrize(
    "word",
    ["recipe=boxs", "recipe=boxes stratgy.unary=wssl_paper", "recipe=boxes strategy=boxs_crf"],
)
def test_a_mistyped_word_is_answered_without_torch(tmp_path: Path, word: str) -> None:
    code = f"""
import sys
from weakseg.fit import main
try:
    main({word.split()!r})
except SystemExit as stop:
    print(stop.code, "torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "False"]
    assert "did you mean" in done.stderr


FAILS_ON_ONE_RANK = """
import torch, weakseg

class Fails(weakseg.Strategy):
    def estimate(self, evidence, context):
        if evidence.id == "toy-00003":
            raise ValueError("this one is odd")
        return torch.zeros(evidence.image.shape[1:], dtype=torch.uint8)

class Explodes(weakseg.Strategy):
    def loss(self, logits, batch):
        factor = float("nan") if "toy-00003" in batch.ids else 1.0
        return {"mean": logits.mean() * factor}
"""


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("Fails", "image toy-00003: ValueError: this one is odd"),
        ("Explodes", "is not finite, on the images"),
    ],
)
def test_what_fails_on_one_rank_ends_all_ranks(tmp_path: Path, strategy: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(FAILS_ON_ONE_RANK)
    process = start(
        tmp_path,
        *WORDS,
        *TWO,
        "data.batch_size=2",
        "trainer.max_steps=50",
        f"strategy=mine.{strategy}",
    )
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert output.count(message) >= 2  # both ranks say it
    assert "toy-00003" in output
