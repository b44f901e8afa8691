from __future__ import annotations

from math import exp, log

import pytest
import torch
from torch import Tensor, nn

from tests.small import TinyNet
from tests.strategies.parts import a_batch
from weakseg.evidence import IGNORE, Batch, Evidence, PseudoBatch
from weakseg.strategies.base import Wants
from weakseg.strategies.points_agmm import PointsAGMM
from weakseg.training.segmenter import Segmenter

NO = IGNORE
CLASSES = ("background", "cat", "dog")


def test_the_loss_by_hand() -> None:
    """Two pixels, one of which is marked with class 1; their features are 1 apart."""
    logits = torch.tensor([[0.9, 0.1], [0.2, 0.8]]).log().T[None, :, None]
    features = torch.tensor([[[[3.0, 2.0]]]])
    batch = a_batch(1, 2, marks=torch.tensor([[[NO, 1]]]), features=features)
    terms = PointsAGMM(weight=0.5).loss(logits, batch)
    assert list(terms) == ["marks", "mixture", "apart"]
    assert terms["marks"].item() == pytest.approx(-log(0.8))
    near = exp(-1)
    first = -(near * log(0.1) + (1 - near) * log(0.9)) / 2
    second = -log(0.8) / 2
    assert terms["mixture"].item() == pytest.approx(0.5 * (first + second) / 2, abs=1e-5)
    assert terms["apart"].item() == 0  # there is one class


