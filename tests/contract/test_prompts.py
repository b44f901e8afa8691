"""Boxes and clicks as prompts, with the run of every strategy and with every network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.contract.test_label_and_compare import made_run
from tests.contract.test_strategies import build
from tests.small import SIZE, Squares, TinyNet
from weakseg.integrations.prompts import Prompt, PromptedNetwork
from weakseg.networks import NAMES as NETWORKS
from weakseg.strategies import NAMES
from weakseg.trained.loading import load_model
from weakseg.training.segmenter import Segmenter

CENTRE = ((12.0, 12.0),)
CORNER = ((1.0, 1.0),)
PROMPTS = {
    "box": Prompt(boxes=((6.0, 6.0, 18.0, 18.0),), label=1),
    "box of any class": Prompt(boxes=((6.0, 6.0, 18.0, 18.0),)),
    "click": Prompt(inside=CENTRE, label=1),
    "click on it and beside it": Prompt(inside=CENTRE, outside=CORNER, label=1),
    "box and clicks": Prompt(((6.0, 6.0, 18.0, 18.0),), CENTRE, CORNER, label=1),
}


def run_of(folder: Path, strategy: str, rounds: dict[str, Any]) -> Path:
    """A run of a strategy with a tiny network of random weights."""
    torch.manual_seed(0)
    network = {"name": "tests.small.TinyNet"}
    data = {"name": "tests.small.Everything"}
    recipe = {"strategy": strategy, "network": network, "data": data, "rounds": rounds}
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    state = Segmenter(TinyNet(), build(strategy), Squares.classes).state_dict()
    content = {"state_dict": state, "weakseg": {"classes": Squares.classes, "long_side": None}}
    torch.save({**content, "global_step": 1}, folder / "checkpoints" / "last.ckpt")
    return folder


def expect_objects(network: PromptedNetwork) -> None:
    """Each prompt has a mask on which the clicks lie as they should."""
    evidence, _ = Squares().sample(0)
    seen = network.look_at(evidence.image)
    reasons: list[str] = []
    for name, prompt in PROMPTS.items():
        if not prompt.inside:
            try:
                assert network.find(seen, prompt).mask.any()
            except ValueError as error:
                reasons.append(str(error))
            continue
        found = network.find(seen, prompt)
        assert found.mask.shape == (SIZE, SIZE)
        assert found.label == prompt.label
        assert found.mask[12, 12], name
        assert not prompt.outside or not found.mask[1, 1], name
    # a network that was not trained may see nothing in a box
    assert all("is found there" in reason for reason in reasons)


@pytest.mark.parametrize("rounds", [{}, {"when": "epochs", "every": 1}], ids=["once", "epochs"])
@pytest.mark.parametrize("strategy", NAMES)
def test_every_strategy_takes_prompts(
    strategy: str, rounds: dict[str, Any], tmp_path: Path
) -> None:
    if strategy == "boxes_instances":
        pytest.skip("whose networks find single objects: with every network below")
    run = run_of(tmp_path / "run", strategy, rounds)
    expect_objects(PromptedNetwork(load_model(run, device="cpu")))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_takes_prompts(name: str, tmp_path: Path) -> None:
    expect_objects(PromptedNetwork(load_model(made_run(tmp_path / "run", name, 0), device="cpu")))
