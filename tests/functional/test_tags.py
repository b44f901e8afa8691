from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from itertools import permutations
from math import fsum
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.functional.tags import (
    BIASES,
    PORTIONS,
    _smallest,
    em_adapt,
    em_adapt_scores,
    em_fixed,
    em_fixed_boxes,
)
from weakseg.utils.devices import as_on_a_gpu

Scores = list[list[float]]
"""per class, per pixel"""


def adapt_one(
    scores: Scores,
    tags: list[int],
    portions: tuple[float, float],
    orders: list[list[int]],
    counted: list[int],
    margin: float = 1e-5,
) -> tuple[Scores, list[int]]:
    """The steps of EM-Adapt on one image, as they are written down: the shifted scores, and the
    label of each pixel."""
    scores, classes, pixels = (
        [list(row) for row in scores],
        range(len(scores)),
        range(len(scores[0])),
    )
    if tags:
        lowest = [min(scores[c][i] for c in tags) for i in pixels]
        for c in set(classes) - set(tags):
            scores[c] = [
                lowest[i] - margin if scores[c][i] > lowest[i] else scores[c][i] for i in pixels
            ]
    top = [max(scores[c][i] for c in tags or classes) for i in pixels]
    before = fsum(top[i] for i in counted) / max(len(counted), 1)
    for order in orders if counted else []:
        for c in order:
            rank = int(np.float32(portions[c > 0]) * np.float32(len(counted)))
            bias = sorted(top[i] - scores[c][i] for i in counted)[min(rank, len(counted) - 1)]
            scores[c] = [score + bias for score in scores[c]]
            top = [max(top[i], scores[c][i]) for i in pixels]
    # of equal ones a class of the tags, the lower one
    labels = [max(classes, key=lambda c: (scores[c][i], c in tags, -c)) for i in pixels]
    shift = before - fsum(top[i] for i in counted) / max(len(counted), 1)
    return [[score + shift for score in row] for row in scores], [
        labels[i] if i in counted else 255 for i in pixels
    ]


def adapt_all(
    logits: Tensor, tags: Tensor, foreground: float, background: float, sweeps: int, valid: Tensor
) -> tuple[Tensor, Tensor]:
    """The same on a batch, in the order of the classes' numbers."""
    results = []
    for image, listed, inside in zip(
        logits.flatten(2).tolist(), tags, valid.flatten(1), strict=True
    ):
        order = listed.nonzero().flatten().tolist()
        counted = inside.nonzero().flatten().tolist()
        results.append(adapt_one(image, order, (background, foreground), [order] * sweeps, counted))
    scores = torch.tensor([scores for scores, _ in results], dtype=torch.float64).view(logits.shape)
    return scores, torch.tensor([labels for _, labels in results]).view(valid.shape)


def tag_lists(images: int, classes: int) -> Tensor:
    """Random lists: one in five is empty, one full, one has background only; some leave background
    out."""
    tags = torch.rand(images, classes) < 0.5
    kind = torch.randint(0, 5, (images, 1))
    only_background = torch.arange(classes) == 0
    return torch.where(
        kind == 0,
        False,
        torch.where(kind == 1, True, torch.where(kind == 2, only_background, tags)),
    )


def listed(*tags: int, classes: int) -> Tensor:
    return torch.tensor([[c in tags for c in range(classes)]])


GOLDEN = torch.tensor(
    [
        [0.1, 0.4, 1.2, 2.0, 0.3, 0.6, 1.5, 0.2, 0.8, 0.5],
        [1.0, 0.9, 1.1, 1.3, 1.4, 0.7, 1.6, 1.7, 1.9, 2.2],
        [0.0, 1.8, 0.2, 0.3, 2.5, 0.1, 0.4, 0.6, 0.9, 0.7],
        [0.05, 3, 0.15, 0.1, 0.2, 0.25, 0.35, 0.12, 0.11, 0.13],
    ],
    dtype=torch.float64,
).view(1, 4, 2, 5)


