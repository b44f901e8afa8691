"""Every network in every exported form: written, verified, and read back as the same network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch

from tests.contract.test_networks import OBJECTS, PIXELS, SMALL
from tests.trained.runs import CLASSES, OWN, make_run
from weakseg.config.recipe import RecipeError
from weakseg.networks import NAMES
from weakseg.trained.exporting import export_model
from weakseg.trained.loading import load_model

FORMATS = get_args(get_type_hints(export_model)["format"])
VARIANTS: dict[str, dict[str, Any]] = {
    **{name: {"name": name, **SMALL[name]} for name in PIXELS},
    # what computes sizes in another way than the small ones do
    "deeplabv1-scales": {"name": "deeplabv1", **SMALL["deeplabv1"], "multi_scale": True},
    "deeplabv2-scales": {"name": "deeplabv2", **SMALL["deeplabv2"], "scales": [1, 0.75, 0.5]},
    "deeplabv2-vgg16": {"name": "deeplabv2", "width": 1 / 16, "encoder": "vgg16"},
    "fcn32s-dense": {"name": "fcn32s", **SMALL["fcn32s"], "output_stride": 8},
    "somebody's own": OWN,
    "without a stride": {"name": "tests.trained.runs.Halving"},
}
QUICK = {("somebody's own", "onnx"), ("somebody's own", "torch"), ("fcn32s", "hub")}
"""the others take several seconds each"""
CASES = [
    pytest.param(name, format, marks=() if (name, format) in QUICK else pytest.mark.slow)
    for name in VARIANTS
    for format in FORMATS
]
TINY_OBJECTS = {"name": "maskrcnn", "encoder": "resnet18", "width": 1 / 16, "min_size": None}


@pytest.mark.parametrize(("name", "format"), CASES)
def test_it_is_exported_and_read_back_as_the_same_network(
    name: str, format: str, tmp_path: Path
) -> None:
    run = make_run(tmp_path, VARIANTS[name])
    export = export_model(run, format)  # type: ignore[arg-type]
    network = load_model(run, device="cpu")
    written = load_model(export.path, device="cpu")
    assert written.classes == network.classes == tuple(CLASSES)
    assert written.origin.kind == format
    # other sizes than those of the export's own check
    for size in ((2, 3, 45, 77), (1, 3, 70, 34)):
        images = torch.randint(0, 256, size, dtype=torch.uint8)
        wanted = network.logits(images)
        scale = max(1.0, float(wanted.abs().max()))
        torch.testing.assert_close(written.logits(images), wanted, rtol=0, atol=1e-4 * scale)
    assert wanted.std() > 0.01, "a network whose logits are all alike shows nothing"


def test_every_network_is_exported_or_says_why_not() -> None:
    assert {*(each["name"] for each in VARIANTS.values()), *OBJECTS} >= set(NAMES)


@pytest.mark.parametrize("format", FORMATS)
def test_a_network_for_objects_is_published_but_no_graph(format: str, tmp_path: Path) -> None:
    run = make_run(tmp_path, TINY_OBJECTS)
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(recipe.replace("strategy: full", "strategy: boxes_instances"))
    if format != "hub":
        with pytest.raises(RecipeError, match="MaskRCNN cannot be exported as a graph: how many"):
            export_model(run, format)  # type: ignore[arg-type]
        return
    export = export_model(run, "hub")
    written = load_model(export.path, device="cpu")
    assert written.finds_objects
    image = torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8)
    found, wanted = written.objects(image), load_model(run, device="cpu").objects(image)
    assert found is not None
    assert wanted is not None
    assert torch.equal(found.boxes, wanted.boxes)
