"""What a verb writes with engine=ray is what it writes in one process: a local Ray with two
actors, killed and continued."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.prediction.fakes import save_photo
from tests.trained.runs import SMALL
from weakseg.evaluation.model import evaluate_model
from weakseg.fit import main as fit
from weakseg.labelling import workers
from weakseg.labelling.dataset import Labelled, label_dataset
from weakseg.prediction.images import predict_images
from weakseg.utils.engine import EngineName

ray = pytest.importorskip("ray", reason="engine=ray is an extra: pip install 'weakseg[ray]'")

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, _node_ip_address="127.0.0.1")
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    return fit(["recipe=full", *SMALL, f"trainer.default_root_dir={root}"])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(20):
        save_photo(folder / ["a", "b"][number % 2] / f"{number}.png", 20, 30 + number % 3, number)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """All results but the summary, which says when it was made."""
    found = sorted(file for file in folder.rglob("*") if file.is_file())
    names = {file.relative_to(folder).as_posix(): file for file in found}
    hidden = {"summary.json", ".results.lock"}
    return {name: file.read_bytes() for name, file in names.items() if name not in hidden}


def summary(folder: Path) -> dict[str, Any]:
    """What does not depend on the clock, and on who has made it."""
    content: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    for name in ("command", "seconds", "images_per_second", "device", "images_folder"):
        content.pop(name, None)
    for entry in content["images"]:
        entry.pop("seconds", None)
    return content


def assert_same(one: Path, other: Path) -> None:
    assert files(one) == files(other)
    assert summary(one) == summary(other)


def test_predictions_of_actors_are_those_of_one_process(
    run: Path, photos: Path, tmp_path: Path
) -> None:
    (photos / "broken.png").write_bytes(b"")
    wanted: dict[str, Any] = {"overlay": True, "probabilities": True, "device": "cpu"}
    here = predict_images(run, photos, tmp_path / "here", format="coco", batch_size=1, **wanted)
    there = predict_images(
        run, photos, tmp_path / "there", format="coco", batch_size=1, engine="ray", **wanted
    )
    assert (there.predicted, len(there.broken)) == (here.predicted, 1)
    assert_same(tmp_path / "here", tmp_path / "there")
    again = predict_images(run, photos, tmp_path / "there", engine="ray", **wanted)
    assert (again.predicted, again.skipped) == (0, 20)
    (photos / "broken.png").unlink()


def test_what_goes_wrong_in_an_actor_is_one_line_here(
    run: Path, photos: Path, tmp_path: Path
) -> None:
    # no actor finds it, although this process has
    loaded = tmp_path / "run"
    with pytest.raises(ValueError, match="there is no"):
        _predict_with_lost_network(loaded, run, photos, tmp_path / "out")


def _predict_with_lost_network(lost: Path, run: Path, photos: Path, out: Path) -> None:
    from weakseg.prediction import images as module
    from weakseg.trained.loading import load_model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_model", lambda *_, **__: load_model(run, device="cpu"))
        predict_images(lost, photos, out, engine="ray", device="cpu", actors=1)


LABELS: dict[str, Any] = {
    "data": {"name": "tests.small.Squares", "train": "28"},
    "network": {"name": "tests.small.TinyNet"},
    "device": "cpu",
}


def test_labels_of_a_strategy_that_is_fitted_are_those_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three passes of the actors: they read, describe and label."""
    monkeypatch.setattr(workers, "READING_PAYS", 1)
    given: dict[str, Any] = {**LABELS, "strategy": {"name": "tests.labelling.methods.Mean"}}

    def label(name: str, engine: EngineName) -> Labelled:
        folder = str(tmp_path / f"labels of {name}")
        rounds = {"folder": folder, "workers": "0"}
        out = tmp_path / name
        return label_dataset(
            "boxes_rect", out=out, engine=engine, rounds=rounds, format="coco", **given
        )

    done = label("here", "local"), label("there", "ray")
    assert [(each.labelled, each.estimated) for each in done] == [(33, 33)] * 2
    assert_same(tmp_path / "here", tmp_path / "there")
    again = label("there", "local")
    assert (again.labelled, again.skipped) == (0, 33)


def test_an_evaluation_by_actors_is_that_of_one_process(run: Path, tmp_path: Path) -> None:
    data = {"val": 9}
    here = evaluate_model(run, data, out=tmp_path / "here", subset="all", device="cpu")
    there = evaluate_model(
        run, data, out=tmp_path / "there", subset="all", device="cpu", engine="ray", actors=2
    )
    assert there.figures == pytest.approx(here.figures, abs=0, nan_ok=True)
    assert summary(tmp_path / "there") == summary(tmp_path / "here")
    assert torch.equal(there.cells, here.cells)
    names = {"summary.json", "images.csv", "confusions.npz", "report.html"}
    assert {file.name for file in (tmp_path / "there").iterdir() if file.name[0] != "."} == names
    assert not list((tmp_path / "there").glob(".counts*"))


class Running:
    """A command with a Ray of its own."""

    def __init__(self, verb: str, words: list[str]) -> None:
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"weakseg.{verb}", *words, "engine=ray", "actors=2"],
            cwd=ROOT,
            env={**os.environ, "RAY_ADDRESS": "local", "WEAKSEG_TEST": self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def left(self) -> list[str]:
        """The processes that it has left behind, but for two agents of Ray, which end by themselves
        when they have not reached their node for a minute."""
        found = []
        for file in Path("/proc").glob("[0-9]*/environ"):
            try:
                name = (file.parent / "cmdline").read_text()
                if self.mark.encode() in file.read_bytes() and "Agent" not in name:
                    found.append(name)
            except OSError:
                continue
        return found

    def wait_for_notes(self, folder: Path, count: int) -> None:
        """Until so many results are noted."""
        record = folder / ".record.jsonl"
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.poll() is None:
            if record.exists() and record.read_text().count('"name"') >= count:
                return
            time.sleep(0.02)
        raise AssertionError(f"no {count} results: {self.process.communicate()}")


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_after_a_kill_no_process_is_left_and_the_next_call_goes_on(
    run: Path, tmp_path: Path
) -> None:
    first = save_photo(tmp_path / "photos" / "0.png", 20, 30)
    for number in range(1, 240):
        os.link(first, tmp_path / "photos" / f"{number}.png")
    words = [f"run={run}", f"images={tmp_path / 'photos'}", f"out={tmp_path / 'out'}", "device=cpu"]
    running = Running("predict", [*words, "predict.scales=[4,8]"])
    running.wait_for_notes(tmp_path / "out", 20)
    running.process.kill()
    running.process.communicate(timeout=60)
    end = time.monotonic() + 30
    while running.left() and time.monotonic() < end:
        time.sleep(0.2)
    assert running.left() == []
    for photo in sorted((tmp_path / "photos").iterdir())[60:]:
        photo.unlink()
    done = predict_images(
        run, tmp_path / "photos", tmp_path / "out", device="cpu", predict={"scales": "[4,8]"}
    )
    assert done.predicted + done.skipped == 60
    assert done.skipped > 0
