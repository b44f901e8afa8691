"""The little that code needs to know about the other processes of a run."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
import torch.distributed as dist
from pytorch_lightning.utilities import rank_zero_only
from torch import nn

T = TypeVar("T")
# the usual group of processes, and the one beside it that waits for no GPU
_made: tuple[Any, Any] | None = None


def rank() -> int:
    """The number of this process; also right before the processes of a run know each other."""
    return int(getattr(rank_zero_only, "rank", 0))


def gather(value: T) -> list[T]:
    """The value of every rank, in order of rank, on every rank. All ranks must call it; with one
    process it is `[value]`."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[T | None] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]  # every place has been filled


def anywhere(flag: bool) -> bool:
    """Whether the flag is set on any rank. All ranks must call it; cheap enough for every step."""
    return bool(highest(int(flag)))


def highest(number: int) -> int:
    """The highest of the numbers of all ranks, which all must call it."""
    if not (dist.is_available() and dist.is_initialized()):
        return number
    shared = torch.tensor(number)
    dist.all_reduce(shared, dist.ReduceOp.MAX, group=_group_of_processors())
    return int(shared)


def _group_of_processors() -> Any:
    """The group in which processors, and not their GPUs, exchange numbers: None for the usual one,
    if that is one. Beside NCCL it is made at the first call, which is one of all ranks."""
    global _made
    if dist.get_backend() != "nccl":
        return None
    usual = dist.group.WORLD
    if _made is None or _made[0] is not usual:  # a later run in this process has another one
        _made = usual, dist.new_group(backend="gloo")
    return _made[1]


def leave_group() -> None:
    """Take leave of the other processes of a run. Threads of gloo that are still there when Python
    ends abort the process, every second time, after all of its work has been done."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def share_buffers(module: nn.Module) -> None:
    """Give every rank the buffers of rank 0: batch norm counts on each rank by itself, so that
    their statistics drift apart."""
    if dist.is_available() and dist.is_initialized():
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)
