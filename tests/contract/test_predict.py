"""predict with every network of the package, and with every format of labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.contract.test_networks import OBJECTS, SMALL
from tests.prediction.fakes import Colours, save_photo
from tests.trained.runs import OWN, make_run
from weakseg.config.recipe import Recipe, build
from weakseg.data.formats.images import read_image
from weakseg.data.formats.writing.formats import FORMATS
from weakseg.networks import NAMES
from weakseg.prediction import images as module
from weakseg.prediction.images import Predicted, predict_images
from weakseg.strategies import BoxesInstances, Full
from weakseg.trained.checkpoint import CheckpointModel
from weakseg.trained.exporting import export_model
from weakseg.trained.model import Origin, TrainedModel
from weakseg.training.segmenter import Segmenter

CLASSES = ("background", "cat", "dog")
SIZES = [(31, 48), (31, 48), (64, 33), (3, 100), (31, 48), (64, 33)]
GRAPHS = ("onnx", "torch")
"""forms that take seconds to export"""
ORIGIN = Origin("best.ckpt", "checkpoint", "1" * 64, "full", 0, "random")
INSTANCES = {
    "encoder": "resnet18",
    "width": 1 / 16,
    "min_size": None,
    "proposals": 20,
    "samples": 8,
    "detections": 5,
}


def untrained(name: str) -> CheckpointModel:
    node = {"name": name, "classes": len(CLASSES), **SMALL.get(name, INSTANCES)}
    network: Any = build(node, where="network", home="weakseg.networks")
    for weights in network.parameters():
        if not weights.any():  # such as heads that begin with the same score for all classes
            torch.nn.init.normal_(weights, std=0.1)
    if name in OBJECTS:
        network.model.roi_heads.score_thresh = 0.0  # random weights are sure of nothing
    strategy = BoxesInstances() if name in OBJECTS else Full()
    segmenter = Segmenter(network, strategy, CLASSES)
    segmenter.long_side = 64
    return CheckpointModel(segmenter, Recipe("", {}), ORIGIN, torch.device("cpu"))


def predicted(
    folder: Path, model: TrainedModel, monkeypatch: pytest.MonkeyPatch, **words: Any
) -> Predicted:
    monkeypatch.setattr(module, "load_model", lambda *_, **__: model)
    for number, size in enumerate(SIZES):
        save_photo(folder / "photos" / "sub" / f"{number}.png", *size, seed=number)
    return predict_images("run", folder / "photos", folder / "out", workers=1, **words)


@pytest.mark.parametrize("name", NAMES)
def test_masks_are_what_the_network_predicts_of_each_image_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = untrained(name)
    done = predicted(tmp_path, model, monkeypatch, format="coco")
    assert done.broken == ()
    for number, size in enumerate(SIZES):
        image = read_image(tmp_path / "photos" / "sub" / f"{number}.png")
        probs = model.segmenter.predict(image).probs
        found = np.asarray(Image.open(tmp_path / "out" / "sub" / f"{number}.png"))
        assert found.shape == size
        best = probs.topk(2, 0).values
        clear = (best[0] - best[1] > 1e-4).numpy()
        assert clear.mean() > 0.3
        assert (found == probs.argmax(0).numpy())[clear].all()
    coco = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == [
        f"sub/{number}.png" for number in range(len(SIZES))
    ]
    assert (tmp_path / "out" / "objects").exists() == (name in OBJECTS)
    if name in OBJECTS:
        found = [model.objects(read_image(file)) for file in (tmp_path / "photos").rglob("*.png")]
        scores = [score for each in found if each is not None for score in each.scores.tolist()]
        written = sorted(each["score"] for each in coco["annotations"])
        assert len(written) > 5
        assert np.isin(np.round(written, 4), np.round(scores, 4)).all()


@pytest.mark.parametrize("format", FORMATS)
def test_masks_in_every_format(
    format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Colours()
    done = predicted(tmp_path, model, monkeypatch, format=format)
    assert len(list((tmp_path / "out" / "sub").glob("*.png"))) == len(SIZES)
    assert bool(done.files) == (format != "png")
    before = contents(done.files)
    assert all(before)
    again = predicted(tmp_path, model, monkeypatch, format=format)
    assert (again.predicted, again.files) == (0, done.files)
    assert contents(again.files) == before


def contents(written: Sequence[Path]) -> list[bytes]:
    """Of all files, but for archives, in which the time stands."""
    files = [file for place in written for file in (place, *sorted(place.rglob("*")))]
    return [file.read_bytes() for file in files if file.is_file() and file.suffix != ".zip"]


@pytest.mark.parametrize(
    "format", [pytest.param(each, marks=pytest.mark.slow) for each in GRAPHS] + ["hub"]
)
def test_what_was_exported_predicts_the_same_masks(format: Any, tmp_path: Path) -> None:
    if format == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    run = make_run(tmp_path, OWN, long_side=50)
    exported = export_model(str(run), format).path
    for number, size in enumerate(SIZES):
        save_photo(tmp_path / "photos" / f"{number}.png", *size, seed=number)
    outs = [tmp_path / "run", tmp_path / "exported"]
    for place, out in zip((run, exported), outs, strict=True):
        done = predict_images(place, tmp_path / "photos", out, workers=1, device="cpu")
        assert (done.predicted, done.broken) == (len(SIZES), ())
    masks = [[np.asarray(Image.open(mask)) for mask in sorted(out.glob("*.png"))] for out in outs]
    for number, size in enumerate(SIZES):
        assert masks[0][number].shape == masks[1][number].shape == size
        assert (masks[0][number] == masks[1][number]).mean() > 0.995
    assert json.loads(done.summary.read_text())["model"]["kind"] == format
    # the masks of the one are not taken for those of the other
    with pytest.raises(ValueError, match="made in another way"):
        predict_images(exported, tmp_path / "photos", outs[0], device="cpu")
