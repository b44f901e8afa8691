"""What losses and their backward pass leave behind, checked."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from weakseg.functional.describing import described
from weakseg.strategies.base import Estimate, Loss


def read_loss(
    returned: dict[str, Tensor] | Loss, source: str, size: tuple[int, int] | None = None
) -> Loss:
    """What a loss returned, if it is what it should be; a TypeError that names its source, such as
    "the loss of Tags", otherwise.

    Args:
        size: number of images and of classes of the batch, which labels have to fit; None for a
            network's own loss, which has no labels.
    """
    loss = returned if isinstance(returned, Loss) else Loss(returned)
    if size is not None:
        _check_labels(loss.labels, source, *size)
        _check_named(loss.named, source, *size)
    _check_figures(loss.figures, source)
    return loss._replace(terms=_read_terms(loss.terms, source))


def read_estimate(returned: Tensor | Estimate) -> tuple[Tensor, dict[str, float]]:
    """The labels that `Strategy.estimate` returned, and its figures as numbers."""
    estimate = returned if isinstance(returned, Estimate) else Estimate(returned)
    _check_figures(estimate.figures, "estimate")
    return estimate.labels, {name: float(figure) for name, figure in estimate.figures.items()}


def _check_labels(labels: Any, source: str, images: int, classes: int) -> None:
    if labels is None:
        return
    if isinstance(labels, Tensor) and len(labels) == images:
        soft = labels.is_floating_point() and labels.ndim == 4 and labels.shape[1] == classes
        hard = not labels.is_floating_point() and labels.ndim == 3 and labels.dtype != torch.bool
        if soft or hard:
            return
    raise TypeError(
        f"{source} should return labels as integers [{images},H,W] or float "
        f"[{images},{classes},H,W], but it returned {_called(labels)}"
    )


def _check_named(named: Any, source: str, images: int, classes: int) -> None:
    right = isinstance(named, Tensor) and named.dtype == torch.bool
    if named is None or (right and named.shape == (images, classes)):
        return
    raise TypeError(
        f"{source} should return named as bool [{images},{classes}], but it returned "
        f"{_called(named)}"
    )


def _check_figures(figures: Any, source: str) -> None:
    if not isinstance(figures, Mapping):
        raise TypeError(
            f"{source} should return figures as a dict of named numbers, but it returned "
            f"{_called(figures)}"
        )
    for name, figure in figures.items():
        number = isinstance(figure, Real) or (isinstance(figure, Tensor) and figure.numel() == 1)
        if not (isinstance(name, str) and number):
            raise TypeError(
                f"{source} should return figures as a dict of named numbers, but {name!r} is "
                f"{_called(figure)}"
            )


def _called(value: object) -> str:
    return described(value) if isinstance(value, Tensor) else type(value).__name__


def _read_terms(terms: Any, source: str) -> dict[str, Tensor]:
    expected = f"{source} should return a dict of named scalar tensors"
    if not isinstance(terms, dict) or not terms:
        raise TypeError(
            f"{expected}, but it returned {type(terms).__name__ if terms != {} else 'an empty one'}"
        )
    if "total" in terms:
        raise TypeError(
            f"{expected}, but one is called total, as their sum is in the figures (loss/total); "
            "give it another name"
        )
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.numel() != 1:
            came = (
                f"a tensor {list(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
            )
            raise TypeError(f"{expected}, but {name!r} is {came}")
    if not any(term.requires_grad for term in terms.values()):
        raise TypeError(
            f"{expected} that depend on the network, but none does: no gradient can flow"
        )
    return {name: term.reshape(()) for name, term in terms.items()}


def gradient_norms(network: nn.Module) -> Tensor:
    """The norm of the gradient of each parameter of a network, float [P]; a norm that is no number
    tells of such a gradient."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    if not gradients:
        return torch.zeros(0)
    return torch.stack(list(torch._foreach_norm(gradients))).float()
