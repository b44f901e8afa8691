"""The commands with images, annotations and outputs at URLs: what they make is the same, byte for
byte, as with the same files on this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from tests.data.layouts import indexed
from tests.remote_places import files_of, from_memory, to_memory, web_server
from weakseg.check import main as check
from weakseg.config.recipe import RecipeError
from weakseg.evaluation.model import evaluate_model
from weakseg.evaluation.results import read_evaluation
from weakseg.fit import main as fit
from weakseg.labelling.dataset import label_dataset
from weakseg.prediction.images import predict_images
from weakseg.utils import store_errors
from weakseg.utils.remote_path import as_path, forget_listings

# the same name in two folders, and names that mean something else in a URL
NAMES = (*("one/a b", "two/a b", "a%20b", "a#b", "a?b", "ä 犬", "c"), *map(str, range(3)))
WORDS = (
    *("recipe=boxes_rect", "data=folder", "data.format=mask_png", "data.classes=[bright,dark]"),
    *("data.simulated=true", "data.evidence=boxes", "data.annotations=masks", "data.batch_size=4"),
    *("data.val_share=0.3", "data.workers=0", "network=tests.small.TinyNet", "network.classes=3"),
    *("trainer.max_steps=6", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"),
)
VOLATILE = (
    *("command", "seconds", "images_per_second", "images_folder", "data", "measured_on"),
    *("predicted", "skipped", "labelled", "estimated"),
)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: Any) -> Iterator[None]:
    monkeypatch.setattr(store_errors, "WAITS", [])
    yield
    forget_listings()
    fsspec.filesystem("memory").store.clear()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs and their masks."""
    folder = tmp_path_factory.mktemp("set")
    for number, name in enumerate(NAMES):
        random = np.random.default_rng(number)
        rows, columns = np.mgrid[:24, :24]
        inside = (rows - 10 - number % 4) ** 2 + (columns - 12) ** 2 <= 25
        level = np.where(inside, (230, 20)[number % 2], 120)[..., None]
        pixels = (level + random.normal(0, 8, (24, 24, 3))).clip(0, 255).astype(np.uint8)
        place = folder / "images" / f"{name}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place)
        indexed(folder / "masks" / f"{name}.png", inside * (1 + number % 2))
    return folder


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    return fit([*WORDS, f"data.root={root}", f"trainer.default_root_dir={runs}"])


def results(files: dict[str, bytes]) -> dict[str, Any]:
    """The files, without what differs from call to call."""
    kept: dict[str, Any] = {}
    for name, content in files.items():
        if name.startswith("summary"):
            summary = json.loads(content)
            kept[name] = {key: summary[key] for key in summary if key not in VOLATILE}
            for entry in kept[name]["images"]:
                entry.pop("seconds", None)
                entry.pop("key", None)
        elif not name.endswith((".lock", ".html")):
            kept[name] = content
    return kept


def test_predict_and_go_on(root: Path, run: Path, tmp_path: Path) -> None:
    options: Any = {
        "overlay": True, "confidence": True, "probabilities": True, "format": "coco", "workers": 2
    }  # fmt: skip
    predict_images(run, root / "images", tmp_path / "out", **options)
    here = results(files_of(tmp_path / "out"))
    assert len(here) == 4 * len(NAMES) + 2
    images = to_memory(root / "images", "memory://photos")
    done = predict_images(run, images, "memory://out/masks", **options)
    assert results(from_memory("memory://out/masks")) == here
    assert str(done.folder) == "memory://out/masks"
    again = predict_images(run, images, "memory://out/masks", **options)
    assert (again.predicted, again.skipped) == (0, len(NAMES))
    assert results(from_memory("memory://out/masks")) == here
    as_path("memory://out/masks/c.png").unlink()
    again = predict_images(run, images, "memory://out/masks", **options)
    assert (again.predicted, again.skipped) == (1, len(NAMES) - 1)
    again = predict_images(run, images, "memory://out/masks", overwrite=True, **options)
    assert again.predicted == len(NAMES)
    assert results(from_memory("memory://out/masks")) == here
    with pytest.raises(ValueError, match="made in another way"):
        predict_images(run, images, "memory://out/masks", predict={"flip": True}, **options)
    with web_server(root / "images") as server:
        predict_images(run, server.url, tmp_path / "web", **options)
    assert results(files_of(tmp_path / "web")) == here


@pytest.mark.parametrize(
    "format",
    ["coco_polygons", "voc", "cvat", "cvat_masks", "datumaro", "labelme", "label_studio"],
)
def test_every_format_of_labels(root: Path, run: Path, tmp_path: Path, format: Any) -> None:
    predict_images(run, root / "images", tmp_path / "out", format=format)
    predict_images(run, root / "images", "memory://out", format=format)
    here, there = results(files_of(tmp_path / "out")), results(from_memory("memory://out"))
    assert list(there) == sorted(here, key=list(there).index)
    different = {name for name in here if there[name] != here[name]}
    assert different <= {"cvat_masks.zip"}  # which holds the time of its files


