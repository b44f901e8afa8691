"""CLIP-ES with a stand-in for CLIP whose maps show the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.small import labels_of
from weakseg.evidence import IGNORE, Evidence
from weakseg.foundation.clip import ClipEncoder, WordMaps
from weakseg.foundation.sam3_words import Sam3Words
from weakseg.strategies.base import Context
from weakseg.strategies.tags_clip import TagsCLIP
from weakseg.utils.array_cache import Arrays

CLASSES = ("background", "disc", "bar", "cat")
HEIGHT, WIDTH = 100, 141


class Truth(ClipEncoder):
    """Patches of 4 pixels: knows which of them shows what, and each attends to its own class."""

    def __init__(self, truth: Tensor) -> None:
        super().__init__("a/truth")
        self.truth = truth
        self.asked: list[Sequence[str]] = []

    @property
    def fingerprint_of(self) -> str:
        """It has no files."""
        return "truth"

    def encode(self, images: Sequence[Tensor]) -> list[Arrays]:
        patches = F.interpolate(self.truth[None, None].float(), (25, 36), mode="nearest-exact")[0]
        labels = patches.flatten().numpy()
        attention = (labels[:, None] == labels[None]).astype(np.float32) + 1e-4
        return [{"labels": labels, "attention": attention, "grid": np.array([25, 36])}]

    def words(self, words: Sequence[str]) -> Tensor:
        self.asked.append(words)
        return torch.arange(len(words))[:, None].float()  # the number of the word

    def maps(self, encoding: dict[str, Tensor], words: Tensor, count: int) -> WordMaps:
        found = [encoding["labels"] == number + 1 for number in words[:count, 0]]
        maps = torch.stack(found).float() * torch.rand(encoding["labels"].shape).clamp(min=0.2)
        return WordMaps(maps.view(count, 25, 36), torch.ones(len(words)))


class TrueObjects(Sam3Words):
    """Squares of 40 by 40 places: knows what each word is."""

    def __init__(self, truth: Tensor) -> None:
        super().__init__("a/truth")
        self.truth = truth
        self.asked: list[str] = []

    @property
    def fingerprint_of(self) -> str:
        """It has no files."""
        return "objects"

    def encode(self, images: Sequence[Tensor]) -> list[Arrays]:
        return [{"nothing": np.zeros(1)} for _ in images]

    def maps(self, encoding: dict[str, Tensor], words: Sequence[str]) -> Tensor:
        self.asked += words
        shown = [(self.truth == CLASSES.index(word)).float() for word in words]
        return F.interpolate(torch.stack(shown)[None], (72, 72), mode="area")[0]


def a_scene() -> tuple[Tensor, Tensor]:
    """A dark disc in one corner and a bright bar near another: nothing is its own mirror image."""
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    truth = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    truth[(rows - 30) ** 2 + (columns - 35) ** 2 < 24**2] = 1
    truth[(rows > 60) & (rows < 90) & (columns > 70) & (columns < 133)] = 2
    level = torch.tensor([128.0, 20.0, 240.0])[truth.long()]
    noise = torch.randn(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    return (level + 4 * noise).clamp(0, 255).to(torch.uint8), truth


def known(truth: Tensor) -> TagsCLIP:
    strategy = TagsCLIP()
    strategy.encoder = Truth(truth)
    return strategy


def by_objects(truth: Tensor) -> TagsCLIP:
    strategy = TagsCLIP("sam3", "a/model")
    strategy.encoder = TrueObjects(truth)
    return strategy


def evidence_of(image: Tensor, *tags: int) -> Evidence:
    named = torch.zeros(len(CLASSES), dtype=torch.bool)
    named[[0, *tags]] = True
    return Evidence("scene", image, tags=named)


def miou(target: Tensor, truth: Tensor) -> float:
    counted = target != IGNORE
    found = [
        float(((target == label) & (truth == label)).sum())
        / float((((target == label) | (truth == label)) & counted).sum())
        for label in truth.unique()
    ]
    return sum(found) / len(found)


def test_maps_that_show_the_truth_become_the_truth() -> None:
    image, truth = a_scene()
    target = labels_of(known(truth), evidence_of(image, 1, 2), classes=CLASSES)
    assert miou(target, truth) >= 0.98
    assert (target != IGNORE).float().mean() > 0.9


def test_a_class_that_is_not_tagged_is_impossible() -> None:
    image, truth = a_scene()
    target = labels_of(known(truth), evidence_of(image, 2), classes=CLASSES)
    assert set(target.unique().tolist()) <= {0, 2, IGNORE}
    assert miou(target, truth * (truth == 2)) >= 0.98
    assert not labels_of(known(truth), evidence_of(image), classes=CLASSES).any()


def test_marks_stay_and_nothing_is_outside_of_boxes() -> None:
    image, truth = a_scene()
    marks = torch.full((HEIGHT, WIDTH), IGNORE, dtype=torch.uint8)
    marks[2, 3:9] = 3
    boxes = torch.tensor([[10.0, 5.0, 40.0, 56.0]])
    evidence = evidence_of(image, 1, 2)._replace(
        marks=marks, boxes=boxes, box_classes=torch.tensor([1])
    )
    target = labels_of(known(truth), evidence, classes=CLASSES)
    assert torch.equal(target[marks != IGNORE], marks[marks != IGNORE])
    outside = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
    outside[5:56, 10:40] = False
    assert not (target[outside] == 1).any()
    assert (target == 2).sum() > 1000  # has no box
    assert (target[20:40, 20:38] == 1).all()


def test_a_mask_is_the_target() -> None:
    image, truth = a_scene()
    evidence = evidence_of(image, 1, 2)._replace(marks=truth)
    assert torch.equal(labels_of(known(1 - truth), evidence, classes=CLASSES), truth)


def test_what_is_not_certain_has_no_label() -> None:
    image, truth = a_scene()
    strategy = known(truth)
    shares = []
    for confidence in (0.0, 0.95, 1.0):
        strategy.confidence = confidence
        target = labels_of(strategy, evidence_of(image, 1, 2), classes=CLASSES)
        shares.append((target == IGNORE).float().mean().item())
    assert shares[0] == 0
    assert shares[0] < shares[1] < shares[2]


def test_the_words_that_are_asked_for() -> None:
    image, truth = a_scene()
    strategy = known(truth)
    strategy.words = {"bar": "chocolate bar"}
    classes = ("background", "disc", "bar", "sky")
    labels_of(strategy, evidence_of(image, 1, 2), classes=classes)
    (words,) = strategy.encoder.asked  # type: ignore[attr-defined]
    assert words[:3] == ["disc", "chocolate bar", "sky"]
    assert len(words) == 3 + 24  # sky is a class, and no background


def test_what_cannot_be() -> None:
    image, truth = a_scene()
    with pytest.raises(ValueError, match=r"context\.classes is empty, but tags_clip asks"):
        known(truth).estimate(evidence_of(image, 1), Context())
    with pytest.raises(ValueError, match=r"template should have \{\} in the place of a word"):
        TagsCLIP(template="a photo")
    with pytest.raises(ValueError, match="words are given for crack, which is no class"):
        TagsCLIP(words={"crack": "a crack"}).check(evidence_of(image, 1), CLASSES)
    with pytest.raises(ValueError, match="no/such/model is no folder here"):
        _ = TagsCLIP(model="no/such/model").encoder.files
    with pytest.raises(ValueError, match="by=sam3 asks SAM 3, whose weights are given only to"):
        TagsCLIP("sam3")
    with pytest.raises(ValueError, match=r"possible should be at most sure, 0\.5, but it is 0\.7"):
        TagsCLIP(possible=0.7)


def test_objects_that_are_the_truth_become_the_truth() -> None:
    image, truth = a_scene()
    strategy = by_objects(truth)
    target = labels_of(strategy, evidence_of(image, 1, 2), classes=CLASSES)
    assert miou(target, truth) >= 0.98
    assert (target != IGNORE).float().mean() > 0.95
    assert strategy.encoder.asked == ["disc", "bar"]  # type: ignore[union-attr]
    target = labels_of(strategy, evidence_of(image, 2), classes=CLASSES)
    assert miou(target, truth * (truth == 2)) >= 0.98


def test_objects_stay_in_their_boxes_and_marks_as_they_are() -> None:
    image, truth = a_scene()
    marks = torch.full((HEIGHT, WIDTH), IGNORE, dtype=torch.uint8)
    marks[30, 30:40] = 0
    boxes = torch.tensor([[10.0, 5.0, 40.0, 56.0]])
    evidence = evidence_of(image, 1, 2)._replace(
        marks=marks, boxes=boxes, box_classes=torch.tensor([1])
    )
    target = labels_of(by_objects(truth), evidence, classes=CLASSES)
    assert (target[30, 30:40] == 0).all()
    assert not (target[:, 41:] == 1).any()
    assert (target == 2).sum() > 1000


def test_what_is_only_possible_has_no_label() -> None:
    image, truth = a_scene()
    strategy = by_objects(truth)
    before = labels_of(strategy, evidence_of(image, 1), classes=CLASSES)
    strategy.sure, strategy.possible = 0.9, 0.1
    after = labels_of(strategy, evidence_of(image, 1), classes=CLASSES)
    assert (after == IGNORE).sum() > 2 * (before == IGNORE).sum()
    assert (before[after == 1] == 1).all()
    assert (before[after == 0] == 0).all()
