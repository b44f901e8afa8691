"""label and compare with every network of the package, from run folders as fit leaves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.contract.test_networks import OBJECTS, SMALL
from tests.contract.test_predict import INSTANCES
from tests.small import Squares
from tests.trained.runs import loud
from weakseg.config.recipe import build_section
from weakseg.evaluation.comparison import compare_runs
from weakseg.evaluation.model import evaluate_model
from weakseg.labelling.dataset import label_dataset
from weakseg.networks import NAMES
from weakseg.trained.loading import load_model

DATA = {"name": "tests.small.Squares", "train": 2, "val": 3}


def made_run(folder: Path, name: str, seed: int) -> Path:
    """A run folder with random weights that tell pixels apart."""
    torch.manual_seed(seed)
    network: dict[str, Any] = {"name": name, **SMALL.get(name, INSTANCES)}
    made = loud(build_section("network", network, {}, classes=len(Squares.classes)))
    strategy = "boxes_instances" if name in OBJECTS else "boxes_ccnn"  # which only has a loss
    recipe = {"strategy": strategy, "network": network, "data": DATA, "seed": 0}
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    state = {f"network.{key}": value for key, value in made.state_dict().items()}
    known = {"classes": list(Squares.classes), "long_side": None}
    content = {"state_dict": state, "weakseg": known, "global_step": seed}
    torch.save(content, folder / "checkpoints" / "last.ckpt")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_run_labels_and_compares(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the label store is
    first, second = (made_run(tmp_path / "runs" / str(seed), name, seed) for seed in (1, 2))
    done = label_dataset(run=first, out=tmp_path / "labels", device="cpu")
    assert (done.labelled, done.broken) == (5, ())
    if name not in OBJECTS:  # whose labels are the masks in the boxes
        model = load_model(first, device="cpu")
        for index in range(5):
            evidence, _ = Squares(train=2, val=3).sample(index)
            probs = model.probabilities(evidence.image)
            best = probs.topk(2, 0).values
            clear = (best[0] - best[1] > 1e-4).numpy()
            mask = np.asarray(Image.open(tmp_path / "labels" / f"{evidence.id}.png"))
            assert (mask == probs.argmax(0).numpy())[clear].all()
    compared = compare_runs([first, second], tmp_path / "compared", samples=10, pictures=1)
    figures = [evaluate_model(run, device="cpu").figures["miou"] for run in (first, second)]
    assert compared.figures[0].name == "miou"
    assert [each.value for each in compared.figures[0].values] == pytest.approx(figures)
