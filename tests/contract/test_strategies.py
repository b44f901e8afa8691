"""What every strategy of the package promises. A new one is tested by being listed in
weakseg.strategies.NAMES."""

from __future__ import annotations

from importlib import import_module

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.small import labels_of, loss_of
from weakseg.evidence import IGNORE, Batch, Evidence, Prediction
from weakseg.functional.regions.merge_target import merge_target
from weakseg.functional.regions.merging import Merging
from weakseg.strategies import NAMES
from weakseg.strategies.base import Context, Strategy, estimates
from weakseg.strategies.common_keys import LossTerms
from weakseg.strategies.label_loss import label_loss
from weakseg.strategies.shared.warmup import WarmUp
from weakseg.training.label_quality import harden
from weakseg.training.targets import target_of
from weakseg.utils.devices import as_on_a_gpu
from weakseg.utils.fingerprint import module_fingerprint

CLASSES = 4
SIZES = [(1, 1), (1, 7), (24, 32)]
every_strategy = pytest.mark.parametrize("name", NAMES)
every_size = pytest.mark.parametrize("size", SIZES, ids=str)


def build(name: str) -> Strategy:
    module, _, kind = NAMES[name].rpartition(".")
    strategy = getattr(import_module(module), kind)()
    assert isinstance(strategy, Strategy)
    return strategy


