"""Strategies that read a frozen backbone: the same as with a network that has such features, and
with a backbone that knows the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.foundation.test_features import dino as dino
from tests.small import Everything, trainer
from weakseg.evidence import IGNORE, Evidence, Prediction
from weakseg.foundation.features import FrozenFeatures
from weakseg.functional.confusion import confusion_matrix, mean_iou
from weakseg.functional.crf import DenseCRF
from weakseg.strategies.base import Context, JointStrategy, Strategy
from weakseg.strategies.boxes_crf import BoxesCRF
from weakseg.strategies.cosegmentation import Cosegmentation
from weakseg.strategies.mixed import Mixed
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter
from weakseg.utils.array_cache import Arrays

HEIGHT, WIDTH = 45, 62
CLASSES = ("background", "bright", "dark")
CRF = DenseCRF(bilateral_rgb=20.0)
STRATEGIES = [Cosegmentation, BoxesCRF, Mixed]


class Colours(FrozenFeatures):
    """Sees the colours of squares of 4 pixels."""

    @property
    def fingerprint_of(self) -> str:
        """It has no files."""
        return type(self).__name__

    def encode(self, images: Sequence[Tensor]) -> list[Arrays]:
        return [{"features": F.avg_pool2d(image.float(), 4).numpy()} for image in images]


class Truth(Colours):
    """Knows what an image shows; images are told apart by their first pixel."""

    def __init__(self, truths: dict[int, Tensor]) -> None:
        super().__init__("a/truth")
        self.truths = truths

    def encode(self, images: Sequence[Tensor]) -> list[Arrays]:
        return [{"features": self._shares(int(image[0, 0, 0])).numpy()} for image in images]

    def _shares(self, number: int) -> Tensor:
        shown = F.one_hot(self.truths[number].long(), 3).movedim(-1, 0).float()
        return F.interpolate(shown[None], (23, 31), mode="area")[0]


def made(kind: type[JointStrategy], backbone: FrozenFeatures) -> JointStrategy:
    together = {} if kind is Cosegmentation else {"together": True}
    strategy = kind(crf=CRF, features="a/model", **together)
    for part in (strategy, *strategy.children()):
        if hasattr(part, "backbone"):
            part.backbone = backbone  # type: ignore[assignment]
    return strategy


def album() -> tuple[list[Evidence], list[Tensor]]:
    """Images of odd sides, each with an upright rectangle of one of two classes on grey, anywhere
    but in the middle, in colours that say little."""
    random = torch.Generator().manual_seed(5)
    images, truths = [], []
    for number in range(14):
        label = 1 + number % 2
        top, left = (int(torch.randint(0, most, (), generator=random)) for most in (18, 44))
        truth = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
        truth[top : top + 26, left : left + 17] = label
        level = torch.tensor([120.0, 150.0, 90.0])[truth.long()]
        noise = 6 * torch.randn(3, HEIGHT, WIDTH, generator=random)
        image = (level + noise).clamp(0, 255).to(torch.uint8)
        image[:, 0, 0] = number
        tags = torch.tensor([True, label == 1, label == 2])
        images.append(Evidence(f"photo{number:02}", image, tags=tags))
        truths.append(truth)
    return images, truths


def boxed(evidence: Evidence, truth: Tensor) -> Evidence:
    rows, columns = truth.nonzero().T
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return evidence._replace(
        boxes=torch.tensor([[float(edge) for edge in box]]),
        box_classes=truth.max()[None].long(),
    )


def fit(strategy: JointStrategy, images: Sequence[Evidence]) -> Tensor | None:
    """As a round does it."""
    fitted = None
    for _ in range(strategy.iterations):
        context = Context(fitted=fitted, classes=CLASSES)
        described = [strategy.describe(evidence, context) for evidence in images]
        fitted = strategy.continue_fit(fitted, strategy.fit(described))
    return fitted


def quality(
    strategy: Strategy, images: Sequence[Evidence], truths: Sequence[Tensor], context: Context
) -> float:
    counts = torch.zeros(3, 3, dtype=torch.int64)
    for evidence, truth in zip(images, truths, strict=True):
        target = strategy.estimate(evidence, context)
        assert isinstance(target, Tensor)
        counts += confusion_matrix(target, truth.masked_fill(target == IGNORE, IGNORE), 3)
    return mean_iou(counts)


@pytest.mark.parametrize("kind", STRATEGIES)
def test_a_backbone_that_knows_the_truth_leads_to_the_truth(kind: type[JointStrategy]) -> None:
    images, truths = album()
    backbone = Truth(dict(enumerate(truths)))
    strategy = made(kind, backbone)
    if kind is not Cosegmentation:
        images = [boxed(*pair) for pair in zip(images, truths, strict=True)]
    context = Context(fitted=fit(strategy, images), classes=CLASSES)
    assert quality(strategy, images, truths, context) >= 0.98


@pytest.mark.parametrize("kind", STRATEGIES)
def test_it_is_the_same_as_a_network_with_such_features(kind: type[JointStrategy]) -> None:
    images, truths = album()
    images = [boxed(*pair) for pair in zip(images, truths, strict=True)][:6]
    frozen = made(kind, Colours("a/model"))
    together = {} if kind is Cosegmentation else {"together": True}
    plain = kind(crf=CRF, **together)
    alike = torch.full((3, HEIGHT, WIDTH), 1 / 3)
    contexts = [
        Context(Prediction(alike, intermediate=F.avg_pool2d(each.image.float(), 4)))
        for each in images
    ]
    fitted = fit(frozen, images)
    for evidence, seen in zip(images, contexts, strict=True):
        expected = plain.estimate(evidence, seen._replace(fitted=fitted))
        found = frozen.estimate(evidence, Context(fitted=fitted, classes=CLASSES))
        assert torch.equal(found, expected)  # type: ignore[arg-type]


class Bare(nn.Module):
    """A network without any optional part."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.last(image)
        return logits


@pytest.mark.parametrize("workers", [0, 2])
def test_any_network_trains_with_it(tmp_path: Path, dino: Path, workers: int) -> None:
    strategy = Cosegmentation(features=str(dino), long_side=56, iterations=2, samples=9)
    data = Everything(train=6, val=2)
    rounds = Rounds(when="once", workers=workers)
    fitting = trainer(tmp_path, 2, callbacks=[rounds])
    fitting.fit(Segmenter(Bare(), strategy, data.classes), data)
    assert rounds.fitted is not None
    assert rounds.fitted.shape == (2, 3, 16 + 2)


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="revision is v1, but features is null"):
        Cosegmentation(revision="v1")
    with pytest.raises(ValueError, match="together is false; set it, or leave features out"):
        BoxesCRF(features="a/model")
    (image, *_), _ = album()
    with pytest.raises(ValueError, match=r"context\.classes is empty, but without a prediction"):
        made(Cosegmentation, Colours("a/model")).describe(image, Context())
    with pytest.raises(ValueError, match="model no/such/model is no folder here"):
        _ = FrozenFeatures("no/such/model").files
