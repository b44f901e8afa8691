"""The little that code needs to know about the other processes of a run."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.distributed as dist
from pytorch_lightning.utilities import rank_zero_only
from torch import nn

T = TypeVar("T")


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
    device = (
        torch.device("cuda", torch.cuda.current_device())
        if dist.get_backend() == "nccl"
        else torch.device("cpu")
    )
    shared = torch.tensor(number, device=device)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return int(shared)


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
