"""The terms of the loss in a training: logged under their names, for every strategy that takes
them, and refused where they mean nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from tests.small import SIZE, Everything, Refine, Squares, TinyNet, trainer
from weakseg.data.base import WeakData
from weakseg.evidence import Batch, Evidence, PseudoBatch
from weakseg.functional.projection import projection_loss
from weakseg.functional.rare_classes import dice_loss
from weakseg.networks.maskrcnn import MaskRCNN
from weakseg.strategies import BoxesCCNN, BoxesEM, BoxesInstances, Full, ScribblesCRF, Tags
from weakseg.strategies.base import Context, Strategy
from weakseg.strategies.common_keys import LossTerms
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter

CLASSES = Squares.classes


class SoftBoxes(Refine):
    """Half of each filled box, and all of the background."""

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        hard = super().estimate(evidence, context)
        shares = torch.stack([(hard == label).float() for label in range(len(CLASSES))])
        return shares * torch.tensor([1, 0.5, 0.5])[:, None, None]


def fit(folder: Path, strategy: Strategy, data: WeakData, steps: int = 3) -> dict[str, float]:
    """The figures of the last step."""
    pl.seed_everything(5, verbose=False)
    segmenter = Segmenter(TinyNet(), strategy, CLASSES)
    made = trainer(folder, steps=steps, callbacks=[Rounds(workers=0)], log_every_n_steps=1)
    made.fit(segmenter, datamodule=data)
    return {name: float(value) for name, value in made.callback_metrics.items()}


def with_terms(strategy: Strategy, **terms: float) -> Strategy:
    strategy.terms = LossTerms(**terms)
    return strategy


def terms_of(segmenter: Segmenter, batch: Batch) -> dict[str, Tensor]:
    """What a step makes of a batch."""
    segmenter.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    segmenter.log = lambda *_, **__: None  # type: ignore[method-assign]
    segmenter._trainer = pl.Trainer(logger=False, accelerator="cpu", barebones=True)
    terms: dict[str, Tensor] = segmenter.training_step(batch, 0)["terms"]
    return terms


def a_batch(**fields: Any) -> Batch:
    image = torch.randint(0, 256, (2, 3, SIZE, SIZE), dtype=torch.uint8)
    boxes = [torch.tensor([[3.0, 4, 11, 20], [8, 8, 16, 12]]), torch.zeros(0, 4)]
    classes = [torch.tensor([1, 2]), torch.zeros(0, dtype=torch.int64)]
    return Batch(["a", "b"], image, **{"boxes": boxes, "box_classes": classes, **fields})


@pytest.mark.parametrize(
    "strategy",
    [Refine(), SoftBoxes(), BoxesEM(), ScribblesCRF(), Full()],
    ids=lambda each: type(each).__name__,
)
def test_each_term_is_logged_under_its_name(tmp_path: Path, strategy: Strategy) -> None:
    strategy.terms = LossTerms(0.5, dice=1, tversky=1, focal=2, projection=0.25)
    logged = fit(tmp_path, strategy, Everything())
    names = {"dice", "tversky", "projection"}
    values = [logged[f"loss/{name}"] for name in names]
    assert all(0 < value < 1 for value in values)
    terms = {name: value for name, value in logged.items() if name.startswith("loss/")}
    assert terms.pop("loss/total") == pytest.approx(sum(terms.values()))


def test_a_term_alone_trains(tmp_path: Path) -> None:
    logged = fit(tmp_path, with_terms(Refine(), cross_entropy=0, dice=2), Squares(), steps=1)
    later = fit(tmp_path, with_terms(Refine(), cross_entropy=0, dice=2), Squares(), steps=40)
    assert "loss/cross_entropy" not in logged
    assert later["loss/dice"] < logged["loss/dice"]


@pytest.mark.parametrize("resolution", ["image", "scores"])
def test_projection_is_of_any_strategy_at_the_resolution_of_its_logits(resolution: Any) -> None:
    class Coarse(TinyNet):
        def forward(self, image: Tensor) -> Tensor:
            return super().forward(image)[..., ::4, ::4]

    batch = a_batch(valid=torch.ones(2, SIZE, SIZE, dtype=torch.bool))
    strategy = with_terms(BoxesCCNN(resolution=resolution), projection=0.5)
    segmenter = Segmenter(Coarse(dropout=0), strategy, CLASSES)
    terms = terms_of(segmenter, batch)
    segmenter.network.train()
    with torch.no_grad():
        logits = segmenter.network(segmenter.normalise(batch.image))
    assert batch.boxes is not None
    assert batch.box_classes is not None
    boxes = batch.boxes
    if resolution == "image":
        logits = segmenter.adapter.upsample(logits, batch.image)
    else:
        boxes = [each / 4 for each in boxes]
    expected = 0.5 * projection_loss(logits.softmax(1), boxes, batch.box_classes)
    torch.testing.assert_close(terms["projection"], expected)
    assert set(terms) == {"kl", "projection"}


def test_a_batch_without_boxes_has_a_projection_of_zero() -> None:
    target = torch.zeros(2, SIZE, SIZE, dtype=torch.int64)
    segmenter = Segmenter(TinyNet(), with_terms(Refine(), projection=1), CLASSES)
    assert terms_of(segmenter, a_batch(target=target, boxes=None))["projection"] == 0


def test_projection_without_boxes_is_refused_before_training(tmp_path: Path) -> None:
    class Marked(Everything):
        def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
            evidence, truth = super().sample(index)
            return evidence._replace(boxes=None, box_classes=None), truth

    strategy = with_terms(Full(), projection=1)
    with pytest.raises(ValueError, match="projection is a loss of boxes, but none of the 12"):
        fit(tmp_path, strategy, Marked())
    logged = fit(tmp_path, strategy, Everything())
    assert logged["loss/projection"] > 0


def test_pseudo_labelled_images_learn_by_the_same_terms() -> None:
    labels = torch.randint(0, 3, (1, SIZE, SIZE))
    image = torch.randint(0, 256, (1, 3, SIZE, SIZE), dtype=torch.uint8)
    target = torch.randint(0, 3, (2, SIZE, SIZE))
    batch = a_batch(target=target, pseudo=PseudoBatch(["c"], image, labels, 0.5))
    network = TinyNet(dropout=0)
    segmenter = Segmenter(network, with_terms(Refine(), cross_entropy=0, dice=1), CLASSES)
    segmenter.eval()  # all images by the same statistics
    terms = terms_of(segmenter, batch)
    logits = network(segmenter.normalise(image))
    torch.testing.assert_close(terms["pseudo_labels"], 0.5 * dice_loss(logits, labels).detach())


def test_a_network_with_losses_of_its_own_takes_no_terms() -> None:
    network = MaskRCNN(3, "resnet18", width=1 / 16, min_size=None, proposals=20, samples=8)
    with pytest.raises(TypeError, match="terms counts in the cross-entropy, but MaskRCNN has"):
        Segmenter(network, with_terms(BoxesInstances(), dice=1), CLASSES)


def test_weights_by_frequency_need_targets() -> None:
    strategy = BoxesEM()
    strategy.class_weights = "auto"
    with pytest.raises(ValueError, match=r"BoxesEM estimates none; give numbers, such as .dark: 5"):
        Segmenter(TinyNet(), strategy, CLASSES)


def test_weights_by_frequency_of_soft_targets_are_of_their_likeliest_classes(
    tmp_path: Path,
) -> None:
    found = []
    for strategy in (Refine(), SoftBoxes()):
        strategy.class_weights = "auto"
        pl.seed_everything(5, verbose=False)
        segmenter = Segmenter(TinyNet(), strategy, CLASSES)
        trainer(tmp_path, steps=1, callbacks=[Rounds(workers=0)]).fit(segmenter, Squares())
        found.append(segmenter.class_weights)
    assert found[0] is not None
    assert found[0][0] < 1
    assert torch.equal(found[0], found[1])


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"dice": -1}, "dice of terms should be 0 or more and finite, but it is -1"),
        ({"focal": float("inf")}, "focal of terms should be"),
        ({"cross_entropy": 0}, "cross_entropy, dice and tversky of terms are all 0"),
        ({"cross_entropy": 0, "projection": 1}, "cross_entropy, dice and tversky of terms are"),
        ({"cross_entropy": 0, "dice": 1, "focal": 2}, "focal of terms changes the cross-entropy"),
        ({"tversky": 1, "alpha": 0, "beta": 0}, "alpha and beta of terms are both 0"),
    ],
)
def test_wrong_terms_are_refused(terms: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LossTerms(**terms)


@pytest.mark.parametrize("takes", ["terms", ("term",), ("class_weights", "losses.dice")])
def test_a_class_declares_common_keys_that_there_are(takes: Any) -> None:
    with pytest.raises(TypeError, match="strategy Mine: takes should be a tuple of class_"):
        type("Mine", (Refine,), {"takes": takes})


def test_terms_that_a_loss_does_not_compute_are_refused() -> None:
    class Own(Refine):
        def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
            return {"own": logits.mean()}

    class Declares(Own):
        takes = ("terms",)

    with pytest.raises(ValueError, match=r"terms\.dice does not apply to Own: leave it out"):
        with_terms(Own(), dice=1)
    with pytest.raises(ValueError, match="class_weights does not apply to Tags: leave it out"):
        Tags().class_weights = "auto"
    assert with_terms(Own(), projection=1).terms.projection == 1
    assert with_terms(Declares(), dice=1).terms.dice == 1
    with pytest.raises(ValueError, match=r"terms\.dice does not apply to Default"):
        type("Default", (Own,), {"terms": LossTerms(dice=1)})
