"""What the strategies share that estimate anew in every step, inside `loss`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from weakseg.evidence import Batch, Evidence
from weakseg.functional.boxes import fill_boxes
from weakseg.functional.constraints.bounds import Constraints, contradiction
from weakseg.functional.constraints.posterior import constrained_posterior, kl_to_posterior
from weakseg.functional.pooling import classification
from weakseg.functional.prior import centre_odds
from weakseg.functional.projection import projection_loss
from weakseg.functional.resolution import average_pool, shrink, stride
from weakseg.strategies.base import Loss, Strategy
from weakseg.utils.devices import host_copy, keep_host_copies, on_cpu

# of the classes that a contradiction is about
_NUMBERS = re.compile(r"^((?:class|the classes|no classes but) )(\d+(?:, \d+)*)")
WARMUP_SHRINK = {"image": 4, "scores": 1}
"""how much smaller logits of each resolution are made during a warm-up that classifies images;
those of the image as `Tags` does by default"""
_MISSED = 1e-3  # a bound that is missed by less is met: a tenth of a percent of its region


def check_tags(evidence: Evidence, classes: Sequence[str]) -> None:
    """Raise a ValueError if an image's tags leave out the background."""
    if evidence.tags is None or evidence.tags[0]:
        return
    named = (
        ", ".join(name for name, there in zip(classes, evidence.tags, strict=True) if there)
        or "nothing"
    )
    raise ValueError(
        f"tags name {named}, but not {classes[0]} (class 0), and what they leave out is taken to "
        "be absent: set tags[0] = True, as weakseg.data.names.tags_named does"
    )


def check_bounds(
    constraints: Constraints, tags: Tensor, classes: Sequence[str], remedy: str
) -> None:
    """Raise a ValueError that names the classes if no labels can keep the bounds of one image."""
    sentence = contradiction(constraints, tags)
    if sentence is not None:
        named = _NUMBERS.sub(
            lambda found: (
                found[1] + ", ".join(classes[int(number)] for number in found[2].split(", "))
            ),
            sentence,
        )
        raise ValueError(f"{named}; {remedy}")


def per_image(batch: Batch, field: Literal["tags", "large"], strategy: Strategy) -> Tensor:
    """The tags or large classes of a batch, bool [B,C], of which every image must have some."""
    rows: Tensor | None = getattr(batch, field)
    there = [False] * len(batch.ids) if rows is None else host_copy(rows).any(1).tolist()
    if rows is None or not all(there):
        without = ", ".join(id for id, has in zip(batch.ids, there, strict=True) if not has)
        raise ValueError(
            f"{type(strategy).__name__} needs {field}, but the images {without} have none: a crop "
            f"that cuts something away may not show what {field} of the whole image names; set "
            "data.crop=null"
        )
    return rows


def boxes_of(batch: Batch, logits: Tensor, strategy: Strategy) -> tuple[list[Tensor], list[Tensor]]:
    """The boxes of each image in pixels of the logits, float [N,4], and their classes, int64
    [N]."""
    if batch.boxes is None or batch.box_classes is None:
        raise ValueError(
            f"{type(strategy).__name__} needs boxes, but the images {', '.join(batch.ids)} have "
            "none"
        )
    return scaled_boxes(batch.boxes, batch, logits), batch.box_classes


def filled_boxes(batch: Batch, logits: Tensor, strategy: Strategy) -> Tensor:
    """The class of every pixel by the smallest box around it, uint8 [B,h,w]; made on the CPU, where
    the edges of boxes are known."""
    boxes, box_classes = boxes_of(batch, logits, strategy)
    if batch.boxes is not None and not on_cpu(logits):
        boxes = scaled_boxes([host_copy(each) for each in batch.boxes], batch, logits)
    maps = [
        fill_boxes(corners, host_copy(labels), *logits.shape[-2:])
        for corners, labels in zip(boxes, box_classes, strict=True)
    ]
    return torch.stack(maps).to(logits.device, non_blocking=True)


def boxes_projection(logits: Tensor, batch: Batch) -> Tensor:
    """The projection loss of the boxes of a batch; 0 where it has none."""
    if batch.boxes is None or batch.box_classes is None:
        return logits.new_zeros(())
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    boxes = scaled_boxes(batch.boxes, batch, logits)
    return projection_loss(exact.softmax(1), boxes, batch.box_classes, valid_of(batch, logits))


def scaled_boxes(boxes: list[Tensor], batch: Batch, logits: Tensor) -> list[Tensor]:
    """The boxes of each image in pixels of the logits, float [N,4]."""
    across, down = (stride(batch.image.shape[side], logits.shape[side]) for side in (-1, -2))
    scale = torch.tensor([across, down, across, down], dtype=boxes[0].dtype)
    scale = scale.to(boxes[0].device, non_blocking=True)
    return [of_image / scale for of_image in boxes]


def valid_of(batch: Batch, logits: Tensor) -> Tensor | None:
    """Where a pixel of the logits is not padding, bool [B,h,w]; None where no image is padded."""
    return None if batch.valid is None else shrink(batch.valid, *logits.shape[-2:])


def known_on_cpu(constraints: Constraints, on_cpu: Constraints) -> Constraints:
    """Constraints on a device, of which the same ones on the CPU say how many there are. Their
    regions may be of another size."""
    for name in ("label", "lower", "upper"):
        keep_host_copies([getattr(on_cpu, name)], [getattr(constraints, name)])
    return constraints


def tags_loss(logits: Tensor, tags: Tensor, valid: Tensor | None, shrink: int) -> dict[str, Tensor]:
    """The loss of classifying images by the pooled scores of their pixels, so many times
    smaller."""
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return {"classification": classification(*average_pool(exact, valid, shrink), tags)}


def centre_biased_logits(logits: Tensor, valid: Tensor | None, prior_sigma: float | None) -> Tensor:
    """The network's scores, detached, as unaries of labels; unless prior_sigma is None, with the
    logits of a centre prior for every class but background."""
    scores = logits.detach()
    if prior_sigma is None:
        return scores
    odds = centre_odds(
        torch.ones_like(scores[:, 0], dtype=torch.bool) if valid is None else valid, prior_sigma
    )
    return torch.cat([scores[:, :1], scores[:, 1:] + odds[:, None].to(scores.dtype)], 1)


def posterior_loss(
    logits: Tensor,
    tags: Tensor,
    constraints: Constraints,
    valid: Tensor | None,
    prior_sigma: float | None = None,
) -> Loss:
    """The KL divergence towards the labels that keep the bounds, nearest to the network's own
    (`placed`).

    Its figures are `active`, the share of bounds that had to change something; `unmet`, the share
    that is missed nevertheless; and `converged`, the share of images whose bounds could be met or
    had used up their slack.
    """
    found = constrained_posterior(
        centre_biased_logits(logits, valid, prior_sigma), tags, constraints, valid
    )
    binding = (constraints.lower > 0) | (
        (constraints.upper < 1) & tags.gather(1, constraints.label)
    )
    bounds = binding.sum().clamp(min=1)
    figures = {
        "active": (found.multipliers != 0).sum() / bounds,
        "unmet": (found.violations > _MISSED).sum() / bounds,
        "converged": found.converged.float().mean(),
    }
    labels = found.probs if valid is None else found.probs * valid[:, None]
    return Loss({"kl": kl_to_posterior(logits, found.probs, valid)}, labels, figures=figures)


def seeded() -> torch.Generator:
    """A generator seeded by the global random numbers, which depend on seed and step, so that a
    resumed run repeats them."""
    return torch.Generator().manual_seed(int(torch.randint(2**62, ())))
