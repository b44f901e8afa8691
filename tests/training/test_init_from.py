"""A new run from the weights of another: classes are matched by their names, whatever their
order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.small import Squares, TinyNet
from weakseg.data.class_names import with_background
from weakseg.evidence import Evidence
from weakseg.fit import main
from weakseg.functional.class_matching import match_classes
from weakseg.run import load as load_run

WORDS = [
    "recipe=boxes_rect",
    "rounds.workers=0",
    "trainer.enable_progress_bar=false",
    "trainer.accelerator=cpu",
    "data.train=4",
    "data.val=2",
]


class Ordered(Squares):
    """Squares whose classes have other numbers, or another name."""

    def __init__(self, order: list[str] | None = None, **loading: Any) -> None:
        super().__init__(**loading)
        self.classes = with_background(order or ["bright", "dark"])

    def sample(self, index: int) -> tuple[Evidence, torch.Tensor | None]:
        evidence, truth = super().sample(index)
        table = (
            match_classes(Squares.classes, self.classes)
            if set(self.classes) == set(Squares.classes)
            else None
        )
        if table is None:
            return evidence, truth
        assert truth is not None
        assert evidence.box_classes is not None
        return evidence._replace(box_classes=table[evidence.box_classes]), table[truth.long()].to(
            torch.uint8
        )


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(*words: str) -> Path:
    network = (
        []
        if any(word.startswith("network=") for word in words)
        else ["network=tests.small.TinyNet"]
    )
    return main([*WORDS, f"data={__name__}.Ordered", "trainer.max_steps=2", *network, *words])


def again(first: Path, *words: str) -> Path:
    return train(f"init_from={first}/checkpoints/last.ckpt", "optimizer.lr=1e-12", *words)


def scores(run: Path) -> dict[str, torch.Tensor]:
    """What a network says of an image, by the names of the classes."""
    segmenter = load_run(run)
    return dict(
        zip(segmenter.classes, segmenter.predict(Squares().sample(3)[0].image).probs, strict=True)
    )


def test_the_same_classes_in_another_order_keep_their_meaning() -> None:
    first = train()
    same, other = again(first), again(first, "data.order=[dark,bright]")
    assert load_run(other).classes == ("background", "dark", "bright")
    before, after = scores(same), scores(other)
    for name, value in before.items():
        torch.testing.assert_close(value, after[name], atol=1e-4, rtol=0)
    assert not torch.allclose(before["dark"], after["bright"], atol=1e-2)


def test_other_classes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    first = train()
    with pytest.raises(SystemExit) as caught:
        again(first, "data.order=[bright,cat]")
    assert caught.value.code == 2
    (line,) = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith("init_from")
    ]
    assert (
        "know the classes background, bright, dark, but the data set has background, bright, cat"
        in line
    )
    assert "data.rename" in line


class Fixed(TinyNet):
    """Takes no number of classes."""

    def __init__(self) -> None:
        super().__init__(3)


def test_an_order_that_cannot_be_matched_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    first = train(f"network={__name__}.Fixed")
    with pytest.raises(SystemExit):
        again(first, f"network={__name__}.Fixed", "data.order=[dark,bright]")
    assert "in the order of the weights" in capsys.readouterr().err
    again(first, f"network={__name__}.Fixed")


def test_the_resolution_of_the_training_comes_back_with_the_network() -> None:
    run = train()
    checkpoint = run / "checkpoints" / "last.ckpt"
    assert load_run(run).long_side is None
    content = torch.load(checkpoint, weights_only=True)
    content["weakseg"]["long_side"] = 12
    torch.save(content, checkpoint)
    assert load_run(run).long_side == 12
    assert load_run(run).predict(torch.zeros(3, 40, 30, dtype=torch.uint8)).probs.shape == (
        3,
        40,
        30,
    )
