from __future__ import annotations

from math import exp, log

import pytest
import torch
from torch import Tensor

from weakseg.functional.feature_mixture import (
    LEAST,
    Mixture,
    apart_loss,
    feature_mixture,
    mixture_loss,
)


def a_mixture(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random features, marks, probabilities and valid cells of two images with three classes."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.rand(2, 4, 3, 5, generator=generator, dtype=torch.double)
    marked = torch.randint(0, 5, (2, 3, 3, 5), generator=generator).clamp(max=2).double() % 2
    marked[0, 1] = 0
    logits = torch.randn(2, 3, 3, 5, generator=generator, dtype=torch.double)
    valid = torch.ones(2, 3, 5, dtype=torch.bool)
    valid[1, :, 4] = False
    marked[1, :, :, 4] = 0
    return features, marked, logits, valid


def test_the_mixture_by_hand() -> None:
    """Three cells with two channels; the first two are marked with class 0, the last with 1."""
    features = torch.tensor([[0.0, 2, 5], [0, 4, 1]])[None, :, None]
    marked = torch.tensor([[1.0, 3, 0], [0, 0, 2], [0, 0, 0]])[None, :, None]
    mixture = feature_mixture(features, marked)
    # pixels count, not cells: three quarters of the second cell
    assert mixture.centres[0].tolist() == [[1.5, 3], [5, 1], [0, 0]]
    assert mixture.present.tolist() == [[True, True, False]]
    distances = [[2.25, 0.75, 2.75], [3, 3, 0]]
    expected = [[exp(-(each**2)) for each in row] for row in distances]
    torch.testing.assert_close(mixture.scores[0, :2, 0], torch.tensor(expected))
    assert (mixture.scores[0, 2] == 0).all()


def test_the_losses_by_hand() -> None:
    """One image of two cells. Only the first is marked, with class 1."""
    probs = torch.tensor([[0.2, 0.5], [0.8, 0.5]])[None, :, None]
    marked = torch.tensor([[0.0, 0], [1, 0]])[None, :, None]
    present = torch.tensor([[False, True]])
    scores = torch.tensor([[0.0, 0], [1, 0.25]])[None, :, None]
    mixture = Mixture(scores, torch.zeros(1, 2, 3), present)
    valid = torch.ones(1, 1, 2, dtype=torch.bool)
    first = -log(0.8) / 2
    second = -(0.25 * log(0.5) + 0.75 * log(0.5)) / 2
    found = mixture_loss(probs, marked, mixture, valid).item()
    assert found == pytest.approx((first + second) / 2, abs=1e-5)
    valid[0, 0, 1] = False
    assert mixture_loss(probs, marked, mixture, valid).item() == pytest.approx(first, abs=1e-5)


def test_centres_should_lie_apart() -> None:
    centres = torch.tensor([[[0.0, 0], [2, 4], [9, 9]], [[2.0, 2], [7, 7], [8, 8]]])
    present = torch.tensor([[True, True, False], [True, False, False]])
    mixture = Mixture(torch.zeros(0), centres, present)
    # class 0 in the mean of both images: (1, 1); class 1 of the first one; class 2 has no centre
    assert apart_loss(mixture).item() == pytest.approx(exp(-(2**2)))
    alone = mixture._replace(present=torch.tensor([[True, False, False]] * 2))
    assert apart_loss(alone).item() == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_that_of_single_pixels(seed: int) -> None:
    features, marked, logits, valid = a_mixture(seed)
    probs = logits.softmax(1)
    mixture = feature_mixture(features, marked)
    everywhere = []
    at_marks = []
    for image in range(2):
        present = [label for label in range(3) if marked[image, label].sum() > 0]
        for row in range(3):
            for column in range(5):
                cell = (image, slice(None), row, column)
                apart = (features[cell] - mixture.centres[image]).abs().mean(1)
                scores = {label: exp(-(float(apart[label]) ** 2)) for label in present}
                if valid[image, row, column]:
                    terms = [_cross(scores[label], float(probs[cell][label])) for label in present]
                    everywhere.append(sum(terms) / max(1, len(present)) / 2)
                for label in present:
                    for _ in range(int(marked[cell][label])):
                        terms = [_cross(float(other == label), scores[other]) for other in present]
                        at_marks.append(sum(terms) / len(present) / 2)
    expected = sum(everywhere) / len(everywhere) + sum(at_marks) / len(at_marks)
    found = mixture_loss(probs, marked, mixture, valid)
    assert found.item() == pytest.approx(expected, rel=1e-9)


def _cross(target: float, prob: float) -> float:
    return -(target * log(prob + LEAST) + (1 - target) * log(1 - prob + LEAST))


def test_gradients() -> None:
    features, marked, logits, valid = a_mixture(7)

    def loss(features: Tensor, logits: Tensor) -> Tensor:
        mixture = feature_mixture(features, marked)
        return mixture_loss(logits.softmax(1), marked, mixture, valid) + apart_loss(mixture)

    assert torch.autograd.gradcheck(loss, (features.requires_grad_(), logits.requires_grad_()))


def test_without_any_mark_there_is_nothing_to_learn() -> None:
    features, marked, logits, valid = a_mixture(1)
    features.requires_grad_()
    mixture = feature_mixture(features, torch.zeros_like(marked))
    loss = mixture_loss(logits.softmax(1), torch.zeros_like(marked), mixture, valid)
    total = loss + apart_loss(mixture)
    total.backward()
    assert total.item() == 0
    assert features.grad is not None
    assert (features.grad == 0).all()
