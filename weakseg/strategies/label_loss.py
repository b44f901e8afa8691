"""The loss with labels, in the terms that a strategy has: what `target_loss` computes of targets,
and others of marks, or of labels that they estimate in each step."""

from __future__ import annotations

from torch import Tensor

from weakseg.functional.losses import cross_entropy
from weakseg.functional.rare_classes import dice_loss, focal_cross_entropy, tversky_loss
from weakseg.strategies.common_keys import LossTerms


def label_loss(
    logits: Tensor,
    labels: Tensor,
    terms: LossTerms,
    class_weights: Tensor | None = None,
    name: str = "cross_entropy",
) -> dict[str, Tensor]:
    """The terms of the loss with labels, by their names.

    Args:
        logits: float [B,C,H,W].
        labels: int64 [B,H,W] with 255 = ignored, or float [B,C,H,W] whose sum at a pixel is its
            weight.
        terms: which, with their weights.
        class_weights: float [C]; None for all alike.
        name: of the cross-entropy.
    """
    found: dict[str, Tensor] = {}
    if terms.cross_entropy:
        found[name] = terms.cross_entropy * _cross_entropy(logits, labels, terms, class_weights)
    return found | overlap_losses(logits, labels, terms, class_weights)


def overlap_losses(
    logits: Tensor, labels: Tensor, terms: LossTerms, class_weights: Tensor | None = None
) -> dict[str, Tensor]:
    """Dice and Tversky alone, if they have a weight."""
    found: dict[str, Tensor] = {}
    if terms.dice:
        found["dice"] = terms.dice * dice_loss(logits, labels, class_weights)
    if terms.tversky:
        loss = tversky_loss(logits, labels, terms.alpha, terms.beta, class_weights)
        found["tversky"] = terms.tversky * loss
    return found


def _cross_entropy(
    logits: Tensor, labels: Tensor, terms: LossTerms, class_weights: Tensor | None
) -> Tensor:
    if terms.focal:
        return focal_cross_entropy(logits, labels, terms.focal, class_weights)
    return cross_entropy(logits, labels, class_weights)
