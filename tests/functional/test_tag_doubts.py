from __future__ import annotations

import pytest
import torch

from weakseg.functional.tag_doubts import LEAST, tag_doubts


def share(values: list[float], own: float, sign: int) -> float:
    """Of values that are higher (1) or lower (-1) than one; the same count half."""
    counts = [1.0 if sign * (each - own) > 0 else 0.5 * (each == own) for each in values]
    return sum(counts) / len(counts)


def test_it_is_what_counting_says() -> None:
    random = torch.Generator().manual_seed(2)
    scores = torch.randint(0, 9, (30, 3), generator=random) / 4.0  # some are the same
    tags = torch.rand(30, 3, generator=random) < 0.5
    found = tag_doubts(scores, tags)
    for image in range(30):
        for label in range(3):
            own, is_tagged = float(scores[image, label]), bool(tags[image, label])
            same = scores[tags[:, label] == is_tagged, label].tolist()
            others = scores[tags[:, label] != is_tagged, label].tolist()
            sign = 1 if is_tagged else -1
            against, alike = share(others, own, sign), share(same, own, -sign)
            assert float(found[image, label]) == pytest.approx(against / (against + alike))


def test_a_swapped_tag_stands_out() -> None:
    tags = torch.zeros(40, 2, dtype=torch.bool)
    tags[::2, 0] = tags[1::2, 1] = True
    shown = tags.clone()
    tags[6] = torch.tensor([False, True])
    scores = shown + 0.2 * torch.rand(40, 2)
    scores[6] = torch.tensor([1.1, 0.1])  # like most that show what it shows
    doubts = tag_doubts(scores, tags)
    assert (doubts[6] > 0.75).all()
    doubts[6] = 0
    assert doubts.max() < 0.7


def test_few_images_say_nothing() -> None:
    tags = torch.tensor([[True]] * (LEAST - 1) + [[False]] * LEAST)
    assert tag_doubts(torch.rand(len(tags), 1), tags).isnan().all()
    assert tag_doubts(torch.rand(len(tags) + 1, 1), torch.cat([tags, tags[:1]])).isfinite().all()
