"""An .onnx file: what stands in it, and that onnxruntime alone is enough to read it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trained.runs import CLASSES, OWN, make_run
from weakseg.config.recipe import RecipeError
from weakseg.inference.multiscale import Inference
from weakseg.trained.exporting import export_model
from weakseg.trained.loading import load_model

onnx: Any = pytest.importorskip("onnx")
onnxruntime: Any = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("runs"), OWN, long_side=50)
    recipe = run / "recipe.yaml"
    recipe.write_text(f"{recipe.read_text()}predict: {{flip: true}}\n")
    return run


@pytest.fixture(scope="module")
def graph(run: Path) -> Path:
    return export_model(run, "onnx", opset=18, licence="cc-by-4.0").path


def test_its_metadata_say_what_it_is(graph: Path, run: Path) -> None:
    stored = {each.key: each.value for each in onnx.load(graph).metadata_props}
    assert json.loads(stored["classes"]) == CLASSES
    assert json.loads(stored["image_mean"]) == [0.485, 0.456, 0.406]
    assert json.loads(stored["long_side"]) == 50
    assert json.loads(stored["stride"]) == 4
    assert json.loads(stored["predict"]) == {"flip": True}
    assert stored["recipe"] == "full"
    assert stored["licence"] == "cc-by-4.0"
    assert stored["network"] == "Strided"
    assert stored["weakseg"] == "0.1.0"
    assert stored["checkpoint_sha256"] == load_model(run, device="cpu").origin.sha256
    assert "weights" in stored


def test_its_opset_and_its_names_are_those_that_were_wanted(graph: Path) -> None:
    model = onnx.load(graph)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 18)]

    def sides(value: Any) -> list[Any]:
        return [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]

    assert {value.name: sides(value) for value in (*model.graph.input, *model.graph.output)} == {
        "image": ["batch", 3, "height", "width"],
        "logits": ["batch", 3, "height", "width"],
        "probabilities": ["batch", 3, "height", "width"],
    }
    assert model.producer_name == "weakseg"
    onnx.checker.check_model(model, full_check=True)


def test_no_folder_of_this_machine_stands_in_it(graph: Path) -> None:
    folder = str(Path(__file__).parents[2]).encode()
    assert folder not in graph.read_bytes()
    assert b"exported_network.py" not in graph.read_bytes()


def test_softmax_is_inside(graph: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 3, 33, 21), dtype=np.uint8)
    session = onnxruntime.InferenceSession(graph)
    logits, probabilities = session.run(["logits", "probabilities"], {"image": image})
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    wanted = torch.from_numpy(logits).softmax(1).numpy()
    np.testing.assert_allclose(probabilities, wanted, atol=1e-6)


def test_it_predicts_as_its_run_does(graph: Path, run: Path) -> None:
    model, network = load_model(graph), load_model(run, device="cpu")
    assert model.origin == network.origin._replace(
        path=str(graph), kind="onnx", sha256=model.origin.sha256
    )
    assert model.long_side == 50
    assert model.inference == Inference(flip=True)
    assert load_model(graph, predict={"scales": "0.5,1"}).inference.scales == (0.5, 1.0)
    assert model.objects(torch.zeros(3, 8, 8, dtype=torch.uint8)) is None
    # larger than long_side
    image = torch.randint(0, 256, (3, 60, 75), dtype=torch.uint8)
    torch.testing.assert_close(
        model.probabilities(image), network.probabilities(image), rtol=0, atol=1e-5
    )


def test_it_is_read_without_the_packages_that_write_it(
    graph: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("onnx", "onnxscript"):
        monkeypatch.setitem(sys.modules, package, None)
    assert load_model(graph).classes == tuple(CLASSES)
    with pytest.raises(RecipeError, match=r"needs onnx: pip install 'weakseg\[export\]'"):
        export_model(run, "onnx", run / "other.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RecipeError, match="needs onnxruntime: pip install onnxruntime"):
        load_model(graph)


def changed(graph: Path, out: Path, **texts: str | None) -> Path:
    """The same graph with other metadata; None: without it."""
    model = onnx.load(graph)
    kept = {each.key: each.value for each in model.metadata_props} | texts
    del model.metadata_props[:]
    for name, value in kept.items():
        if value is not None:
            model.metadata_props.add(key=name, value=value)
    onnx.save(model, out)
    return out


@pytest.mark.parametrize(
    ("texts", "wrong"),
    [
        ({"classes": None}, "was not exported by weakseg: it does not say which classes"),
        (
            {"format": "2"},
            r"by another version of weakseg \(0\.1\.0\), whose format is 2",
        ),
        ({"classes": '["cat"]'}, "cannot be right: classes is "),
        ({"classes": '["cat", "cat"]'}, "cannot be right: classes is "),
        ({"classes": '["background", "cat"]'}, "should have logits of 2 classes, .* but it has 3 "),
        ({"long_side": "-1", "step": "many"}, "long_side is -1; step is 'many'"),
        ({"predict": '{"flap": true}'}, r"predict\.flap: no such key; did you mean flip"),
    ],
)
def test_metadata_that_cannot_be_right(
    graph: Path, tmp_path: Path, texts: dict[str, str | None], wrong: str
) -> None:
    with pytest.raises(ValueError, match=wrong):
        load_model(changed(graph, tmp_path / "other.onnx", **texts))


def test_a_file_that_is_no_graph(graph: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.onnx").write_bytes(graph.read_bytes()[:1000])
    (tmp_path / "text.onnx").write_text("not a graph")
    for name in ("torn.onnx", "text.onnx"):
        with pytest.raises(ValueError, match=rf"{name} is not a graph that onnxruntime can read"):
            load_model(tmp_path / name)
