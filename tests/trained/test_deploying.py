"""The pages on export and deployment: their commands have right words, and their lines run where
torch is not installed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.trained.runs import OWN, make_run
from weakseg.config.verb import read_words
from weakseg.export import VERB
from weakseg.networks import NAMES
from weakseg.trained.exporting import export_model
from weakseg.trained.loading import load_model

DOCS = Path(__file__).parents[2] / "docs" / "how-to"
EXPORT = (DOCS / "export.md").read_text()
DEPLOY = (DOCS / "deploy.md").read_text()
NEITHER = "import sys; sys.modules['torch'] = sys.modules['weakseg'] = None\n"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_the_ten_lines_find_the_labels_without_torch(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    lines = blocks(DEPLOY, "python")[0]
    assert len([line for line in lines.splitlines() if line]) == 10
    run = make_run(tmp_path, OWN)
    graph = export_model(run, "onnx", tmp_path / "best.onnx").path
    photo = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    Image.fromarray(photo).resize((83, 61)).save(tmp_path / "photo.jpg")
    done = subprocess.run(
        [sys.executable, "-c", NEITHER + lines + "\nprint(classes)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    model = load_model(graph, device="cpu")
    assert done.stdout.strip() == str(list(model.classes))
    image = torch.from_numpy(np.array(Image.open(tmp_path / "photo.jpg"))).permute(2, 0, 1)
    labels = model.probabilities(image).argmax(0).numpy()
    assert np.array_equal(np.array(Image.open(tmp_path / "labels.png")), labels)
    assert len(np.unique(labels)) > 1


def test_the_lines_for_photographs_turn_and_shrink_them(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    graph = export_model(make_run(tmp_path, OWN, long_side=40), "onnx", tmp_path / "best.onnx").path
    pixels = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    photo = Image.fromarray(pixels)
    lying = Image.Exif()
    lying[0x0112] = 6  # the camera was turned by 90 degrees
    photo.save(tmp_path / "photo.jpg", exif=lying)
    lines = NEITHER + blocks(DEPLOY, "python")[1]
    done = subprocess.run(
        [sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    upright = Image.open(tmp_path / "photo.jpg").transpose(Image.Transpose.ROTATE_270)
    upright.thumbnail((40, 40), Image.Resampling.BILINEAR)
    image = torch.from_numpy(np.array(upright)).permute(2, 0, 1)
    logits = load_model(graph, device="cpu").logits(image[None])[0]
    expected = Image.fromarray(logits.argmax(0).numpy().astype(np.uint8))
    assert expected.size == (29, 40)
    found = Image.open(tmp_path / "labels.png")
    assert found.size == (61, 83)
    enlarged = expected.resize((61, 83), Image.Resampling.NEAREST)
    assert np.array_equal(np.array(found), np.array(enlarged))
    assert len(np.unique(np.array(found))) > 1


@pytest.mark.slow
def test_the_lines_for_torch_run_without_weakseg(tmp_path: Path) -> None:
    run = make_run(tmp_path, OWN)
    export_model(run, "torch", tmp_path / "best.pt2")
    (lines,) = blocks(EXPORT, "python")
    images = "import torch; images = torch.zeros(2, 3, 33, 47, dtype=torch.uint8)\n"
    without = NEITHER.replace("sys.modules['torch'] = ", "")
    done = subprocess.run(
        [sys.executable, "-c", f"{without}{images}{lines}\nprint(tuple(probabilities.shape))"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "(2, 3, 33, 47)", done.stderr


@pytest.mark.parametrize("page", [EXPORT, DEPLOY], ids=["export", "deploy"])
def test_every_printed_command_has_right_words(page: str) -> None:
    found = re.findall(r"python -m weakseg\.export (.*)", "\n".join(blocks(page, "console")))
    assert found or page is DEPLOY
    for words in found:
        assert read_words(VERB, shlex.split(words)).values


def test_every_network_of_the_table_is_one() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [\d,]+ \|", EXPORT, re.MULTILINE)
    assert rows
    assert set(rows) <= set(NAMES)