class TestAdaptGolden:
    """A case that was computed once with the released algorithm: 10 pixels, the fourth class is
    absent."""

    tags = listed(0, 1, 2, classes=4)

    def test_biases_shift_and_absent_class(self) -> None:
        scores = em_adapt_scores(GOLDEN, self.tags, *PORTIONS["wssl_paper"])
        added = (scores - GOLDEN)[0, :3].flatten(1)
        for row, bias in zip(added.tolist(), (0.9, 0.0, 1.0), strict=True):
            assert row == pytest.approx([bias - 0.54] * 10, abs=1e-12)
        absent = scores[0, 3].flatten()
        assert absent[0].item() == pytest.approx(-0.54001, abs=1e-12)  # was .05, above class 2
        # below all others, so only shifted
        assert absent[2].item() == pytest.approx(-0.39, abs=1e-12)

    @pytest.mark.parametrize("generator", [None, torch.Generator()], ids=["by number", "at random"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_labels(self, dtype: torch.dtype, generator: torch.Generator | None) -> None:
        (labels,) = (
            em_adapt(GOLDEN.to(dtype), self.tags, *PORTIONS["wssl_paper"], generator=generator)
            .flatten(1)
            .tolist()
        )
        assert labels[1:8] == [2, 0, 0, 2, 0, 0, 1]
        assert labels[9] == 1
        assert labels[0] in (0, 1, 2)  # ties, which rounding may break
        assert labels[8] in (1, 2)


class TestAdaptAgainstPlainPython:
    @pytest.mark.parametrize("whole_numbers", [True, False], ids=["many ties", "no ties"])
    @pytest.mark.parametrize("padded", [True, False])
    def test_random_images(self, whole_numbers: bool, padded: bool) -> None:
        random.seed(0)
        for _ in range(40):
            images, classes, height, width = (
                random.randint(1, 4),
                random.randint(1, 6),
                random.randint(1, 5),
                random.randint(1, 6),
            )
            logits = torch.randn(images, classes, height, width, dtype=torch.float64) * 3
            logits = logits.round() if whole_numbers else logits
            tags = tag_lists(images, classes)
            valid = torch.rand(images, height, width) < (
                random.choice([0.0, 0.3, 0.9]) if padded else 1
            )
            foreground, background = random.choices([0, 0.1, 0.2, 0.29, 0.4, 0.7, 1], k=2)
            sweeps = random.randint(1, 3)
            scores, labels = adapt_all(logits, tags, foreground, background, sweeps, valid)
            options: Any = {
                "foreground": foreground,
                "background": background,
                "sweeps": sweeps,
                "valid": valid if padded else None,
            }
            assert torch.equal(em_adapt(logits, tags, **options), labels)
            torch.testing.assert_close(
                em_adapt_scores(logits, tags, **options), scores, rtol=0, atol=1e-12
            )

    @pytest.mark.parametrize("sweeps", [1, 2])
    def test_random_order_is_one_of_all_orders_and_each_comes_up(self, sweeps: int) -> None:
        """Copies of one image, whose labels tell in which order its classes were raised."""
        tags, portions, copies = [0, 2, 3, 4], (0.3, 0.4), 300
        image = torch.randn(5, 5, 6, dtype=torch.float64)
        orders = [[0, *order] for order in permutations(tags[1:])]
        chains = (
            [[order] for order in orders]
            if sweeps == 1
            else [[one, two] for one in orders for two in orders]
        )
        possible = {
            tuple(adapt_one(image.flatten(1).tolist(), tags, portions, chain, list(range(30)))[1])
            for chain in chains
        }
        assert len(possible) >= 6
        drawn = em_adapt(
            image.expand(copies, -1, -1, -1),
            listed(*tags, classes=5).expand(copies, -1),
            0.4,
            0.3,
            sweeps,
            torch.Generator().manual_seed(1),
        )
        assert {tuple(labels) for labels in drawn.flatten(1).tolist()} == possible

    def test_the_generator_decides_the_order(self) -> None:
        logits, tags = torch.randn(40, 5, 6, 6), torch.ones(40, 5, dtype=torch.bool)
        one, same, other = (
            em_adapt(logits, tags, generator=torch.Generator().manual_seed(seed))
            for seed in (1, 1, 2)
        )
        assert torch.equal(one, same)
        assert not torch.equal(one, other)


class TestAdapt:
    def test_the_class_raised_last_has_its_portion(self) -> None:
        for portion in (0.0, 0.05, 0.2, 0.5, 0.99, 1.0):
            logits = torch.randint(-5, 6, (8, 6, 7, 9)).double()
            tags = torch.rand(8, 6) < 0.5
            tags[:, 5] = True
            scores = em_adapt_scores(logits, tags, portion, 0.3, sweeps=2)
            on_top = (scores[:, 5] == scores.amax(1)).flatten(1).sum(1)
            assert (on_top >= min(int(portion * 63) + 1, 63)).all()

    def test_labels_are_where_the_scores_are_highest(self) -> None:
        logits, tags = torch.randn(9, 7, 8, 8), tag_lists(9, 7)
        labels, scores = em_adapt(logits, tags), em_adapt_scores(logits, tags)
        assert torch.equal(scores.gather(1, labels[:, None])[:, 0], scores.amax(1))

    def test_an_absent_class_is_no_label_even_where_it_is_as_good(self) -> None:
        assert (em_adapt(torch.zeros(1, 3, 4, 4), listed(2, classes=3)) == 2).all()

    def test_an_image_without_tags_passes_unchanged(self) -> None:
        logits, tags = (
            torch.randn(2, 4, 3, 3),
            torch.tensor([[True, True, False, False], [False] * 4]),
        )
        assert torch.equal(em_adapt_scores(logits, tags)[1], logits[1])
        assert torch.equal(em_adapt(logits, tags)[1], logits[1].argmax(0))

    def test_background_that_is_not_in_the_list_is_absent(self) -> None:
        logits = torch.randn(1, 3, 5, 5)
        logits[:, 0] += 9
        labels = em_adapt(logits, listed(1, 2, classes=3))
        assert set(labels.unique().tolist()) == {1, 2}
        assert (em_adapt_scores(logits, listed(1, 2, classes=3)).argmax(1) == labels).all()

    def test_the_portion_is_multiplied_in_single_precision(self) -> None:
        """.29 of 100 pixels: 28.999999999999996 in double precision. The gaps are 0 to 99, so the
        bias is the rank."""
        logits = torch.stack([torch.zeros(100), -torch.arange(100.0)]).view(1, 2, 10, 10)
        scores = em_adapt_scores(logits, listed(0, 1, classes=2), foreground=0.29, background=0)
        assert (scores[0, 1, 0, 0] - scores[0, 0, 0, 0]).item() == pytest.approx(29, abs=1e-4)

    def test_padding_changes_nothing_whatever_it_holds(self) -> None:
        logits, tags = torch.randn(3, 5, 6, 6), tag_lists(3, 5)
        padded = F.pad(logits, (0, 2, 0, 3), value=1e4)
        padded[:, 2, 6:] = -1e4
        valid = F.pad(torch.ones(3, 6, 6, dtype=torch.bool), (0, 2, 0, 3))
        labels = em_adapt(padded, tags, valid=valid)
        assert torch.equal(labels[:, :6, :6], em_adapt(logits, tags))
        assert (labels[~valid] == 255).all()

    def test_a_batch_is_its_images_one_by_one(self) -> None:
        logits, tags, valid = torch.randn(12, 6, 5, 7), tag_lists(12, 6), torch.rand(12, 5, 7) < 0.7
        valid[3] = False
        apart = [
            em_adapt(logits[i : i + 1], tags[i : i + 1], valid=valid[i : i + 1]) for i in range(12)
        ]
        assert torch.equal(em_adapt(logits, tags, valid=valid), torch.cat(apart))


def test_fixed_by_hand() -> None:
    logits = torch.tensor(
        [[0.0, 0.0, 3.5, 0.0], [-0.5, -1.5, 1.0, 0.0], [0.0, 0.0, 0.0, 3.0]]
    ).view(1, 3, 1, 4)
    # class 0 gains 1, class 1 gains 2, class 2 is absent, but wins where it leads by more
    assert em_fixed(logits, listed(0, 1, classes=3)).tolist() == [[[1, 0, 0, 2]]]
    assert em_fixed(logits, listed(0, 1, classes=3), *BIASES["wssl_paper"]).tolist() == [
        [[1, 1, 0, 1]]
    ]
    # background is not in the list
    assert em_fixed(logits, listed(1, classes=3)).tolist() == [[[1, 1, 0, 2]]]


def test_fixed_pixel_by_pixel() -> None:
    logits, tags, valid = (
        torch.randint(-3, 4, (5, 4, 6, 7)).float(),
        tag_lists(5, 4),
        torch.rand(5, 6, 7) < 0.8,
    )
    labels = em_fixed(logits, tags, foreground=2, background=1, valid=valid)
    for b, i, j in np.ndindex(5, 6, 7):
        raised = [
            logits[b, c, i, j].item() + (tags[b, c].item() and (2 if c else 1)) for c in range(4)
        ]
        assert labels[b, i, j] == (np.argmax(raised) if valid[b, i, j] else 255)


def test_fixed_boxes_by_hand() -> None:
    rows = [[0, 0, 0], [1.5, 0, 0], [0, 0.5, 0], [0, 4.5, 0], [0, 4.5, 0], [0, 5.5, 0], [0.5, 0, 0]]
    boxes_map = [2, 2, 2, 2, 0, 0, 255]
    # in the box class 2 gains 6 and background 5; outside background gains 5; 255 gains nothing
    labels = em_fixed_boxes(
        torch.tensor(rows).T.reshape(1, 3, 1, 7), torch.tensor([[boxes_map]], dtype=torch.uint8)
    )
    assert labels.tolist() == [[[2, 0, 2, 2, 0, 1, 0]]]


def test_fixed_boxes_pixel_by_pixel() -> None:
    logits, valid = torch.randint(-4, 5, (3, 5, 6, 7)).float(), torch.rand(3, 6, 7) < 0.8
    boxes_map = torch.randint(0, 6, (3, 6, 7))
    boxes_map[boxes_map == 5] = 255
    labels = em_fixed_boxes(logits, boxes_map, foreground=3, background=2, valid=valid)
    for b, i, j in np.ndindex(3, 6, 7):
        raised = logits[b, :, i, j].tolist()
        here = int(boxes_map[b, i, j])
        if here != 255:
            raised[0] += 2
        if 0 < here < 255:
            raised[here] += 3
        assert labels[b, i, j] == (np.argmax(raised) if valid[b, i, j] else 255)


@pytest.mark.parametrize(
    ("function", "source"), [(em_fixed, BIASES), (em_adapt, PORTIONS), (em_adapt_scores, PORTIONS)]
)
def test_defaults_are_those_of_the_released_code(
    function: Callable[..., Tensor], source: dict[str, tuple[float, float]]
) -> None:
    parameters = inspect.signature(function).parameters
    assert (parameters["foreground"].default, parameters["background"].default) == source[
        "wssl_code"
    ]


METHODS: dict[str, Callable[[Tensor], Tensor]] = {
    "em_fixed": lambda logits: em_fixed(logits, torch.arange(4).expand(2, 4) < 3),
    "em_fixed_boxes": lambda logits: em_fixed_boxes(
        logits, torch.arange(30).view(5, 6).expand(2, 5, 6) % 4
    ),
    "em_adapt": lambda logits: em_adapt(logits, torch.arange(4).expand(2, 4) < 3),
    "em_adapt_scores": lambda logits: em_adapt_scores(logits, torch.arange(4).expand(2, 4) < 3),
}


@pytest.mark.parametrize("name", METHODS)
class TestAnyMethod:
    def test_has_no_gradient_and_leaves_the_logits_as_they_are(self, name: str) -> None:
        logits = torch.randn(2, 4, 5, 6, requires_grad=True)
        kept = logits.detach().clone()
        result = METHODS[name](logits)
        assert not result.requires_grad
        assert torch.equal(logits.detach(), kept)
        if name != "em_adapt_scores":
            assert result.dtype == torch.int64
            assert result.shape == (2, 5, 6)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_is_raised_in_single(self, name: str, dtype: torch.dtype) -> None:
        logits = (torch.randn(2, 4, 5, 6) * 20).to(dtype)
        assert torch.equal(METHODS[name](logits), METHODS[name](logits.float()))

    def test_any_layout_in_memory(self, name: str) -> None:
        logits = torch.randn(2, 4, 5, 6)
        assert torch.equal(
            METHODS[name](logits.to(memory_format=torch.channels_last)), METHODS[name](logits)
        )

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_a_gpu_agrees(self, name: str) -> None:
        logits = torch.randint(-9, 10, (2, 4, 5, 6)).float()
        with torch.device("cuda"):
            labels = METHODS[name](logits.cuda())
        torch.testing.assert_close(labels.cpu(), METHODS[name](logits))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x, t: em_adapt(x[0], t),
            r"logits should be float \[B,C,H,W\], at least one of each, but it is float32 \[3, 2, "
            r"2\]",
        ),
        (lambda x, t: em_fixed(x.long(), t), r"logits should be float .* but it is int64"),
        (
            lambda x, t: em_adapt(x[:0], t[:0]),
            r"at least one of each, but it is float32 \[0, 3, 2, 2\]",
        ),
        (
            lambda x, t: em_adapt(x, t.long()),
            r"tags should be bool \[2,3\], one row per image.* but it is int64 \[2, 3\]",
        ),
        (
            lambda x, t: em_adapt(x, t, valid=t),
            r"valid should be bool \[2,2,2\], the size of the logits, but it is bool \[2, 3\]",
        ),
        (
            lambda x, t: em_adapt(x, t, foreground=1.5),
            "foreground should lie from 0 to 1, .* but it is 1.5",
        ),
        (
            lambda x, t: em_adapt_scores(x, t, background=float("nan")),
            "background should lie from 0 to 1, .* but it is nan",
        ),
        (lambda x, t: em_adapt(x, t, sweeps=0), "sweeps should be at least 1, .* but it is 0"),
        (
            lambda x, t: em_adapt_scores(x, t, margin=-1),
            "margin should be 0 or more, .* but it is -1",
        ),
        (
            lambda x, t: em_fixed(x, t, foreground=-1),
            "foreground should be 0 or more, .* but it is -1",
        ),
        (
            lambda x, t: em_fixed_boxes(x, x[:, 0].long(), background=float("inf")),
            "background should be 0 or more, .* but it is inf",
        ),
        (
            lambda x, t: em_fixed_boxes(x, x[:, 0]),
            r"boxes_map should be integers \[2,2,2\], .* but it is float32 \[2, 2, 2\]",
        ),
        (
            lambda x, t: em_fixed_boxes(x, x[:, 0].long() + 3),
            "boxes_map should be classes from 0 to 2 or 255, but it has 3",
        ),
    ],
)
def test_wrong_arguments(call: Callable[[Tensor, Tensor], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(2, 3, 2, 2), torch.ones(2, 3, dtype=torch.bool))


@pytest.mark.parametrize("portion", [0.0, 0.29, 0.5, 1.0])
@pytest.mark.parametrize("padded", [False, True])
def test_the_gap_of_a_portion_is_found_among_equal_ones(portion: float, padded: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    for count in (1, 2, 7, 100):
        # most are 0, as where the class is the best already
        gaps = torch.randint(-6, 4, (5, count), generator=generator).clamp(min=0).float()
        there = torch.rand(5, count, generator=generator) < 0.7 if padded else gaps >= 0
        there[:, 0] = True
        found = _smallest(gaps, portion, there if padded else None)
        for row, own, gap in zip(gaps, there, found, strict=True):
            ordered = sorted(row[own].tolist())
            rank = int(torch.tensor(float(len(ordered))) * torch.tensor(portion))
            assert gap.item() == ordered[min(rank, len(ordered) - 1)]
        with as_on_a_gpu():
            assert torch.equal(_smallest(gaps, portion, there if padded else None), found)


def test_scores_that_are_no_numbers_are_left_to_whoever_looks_for_them() -> None:
    logits = torch.full((2, 3, 2, 2), torch.nan)
    logits[1] = torch.arange(12).view(3, 2, 2)
    labels = em_adapt(logits, torch.ones(2, 3, dtype=torch.bool))
    assert torch.equal(labels[1:], em_adapt(logits[1:], torch.ones(1, 3, dtype=torch.bool)))
