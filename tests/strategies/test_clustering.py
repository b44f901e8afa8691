from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.small import labels_of
from tests.training.test_rounds import run
from weakseg.data.toy.dataset import Toy
from weakseg.evidence import IGNORE, Evidence, Prediction
from weakseg.functional.confusion import confusion_matrix, mean_iou
from weakseg.functional.regions.region_graph import Superpixels
from weakseg.strategies.base import Context
from weakseg.strategies.clustering import Clustering
from weakseg.training.rounds import Rounds
from weakseg.utils.array_cache import ArrayCache

SMALL = Superpixels(scale=1, sigma=0, smallest=1)


def striped(colours: list[int], name: str = "stripes", **evidence: Tensor) -> Evidence:
    """Grey stripes of 4 columns, 6 rows high."""
    image = (
        torch.tensor(colours, dtype=torch.uint8).repeat_interleave(4).expand(3, 6, -1).contiguous()
    )
    return Evidence(name, image, **evidence)


def tags(*flags: int) -> Tensor:
    return torch.tensor(flags).bool()


def marks(width: int, **columns: int) -> Tensor:
    """Marks in the first row, by columns such as c3."""
    marked = torch.full((6, width), IGNORE, dtype=torch.uint8)
    for column, label in columns.items():
        marked[0, int(column[1:])] = label
    return marked


def stripes(target: Tensor) -> list[int]:
    assert torch.equal(target[1:], target[-1:].expand(len(target) - 1, -1))
    return target[-1, ::4].tolist()


def labelled(
    strategy: Clustering, images: list[Evidence], predictions: list[Prediction] | None = None
) -> list[Tensor]:
    """As a round does it."""
    given = [None] * len(images) if predictions is None else [*predictions]
    fitted = strategy.fit(
        [
            strategy.describe(evidence, Context(prediction))
            for evidence, prediction in zip(images, given, strict=True)
        ]
    )
    return [
        labels_of(strategy, evidence, prediction, fitted=fitted)
        for evidence, prediction in zip(images, given, strict=True)
    ]


def fitted_to(strategy: Clustering, images: list[Evidence]) -> Tensor:
    return strategy.fit([strategy.describe(evidence, Context()) for evidence in images])


def test_an_image_by_itself_spreads_its_marks_by_colour() -> None:
    evidence = striped([0, 200, 10, 210], marks=marks(16, c1=0, c5=1))
    assert stripes(labels_of(Clustering(SMALL), evidence)) == [0, 1, 0, 1]


def test_images_learn_from_each_other() -> None:
    """Tags alone cannot tell which stripe is which; with an image that shows background alone, and
    one of another class, they can."""
    both = [striped([90, 200], f"both{n}", tags=tags(1, 1, 0)) for n in range(3)]
    others = [striped([90, 30], f"other{n}", tags=tags(1, 0, 1)) for n in range(3)]
    empty = [striped([90, 91], f"empty{n}", tags=tags(1, 0, 0)) for n in range(3)]
    targets = labelled(Clustering(SMALL), [*both, *others, *empty])
    assert [stripes(target) for target in targets] == [[0, 1]] * 3 + [[0, 2]] * 3 + [[0, 0]] * 3


def test_kinds_of_evidence_mix_from_image_to_image() -> None:
    """A box teaches what class 1 looks like, marks what class 2 looks like, and the tagged image is
    labelled with both."""
    boxed = striped(
        [90, 200, 90],
        "boxed",
        boxes=torch.tensor([[4.0, 0.0, 8.0, 6.0]]),
        box_classes=torch.tensor([1]),
    )
    marked = striped([90, 30, 90], "marked", marks=marks(12, c0=0, c5=2))
    tagged = striped([202, 88, 31, 92], "tagged", tags=tags(1, 1, 1))
    targets = labelled(Clustering(SMALL), [boxed, marked, tagged])
    assert stripes(targets[0]) == [0, 1, 0]
    assert stripes(targets[1]) == [0, 2, 0]
    assert stripes(targets[2]) == [1, 0, 2, 0]


def test_an_image_keeps_its_own_promises_whatever_was_learned() -> None:
    """Everything bright is class 1, but here the tags leave it out, or no box is around it."""
    teacher = [striped([90, 200], f"t{n}", marks=marks(8, c0=0, c5=1)) for n in range(3)]
    strategy = Clustering(SMALL)
    fitted = fitted_to(strategy, teacher)
    box = {"boxes": torch.tensor([[0.0, 0.0, 4.0, 6.0]]), "box_classes": torch.tensor([1])}
    for fields, expected in (
        ({"tags": tags(1, 1)}, [0, 1]),
        ({"tags": tags(1, 0)}, [0, 0]),
        (box, [1, 0]),
    ):
        target = labels_of(strategy, striped([90, 200], **fields), fitted=fitted)
        assert stripes(target) == expected


def test_single_pixels_are_put_right() -> None:
    """The box cuts the second stripe at three of its four columns; one pixel of the first stripe is
    marked otherwise."""
    box = {"boxes": torch.tensor([[5.0, 0.0, 8.0, 6.0]]), "box_classes": torch.tensor([1])}
    evidence = striped([90, 200], marks=marks(8, c2=1, c1=0, c0=0), **box)
    target = labels_of(Clustering(SMALL), evidence)
    expected = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1], dtype=torch.uint8).repeat(6, 1)
    expected[0, 2] = 1
    assert torch.equal(target, expected)


