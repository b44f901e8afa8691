from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.small import loss_of
from weakseg.evidence import Batch, Evidence
from weakseg.functional.confusion import confusion_matrix, mean_iou
from weakseg.functional.losses import balanced_cross_entropy
from weakseg.functional.refinement import pixel_adaptive
from weakseg.strategies.tags import Tags

BACKGROUND_ONLY = [True, False, False]


def without_padding(images: Tensor) -> Tensor:
    """False in the wholly black rows below an image and columns to its right: bool [B,H,W]."""
    seen = images.amax(1) > 0
    rows, columns = (seen.any(side).flip(1).cumsum(1).flip(1) > 0 for side in (2, 1))
    return rows[:, :, None] & columns[:, None]


def disc_batch(size: int = 24, **fields: Tensor | None) -> tuple[Batch, Tensor]:
    """A red disc on grey, and a plain grey image; and the truth."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    truth = torch.zeros(2, size, size, dtype=torch.int64)
    truth[0] = ((y - 11) ** 2 + (x - 10) ** 2 < 49).long()
    colours = torch.tensor([[120, 120, 120], [220, 40, 30]], dtype=torch.uint8)
    image = colours[truth].permute(0, 3, 1, 2) + torch.randint(
        0, 12, (2, 3, size, size), dtype=torch.uint8
    )
    tags = torch.tensor([[True, True, False], BACKGROUND_ONLY])
    return Batch(["disc", "plain"], image, tags=tags)._replace(**fields), truth


def middling(truth: Tensor) -> Tensor:
    """Logits that know the middle of the disc, and class 2, which is in no image, better still."""
    logits = torch.zeros(2, 3, *truth.shape[1:])
    logits[:, 0] = 2
    logits[0, 1, 8:15, 7:14] = 5
    logits[:, 2] = 9
    return logits.requires_grad_()


def trained(warmup: int = 0, **options: int | float) -> Tags:
    return Tags(warmup=warmup, **{"shrink": 2, **options})  # type: ignore[arg-type]


def test_labels_are_the_disc_found_from_its_middle() -> None:
    batch, truth = disc_batch()
    assert batch.tags is not None
    labels = trained().labels(
        middling(truth), batch.image, batch.tags, without_padding(batch.image)
    )
    sure = labels != 255
    assert torch.equal(labels[1], truth[1])  # only background is possible
    assert sure.float().mean() > 0.9
    # half the size cannot follow every step of the outline
    assert (labels != truth)[sure].float().mean() < 0.02
    assert not (labels == 2).any()
    assert (labels[0] == 1).sum() > 2 * 49  # far beyond the middle


def test_tags_alone_teach_a_network_where_things_are() -> None:
    """Red and blue discs on grey, from random weights; nobody says where they are."""
    y, x = torch.meshgrid(torch.arange(24), torch.arange(24), indexing="ij")
    place, kind = torch.randint(6, 18, (12, 2, 1, 1)), torch.arange(12) % 2 + 1
    truth = ((y - place[:, 0]) ** 2 + (x - place[:, 1]) ** 2 < 30) * kind[:, None, None]
    colours = torch.tensor([[120, 120, 120], [200, 60, 60], [60, 60, 200]])
    images = (colours[truth].permute(0, 3, 1, 2) + 20 * torch.randn(12, 3, 24, 24)).byte()
    tags = F.one_hot(kind, 3) + F.one_hot(torch.zeros_like(kind), 3) > 0
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))
    optimizer, strategy = (
        torch.optim.Adam(network.parameters(), 0.03),
        Tags(warmup=40, shrink=1, iterations=3),
    )
    for _ in range(65):
        logits = network(images / 64 - 2)
        torch.stack(
            list(loss_of(strategy, logits, Batch([], images, tags=tags)).terms.values())
        ).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert mean_iou(confusion_matrix(logits.max(1).indices.byte(), truth.byte(), 3)) > 0.93


def test_labels_do_not_depend_on_the_rest_of_the_batch() -> None:
    """Images with few tags and with many, with background and without, go through the refinement
    together."""
    tags = torch.rand(6, 5) < torch.tensor([0.1, 0.2, 0.4, 0.6, 0.8, 1.0])[:, None]
    tags[2, 0], tags[0], tags[1, 0] = False, False, True
    images, logits = (
        torch.randint(1, 256, (6, 3, 9, 8), dtype=torch.uint8),
        3 * torch.randn(6, 5, 9, 8),
    )
    valid = torch.ones(6, 9, 8, dtype=torch.bool)
    together = trained().labels(logits, images, tags, valid)
    for i in range(6):
        (label,) = trained().labels(logits[i, None], images[i, None], tags[i, None], valid[i, None])
        assert torch.equal(label, together[i])
        assert set(label.unique().tolist()) <= {255, *tags[i].nonzero().flatten().tolist()}


def test_self_training_learns_the_labels_on_the_unrefined_logits() -> None:
    batch, truth = disc_batch()
    assert batch.tags is not None
    strategy, logits = trained(), middling(truth)
    labels = strategy.labels(logits, batch.image, batch.tags, without_padding(batch.image))
    terms = loss_of(strategy, logits, batch).terms
    torch.testing.assert_close(
        terms["self_training"], balanced_cross_entropy(logits, labels, batch.tags)
    )
    (gradient,) = torch.autograd.grad(terms["self_training"], logits)
    towards = -gradient.gather(1, labels.clamp(max=2)[:, None])[:, 0]
    assert (towards[labels != 255] > 0).all()
    assert (gradient.movedim(1, -1)[labels == 255] == 0).all()


def test_without_shrinking_it_is_the_refinement_itself() -> None:
    batch, truth = disc_batch()
    probs = (
        middling(truth)
        .masked_fill(torch.tensor([[[[False]], [[False]], [[True]]]]), -torch.inf)
        .softmax(1)
    )
    refined = pixel_adaptive(batch.image[:1], probs[:1])[0]
    labels = trained(shrink=1, lowest=0).labels(
        middling(truth)[:1], batch.image[:1], torch.tensor([[True, True, False]]), truth[:1] >= 0
    )
    sure = torch.stack([refined[0] > 0.7 * refined[0].max(), refined[1] > 0.6 * refined[1].max()])
    assert torch.equal(labels[0], torch.where(sure.sum(0) == 1, sure[1].long(), 255))


def test_warm_up_ends_once_and_stays_over_after_a_resume() -> None:
    batch, truth = disc_batch()
    strategy = Tags(warmup=2)
    terms = [set(loss_of(strategy, middling(truth), batch).terms) for _ in range(3)]
    assert terms == [{"classification"}, {"classification"}, {"classification", "self_training"}]
    resumed = Tags(warmup=2)
    resumed.load_state_dict(strategy.state_dict())
    assert "self_training" in loss_of(resumed, middling(truth), batch).terms
    resumed.eval().loss(middling(truth), batch)
    assert int(resumed.warmup._steps) == 4  # looking is not training


@pytest.mark.parametrize("pad", [(5, 3), (8, 0), (1, 24)])
@pytest.mark.parametrize(("shrink", "size"), [(1, 24), (2, 23), (2, 24), (3, 23), (3, 24)])
def test_padding_changes_nothing(pad: tuple[int, int], shrink: int, size: int) -> None:
    batch, _ = disc_batch(size)
    right, below = pad
    logits, padded = (
        3 * torch.randn(2, 3, size, size),
        torch.randn(2, 3, size + below, size + right),
    )
    padded[..., :size, :size] = logits
    # as little averaging as there can be
    strategy = trained(shrink=shrink, iterations=1, foreground=0.8, background=0.8)
    large = batch._replace(image=F.pad(batch.image, (0, right, 0, below)))
    large = large._replace(valid=without_padding(large.image))
    assert batch.tags is not None
    labels = strategy.labels(padded, large.image, batch.tags, without_padding(large.image))
    assert (labels[:, size:] == 255).all()
    assert (labels[:, :, size:] == 255).all()
    assert torch.equal(
        labels[:, :size, :size],
        strategy.labels(logits, batch.image, batch.tags, without_padding(batch.image)),
    )
    for name, term in loss_of(strategy, logits.requires_grad_(), batch).terms.items():
        torch.testing.assert_close(
            loss_of(strategy, padded.requires_grad_(), large).terms[name], term
        )


def test_an_image_without_tags_teaches_nothing() -> None:
    batch, truth = disc_batch(tags=torch.tensor([[True, True, False], [False, False, False]]))
    logits = middling(truth)
    terms = loss_of(trained(), logits, batch).terms
    (gradient,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), logits)
    assert (gradient[1] == 0).all()
    assert (gradient[0] != 0).any()
    assert torch.isfinite(gradient).all()


def test_an_image_of_background_teaches_background_everywhere() -> None:
    batch, truth = disc_batch()
    logits = middling(truth)
    terms = loss_of(trained(), logits, batch).terms
    for term in terms.values():
        (gradient,) = torch.autograd.grad(term, logits, retain_graph=True)
        assert (gradient[1, 0] < 0).all()  # a step raises background


def test_a_black_image_and_a_batch_without_any_tags_are_finite_and_teach_nothing() -> None:
    batch, truth = disc_batch(
        image=torch.zeros(2, 3, 24, 24, dtype=torch.uint8), tags=torch.zeros(2, 3, dtype=torch.bool)
    )
    logits = middling(truth)
    terms = loss_of(trained(), logits, batch).terms
    assert {name: term.item() for name, term in terms.items()} == {
        "classification": 0,
        "self_training": 0,
    }
    (gradient,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), logits)
    assert (gradient == 0).all()


def test_half_precision_logits() -> None:
    batch, truth = disc_batch()
    exact, rough = (
        loss_of(trained(), middling(truth), batch).terms,
        loss_of(trained(), middling(truth).to(torch.bfloat16), batch).terms,
    )
    for name, term in exact.items():
        assert rough[name].dtype == torch.float32
        torch.testing.assert_close(rough[name], term)  # these logits are exact in bfloat16


def test_what_cannot_be_meant_is_named() -> None:
    batch, truth = disc_batch(tags=None)
    with pytest.raises(
        ValueError, match="the images disc, plain have no tags; give each the list of its classes"
    ):
        Tags().loss(middling(truth), batch)
    with pytest.raises(
        ValueError,
        match=(
            "warmup should be at least 0, how many batches teach classification alone, but it is -1"
        ),
    ):
        Tags(warmup=-1)
    with pytest.raises(ValueError, match="shrink should be at least 1, but it is 0"):
        Tags(shrink=0)
    with pytest.raises(
        ValueError,
        match=(
            "foreground should be at least 0 and less than 1, or no pixel is ever sure, but it is 1"
        ),
    ):
        Tags(foreground=1)


def test_tags_without_background_are_named_and_so_are_crops() -> None:
    evidence = Evidence(
        "a", torch.zeros(3, 4, 4, dtype=torch.uint8), tags=torch.tensor([False, True])
    )
    with pytest.raises(ValueError, match="tags name cat, but not background"):
        Tags().check(evidence, ("background", "cat"))
    with pytest.raises(ValueError, match="tags name nothing, but not background"):
        Tags().check(
            evidence._replace(tags=torch.zeros(2, dtype=torch.bool)), ("background", "cat")
        )
    with pytest.raises(ValueError, match=r"the images a have no tags; .* so set data.crop=null"):
        Tags().loss(
            torch.zeros(1, 2, 4, 4), Batch(["a"], torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
        )