def test_parts_of_a_prediction(root: Path, run: Path, tmp_path: Path) -> None:
    predict_images(run, root / "images", tmp_path / "out", format="coco")
    for part in (1, 2, 3):
        predict_images(run, root / "images", "memory://out", parts=3, part=part)
    whole = predict_images(run, root / "images", "memory://out", format="coco")
    assert (whole.predicted, whole.skipped) == (0, len(NAMES))
    here, there = results(files_of(tmp_path / "out")), results(from_memory("memory://out"))
    assert {name: there[name] for name in here} == here
    assert not [name for name in from_memory("memory://out") if ".record" in name]


def test_a_killed_prediction_goes_on(root: Path, run: Path, monkeypatch: Any) -> None:
    """Without an end: as many pieces of the record as were written are known."""
    from weakseg.utils import result_record
    from weakseg.utils.output_folder import OutputFolder

    monkeypatch.setattr(result_record, "LINES", 4)
    with monkeypatch.context() as patch:
        patch.setattr(OutputFolder, "finish", lambda *_: 1 / 0)
        patch.setattr(result_record.ObjectRecord, "close", lambda _: None)
        with pytest.raises(ZeroDivisionError):
            predict_images(run, root / "images", "memory://out")
    pieces = [name for name in from_memory("memory://out") if ".record" in name]
    assert pieces == [".record.000001.jsonl", ".record.000002.jsonl"]
    with monkeypatch.context() as patch:  # once more: the pieces that are there stay
        patch.setattr(OutputFolder, "finish", lambda *_: 1 / 0)
        patch.setattr(result_record, "LINES", 1)
        with pytest.raises(ZeroDivisionError):
            predict_images(run, root / "images", "memory://out")
    as_path("memory://out/c.png").unlink()
    done = predict_images(run, root / "images", "memory://out")
    assert (done.predicted, done.skipped) == (1, 9)
    files = from_memory("memory://out")
    assert not [name for name in files if ".record" in name]
    assert len(json.loads(files["summary.json"])["images"]) == len(NAMES)


@pytest.mark.slow
def test_label_and_train_on_the_labels(root: Path, run: Path, tmp_path: Path) -> None:
    url = to_memory(root, "memory://bucket/set")
    options: Any = {"confidence": True, "format": "coco"}
    label_dataset(run=run, out=tmp_path / "out", **options)
    label_dataset(run=run, out="memory://labels", data={"root": url}, **options)
    here = results(files_of(tmp_path / "out"))
    assert here
    assert results(from_memory("memory://labels")) == here
    again = label_dataset(run=run, out="memory://labels", data={"root": url}, **options)
    assert again.skipped == len(here) // 2 - 1
    with pytest.raises(RecipeError, match="lies inside of memory://bucket/set"):
        label_dataset(run=run, out=f"{url}/labels", data={"root": url})
    # images of the data set itself would be left out
    other = shutil.copytree(root, tmp_path / "other")
    runs = [
        fit([*WORDS, f"data.root={other}", f"data.pseudo={labels}", *_runs_in(tmp_path / place)])
        for place, labels in (("1", tmp_path / "out"), ("2", "memory://labels"))
    ]
    assert losses(runs[0]) == losses(runs[1])


def _runs_in(folder: Path) -> list[str]:
    return [f"trainer.default_root_dir={folder}"]


def losses(run: Path) -> list[str]:
    """The figures of a run, without those that are times."""
    header, *rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    kept = [place for place, name in enumerate(header) if "loss" in name or "miou" in name]
    assert kept
    return [",".join(row[place] for place in kept) for row in [header, *rows]]


def test_evaluate(root: Path, run: Path, tmp_path: Path) -> None:
    url = to_memory(root, "memory://bucket/set")
    here = evaluate_model(run, out=tmp_path / "out")
    there = evaluate_model(run, {"root": url}, out="memory://figures", subset="validation")
    assert there.figures == here.figures
    assert results(from_memory("memory://figures")) == results(files_of(tmp_path / "out"))
    assert read_evaluation("memory://figures").figures == here.figures
    for part in (2, 1):
        found = evaluate_model(
            run, {"root": url}, "memory://parts", subset="validation", parts=2, part=part
        )
    assert found.figures == here.figures
    assert sorted(from_memory("memory://parts")) == sorted(from_memory("memory://figures"))
    with pytest.raises(RecipeError, match="web servers are only read from"):
        evaluate_model(run, out="https://host/figures")