def test_classes_that_the_tags_leave_out() -> None:
    batch = a_batch(1, 2, [[1, 1, 0, 0]], marks=torch.tensor([[[0, 1]]]))
    terms = PointsAGMM(weight=0, absent=2).loss(torch.zeros(1, 4, 1, 2), batch)
    assert list(terms) == ["marks", "absent"]
    assert terms["absent"].item() == pytest.approx(2 * log(2))
    assert list(PointsAGMM(weight=0, absent=0).loss(torch.zeros(1, 4, 1, 2), batch)) == ["marks"]


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (8, 8)])
def test_features_may_be_coarser_than_the_image(size: tuple[int, int]) -> None:
    """Pixels of the same cell count alike, in the last cells, too, which lie partly outside."""
    height, width = size
    cells = (-(-height // 4), -(-width // 4))
    marks = torch.full((1, *size), NO)
    marks[0, 0, 0], marks[0, -1, -1] = 1, 2
    logits = torch.randn(1, 3, *cells).repeat_interleave(4, 2).repeat_interleave(4, 3)
    coarse = torch.rand(1, 6, *cells)
    fine = coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)[..., :height, :width]
    logits = logits[..., :height, :width]
    strategy = PointsAGMM()
    one = strategy.loss(logits, a_batch(*size, marks=marks, features=coarse))
    other = strategy.loss(logits, a_batch(*size, marks=marks, features=fine))
    torch.testing.assert_close(one["apart"], other["apart"])
    if size != (5, 7):  # where cells are cut, pixels and cells do not weigh the same
        torch.testing.assert_close(one["mixture"], other["mixture"])


def test_padding_takes_no_part() -> None:
    marks = torch.full((1, 4, 8), NO)
    marks[0, 0, 0], marks[0, 3, 3] = 0, 2
    logits, features = torch.randn(1, 3, 4, 8), torch.rand(1, 5, 2, 4)
    valid = torch.zeros(1, 4, 8, dtype=torch.bool)
    valid[..., :4] = True
    padded = a_batch(4, 8, marks=marks, valid=valid, features=features)
    bare = a_batch(4, 4, marks=marks[..., :4], features=features[..., :2])
    expected = PointsAGMM().loss(logits[..., :4], bare)
    for name, value in PointsAGMM().loss(logits, padded).items():
        torch.testing.assert_close(value, expected[name])


def test_half_precision_stays_finite() -> None:
    marks = torch.full((1, 4, 4), NO)
    marks[0, 0, 0], marks[0, 3, 3] = 0, 1
    logits = (torch.randn(1, 3, 4, 4) * 40).half().requires_grad_()
    features = (torch.randn(1, 5, 4, 4) * 40).half().requires_grad_()
    terms = PointsAGMM().loss(logits, a_batch(4, 4, marks=marks, features=features))
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    assert total.dtype == torch.float32
    assert total.isfinite()
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_the_warm_up_learns_marks_alone() -> None:
    strategy, logits = PointsAGMM(warmup=1), torch.randn(1, 3, 8, 8)
    marks = torch.ones(1, 8, 8, dtype=torch.int64)
    batch = a_batch(8, 8, marks=marks, features=torch.rand(1, 4, 8, 8))
    assert [list(strategy.loss(logits, batch)) for _ in range(2)] == [
        ["marks"],
        ["marks", "mixture", "apart"],
    ]


def test_without_features_or_marks() -> None:
    batch = a_batch(1, 2, marks=torch.zeros(1, 1, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="PointsAGMM needs the network's features, but the batch"):
        PointsAGMM().loss(torch.zeros(1, 3, 1, 2), batch)
    with pytest.raises(ValueError, match="PointsAGMM needs marks, but the images a have none"):
        PointsAGMM().loss(torch.zeros(1, 3, 1, 2), a_batch(1, 2))
    unmarked = Evidence("x", torch.zeros(3, 2, 2, dtype=torch.uint8), marks=torch.full((2, 2), 255))
    with pytest.raises(ValueError, match="image x has no marked pixel"):
        PointsAGMM().check(unmarked, CLASSES)


class Plain(nn.Module):
    """A network that offers nothing but logits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, len(CLASSES), 1)

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.conv(image)
        return found


def test_a_network_without_features_is_refused() -> None:
    message = (
        r"PointsAGMM learns from the network's features in each step, but Plain has no method "
        r"`features`; take a network that has it, such as network=deeplabv3plus"
    )
    with pytest.raises(TypeError, match=message):
        Segmenter(Plain(), PointsAGMM(), CLASSES)
    with pytest.raises(ValueError, match="features_in_loss of wants should be True or False"):
        Wants(features_in_loss=1)  # type: ignore[arg-type]


class OnePass(TinyNet):
    """Can classify its features; counts how often it makes them."""

    passes = 0

    def features(self, image: Tensor) -> Tensor:
        self.passes += 1
        return super().features(image)

    def classify(self, features: Tensor) -> Tensor:
        found: Tensor = self.head(features)
        return found


class Watching(PointsAGMM):
    """Keeps the batch that it was given."""

    seen: Batch | None = None

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        self.seen = batch
        return super().loss(logits, batch)


@pytest.mark.parametrize(("kind", "passes"), [(TinyNet, 2), (OnePass, 1)])
def test_the_segmenter_gives_features_of_the_batch_s_own_images(
    kind: type[TinyNet], passes: int
) -> None:
    """With gradients, and without those of pseudo-labelled images behind them."""
    made = []
    network = kind()
    network.encoder.register_forward_hook(lambda *_: made.append(1))
    strategy = Watching()
    segmenter = Segmenter(network, strategy, CLASSES)
    marks = torch.full((2, 6, 6), NO)
    marks[:, 0, 0], marks[:, 5, 5] = 0, 1
    pseudo = PseudoBatch(
        ["more"],
        torch.randint(0, 256, (1, 3, 6, 6), dtype=torch.uint8),
        torch.zeros(1, 6, 6, dtype=torch.int64),
        1.0,
    )
    image = torch.randint(0, 256, (2, 3, 6, 6), dtype=torch.uint8)
    batch = Batch(["a", "b"], image, marks=marks, pseudo=pseudo)
    found, outputs = segmenter._training_outputs(batch)
    assert len(made) == passes
    assert outputs[0].shape[0] == 3
    assert found.features is not None
    assert found.features.shape == (2, 8, 6, 6)
    returned = segmenter._loss(outputs[0], found)
    assert strategy.seen is found
    returned.terms["apart"].backward()
    weight = network.encoder[0].weight
    assert isinstance(weight, Tensor)
    assert weight.grad is not None
    assert (weight.grad != 0).any()
