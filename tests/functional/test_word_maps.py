"""The steps of CLIP-ES, against loops and numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from weakseg.functional.word_maps import (
    attention_affinity,
    boxes_around,
    grad_cam,
    min_max,
    spread_by_affinity,
    with_background,
    word_probs,
)


def test_words_compete() -> None:
    image, words = torch.tensor([0.6, 0.8]), torch.tensor([[2.0, 0.0], [0.0, 0.5], [-1.0, 0.0]])
    expected = [math.exp(10 * cosine) for cosine in (0.6, 0.8, -0.6)]
    found = word_probs(5 * image, words, 10.0)
    assert found.tolist() == pytest.approx([each / sum(expected) for each in expected], rel=1e-4)


def test_grad_cam_is_what_its_formula_says() -> None:
    activations, gradients = torch.randn(6, 4), torch.randn(3, 6, 4)
    found = grad_cam(activations, gradients)
    assert (found == 0).any()
    assert (found > 0).any()
    for label in range(3):
        weights = [sum(float(gradients[label, n, d]) for n in range(6)) / 6 for d in range(4)]
        for patch in range(6):
            score = sum(weights[d] * float(activations[patch, d]) for d in range(4))
            assert float(found[label, patch]) == pytest.approx(max(0.0, score), abs=1e-6)


def test_affinity_is_doubly_stochastic_and_links_over_two_steps() -> None:
    affinity = attention_affinity(torch.rand(7, 7) + 0.05, times=50)
    torch.testing.assert_close(affinity, affinity.T)
    torch.testing.assert_close(affinity.sum(0), torch.ones(7), atol=1e-4, rtol=1e-4)
    # 0 attends to 1 and 1 to 2: so 0 and 2 belong together
    chain = attention_affinity(torch.eye(4) + torch.diag(torch.tensor([1.0, 1.0, 0.0]), 1))
    assert chain[0, 2] > 0
    assert chain[0, 3] == 0


def test_columns_are_divided_before_rows() -> None:
    # by columns [[.25, .5], [.75, .5]], by rows [[1/3, 2/3], [.6, .4]]
    symmetric = [[1 / 3, (2 / 3 + 0.6) / 2], [(2 / 3 + 0.6) / 2, 0.4]]
    expected = torch.tensor(symmetric) @ torch.tensor(symmetric)
    found = attention_affinity(torch.tensor([[1.0, 4.0], [3.0, 4.0]]), times=1)
    torch.testing.assert_close(found, expected)


def test_boxes_are_around_each_part() -> None:
    cells = torch.tensor(
        [
            [0.0, 9.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 5.0, 0.0, 0.0, 3.6],
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            [4.0, 0.0, 3.5, 0.0, 0.0, 0.0],
        ]
    )
    # more than 0.4 * 9 = 3.6: two parts, of which the first touches at a corner
    expected = [[0, 1, 1, 0, 0, 0], [0, 1, 1, 0, 0, 0], [0] * 6, [1, 0, 0, 0, 0, 0]]
    found = boxes_around(torch.stack([cells, torch.zeros(4, 6)]), 0.4)
    assert found[0].int().tolist() == expected
    assert not found[1].any()


def test_maps_spread_from_their_boxes_alone() -> None:
    maps, affinity = torch.rand(2, 3, 4), torch.rand(12, 12)
    inside = torch.rand(2, 3, 4) > 0.4
    found = spread_by_affinity(maps, affinity, inside)
    for label in range(2):
        for patch in range(12):
            expected = sum(
                float(affinity[patch, other] * maps[label].flatten()[other])
                for other in range(12)
                if inside[label].flatten()[other]
            )
            assert float(found[label].flatten()[patch]) == pytest.approx(expected, rel=1e-5)


def test_the_background_has_what_is_left() -> None:
    maps = torch.tensor([[0.2, 1.0], [0.5, 0.1]])
    planes = with_background(maps, power=2.0)
    torch.testing.assert_close(planes.sum(0), torch.ones(2))
    assert planes[:, 0].tolist() == pytest.approx([0.25 / 0.95, 0.2 / 0.95, 0.5 / 0.95])
    assert planes[0, 1] == 0
    assert min_max(maps).tolist() == [[0.0, 1.0], [1.0, 0.0]]
