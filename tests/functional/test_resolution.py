from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from weakseg.functional.resolution import average_pool, shrink, stride


@pytest.mark.parametrize(
    ("full", "few", "expected"),
    [(224, 28, 8), (321, 41, 8), (513, 65, 8), (100, 7, 16), (33, 2, 32), (9, 9, 1), (1, 1, 1)],
)
def test_strides(full: int, few: int, expected: int) -> None:
    assert stride(full, few) == expected


def test_all_labels_stay_where_there_is_a_score_for_each_pixel() -> None:
    labels = torch.randint(0, 5, (2, 6, 9))
    assert torch.equal(shrink(labels, 6, 9), labels)


def test_an_edge_stays_where_it_is() -> None:
    """Labels that are shrunk and enlarged again agree with what they were but for less than a
    stride around the edge."""
    labels = torch.zeros(1, 64, 96, dtype=torch.int64)
    labels[:, :, 40:] = 1
    small = shrink(labels, 8, 12)
    assert torch.equal(F.interpolate(small[:, None].float(), scale_factor=8)[:, 0].long(), labels)


def test_masks_and_sizes_that_do_not_fit() -> None:
    valid = torch.ones(1, 100, 33, dtype=torch.bool)
    valid[:, 90:] = False
    # the last score's middle lies outside: its last pixel is asked
    assert shrink(valid, 7, 3)[0, :, 0].tolist() == [True] * 6 + [False]


def test_averages_are_of_what_is_valid() -> None:
    values, valid = torch.randn(2, 3, 7, 5), torch.rand(2, 7, 5) < 0.4
    means, there = average_pool(values, valid, 3)
    assert means.shape == (2, 3, 3, 2)
    for image in range(2):
        for row in range(3):
            for column in range(2):
                window = image, ..., slice(3 * row, 3 * row + 3), slice(3 * column, 3 * column + 3)
                inside = valid[window]
                assert there[image, row, column] == inside.any()
                expected = values[window][:, inside].mean(1) if inside.any() else torch.zeros(3)
                torch.testing.assert_close(means[image, :, row, column], expected)
