from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.small import labels_of
from weakseg.data.toy.dataset import Toy
from weakseg.data.toy.kinds import PictureKind
from weakseg.evidence import IGNORE, Evidence, Prediction
from weakseg.functional.confusion import confusion_matrix, mean_iou
from weakseg.functional.regions.region_graph import Superpixels
from weakseg.strategies.base import Context
from weakseg.strategies.scribbles_graphcut import ScribblesGraphCut
from weakseg.utils.array_cache import ArrayCache

SMALL = Superpixels(scale=1, sigma=0, smallest=1)


def striped(colours: list[int], marks: dict[int, int]) -> Evidence:
    """Grey stripes of 4 columns, 6 rows high; marks are classes of pixels in the first row."""
    image = (
        torch.tensor(colours, dtype=torch.uint8).repeat_interleave(4).expand(3, 6, -1).contiguous()
    )
    marked = torch.full(image.shape[1:], IGNORE, dtype=torch.uint8)
    for column, label in marks.items():
        marked[0, column] = label
    return Evidence("stripes", image, marks=marked)


def stripes(target: Tensor) -> list[int]:
    """The class of each stripe, seen in the last row, where nothing is marked."""
    assert torch.equal(target[1:], target[-1:].expand(len(target) - 1, -1))
    return target[-1, ::4].tolist()


def test_by_hand_in_round_0() -> None:
    """Stripe 2 looks like stripe 0, which is marked 1; stripe 3 like none. Its borders cost the
    same, so colours do not decide there."""
    evidence = striped([0, 100, 5, 255], {0: 1, 5: 2})
    strategy = ScribblesGraphCut(
        SMALL, smooth=0.1, appearance=1, colour=2**0.5, texture=100, connected=False
    )
    target, figures = strategy.estimate(evidence, Context())
    assert stripes(target)[:3] == [1, 2, 1]
    assert stripes(target)[3] == 1  # to change there as well would cost one border more
    assert figures["torn"] == 0
    assert figures["superpixels"] == 4


def test_marks_of_another_class_end_the_reach_of_appearance() -> None:
    """As above, but stripe 2 is behind the mark on stripe 1."""
    evidence = striped([0, 100, 5, 255], {0: 1, 5: 2})
    strategy = ScribblesGraphCut(SMALL, smooth=0.1, appearance=1, colour=2**0.5, texture=100)
    assert stripes(labels_of(strategy, evidence)) == [1, 2, 2, 2]


def test_a_ring_of_background_closes_what_is_behind_it() -> None:
    """An organ that is bright, as is something outside of the ring; the ring has a gap."""
    image = torch.full((3, 40, 60), 60, dtype=torch.uint8)
    image[:, 14:24, 10:20] = 200
    image[:, 5:35, 45:55] = 200
    marks = torch.full((40, 60), IGNORE, dtype=torch.uint8)
    marks[8:31, 4:27] = 0
    marks[10:29, 6:25] = IGNORE
    marks[18:22, 25:27] = IGNORE
    marks[16:20, 12:16] = 1
    evidence = Evidence("scan", image, marks=marks)
    organ = torch.zeros(40, 60, dtype=torch.bool)
    organ[14:24, 10:20] = True
    pieces = Superpixels(method="slic", count=200)
    closed = labels_of(ScribblesGraphCut(pieces, appearance=1), evidence)
    anywhere = labels_of(ScribblesGraphCut(pieces, appearance=1, connected=False), evidence)
    assert torch.equal(closed == 1, organ)
    assert (anywhere[8:32, 47:53] == 1).all()


def test_without_appearance_only_borders_count() -> None:
    """The paper: the cut goes where it is cheapest, that is once, on either side of the stripe in
    between."""
    evidence = striped([0, 90, 100, 255], {0: 1, 13: 2})
    target = labels_of(ScribblesGraphCut(SMALL, appearance=0), evidence)
    assert stripes(target)[0] == 1
    assert stripes(target)[3] == 2
    assert (
        sum(
            left != right for left, right in zip(stripes(target), stripes(target)[1:], strict=False)
        )
        == 1
    )


def test_the_network_counts_from_round_1_on_but_not_where_there_are_marks() -> None:
    evidence = striped([0, 100, 200], {0: 1, 5: 2})
    # class 3 leads everywhere, but nobody marked it
    probs = torch.tensor([0.0, 0.1, 0.3, 0.6]).view(4, 1, 1).expand(4, 6, 12)
    strategy = ScribblesGraphCut(SMALL)
    assert stripes(labels_of(strategy, evidence, Prediction(probs))) == [1, 2, 2]
    probs = torch.tensor([0.0, 0.3, 0.1, 0.6]).view(4, 1, 1).expand(4, 6, 12)
    assert stripes(labels_of(strategy, evidence, Prediction(probs))) == [1, 2, 1]
    strategy = ScribblesGraphCut(SMALL, network=0, colour=5, texture=10)
    assert stripes(labels_of(strategy, evidence, Prediction(probs))) == [1, 2, 2]


