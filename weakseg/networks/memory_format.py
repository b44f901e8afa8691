"""Whether a network computes faster with the channels of a pixel beside each other in memory."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

MemoryFormat = Literal["auto", "contiguous", "channels_last"]

BLOCKS = 8  # of a ResNet that is worth it; the smallest one with bottlenecks has 16


def memory_format(network: nn.Module, wanted: MemoryFormat, device: str) -> torch.memory_format:
    """The one that is wanted; for auto, the one that is faster.

    On a GPU that is channels_last, for networks whose convolutions mix all channels. On a CPU it
    is for ResNets with bottlenecks alone, by `benchmarks/step.py`.

    Args:
        network: to be trained.
        wanted: as a recipe has it.
        device: where, such as cuda or cpu.
    """
    pays = wanted == "auto" and _pays(network, device)
    last = wanted == "channels_last" or pays
    return torch.channels_last if last else torch.contiguous_format


def _pays(network: nn.Module, device: str) -> bool:
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    if device == "cpu":
        return sum(map(_is_bottleneck, network.modules())) >= BLOCKS
    ordinary = sum(layer.weight.numel() for layer in layers if layer.groups == 1)
    return 2 * ordinary > sum(layer.weight.numel() for layer in layers)


def _is_bottleneck(module: nn.Module) -> bool:
    """A block of three convolutions that mix all channels, as in ResNet-50 and deeper ones."""
    three = [getattr(module, f"conv{number}", None) for number in (1, 2, 3)]
    return all(isinstance(layer, nn.Conv2d) and layer.groups == 1 for layer in three)


def set_layout(optimizer: torch.optim.Optimizer) -> None:
    """Lay out what an optimizer keeps of each parameter as the parameter is: a checkpoint may come
    from a run with another memory format, and fused kernels take the numbers as they lie."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                laid_out = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
                state[name] = laid_out.detach()
