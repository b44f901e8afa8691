"""Corrections in targets of every form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.regions.merging import Merging
from weakseg.functional.regions.region_graph import Superpixels
from weakseg.strategies.base import Context, Estimate, Strategy
from weakseg.training.round_targets import method_fingerprint
from weakseg.training.targets import correct_target, target_of
from weakseg.utils.fingerprint import _SOURCES

HEIGHT, WIDTH = 6, 8


def drawn(rows: slice, columns: slice, label: int) -> Tensor:
    layer = torch.full((HEIGHT, WIDTH), IGNORE, dtype=torch.uint8)
    layer[rows, columns] = label
    return layer


def an_image(**fields: Tensor) -> Evidence:
    """The left half is black, the right half is white."""
    image = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
    image[..., WIDTH // 2 :] = 255
    return Evidence("a", image, **fields)  # type: ignore[arg-type]


class Nothing(Strategy):
    """Estimates background everywhere."""

    def estimate(self, evidence: Evidence, context: Context) -> Estimate:
        return Estimate(torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8), {"height": HEIGHT})


def test_a_target_has_the_corrections_of_its_evidence_and_the_figures_of_its_strategy() -> None:
    evidence = an_image(painted=drawn(slice(1, 3), slice(2, 4), 1))
    target = target_of(Nothing(), evidence, Context(), 2)
    assert target.labels.sum() == 4
    assert bool((target.labels[1:3, 2:4] == 1).all())
    assert target.figures == {"height": HEIGHT}


def test_without_corrections_a_target_is_the_very_same() -> None:
    target = torch.rand(2, HEIGHT, WIDTH)
    assert correct_target(target, an_image()) is target


def test_corrected_pixels_of_a_soft_target_are_sure_with_the_weight_that_they_had() -> None:
    target = torch.full((3, HEIGHT, WIDTH), 0.25)
    target[0] += 0.05
    target[:, :, 0] = 0  # ignored
    evidence = an_image(painted=drawn(slice(0, 1), slice(0, 3), 2))
    found = correct_target(target, evidence)
    torch.testing.assert_close(found[:, 0, 0], torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(found[:, 0, 1], torch.tensor([0.0, 0.0, 0.8]))
    assert torch.equal(found[:, 1:], target[:, 1:])
    assert torch.equal(found[:, :, 3:], target[:, :, 3:])


def test_masks_of_boxes_lose_pixels_of_other_classes_and_gain_those_of_their_own() -> None:
    boxes = torch.tensor([[0.0, 0, 8, 6], [0, 0, 4, 4], [4, 0, 8, 6]])
    classes = torch.tensor([1, 1, 2])
    masks = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.bool)
    masks[2, :, 4:] = True
    evidence = an_image(
        boxes=boxes, box_classes=classes, painted=drawn(slice(3, 5), slice(3, 5), 1)
    )
    found = correct_target(masks, evidence)
    # the smallest box of the class around a pixel has it
    assert found[1].nonzero().tolist() == [[3, 3]]
    assert found[0].nonzero().tolist() == [[3, 4], [4, 3], [4, 4]]
    assert (masks[2] & ~found[2]).nonzero().tolist() == [[3, 4], [4, 4]]


def test_background_takes_pixels_away_from_masks() -> None:
    masks = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    evidence = an_image(
        boxes=torch.tensor([[0.0, 0, WIDTH, HEIGHT]]),
        box_classes=torch.tensor([1]),
        strokes=drawn(slice(2, 3), slice(5, 7), 0),
    )
    found = correct_target(masks, evidence)[0]
    assert not found[2, 5:7].any()


def test_targets_are_new_when_the_code_that_carries_strokes_on_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = method_fingerprint(Nothing())
    place = next(place for place in _SOURCES if place[0] == "weakseg.functional.spreading")
    loaded, source = _SOURCES[place]
    edited = source._replace(text=source.text + b"# better")
    monkeypatch.setitem(_SOURCES, place, (loaded, edited))
    assert method_fingerprint(Nothing()) != before


def test_no_boxes_no_masks() -> None:
    masks = torch.zeros(0, HEIGHT, WIDTH, dtype=torch.bool)
    evidence = an_image(
        boxes=torch.zeros(0, 4),
        box_classes=torch.zeros(0, dtype=torch.int64),
        strokes=drawn(slice(0, 1), slice(0, 1), 1),
    )
    assert correct_target(masks, evidence).shape == (0, HEIGHT, WIDTH)


class HalfBright(Strategy):
    """Class 1 on three columns of the white half, whose colours are all one."""

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        labels = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
        labels[:, WIDTH // 2 : -1] = 1
        return labels


def merging() -> HalfBright:
    strategy = HalfBright()
    strategy.regions = Merging(Superpixels(sigma=0, smallest=1))
    return strategy


def test_targets_of_any_strategy_follow_superpixels_where_it_has_regions() -> None:
    plain = target_of(HalfBright(), an_image(), Context(), 2).labels
    assert plain[:, -1].sum() == 0
    merged = target_of(merging(), an_image(), Context(), 2).labels
    assert torch.equal(merged == 1, an_image().image[0] == 255)


def test_what_a_person_has_drawn_is_laid_in_after_the_merging() -> None:
    evidence = an_image(painted=drawn(slice(0, 1), slice(WIDTH - 1, WIDTH), 0))
    merged = target_of(merging(), evidence, Context(), 2).labels
    assert merged[0, -1] == 0
    assert merged[1:, -1].all()


def test_regions_are_part_of_the_key() -> None:
    assert method_fingerprint(merging()) != method_fingerprint(HalfBright())
    assert method_fingerprint(merging()) == method_fingerprint(merging())