def test_the_network_counts_by_pixels() -> None:
    """A sum, not a mean: 24 pixels that lean a little towards class 2 outweigh two borders of at
    most 1 each."""
    evidence = striped([0, 100, 200, 100], {0: 1, 12: 1, 13: 2, 14: 1})
    probs = torch.tensor([0.0, 0.47, 0.53]).view(3, 1, 1).expand(3, 6, 16)
    leaning = 24 * torch.log(torch.tensor(0.53 / 0.47)).item()
    assert leaning > 2
    target = labels_of(
        ScribblesGraphCut(SMALL, colour=100, texture=100), evidence, Prediction(probs)
    )
    assert stripes(target) == [1, 2, 2, 1]


def test_superpixels_with_two_classes_take_the_majority_and_marks_stay() -> None:
    evidence = striped([0, 200], {0: 1, 1: 2, 2: 2, 5: 1})
    strategy = ScribblesGraphCut(SMALL)
    target, figures = strategy.estimate(evidence, Context())
    assert stripes(target) == [2, 1]
    assert target[0, :6].tolist() == [1, 2, 2, 2, 1, 1]
    assert figures["torn"] == 1
    tie = labels_of(ScribblesGraphCut(SMALL), striped([0, 200], {0: 2, 1: 1, 5: 1}))
    assert stripes(tie) == [1, 1]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 9)])
@pytest.mark.parametrize("method", ["felzenszwalb", "slic"])
def test_tiny_images(size: tuple[int, int], method: str) -> None:
    marks = torch.full(size, IGNORE, dtype=torch.uint8)
    marks[0, 0] = 3
    evidence = Evidence("tiny", torch.randint(0, 256, (3, *size), dtype=torch.uint8), marks=marks)
    strategy = ScribblesGraphCut(Superpixels(method=method, smallest=1))  # type: ignore[arg-type]
    assert (labels_of(strategy, evidence) == 3).all()
    probs = torch.full((4, *size), 0.0)  # zero where the mark is
    assert (labels_of(strategy, evidence, Prediction(probs)) == 3).all()


def test_an_image_of_one_colour_goes_to_the_marks_around() -> None:
    marks = torch.full((20, 20), IGNORE, dtype=torch.uint8)
    marks[:, 0], marks[:, 19] = 1, 2
    evidence = Evidence("grey", torch.full((3, 20, 20), 90, dtype=torch.uint8), marks=marks)
    target = labels_of(ScribblesGraphCut(Superpixels(method="slic", count=25)), evidence)
    assert set(target.unique().tolist()) == {1, 2}


def test_superpixels_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = Toy(train=1, val=0, evidence="scribbles").sample(0)[0]
    cache = ArrayCache(tmp_path)
    first = labels_of(ScribblesGraphCut(), evidence, cache=cache)
    assert torch.equal(first, labels_of(ScribblesGraphCut(), evidence))  # kept or not, the same
    monkeypatch.setattr("weakseg.strategies.scribbles_graphcut.regions", None)
    assert torch.equal(first, labels_of(ScribblesGraphCut(), evidence, cache=cache))
    with pytest.raises(TypeError):  # other superpixels would have to be made
        labels_of(ScribblesGraphCut(Superpixels(scale=50)), evidence, cache=cache)


@pytest.mark.parametrize(("kind", "gain"), [("shapes", 0.1), ("grey", 0.0)])
def test_appearance_helps_on_drawn_pictures_and_marks_are_kept(
    kind: PictureKind, gain: float
) -> None:
    data = Toy(train=12, val=0, evidence="scribbles", kind=kind)
    classes = len(data.classes)
    scores = []
    for appearance in (0.0, 0.5):
        counts = torch.zeros(classes, classes, dtype=torch.int64)
        strategy = ScribblesGraphCut(Superpixels(scale=30, smallest=10), appearance=appearance)
        for index in range(12):
            evidence, truth = data.sample(index)
            target = labels_of(strategy, evidence)
            assert evidence.marks is not None
            marked = evidence.marks != IGNORE
            assert torch.equal(target[marked], evidence.marks[marked])
            counts += confusion_matrix(target, truth, classes)
        scores.append(mean_iou(counts))
    assert scores[1] > scores[0] + gain


def test_no_mark_at_all_is_named() -> None:
    evidence = striped([0, 100], {})
    for ask in (
        lambda: ScribblesGraphCut().check(evidence, []),
        lambda: labels_of(ScribblesGraphCut(), evidence),
    ):
        with pytest.raises(
            ValueError,
            match=(
                r"image stripes has no marked pixel .* mark something on it, leave it out, or, .* "
                r"data\.evidence"
            ),
        ):
            ask()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"smooth": -1}, "smooth should be 0 or more and finite, but it is -1"),
        ({"network": float("nan")}, "network should be 0 or more and finite, but it is nan"),
        (
            {"colour": 0},
            "colour should be more than 0, or null for the median of the image's borders, but it "
            "is 0",
        ),
    ],
)
def test_impossible_settings_are_named_at_once(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScribblesGraphCut(**wrong)  # type: ignore[arg-type]
