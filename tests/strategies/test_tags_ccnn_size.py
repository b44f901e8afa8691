from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.small import loss_of
from tests.strategies.parts import a_batch
from weakseg.evidence import Evidence
from weakseg.strategies.tags_ccnn_size import TagsCCNNSize

NAMES = ("background", "cat", "dog", "cow")
TAGS, LARGE = [[1, 1, 1, 0]], torch.tensor([[True, True, False, False]])


def labels(strategy: TagsCCNNSize, logits: Tensor) -> Tensor:
    """The soft labels of one image, float [C,H,W]."""
    returned = loss_of(strategy, logits, a_batch(*logits.shape[2:], TAGS, large=LARGE))
    (loss,) = returned.terms.values()
    assert loss > 0
    assert returned.labels is not None
    return returned.labels[0]


def means(strategy: TagsCCNNSize, logits: Tensor) -> list[float]:
    """What share of the image each class was given."""
    shares: list[float] = labels(strategy, logits).mean((1, 2)).tolist()
    return shares


@pytest.mark.parametrize("favourite", range(4))
def test_bounds_of_the_paper(favourite: int) -> None:
    logits = torch.randn(1, 4, 20, 20)
    logits[:, favourite] += 5
    background, large, small, absent = means(TagsCCNNSize(), logits)
    assert 0.2 - 1e-4 < background < 0.7 + 1e-4
    assert large > 0.1 - 1e-4
    assert small < 0.01 + 1e-4
    assert absent == 0


def test_the_code_takes_small_classes_for_absent() -> None:
    logits = torch.randn(1, 4, 20, 20)
    logits[:, 2] += 5
    assert means(TagsCCNNSize(), logits)[2] == pytest.approx(0.01, abs=1e-4)
    assert means(TagsCCNNSize(source="ccnn_code"), logits)[2] == 0


def test_the_numbers_reach_the_bounds() -> None:
    strategy = TagsCCNNSize(
        background_lower=0.4,
        background_upper=0.45,
        large_lower=0.5,
        small_upper=0.1,
        inverse_temperature=1,
    )
    logits = torch.zeros(1, 4, 20, 20)
    logits[:, 2] += 5
    assert means(strategy, logits) == pytest.approx([0.4, 0.5, 0.1, 0], abs=1e-4)


def test_the_middle_of_the_photograph() -> None:
    """A network that tells no places apart, and .7 for background: at 1000 the other .3 lie in a
    circle around the middle."""
    strategy = TagsCCNNSize(background_lower=0.7, prior_sigma=0.5)
    soft = labels(strategy, torch.zeros(1, 4, 21, 21))
    hard = soft.argmax(0)
    assert hard[10, 10] > 0
    assert hard[10, 7] > 0
    assert (hard[[0, 0, -1, -1], [0, -1, 0, -1]] == 0).all()
    # 441 * .3 = 132 pixels, a circle of radius 6.5
    assert soft[1:, 6:15, 6:15].sum() == pytest.approx(81, rel=1e-3)


def test_images_of_a_batch_without_sizes_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"needs large, but the images b have none: .* set data.crop=null"
    ):
        TagsCCNNSize().loss(
            torch.zeros(2, 4, 3, 3),
            a_batch(3, 3, TAGS * 2, large=torch.cat([LARGE, ~LARGE & False])),
        )
    with pytest.raises(ValueError, match="needs large, but the images a have none"):
        TagsCCNNSize().loss(torch.zeros(1, 4, 3, 3), a_batch(3, 3, TAGS))


def test_what_cannot_be_is_refused_before_training() -> None:
    evidence = Evidence(
        "a",
        torch.zeros(3, 4, 4, dtype=torch.uint8),
        tags=torch.tensor(TAGS[0]).bool(),
        large=LARGE[0],
    )
    TagsCCNNSize().check(evidence, NAMES)
    with pytest.raises(
        ValueError,
        match=(
            "the classes background, cat should together cover at least 110 % of the image; lower "
            "strategy"
        ),
    ):
        TagsCCNNSize(large_lower=0.9).check(evidence, NAMES)
    with pytest.raises(
        ValueError, match="no class covers more than a tenth of the image, not even background"
    ):
        TagsCCNNSize().check(evidence._replace(large=torch.zeros(4).bool()), NAMES)
    without = evidence._replace(
        tags=torch.tensor([True, False, False, False]),
        large=torch.tensor([True, False, False, True]),
    )
    with pytest.raises(ValueError, match=f"large names {NAMES[3]}, which tags leave out"):
        TagsCCNNSize().check(without, NAMES)


def test_impossible_settings_are_named_at_once() -> None:
    with pytest.raises(ValueError, match="source should be paper or ccnn_code, but it is 'code'"):
        TagsCCNNSize(source="code")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="small_upper should lie from 0 to 1"):
        TagsCCNNSize(small_upper=1.5)
    with pytest.raises(ValueError, match="background_lower should be at most"):
        TagsCCNNSize(background_lower=0.8)
