from __future__ import annotations

import pytest
import torch

from tests.strategies.parts import a_batch
from weakseg.evidence import Evidence
from weakseg.functional.constraints.bounds import class_constraints
from weakseg.strategies.base import Strategy
from weakseg.strategies.boxes_ccnn import BoxesCCNN
from weakseg.strategies.boxes_em import BoxesEM
from weakseg.strategies.shared.per_step import boxes_of, check_bounds, check_tags, seeded, valid_of
from weakseg.strategies.tags_ccnn import TagsCCNN
from weakseg.strategies.tags_ccnn_size import TagsCCNNSize
from weakseg.strategies.tags_em import TagsEM

NAMES = ("background", "cat", "dog")
LOGITS = torch.zeros(3, 3, 4, 4)
ON_TAGS = [TagsEM, TagsCCNN, TagsCCNNSize]


@pytest.mark.parametrize("kind", ON_TAGS)
def test_images_of_a_batch_without_tags_are_named(kind: type[Strategy]) -> None:
    large = torch.ones(3, 3).bool()
    with pytest.raises(
        ValueError,
        match=(
            rf"{kind.__name__} needs tags, but the images a, c have none: a crop .* set "
            r"data.crop=null"
        ),
    ):
        kind().loss(LOGITS, a_batch(4, 4, [[0, 0, 0], [1, 1, 0], [0, 0, 0]], large=large))
    with pytest.raises(ValueError, match="the images a, b, c have none"):
        kind().loss(LOGITS, a_batch(4, 4, [[1, 1, 0]] * 3, large=large)._replace(tags=None))


@pytest.mark.parametrize("kind", [BoxesEM, BoxesCCNN])
def test_a_batch_without_boxes_is_told(kind: type[Strategy]) -> None:
    with pytest.raises(
        ValueError, match=rf"{kind.__name__} needs boxes, but the images a, b, c have none"
    ):
        kind().loss(LOGITS, a_batch(4, 4, [[1, 1, 0]] * 3))


@pytest.mark.parametrize("kind", ON_TAGS)
def test_tags_without_background_are_refused_before_training(kind: type[Strategy]) -> None:
    image, large = torch.zeros(3, 4, 4, dtype=torch.uint8), torch.tensor([True, False, False])
    with pytest.raises(ValueError, match=r"tags name cat, dog, but not background \(class 0\)"):
        kind().check(
            Evidence("a", image, tags=torch.tensor([False, True, True]), large=large), NAMES
        )
    kind().check(Evidence("a", image, tags=torch.tensor([True, False, True]), large=large), NAMES)


def test_tags_that_name_nothing() -> None:
    with pytest.raises(ValueError, match="tags name nothing, but not background"):
        check_tags(
            Evidence("a", torch.zeros(3, 1, 1, dtype=torch.uint8), tags=torch.zeros(3).bool()),
            NAMES,
        )


@pytest.mark.parametrize(
    ("lower", "upper", "tags", "sentence"),
    [
        (
            [0.5, 0.3, 0.3],
            [1.0, 1.0, 1.0],
            [1, 1, 1],
            "the classes background, cat, dog should together cover at least 110 %",
        ),
        ([0.0, 0.0, 0.3], [1.0, 1.0, 1.0], [1, 1, 0], "class dog is not among the tags"),
        (
            [0.0, 0.0, 0.3],
            [1.0, 1.0, 0.2],
            [1, 1, 1],
            "class dog should cover at least 30 % and at most 20 %",
        ),
        (
            [0.0, 0.0, 0.0],
            [0.2, 0.1, 1.0],
            [1, 1, 0],
            "no classes but background, cat are there, and together they may cover at most 30 %",
        ),
    ],
)
def test_contradictions_name_the_classes(
    lower: list[float], upper: list[float], tags: list[int], sentence: str
) -> None:
    bounds = class_constraints(torch.tensor([lower]), torch.tensor([upper]))
    with pytest.raises(ValueError, match=f"^{sentence}.*; ask for less$"):
        check_bounds(bounds, torch.tensor(tags).bool(), NAMES, "ask for less")


@pytest.mark.parametrize("kind", [*ON_TAGS, BoxesEM, BoxesCCNN])
def test_resolution_says_what_the_loss_is_given(kind: type[Strategy]) -> None:
    assert kind().wants.resolution == "image"
    for word in ("image", "scores"):
        assert kind(resolution=word).wants.resolution == word  # type: ignore[call-arg]
    with pytest.raises(
        ValueError, match="resolution should be image or scores, but it is 'pixels'"
    ):
        kind(resolution="pixels")  # type: ignore[call-arg]


def test_boxes_and_padding_follow_the_scores() -> None:
    """Scores of stride 4 on 8 rows and 10 columns, of which the last three columns are padding."""
    valid = torch.ones(1, 8, 10).bool()
    valid[:, :, 7:] = False
    batch = a_batch(8, 10, boxes=[[([2, 4, 10, 8], 1)]], valid=valid)
    scores = torch.zeros(1, 3, 2, 3)
    boxes, labels = boxes_of(batch, scores, BoxesEM())
    assert (boxes[0].tolist(), labels[0].tolist()) == ([[0.5, 1, 2.5, 2]], [1])
    found = valid_of(batch, scores)
    assert found is not None
    assert found.tolist() == [[[True, True, False]] * 2]  # by the pixels 2, 6 and 9
    assert valid_of(batch._replace(valid=None), scores) is None


def test_chance_goes_on_from_the_seed_of_the_step() -> None:
    torch.manual_seed(3)
    first, second = (torch.rand(4, generator=seeded()) for _ in range(2))
    torch.manual_seed(3)
    assert torch.equal(torch.rand(4, generator=seeded()), first)
    assert not torch.equal(first, second)