@pytest.mark.slow
def test_check(root: Path, tmp_path: Path, capsys: Any) -> None:
    words = [word for word in WORDS if word.startswith("data")]
    assert check([*words, f"data.root={root}", f"out={tmp_path}/out", "workers=0"]) == 0
    capsys.readouterr()
    url = to_memory(root, "memory://bucket/set")
    assert check([*words, f"data.root={url}", "out=memory://check", "workers=0"]) == 0
    assert "contact sheet: memory://check/sheet.png" in capsys.readouterr().out
    assert from_memory("memory://check") == files_of(tmp_path / "out")


@pytest.mark.slow
def test_fit_reads_a_store_as_it_reads_files(root: Path, run: Path, tmp_path: Path) -> None:
    url = to_memory(root, "memory://bucket/set")
    other = fit([*WORDS, f"data.root={url}", f"trainer.default_root_dir={tmp_path}"])
    assert losses(other) == losses(run)
    assert f"root: {url}" in (other / "recipe.yaml").read_text()


@pytest.mark.slow
def test_fit_with_workers_over_the_web(root: Path, run: Path, tmp_path: Path) -> None:
    """Loader processes and the pool of the estimation open the store anew."""
    with web_server(root) as server:
        words = ["data.workers=2", "rounds.workers=2", f"data.root={server.url}"]
        other = fit([*_without_workers(), *words, f"trainer.default_root_dir={tmp_path}"])
        assert (
            check([*WORDS[1:4], "data.annotations=masks", words[-1], "out=null", "workers=2"]) == 0
        )
    assert losses(other) == losses(run)


def _without_workers() -> list[str]:
    return [word for word in WORDS if word != "data.workers=0"]


