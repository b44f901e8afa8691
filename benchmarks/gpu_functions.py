"""The dense CRF and the losses on a device: equal to those on a CPU, and how long they take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

import torch
import torch.nn.functional as F
from gpu_pictures import CLASSES, draw_batch, draw_photo, draw_probs
from gpu_sheet import Disagreement, Sheet
from torch import Tensor

from weakseg.evidence import Batch
from weakseg.functional.constraints import (
    constrained_posterior,
    kl_to_posterior,
    tag_constraints,
)
from weakseg.functional.crf import DenseCRF, dense_crf, meanfield
from weakseg.functional.losses import (
    absent_loss,
    balanced_cross_entropy,
    cross_entropy,
    dense_crf_loss,
    gated_crf_loss,
)
from weakseg.functional.projection import projection_loss
from weakseg.functional.refinement import pixel_adaptive
from weakseg.functional.tags import em_adapt, em_fixed
from weakseg.utils.devices import as_on_a_gpu, keep_host_copies

# in pixels, as in benchmarks/crf.py
CRFS = {
    "67/3": DenseCRF(smooth_xy=1, bilateral_xy=67),
    "80/13": DenseCRF(smooth_xy=3, bilateral_weight=10, bilateral_xy=80, bilateral_rgb=13),
}
GOAL = 5.0  # ms per image, 21 labels, 8 images at once, lattices included
FARTHEST = 1e-3  # how far marginals may be off, as in tests/functional/crf/test_meanfield.py
SAME = 0.9999  # and which part of the labels is the same
NUMBERS = count(1)


def measure_crf(sheet: Sheet) -> None:
    """One image and eight, with few labels and many."""
    size = (40, 50) if sheet.quick else (375, 500)
    many = 2 if sheet.quick else 8
    for name, crf in CRFS.items():
        for labels in (3, CLASSES):
            images = [draw_photo(*size, seed) for seed in range(many)]
            probs = [draw_probs(labels, *size, seed) for seed in range(many)]
            expected = dense_crf(images, probs, crf)
            for batch in (1, many):
                work = partial(
                    _crf_figures, sheet, images[:batch], probs[:batch], crf, expected[:batch]
                )
                sheet.measure(f"{name}, {labels} labels, batch {batch}", work)
    half = DenseCRF(scale=0.5)
    work = partial(_crf_figures, sheet, images, probs, half, dense_crf(images, probs, half))
    sheet.measure(f"default, scale 0.5, {labels} labels, batch {many}", work)


def _crf_figures(
    sheet: Sheet, images: list[Tensor], probs: list[Tensor], crf: DenseCRF, expected: list[Tensor]
) -> dict[str, object]:
    there = [image.to(sheet.device) for image in images]
    beliefs = [each.to(sheet.device) for each in probs]
    found = [each.cpu() for each in _refine(there, beliefs, crf)]
    off = max(float((one - other).abs().max()) for one, other in zip(found, expected, strict=True))
    same = sum(
        float((one.argmax(0) == other.argmax(0)).double().mean())
        for one, other in zip(found, expected, strict=True)
    ) / len(found)
    if off > FARTHEST or same < SAME:
        raise Disagreement(f"marginals are off by {off:.1e}, and {same:.4%} of labels are the same")
    again = sheet.milliseconds(partial(_refine, there, beliefs, crf)) / len(images)
    fresh = sheet.milliseconds(lambda: _refine(_unseen(there), beliefs, crf)) / len(images)
    figures = {"ms": fresh, "against": again, "times": fresh / again, "off by": off}
    figures["waits"] = sheet.waits(lambda: _refine(_unseen(there), beliefs, crf))
    if len(probs[0]) == CLASSES and len(images) == 8 and crf.scale == 1:
        figures["note"] = f"ok, goal of {GOAL:g} ms {'met' if fresh < GOAL else 'missed'}"
    return figures


def _refine(images: list[Tensor], probs: list[Tensor], crf: DenseCRF) -> list[Tensor]:
    """In tensors, also on a CPU, where compiled code would do it otherwise."""
    if images[0].is_cuda or crf.scale < 1:
        return dense_crf(images, probs, crf)
    kernels = crf.kernels_on(images[0])
    return meanfield.refine(images, probs, kernels, crf.normalization, crf.iterations)


def _unseen(images: list[Tensor]) -> list[Tensor]:
    """With one pixel changed, so that no lattice is known."""
    changed = [image.clone() for image in images]
    for image in changed:
        image[:, 0, 0] = next(NUMBERS) % 251
    return changed


Loss = Callable[[Tensor, Batch], Tensor]


def _small(image: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(image.float(), size, mode="area").round().to(torch.uint8)


def _on_the_lattice(logits: Tensor, batch: Batch) -> Tensor:
    half = F.interpolate(logits.float(), scale_factor=0.5, mode="bilinear").softmax(1)
    return dense_crf_loss(half, _small(batch.image, half.shape[2:]), xy=50)


def _in_windows(logits: Tensor, batch: Batch) -> Tensor:
    few = F.interpolate(logits.float(), scale_factor=0.25, mode="bilinear").softmax(1)
    return gated_crf_loss(few, _small(batch.image, few.shape[2:]))


def _ccnn(logits: Tensor, batch: Batch) -> Tensor:
    bounds = tag_constraints(batch.tags)
    posterior = constrained_posterior(logits.detach(), batch.tags, bounds)
    return kl_to_posterior(logits, posterior.probs)


LOSSES: dict[str, Loss] = {
    "cross_entropy": lambda logits, batch: cross_entropy(logits, batch.target),
    "balanced_cross_entropy": lambda logits, batch: balanced_cross_entropy(
        logits, batch.target, batch.tags
    ),
    "absent_loss": lambda logits, batch: absent_loss(logits, batch.tags),
    "dense_crf_loss": _on_the_lattice,
    "gated_crf_loss": _in_windows,
    "projection_loss": lambda logits, batch: projection_loss(
        logits.softmax(1), batch.boxes, batch.box_classes
    ),
    "em_fixed": lambda logits, batch: cross_entropy(logits, em_fixed(logits, batch.tags)),
    "em_adapt": lambda logits, batch: cross_entropy(logits, em_adapt(logits, batch.tags)),
    "constrained_posterior (CCNN)": _ccnn,
    "pixel_adaptive": lambda logits, batch: cross_entropy(
        logits, pixel_adaptive(batch.image, logits.float().softmax(1)).argmax(1)
    ),
}
# how far value and gradient may be off, as a part of themselves
TOLERANCES = {torch.float32: (1e-3, 1e-2), torch.bfloat16: (3e-2, 1e-1)}


def measure_losses(sheet: Sheet) -> None:
    """Each loss forward and backward, in two precisions, against the same numbers in single
    precision on a CPU."""
    batch = draw_batch(*((2, 48) if sheet.quick else (8, 256)))
    moved = batch_on(batch, sheet.device)
    random = torch.Generator().manual_seed(1)
    size = batch.image.shape[-2:]
    logits = torch.randn(len(batch.image), CLASSES, 12, 12, generator=random) * 3
    logits = F.interpolate(logits, size, mode="bilinear")
    for name, loss in LOSSES.items():
        for dtype in TOLERANCES:
            work = partial(_loss_figures, sheet, loss, logits.to(dtype), batch, moved)
            sheet.measure(f"{name}, {str(dtype).removeprefix('torch.')}", work)


def _loss_figures(
    sheet: Sheet, loss: Loss, logits: Tensor, batch: Batch, moved: Batch
) -> dict[str, object]:
    there = logits.to(sheet.device)
    known, expected = _both(loss, logits.float(), batch)
    with as_on_a_gpu():  # on a CPU, too
        value, gradient = _both(loss, there, moved)
        took = sheet.milliseconds(partial(_both, loss, there, moved))
        waits = sheet.waits(partial(_both, loss, there, moved))
    off = float((value.float().cpu() - known).abs() / known.abs().clamp(min=1e-6))
    turned = float((gradient.float().cpu() - expected).abs().mean() / expected.abs().mean())
    near, straight = TOLERANCES[logits.dtype]
    if not (off < near and turned < straight):
        raise Disagreement(f"the value is off by {off:.1e} of it, its gradient by {turned:.1e}")
    return {"ms": took, "off by": max(off, turned), "waits": waits}


def _both(loss: Loss, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """The loss and its gradient."""
    leaf = logits.detach().requires_grad_()
    value = loss(leaf, batch)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient


def batch_on(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device, as a training step gets it."""

    def move(value: object) -> object:
        if isinstance(value, list):
            return [move(each) for each in value]
        return value.to(device) if isinstance(value, Tensor) else value

    moved = Batch(*map(move, batch))  # type: ignore[arg-type]
    keep_host_copies(batch, moved)
    return moved
