"""How a network is trained: the optimizer, the schedule of its learning rate, and what stays
frozen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import LambdaLR

from weakseg.networks.base import encoder_of
from weakseg.networks.memory_format import MemoryFormat
from weakseg.utils.limits import Count, NotNegative, Positive, check_limits, require

Schedule = Literal["poly", "step", "constant"]
Decay = Annotated[float, Ge(0), Lt(1)]
"""how much of a running mean stays from step to step"""
FUSED = ("cpu", "cuda", "mps")
"""devices for which torch has optimizers in one kernel"""


@dataclass(frozen=True)
class Optimizer:
    """What every optimizer here has in common.

    Args:
        lr: learning rate of the body.
        head_multiplier: the head (all that is outside the network's `encoder` or `backbone`) learns
            this many times faster.
        weight_decay: as the optimizer understands it.
        schedule: "poly" falls to zero as (1 - step / steps) ** power, "step" falls to `drop` of
            itself every `drop_every` steps, "constant" stays.
        power: of the poly schedule.
        drop_every, drop: of the step schedule.
        freeze_batchnorm: batch norm of the body keeps the statistics, scales and shifts that it
            came with. That of the head, which came with none, learns.
        memory_format: how weights and images lie in memory. channels_last is faster where
            convolutions mix all channels, most of all on GPUs and in half precision; auto takes it
            there, and on a CPU for ResNets with bottlenecks. Results differ in the last digits, and
            dropout draws other numbers.
    """

    lr: Positive = 1e-3
    head_multiplier: Positive = 1.0
    weight_decay: NotNegative = 1e-4
    schedule: Schedule = "poly"
    power: NotNegative = 0.9
    drop_every: Count = 2000
    drop: Annotated[float, Gt(0), Le(1)] = 0.1
    freeze_batchnorm: bool = False
    memory_format: MemoryFormat = "auto"

    def __post_init__(self) -> None:
        check_limits(self)

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The torch optimizer over parameter groups."""
        raise TypeError(
            f"{type(self).__name__} must say which torch optimizer it is: def build(self, groups)"
        )

    def groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """Parameter groups: the body at `lr`, the head at `lr * head_multiplier`."""
        body = encoder_of(network)
        inside = set() if body is None else {id(parameter) for parameter in body.parameters()}
        if body is None and self.head_multiplier != 1:
            raise ValueError(
                f"head_multiplier is {self.head_multiplier}, but {type(network).__name__} has "
                "neither an `encoder` nor a `backbone` that would tell its body from its head; "
                "use head_multiplier=1"
            )
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        slow = [parameter for parameter in trained if id(parameter) in inside]
        fast = [parameter for parameter in trained if id(parameter) not in inside]
        groups = [
            {"params": slow, "lr": self.lr},
            {"params": fast, "lr": self.lr * self.head_multiplier},
        ]
        return [group for group in groups if group["params"]]

    def scheduler(self, optimizer: torch.optim.Optimizer, steps: Callable[[], float]) -> LambdaLR:
        """The schedule, one move per optimizer step; `steps`, which may be infinite, is called only
        once training runs."""

        def factor(step: int) -> float:
            if step == 0 or self.schedule == "constant":
                return 1.0
            if self.schedule == "step":
                return float(self.drop ** (step // self.drop_every))
            left: float = max(0.0, 1 - step / max(1, steps()))
            return float(left**self.power)

        return LambdaLR(optimizer, factor)


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent with momentum."""

    momentum: Decay = 0.9

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """`torch.optim.SGD`."""
        return torch.optim.SGD(
            groups,
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            fused=can_be_fused(groups),
        )


@dataclass(frozen=True)
class AdamW(Optimizer):
    """Adam with decoupled weight decay."""

    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        super().__post_init__()
        for beta in self.betas:
            require("each of betas", Decay, beta)

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """`torch.optim.AdamW`."""
        return torch.optim.AdamW(
            groups,
            lr=self.lr,
            betas=self.betas,
            weight_decay=self.weight_decay,
            fused=can_be_fused(groups),
        )


def can_be_fused(groups: list[dict[str, Any]]) -> bool:
    """Whether torch has one kernel that updates all of these parameters at once: for real numbers
    on a CPU or a GPU."""
    return all(
        parameter.is_floating_point() and parameter.device.type in FUSED
        for group in groups
        for parameter in group["params"]
    )


def batch_norms(network: nn.Module) -> list[nn.Module]:
    """Every batch norm layer of a network's body, or of all of it if it does not separate
    body and head."""
    return [
        module
        for module in (encoder_of(network) or network).modules()
        if isinstance(module, _BatchNorm)
    ]


def skip_where(optimizer: torch.optim.Optimizer, bad: Tensor) -> None:
    """Leave the weights as they are in the next step where this bool is set, which nobody has to
    read for that. Only fused optimizers can do so; others take the step.

    It is what gradient scalers for half precision use.
    """
    if all(group.get("fused") for group in optimizer.param_groups):
        optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