# trained networks --------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: Any) -> Path:
    monkeypatch.setenv("WEAKSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.slow
def test_a_run_at_a_url_is_copied_once(
    root: Path, run: Path, tmp_path: Path, cache: Path, capsys: Any
) -> None:
    predict_images(run, root / "images", tmp_path / "out")
    here = results(files_of(tmp_path / "out"))
    del here["summary.json"]  # which says where the network is
    with web_server(run) as server:
        for out, copied in (("1", 2), ("2", 0)):
            capsys.readouterr()
            predict_images(server.url, root / "images", tmp_path / out)
            assert capsys.readouterr().err.count("copying ") == copied
            there = results(files_of(tmp_path / out))
            assert {name: there[name] for name in here} == here
        one = f"{server.url}/checkpoints/last.ckpt"
        predict_images(one, root / "images", tmp_path / "3")
        with pytest.raises(RecipeError, match=r"out: missing; .* is a URL"):
            evaluate_model(one)
        assert evaluate_model(one, out=tmp_path / "figures").figures
        with pytest.raises(ValueError, match=r"there is no other.ckpt in http"):
            predict_images(server.url, root / "images", tmp_path / "4", checkpoint="other")
        with pytest.raises(ValueError, match="is neither the folder of a run"):
            predict_images(f"{server.url}/checkpoints", root / "images", tmp_path / "4")
    assert not list(cache.rglob(".part-*"))
    with pytest.raises(ValueError, match="is the server there"):
        predict_images(server.url, root / "images", tmp_path / "4")


def test_a_run_at_a_url_that_has_changed_is_copied_anew(
    root: Path, run: Path, tmp_path: Path, cache: Path, capsys: Any
) -> None:
    url = to_memory(run, "memory://runs/one")
    for expected in (2, 0):
        predict_images(url, root / "images", tmp_path / "out")
        assert capsys.readouterr().err.count("copying ") == expected
    to_memory(run, "memory://runs/one")
    predict_images(url, root / "images", tmp_path / "out", overwrite=True)
    assert capsys.readouterr().err.count("copying ") == 2


@pytest.mark.slow
def test_training_starts_from_weights_at_a_url(
    root: Path, run: Path, tmp_path: Path, cache: Path
) -> None:
    url = to_memory(run, "memory://runs/one")
    words = [*WORDS, f"data.root={root}"]
    here = fit([*words, f"init_from={run}", f"trainer.default_root_dir={tmp_path}/1"])
    there = fit([*words, f"init_from={url}", f"trainer.default_root_dir={tmp_path}/2"])
    assert losses(here) == losses(there)
    with pytest.raises(SystemExit):
        fit([*words, "init_from=memory://runs/none"])


def test_what_has_to_be_on_this_machine_says_so(
    root: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for word, said in (
        ("trainer.default_root_dir=memory://runs", "expected a folder of this machine"),
        ("rounds.folder=memory://labels", "rounds.folder: expected a folder of this machine"),
        ("data.corrections=memory://corrections", "corrections: expected a folder of this machine"),
        (
            "resume=s3://me:hunter2@bucket/run",
            "is a URL; a run goes on in a folder of this",
        ),
    ):
        first = [] if word.startswith("resume") else [*WORDS, f"data.root={root}"]
        with pytest.raises(SystemExit) as ended:
            fit([*first, word])
        told = capsys.readouterr().err + str(ended.value)
        assert said in told
        assert "hunter2" not in told
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_no_user_and_no_token_of_a_url_gets_out(
    root: Path, tmp_path: Path, monkeypatch: Any, cache: Path, capsys: Any
) -> None:
    """Into no file but the recipe of the run, and not onto the screen."""
    monkeypatch.chdir(tmp_path)
    (root / "images" / "broken.jpg").write_bytes(b"no image")
    (root / "masks" / "broken.png").write_bytes(b"no image")
    # one that is broken is named everywhere
    with web_server(root) as server:
        url = server.url.replace("//", "//me:hunter2@") + "?token=abcdef"
        told = [word for word in WORDS if word.startswith("data")]
        assert check([*told, f"data.root={url}", "out=check", "workers=0"]) > 0
        images = url.replace("?", "/images?")
        (root / "images" / "broken.jpg").unlink()
        (root / "masks" / "broken.png").unlink()
        run = fit([*WORDS, f"data.root={url}", "logger=tensorboard"])
        server.answers["/images/c.png?token=abcdef"] = lambda handler: handler.send_error(403)
        done = predict_images(run, images, "masks")
        assert [broken.name for broken in done.broken] == ["c.png"]
        server.answers.clear()
        label_dataset(run=str(run), out="labels")
        evaluate_model(run, out="figures", subset="training")
        assert any("token=abcdef" in path for path in server.asked)
    shown = "".join(capsys.readouterr())
    assert "hunter2" not in shown
    assert "abcdef" not in shown
    for name, content in files_of(tmp_path).items():
        if not name.endswith(("recipe.yaml", ".lock")):
            assert b"hunter2" not in content, name
            assert b"abcdef" not in content, name


KILLED = """
import sys, time
from fsspec import register_implementation
from fsspec.implementations.local import LocalFileSystem
from weakseg.utils import result_record

class Store(LocalFileSystem):
    '''A store that outlives this process: a folder.'''
    protocol = "s3"
    def _path(self, path):
        return super()._strip_protocol(sys.argv[1] + "/" + self._strip_protocol(path))
    @classmethod
    def _strip_protocol(cls, path):
        return path.removeprefix("s3://").rstrip("/")
    def pipe_file(self, path, value, **_):
        from pathlib import Path
        file = Path(self._path(path))
        file.parent.mkdir(parents=True, exist_ok=True)
        part = Path(sys.argv[1]) / f"part-{id(value)}"
        part.write_bytes(value)
        part.replace(file)  # a store shows a file when it has all of it
        if file.suffix == ".png":
            time.sleep(float(sys.argv[2]))
    def cat_file(self, path, **_):
        from pathlib import Path
        return Path(self._path(path)).read_bytes()
    def find(self, path, detail=True, **_):
        from pathlib import Path
        root = Path(sys.argv[1])
        files = [file for file in Path(self._path(path)).rglob("*") if file.is_file()]
        return {
            file.relative_to(root).as_posix(): {"type": "file", "size": file.stat().st_size}
            for file in files
        }
    def info(self, path, **_):
        from pathlib import Path
        file = Path(self._path(path))
        if not file.exists():
            raise FileNotFoundError(path)
        return {"type": "directory" if file.is_dir() else "file", "size": file.stat().st_size}
    def rm_file(self, path):
        from pathlib import Path
        Path(self._path(path)).unlink()

register_implementation("s3", Store, clobber=True)
result_record.LINES = 2
from weakseg.predict import command
sys.exit(command(sys.argv[3:]))
"""


@pytest.mark.slow
def test_kill_minus_nine_loses_no_more_than_the_last_piece(
    root: Path, run: Path, tmp_path: Path
) -> None:
    words = [f"run={run}", f"images={root}/images", "out=s3://bucket/masks", "workers=1"]

    def start(wait: str) -> subprocess.Popen[str]:
        (tmp_path / "store").mkdir(exist_ok=True)
        command = [sys.executable, "-c", KILLED, str(tmp_path / "store"), wait, *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    masks = tmp_path / "store/bucket/masks"
    killed = start("0.2")
    while not list(masks.glob(".record.00000[2-9].jsonl")):
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    assert not (masks / "summary.json").exists()
    known = sum(len(file.read_text().splitlines()) - 1 for file in masks.glob(".record*"))
    assert 0 < known < len(NAMES)
    again = start("0")
    out, err = again.communicate()
    assert again.returncode == 0, err
    assert f"skipped: {known} images" in out
    predict_images(run, root / "images", tmp_path / "out")
    assert results(files_of(masks)) == results(files_of(tmp_path / "out"))
