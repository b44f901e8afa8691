"""What losses and their backward pass leave behind, checked."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from weakseg.strategies.base import Loss


def read_loss(returned: dict[str, Tensor] | Loss, source: str) -> Loss:
    """What a loss returned, if it is what it should be; a TypeError that names its source, such as
    "the loss of Tags", otherwise."""
    loss = returned if isinstance(returned, Loss) else Loss(returned)
    _check_labels(loss.labels, source)
    return loss._replace(terms=_read_terms(loss.terms, source))


def _check_labels(labels: Any, source: str) -> None:
    if labels is None:
        return
    if isinstance(labels, Tensor) and labels.ndim == 3 + labels.is_floating_point():
        return
    came = type(labels).__name__
    if isinstance(labels, Tensor):
        came = f"{str(labels.dtype).removeprefix('torch.')} {list(labels.shape)}"
    raise TypeError(
        f"{source} should return labels as integers [B,H,W] or float [B,C,H,W], but it returned "
        f"{came}"
    )


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


def finite_gradients(network: nn.Module) -> bool:
    """Whether every gradient of a network consists of numbers."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return all(
        bool(torch.stack(norms).isfinite().all())
        for norms in [torch._foreach_norm(gradients)]
        if norms
    )
