"""What networks and losses return: checked, and logits brought to the size of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakseg.strategies.base import Strategy


def read_logits(output: Any, network: nn.Module, classes: Sequence[str]) -> list[Tensor]:
    """The logits that a network returned: a tensor, or {"out": tensor, "aux": a tensor or several}
    as in torchvision.

    Those of "aux" come behind, and only if the network says how much they count, as its
    `auxiliary_weight`.
    """
    auxiliary: Any = []
    if isinstance(output, Mapping) and "out" in output:
        if getattr(network, "auxiliary_weight", 0) and output.get("aux") is not None:
            auxiliary = output["aux"]
        output = output["out"]
    found = [output, *([auxiliary] if isinstance(auxiliary, Tensor) else auxiliary)]
    for logits in found:
        if not isinstance(logits, Tensor) or logits.ndim != 4:
            came = (
                f"a tensor {list(logits.shape)}"
                if isinstance(logits, Tensor)
                else type(logits).__name__
            )
            raise TypeError(
                f"{type(network).__name__} should return logits as one tensor [B,C,h,w], but it "
                f"returned {came}"
            )
        if logits.shape[1] != len(classes):
            raise ValueError(
                f"{type(network).__name__} returns {logits.shape[1]} classes, but the data set "
                f"has {len(classes)}: {', '.join(classes)}"
            )
    return found


def enlarge(logits: Tensor, network: nn.Module, image: Tensor) -> Tensor:
    """Logits at the resolution of the image: by the network's `stride` and cut, or to the same size
    where it names none."""
    height, width = image.shape[-2:]
    stride = getattr(network, "stride", None)
    if isinstance(stride, int) and stride > 1:
        large = (logits.shape[-2] * stride, logits.shape[-1] * stride)
        return F.interpolate(logits, large, mode="bilinear", align_corners=False)[
            ..., :height, :width
        ]
    return (
        logits
        if logits.shape[-2:] == image.shape[-2:]
        else F.interpolate(logits, (height, width), mode="bilinear")
    )


def read_terms(terms: Any, strategy: Strategy) -> dict[str, Tensor]:
    """What a strategy's loss returned, if it is what it should be; a TypeError otherwise."""
    expected = f"the loss of {type(strategy).__name__} should return a dict of named scalar tensors"
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
            f"{expected} that depend on the logits, but none does: no gradient can flow"
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
