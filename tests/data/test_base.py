"""Shares: which part of each epoch has which kind of evidence."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.small import Squares, TinyNet, trainer
from weakseg.data.base import Shares, WeakData, make_groups
from weakseg.data.loader import Group
from weakseg.data.toy.dataset import Toy
from weakseg.strategies.boxes_rect import BoxesRect
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter

PLACES = {"masks": [2, 5], "boxes": [0, 1, 3, 4, 6], "tags": [7, 8, 9]}


def test_a_kind_has_its_share_and_the_others_what_is_left() -> None:
    assert make_groups(PLACES, {"masks": 0.5}) == [
        Group([2, 5], 5),
        Group([0, 1, 3, 4, 6, 7, 8, 9], 5),
    ]
    assert make_groups(PLACES, {"masks": 0.6, "boxes": 0.4}) == [
        Group([2, 5], 6),
        Group([0, 1, 3, 4, 6], 4),
    ]
    assert make_groups(PLACES, {"boxes": 0}) == [Group([2, 5, 7, 8, 9], 10)]
    assert make_groups(PLACES, {"boxes": 0, "marks": 0, "masks": 1}) == [Group([2, 5], 10)]


def test_numbers_that_are_not_whole_are_rounded_so_that_they_sum_to_the_epoch() -> None:
    numbers = [
        group.number for group in make_groups(PLACES, {"masks": 0.34, "boxes": 0.33, "tags": 0.33})
    ]
    assert numbers == [4, 3, 3]
    for count in range(3, 60):
        places = {"masks": range(count - 2), "boxes": [count - 2], "tags": [count - 1]}
        numbers = [group.number for group in make_groups(places, {"masks": 1 / 3, "tags": 1 / 3})]
        assert sum(numbers) == count
        assert max(numbers) - min(numbers) <= 1


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        (
            {"marks": 0.5},
            "shares.marks is 0.5, but no training image is one with marks; there are 2 with "
            "masks, 5 with boxes, 3 with tags",
        ),
        (
            {"masks": 0.5, "boxes": 0.2, "tags": 0.2},
            "shares sum to 0.9, but no training image is of another kind .*leave one out",
        ),
        ({"masks": 0.01}, "a share of 0.01 for masks is less than one image of an epoch"),
    ],
)
def test_shares_that_the_images_cannot_have(shares: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make_groups(PLACES, shares)


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        ({"masks": -0.1}, "shares.masks should lie from 0 to 1.*but it is -0.1"),
        ({"tags": float("nan")}, "shares.tags should lie from 0 to 1"),
        (
            {"masks": 0.7, "boxes": 0.6},
            "shares should sum to at most 1, the whole epoch, but they are masks 0.7, boxes 0.6",
        ),
    ],
)
def test_shares_that_cannot_be(shares: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Shares(**shares)


def batches(data: WeakData, epoch: int = 0) -> list[Any]:
    data.trainer = SimpleNamespace(
        global_rank=0, world_size=1, current_epoch=epoch, fit_loop=SimpleNamespace(batch_idx=-1)
    )  # type: ignore[assignment]
    return list(data.train_dataloader())


def test_half_of_an_epoch_comes_from_the_few_masks() -> None:
    data = Toy(train=20, val=1, size=32, mask_share=0.1, shares=Shares(masks=0.5), batch_size=4)
    for epoch in range(3):
        ids = [id for batch in batches(data, epoch) for id in batch.ids]
        assert len(ids) == 20
        assert sum(int(id.removeprefix("toy-")) in data.masked for id in ids) == 10


def test_an_image_that_comes_again_is_augmented_anew() -> None:
    data = Toy(train=10, val=1, size=32, mask_share=0.1, shares=Shares(masks=0.8), batch_size=10)
    (masked,) = data.masked
    (batch,) = batches(data)
    seen = {
        image.numpy().tobytes()
        for id, image in zip(batch.ids, batch.image, strict=True)
        if id == f"toy-{masked:05d}"
    }
    assert len(seen) == 2  # as it is, and mirrored


def test_without_shares_nothing_is_read_and_every_image_comes_once() -> None:
    data = Squares(shares=Shares())
    assert data.groups == []
    ids = [id for batch in batches(data) for id in batch.ids]
    assert sorted(ids) == sorted(f"disc/{index}" for index in range(12))


def test_a_kind_without_images_is_told_before_targets_are_made(tmp_path: Path) -> None:
    data, rounds = Squares(shares=Shares(masks=0.5)), Rounds(workers=0)
    torch.manual_seed(0)
    with pytest.raises(
        ValueError,
        match=(
            r"shares\.masks is 0\.5, but no training image is one with masks; there are 12 with "
            r"boxes"
        ),
    ):
        trainer(tmp_path, callbacks=[rounds]).fit(
            Segmenter(TinyNet(), BoxesRect(), data.classes), data
        )
    assert rounds.round == -1