def test_later_rounds_use_the_features_of_the_network() -> None:
    """All is one grey, so only the network tells the sides apart; its grid is half as fine as the
    image."""
    image = torch.full((3, 8, 8), 90, dtype=torch.uint8)
    features = torch.zeros(2, 4, 4)
    features[0, :, :2], features[1, :, 2:] = 3, 5
    marked = torch.full((8, 8), IGNORE, dtype=torch.uint8)
    marked[0, 0], marked[0, 7] = 1, 0
    strategy = Clustering(Superpixels(method="slic", count=16), strength=10)
    (target,) = labelled(
        strategy,
        [Evidence("grey", image, marks=marked)],
        [Prediction(torch.full((2, 8, 8), 0.5), features)],
    )
    assert (target[:, :3] == 1).all()  # superpixels straddle the middle
    assert (target[:, 5:] == 0).all()


def test_a_fit_to_other_features_is_named() -> None:
    evidence = striped([0, 200], marks=marks(8, c1=0, c5=1))
    strategy = Clustering(SMALL)
    fitted = fitted_to(strategy, [evidence])
    prediction = Prediction(torch.full((2, 6, 8), 0.5), torch.rand(3, 3, 4))
    with pytest.raises(
        ValueError,
        match=(
            r"fitted should be float \[2,75\].* but it is \[2, 72\]; leave it out to cluster "
            r"image stripes"
        ),
    ):
        strategy.estimate(evidence, Context(prediction, fitted))


def test_few_samples_of_many_images_are_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [Toy(train=6, val=0, evidence="boxes").sample(index)[0] for index in range(6)]
    strategy = Clustering(samples=8)
    described = [strategy.describe(each, Context()) for each in images]
    assert all(len(each["features"]) <= 8 + len(each["groups"]) for each in described)
    whole, half = strategy.fit(described), strategy.fit(described[::2])
    monkeypatch.setattr(
        "weakseg.strategies.clustering.MOST", sum(len(each["features"]) for each in described)
    )
    assert torch.equal(strategy.fit(described), whole)
    monkeypatch.setattr(
        "weakseg.strategies.clustering.MOST",
        sum(len(each["features"]) for each in described) - 1,
    )
    assert torch.equal(strategy.fit(described), half)
    assert not torch.equal(whole, half)


# as the toy set has it
LARGE = Superpixels(scale=75, smallest=30)


@pytest.mark.parametrize(("kind", "least"), [("boxes", 0.8), ("points", 0.55), ("scribbles", 0.7)])
def test_kinds_of_evidence_on_the_toy_set(kind: str, least: float) -> None:
    data = Toy(train=12, val=0, evidence=kind)  # type: ignore[arg-type]
    samples = [data.sample(index) for index in range(12)]
    counts = torch.zeros(5, 5, dtype=torch.int64)
    for target, (evidence, truth) in zip(
        labelled(Clustering(LARGE), [evidence for evidence, _ in samples]), samples, strict=True
    ):
        if evidence.marks is not None:
            assert torch.equal(
                target[evidence.marks != IGNORE], evidence.marks[evidence.marks != IGNORE]
            )
        if evidence.tags is not None:
            assert set(target.unique().tolist()) <= set(evidence.tags.nonzero().flatten().tolist())
        counts += confusion_matrix(target, truth, 5)
    assert mean_iou(counts) > least


def test_rounds_fit_colours_first_and_then_from_the_network_as_well(tmp_path: Path) -> None:
    strategy, rounds = Clustering(Superpixels(smallest=4)), Rounds(when="epochs", count=2)
    run(tmp_path, strategy, rounds, steps=4)
    assert rounds.fitted is not None
    # histograms, place, features, bias and balance
    assert rounds.fitted.shape == (3, 3 * 16 + 2 * 10 + 2 + 8 + 2)
    assert rounds.figures["label/miou"] > rounds.figures["evidence/miou"] + 0.05


def test_superpixels_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = Toy(train=1, val=0, evidence="points").sample(0)[0]
    cache = ArrayCache(tmp_path)
    first = labels_of(Clustering(), evidence, cache=cache)
    assert torch.equal(first, labels_of(Clustering(), evidence))  # kept or not, the same
    monkeypatch.setattr("weakseg.strategies.clustering.appearance", None)
    assert torch.equal(first, labels_of(Clustering(), evidence, cache=cache))
    with pytest.raises(TypeError):  # other superpixels would have to be made
        labels_of(Clustering(Superpixels(scale=50)), evidence, cache=cache)


def test_an_image_without_evidence_is_named() -> None:
    for evidence in (
        striped([0, 1]),
        striped([0, 1], marks=marks(8)),
        striped([0, 1], tags=tags(0, 0)),
    ):
        for ask in (
            lambda given=evidence: Clustering().check(given, ["a", "b"]),
            lambda given=evidence: Clustering().estimate(given, Context()),
        ):
            with pytest.raises(
                ValueError,
                match=r"image stripes has nothing to learn from: .* annotate it or leave it out",
            ):
                ask()
    with pytest.raises(ValueError, match="tags name disc, but not background"):
        Clustering().check(striped([0, 1], tags=tags(0, 1)), ["background", "disc"])
    Clustering().check(
        striped([0, 1], tags=tags(0, 1), marks=marks(8, c0=1)), ["background", "disc"]
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"strength": 0},
            "strength should be more than 0 and finite, the weight of the losses, but it is 0",
        ),
        (
            {"cover": 1.5},
            "cover should lie from 0 to 1, a part of the superpixels of a box, but it is 1.5",
        ),
        ({"alternations": 0}, "alternations should be at least 1, but it is 0"),
        ({"samples": 0}, "samples should be at least 1, but it is 0"),
    ],
)
def test_impossible_settings_are_named_at_once(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Clustering(**wrong)  # type: ignore[arg-type]
