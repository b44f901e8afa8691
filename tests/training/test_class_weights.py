"""Weights of classes in the loss: from words to the batches that a strategy gets, the same after a
resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from tests.small import KillBefore, Killed, Refine, Squares, TinyNet, trainer
from weakseg.evidence import Batch
from weakseg.fit import main
from weakseg.functional.losses import rarity_weights
from weakseg.networks.maskrcnn import MaskRCNN
from weakseg.strategies import BoxesInstances, BoxesRect
from weakseg.strategies.base import target_loss
from weakseg.strategies.common_keys import ClassWeights, LossTerms
from weakseg.training.checkpoints import Checkpoints, WholeFiles
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter
from weakseg.utils.fingerprint import module_fingerprint

CLASSES = Squares.classes
WORDS = [
    *(
        "recipe=full",
        "network=tests.small.TinyNet",
        "network.classes=5",
        "data.train=4",
        "data.val=2",
        "data.size=32",
        "data.batch_size=2",
    ),
    *(
        "rounds.workers=0",
        "trainer.max_steps=2",
        "trainer.accelerator=cpu",
        "trainer.enable_progress_bar=false",
    ),
]


class Remembers(Refine):
    """What batches say of the weights of classes."""

    not_in_key = ("seen",)

    def __init__(self, class_weights: ClassWeights) -> None:
        super().__init__()
        self.class_weights = class_weights
        self.seen: list[list[float] | None] = []

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        self.seen.append(None if batch.class_weights is None else batch.class_weights.tolist())
        return target_loss(logits, batch, self)


def fit(
    folder: Path, weights: ClassWeights, steps: int = 6, **arguments: Any
) -> tuple[Remembers, Rounds, Segmenter]:
    pl.seed_everything(5, verbose=False)
    strategy, rounds = Remembers(weights), Rounds("epochs", workers=0)
    segmenter = Segmenter(TinyNet(), strategy, CLASSES)
    made = trainer(
        folder,
        steps=steps,
        callbacks=[rounds, Checkpoints(folder), *arguments.pop("callbacks", [])],
        plugins=[WholeFiles()],
    )
    made.fit(segmenter, datamodule=Squares(), weights_only=True, **arguments)
    return strategy, rounds, segmenter


def test_numbers_by_names_reach_the_loss(tmp_path: Path) -> None:
    strategy, _, _ = fit(tmp_path, {"dark": 7.5})
    assert strategy.seen == [[1, 1, 7.5]] * 6


def test_without_weights_no_batch_has_any(tmp_path: Path) -> None:
    strategy, _, _ = fit(tmp_path, None)
    assert strategy.seen == [None] * 6


def test_auto_follows_the_targets_of_each_round(tmp_path: Path) -> None:
    strategy, rounds, _ = fit(tmp_path, "auto")
    shares = torch.tensor([rounds.figures[f"label/share/{name}"] for name in CLASSES])
    assert float(shares.sum()) == pytest.approx(1)
    assert strategy.seen[-1] == rarity_weights(shares).tolist()
    assert strategy.seen[0] == strategy.seen[2]
    assert strategy.seen[2] != strategy.seen[3]  # the round after three steps has other targets
    # background is what there is most of
    assert strategy.seen[0][0] < 1 <= max(strategy.seen[0][1:])


@pytest.mark.parametrize("step", [1, 3, 4])
def test_a_resumed_run_has_the_same_weights(tmp_path: Path, step: int) -> None:
    _, _, whole = fit(tmp_path / "whole", "auto")
    with pytest.raises(Killed):
        fit(tmp_path / "killed", "auto", callbacks=[KillBefore(step)])
    last = tmp_path / "killed" / "last.ckpt"
    _, _, resumed = fit(tmp_path / "killed", "auto", ckpt_path=last if last.exists() else None)
    assert whole.class_weights is not None
    assert resumed.class_weights is not None
    assert torch.equal(whole.class_weights, resumed.class_weights)
    pairs = zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(
    "word",
    [
        "strategy.class_weights=auto",
        "strategy.class_weights.leaf=5",
        "strategy.class_weights={leaf: 5, fish: 0.5}",
    ],
)
def test_words_say_the_weights(tmp_path: Path, word: str) -> None:
    plain, weighted = (
        main([*WORDS, *more, f"trainer.default_root_dir={tmp_path}"]) for more in ([], [word])
    )
    states = [
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for run in (plain, weighted)
    ]
    assert not torch.equal(states[0]["network.head.weight"], states[1]["network.head.weight"])
    assert "class_weights" in (weighted / "recipe.yaml").read_text()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("strategy.class_weights=often", "auto"),
        ("strategy.class_weights.leaf=-1", "class_weights.leaf should be 0 or more"),
        (
            "strategy.class_weights.lead=2",
            "class_weights names a class that there is not: lead is none of the classes "
            "background, leaf",
        ),
    ],
)
def test_wrong_weights_are_refused(
    tmp_path: Path, word: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises((SystemExit, ValueError)) as caught:
        main([*WORDS, word, f"trainer.default_root_dir={tmp_path}"])
    assert told in capsys.readouterr().err + str(caught.value)
    assert not list(tmp_path.iterdir())


def test_weights_that_are_all_0_are_refused() -> None:
    strategy = BoxesRect()
    strategy.class_weights = dict.fromkeys(CLASSES, 0)
    with pytest.raises(ValueError, match="class_weights is 0 for every class"):
        Segmenter(TinyNet(len(CLASSES)), strategy, CLASSES)
    strategy.class_weights = {CLASSES[0]: 0}  # the others count 1
    Segmenter(TinyNet(len(CLASSES)), strategy, CLASSES)


def test_a_network_with_losses_of_its_own_takes_no_weights() -> None:
    strategy = BoxesInstances()
    strategy.class_weights = "auto"
    network = MaskRCNN(3, "resnet18", width=1 / 16, min_size=None, proposals=20, samples=8)
    with pytest.raises(
        TypeError,
        match="class_weights counts in the cross-entropy, but MaskRCNN has losses of its own",
    ):
        Segmenter(network, strategy, CLASSES)


def test_weights_change_no_target() -> None:
    """So stored targets serve again."""
    weighted = BoxesRect()
    weighted.class_weights = {"dark": 3}
    weighted.terms = LossTerms(dice=1)
    assert module_fingerprint(BoxesRect()) == module_fingerprint(weighted)