def every_kind_of_evidence(height: int, width: int, name: str = "2008_000008") -> Evidence:
    """A small random image with tags, boxes and marks that do not contradict each other."""
    boxes = torch.tensor(
        [[0, 0, width * 0.6, height * 0.9], [width * 0.3, height * 0.2, width, height]]
    )
    marks = torch.full((height, width), IGNORE, dtype=torch.uint8)
    marks[height // 2, :: max(1, width // 4)] = 2
    marks[0, 0] = 0
    return Evidence(
        name,
        torch.randint(0, 256, (3, height, width), dtype=torch.uint8),
        tags=torch.tensor([True, True, True, False]),
        boxes=boxes,
        box_classes=torch.tensor([1, 2]),
        marks=marks,
        large=torch.tensor([True, True, False, False]),
    )


def a_prediction(height: int, width: int) -> Prediction:
    return Prediction(
        torch.randn(CLASSES, height, width).softmax(0),
        torch.randn(8, -(-height // 8), -(-width // 8)),
    )


@every_strategy
@every_size
def test_targets_are_what_estimate_promises(name: str, size: tuple[int, int]) -> None:
    strategy, evidence = build(name), every_kind_of_evidence(*size)
    evidence.check(CLASSES)
    for prediction in (None, a_prediction(*size)):
        target = labels_of(strategy, evidence, prediction)
        assert not target.requires_grad
        assert strategy.wants.box_masks == (target.dtype == torch.bool)
        if target.dtype == torch.bool:
            assert target.shape == (2, *size)  # a mask for each box
        elif target.dtype == torch.uint8:
            assert target.shape == size
            assert ((target < CLASSES) | (target == IGNORE)).all()
        else:
            assert target.is_floating_point()
            assert target.shape == (CLASSES, *size)
            assert torch.isfinite(target).all()
            assert (target >= 0).all()


@every_strategy
def test_estimate_is_pure(name: str) -> None:
    strategy, evidence, prediction = (
        build(name),
        every_kind_of_evidence(24, 32),
        a_prediction(24, 32),
    )
    given = [*tensors(evidence), *tensors(prediction)]
    before, random_state = [tensor.clone() for tensor in given], torch.get_rng_state()
    first, second = (labels_of(strategy, evidence, prediction) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(first, labels_of(build(name), evidence, prediction))
    assert all(torch.equal(now, then) for now, then in zip(given, before, strict=True))
    assert torch.equal(torch.get_rng_state(), random_state)
    first.zero_()  # a target is nobody else's tensor
    assert all(torch.equal(now, then) for now, then in zip(given, before, strict=True))


@every_strategy
def test_missing_evidence_is_told_with_the_name_of_the_image(name: str) -> None:
    strategy, full = build(name), every_kind_of_evidence(6, 7)
    assert set(strategy.needs) <= set(Evidence._fields)
    for field in strategy.needs:
        lacking = full._replace(**{field: None})
        with pytest.raises(ValueError, match=f"image 2008_000008 has no .*{field}; it has "):
            # before training, the evidence check does so for every strategy
            labels_of(strategy, lacking) if estimates(strategy) else lacking.need(*strategy.needs)


@every_strategy
@every_size
def test_loss_is_finite_and_teaches(name: str, size: tuple[int, int]) -> None:
    strategy = build(name)
    evidence = [every_kind_of_evidence(*size, name=image) for image in ("a", "b")]
    logits = torch.randn(2, CLASSES, *size, requires_grad=True)
    terms = loss_of(strategy, logits, a_batch(strategy, evidence)).terms
    assert terms
    for term, value in terms.items():
        assert isinstance(term, str)
        assert value.shape == ()
        assert torch.isfinite(value)
    (gradient,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), logits)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


@every_strategy
@pytest.mark.parametrize("padded", [False, True])
def test_the_ways_of_a_gpu_teach_the_same(name: str, padded: bool) -> None:
    torch.manual_seed(0)
    evidence = [every_kind_of_evidence(24, 32, name=image) for image in ("a", "b")]
    batch = a_batch(build(name), evidence)
    if padded:
        valid = torch.ones(2, 24, 32, dtype=torch.bool)
        valid[0, 20:] = valid[1, :, :4] = False
        batch = batch._replace(
            valid=valid,
            marks=batch.marks.masked_fill(~valid, IGNORE),
            target=None if batch.target is None else batch.target.masked_fill(~valid, IGNORE),
        )
    logits = torch.randn(2, CLASSES, 24, 32, requires_grad=True)
    here = taught(build(name), logits, batch)
    with as_on_a_gpu():
        there = taught(build(name), logits, batch)
    for one, other in zip(here, there, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-7)


def taught(strategy: Strategy, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """The loss and its gradient."""
    torch.manual_seed(1)
    loss = torch.stack(list(loss_of(strategy, logits, batch).terms.values())).sum()
    return loss.detach(), torch.autograd.grad(loss, logits)[0]


@every_strategy
def test_training_and_estimating_leave_the_key_of_targets_as_it_was(name: str) -> None:
    """Caches and counters are named in `not_in_key`: otherwise a run would not find its targets
    again."""
    strategy = build(name)
    before = module_fingerprint(strategy)
    evidence = [every_kind_of_evidence(24, 32, name=image) for image in ("a", "b")]
    strategy.loss(torch.randn(2, CLASSES, 24, 32, requires_grad=True), a_batch(strategy, evidence))
    assert module_fingerprint(strategy) == before
    assert module_fingerprint(build(name)) == before


def a_batch(strategy: Strategy, evidence: list[Evidence]) -> Batch:
    target = None
    if estimates(strategy):
        target = torch.stack([painted(labels_of(strategy, each), each) for each in evidence])
        target = target if target.is_floating_point() else target.long()
    return Batch(
        ids=[each.id for each in evidence],
        image=torch.stack([each.image for each in evidence]),
        target=target,
        tags=stacked(evidence, "tags"),
        marks=stacked(evidence, "marks").long(),
        boxes=[each.boxes for each in evidence if each.boxes is not None],
        box_classes=[each.box_classes for each in evidence if each.box_classes is not None],
        large=stacked(evidence, "large"),
        features=torch.rand(len(evidence), 5, 6, 8) if strategy.wants.features_in_loss else None,
    )


def painted(target: Tensor, evidence: Evidence) -> Tensor:
    """Masks of boxes come into a batch as a map of classes."""
    return harden(target, evidence.box_classes) if target.dtype == torch.bool else target


def stacked(evidence: list[Evidence], field: str) -> Tensor:
    return torch.stack([getattr(each, field) for each in evidence])


def tensors(fields: Evidence | Prediction) -> list[Tensor]:
    return [field for field in fields if isinstance(field, Tensor)]


ALL_TERMS = LossTerms(cross_entropy=0.5, dice=0.25, tversky=2, alpha=0.4, beta=0.9, focal=1.5)


@every_strategy
def test_a_strategy_takes_the_common_keys_that_it_declares(name: str) -> None:
    strategy = build(name)
    given = {"class_weights": {"cat": 4.0}, "terms": ALL_TERMS}
    for key, value in given.items():
        if key in strategy.takes:
            setattr(strategy, key, value)
            continue
        # it would promise what the loss does not keep
        kind = type(strategy).__name__
        refused = rf"^{key}[.\w]* does not apply to {kind}: leave it out$"
        with pytest.raises(ValueError, match=refused):
            setattr(strategy, key, value)
    strategy.class_weights = None
    strategy.terms = LossTerms()


@pytest.mark.parametrize("name", [name for name in NAMES if "terms" in build(name).takes])
def test_class_weights_and_terms_are_in_the_loss(name: str) -> None:
    strategy = build(name)
    batch = a_batch(strategy, [every_kind_of_evidence(24, 32)])
    logits = torch.randn(1, CLASSES, 24, 32)
    strategy.eval()  # a warm-up does not count these
    plain = loss_of(strategy, logits, batch).terms
    weights = torch.tensor([1.0, 4.0, 1.0, 1.0])
    if "warmup" in vars(strategy)["_modules"]:
        strategy.warmup = WarmUp(0)
    strategy.terms = ALL_TERMS
    terms = loss_of(strategy, logits, batch._replace(class_weights=weights)).terms
    labelled = {"cross_entropy", "marks"} & terms.keys()
    assert set(terms) == set(plain) | {"dice", "tversky"}
    assert len(labelled) == 1
    assert all(terms[key] != plain[key] for key in labelled)
    if type(strategy).loss is Strategy.loss:
        assert batch.target is not None
        expected = label_loss(logits, batch.target, ALL_TERMS, weights)
        torch.testing.assert_close(terms, expected)


@pytest.mark.parametrize(
    "name", [name for name in NAMES if type(build(name)).loss is Strategy.loss]
)
def test_the_default_loss_is_the_cross_entropy(name: str) -> None:
    strategy = build(name)
    batch = a_batch(strategy, [every_kind_of_evidence(24, 32)])
    logits, weights = torch.randn(1, CLASSES, 24, 32), torch.tensor([1.0, 4.0, 1.0, 1.0])
    (term,) = loss_of(strategy, logits, batch._replace(class_weights=weights)).terms.values()
    assert batch.target is not None
    torch.testing.assert_close(
        term, F.cross_entropy(logits, batch.target, weights, ignore_index=IGNORE)
    )


def test_wrong_values_of_common_keys_are_refused() -> None:
    strategy = build("full")
    with pytest.raises(ValueError, match=r"class_weights\.cat should be 0 or more"):
        strategy.class_weights = {"cat": -1.0}
    with pytest.raises(ValueError, match="auto or null, but it is 'automatic'"):
        strategy.class_weights = "automatic"  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"terms should be LossTerms, such as LossTerms\(dice=0.5"):
        strategy.terms = {"dice": 1}  # type: ignore[assignment]


@pytest.mark.parametrize("name", [name for name in NAMES if estimates(build(name))])
def test_targets_follow_superpixels_where_that_is_asked_for(name: str) -> None:
    evidence = every_kind_of_evidence(24, 32)
    plain, merging = build(name), build(name)
    if "regions" not in plain.takes:
        with pytest.raises(ValueError, match="regions does not apply to"):
            merging.regions = Merging()
        return
    merging.regions = Merging(covered=0.5)
    names = ("background", "cat", "dog", "cow")
    context = Context(a_prediction(24, 32), classes=names)
    before = target_of(plain, evidence, context, CLASSES)
    after = target_of(merging, evidence, context, CLASSES)
    # which has tests of its own
    expected = merge_target(before.labels, evidence, merging.regions)
    assert torch.equal(after.labels, expected)
    assert after.labels.dtype == before.labels.dtype
    assert after.figures == before.figures
    assert module_fingerprint(merging) != module_fingerprint(plain)
