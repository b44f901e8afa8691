"""`label/consistency` of a round: where there is one, what it tells apart, and that nothing else
changes by it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.small import SIZE, Everything, Refine, Squares, TinyNet, trainer
from tests.training.test_rounds import run
from weakseg.evidence import IGNORE, Evidence
from weakseg.strategies.base import Context
from weakseg.training import label_consistency
from weakseg.training.label_consistency import cells_of, has_features
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter


class Bright(TinyNet):
    """Whose features are the image itself, as if it had been trained on something."""

    def intermediate_features(self, image: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(image, 4)


class Discs(Refine):
    """The disc in the box, instead of the box, or noise."""

    def __init__(self, noise: bool = False) -> None:
        super().__init__()
        self.noise = noise

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        target = super().estimate(evidence, Context())
        grey = evidence.image.float().mean(0)
        if self.noise:
            random = torch.Generator().manual_seed(int(evidence.image.sum()))
            return target * (torch.rand(grey.shape, generator=random) < 0.8)
        return target * ((grey - 120).abs() > 50)


def consistency(folder: Path, strategy: Refine, data: Squares | None = None) -> dict[str, float]:
    rounds = Rounds(workers=0)
    torch.manual_seed(0)
    segmenter = Segmenter(Bright(), strategy, Squares.classes)
    trainer(folder, 1, callbacks=[rounds]).fit(segmenter, datamodule=data or Squares(train=16))
    return {name: value for name, value in rounds.figures.items() if "consistency" in name}


def test_labels_that_follow_what_images_have_in_common_are_consistent(tmp_path: Path) -> None:
    discs = consistency(tmp_path / "discs", Discs())
    noise = consistency(tmp_path / "noise", Discs(noise=True))
    assert list(discs) == [
        "label/consistency",
        "label/consistency/bright",
        "label/consistency/dark",
    ]
    assert discs["label/consistency"] == pytest.approx(
        (discs["label/consistency/bright"] + discs["label/consistency/dark"]) / 2
    )
    assert 0.2 < discs["label/consistency"] <= 1
    assert noise["label/consistency"] < 0.5 * discs["label/consistency"]


def test_a_class_in_few_images_has_none(tmp_path: Path) -> None:
    class FewDark(Squares):
        training = (0, 1, 2, 4, 6, 8, 10)  # type: ignore[assignment]  # five are bright, one is dark

    found = consistency(tmp_path, Discs(), FewDark(train=16))
    assert found["label/consistency"] == found["label/consistency/bright"]
    assert found["label/consistency/dark"] != found["label/consistency/dark"]


def test_random_weights_tell_nothing_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = Segmenter(TinyNet(), Refine(), Squares.classes)
    assert has_features(segmenter, 0)  # a network of one's own makes its weights itself
    segmenter.initial_weights = "random"
    assert not has_features(segmenter, 0)
    assert has_features(segmenter, 1)
    blind = Segmenter(torch.nn.Conv2d(3, 3, 1), Refine(), Squares.classes)
    assert not has_features(blind, 1)


def test_it_is_measured_in_every_round_on_a_sample_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []

    class Watched(Rounds):
        def _use(self, *given: object) -> None:
            seen.append(self.figures["label/consistency"])
            super()._use(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(label_consistency, "SAMPLED", 6)
    monkeypatch.setattr(label_consistency, "FEWEST", 2)
    with_figure = run(tmp_path / "with", Refine(), Watched(when="epochs", workers=0))
    assert len(seen) == 3
    monkeypatch.setattr(label_consistency, "has_features", lambda *_: False)
    without = run(tmp_path / "without", Refine(), Rounds(when="epochs", workers=0))
    for name, value in without.state_dict().items():
        assert torch.equal(value, with_figure.state_dict()[name]), name


def marked() -> Evidence:
    return Everything().sample(0)[0]


def test_cells_are_those_inside_of_the_boxes_of_a_class() -> None:
    evidence = marked()
    assert evidence.boxes is not None
    labels = torch.zeros(SIZE, SIZE, dtype=torch.uint8)
    features = torch.arange(SIZE * SIZE).view(1, SIZE, SIZE).float()
    found = cells_of(evidence, features, [labels])
    assert list(found) == [1]
    inside = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    x1, y1, x2, y2 = evidence.boxes[0].int().tolist()
    inside[y1:y2, x1:x2] = True
    assert found[1].features[:, 0].tolist() == features[0][inside].tolist()


def shares(evidence: Evidence, labels: Sequence[Tensor]) -> label_consistency.Cells:
    features = torch.zeros(3, SIZE // 2, SIZE // 2)
    return cells_of(evidence._replace(boxes=None, box_classes=None), features, labels)[1]


def test_without_boxes_all_of_an_image_that_may_have_the_class_counts() -> None:
    labels = torch.zeros(SIZE, SIZE, dtype=torch.uint8)
    labels[0, :2] = 1
    labels[1, :1] = IGNORE
    found = shares(marked(), [labels, torch.full_like(labels, IGNORE)])
    assert found.shares.shape == (2, SIZE * SIZE // 4)
    assert found.shares[0, :2].tolist() == [0.5, 0]
    assert found.known[0, :2].tolist() == [0.75, 1]
    assert not found.known[1].any()
