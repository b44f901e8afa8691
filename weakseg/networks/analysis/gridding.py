"""Dilation that is too much for a map: its kernel reaches beyond the edges everywhere, and works as
a kernel of one pixel."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from weakseg.networks.parts.layers import run_sizes


def valid_weights(rate: int, height: int, width: int, kernel: int = 3) -> float:
    """The part of a dilated kernel's weights that lie on the map, and not on the padding around it,
    on average over the map.

    With a growing rate it falls from 1 to that of the middle alone, 1/9 for a 3x3 kernel (Chen et
    al. 2017, figure 4).

    >>> valid_weights(1, 65, 65), valid_weights(65, 65, 65)
    (0.979..., 0.111...)
    """
    reach = rate * (kernel - 1) // 2
    return _valid(height, kernel, rate, 1, reach) * _valid(width, kernel, rate, 1, reach)


def check_dilation(network: nn.Module, size: tuple[int, int], least: float = 0.25) -> list[str]:
    """One complaint for each dilated convolution that has less than a part of its weights on the
    map, for images of a size.

    Args:
        network: of whose modules every `Conv2d` is checked.
        size: height and width of the images that it is to be trained with.
        least: the part that is enough.
    """
    found: list[str] = []
    handles = [
        module.register_forward_pre_hook(_check(name, least, found))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
        and max(module.dilation) > 1
        and max(module.kernel_size) > 1
    ]
    if not handles:
        return []
    try:
        run_sizes(network, torch.empty(1, 3, *size, device="meta"))
    finally:
        for handle in handles:
            handle.remove()
    return found


def warn_of_dilation(network: nn.Module, crop: int, least: float = 0.25) -> None:
    """One warning if `check_dilation` complains of the crops of a training: how many layers, and
    the first of them.

    Weights that never lie on a crop learn nothing, and yet they count when the network is given a
    whole image, if that is larger.
    """
    if found := check_dilation(network, (crop, crop), least):
        beginning = (
            f"with crops of {crop}x{crop} dilation is too much for {len(found)} layers, whose "
            "outer weights hardly learn"
        )
        warnings.warn(
            "; ".join([beginning, found[0], "give larger crops or smaller rates"]), stacklevel=2
        )


def dilation_note(network: nn.Module, size: tuple[int, int], least: float = 0.25) -> str:
    """The complaint of `check_dilation` for whole images, in a sentence; empty if there is none.
    Such dilation does no harm: the network is smaller."""
    found = check_dilation(network, size, least)
    work = (
        f"{len(found)} layers work as smaller kernels, since their dilation reaches beyond images "
        f"of {size[0]}x{size[1]}"
    )
    return f"{work}; {found[0]}" if found else ""


def _check(name: str, least: float, found: list[str]) -> Any:
    def check(conv: nn.Conv2d, inputs: tuple[Tensor, ...]) -> None:
        height, width = inputs[0].shape[-2:]
        reach = _padding(conv)
        sides = [
            _valid(*side)
            for side in zip(
                (height, width), conv.kernel_size, conv.dilation, conv.stride, reach, strict=True
            )
        ]
        if sides[0] * sides[1] < least:
            kernel = "x".join(map(str, conv.kernel_size))
            rate = max(conv.dilation)
            found.append(
                f"{name}: of its {kernel} weights at rate {rate}, {sides[0] * sides[1]:.0%} lie "
                f"on the map of {height}x{width} (a 1x1 kernel would have "
                f"{1 / (conv.kernel_size[0] * conv.kernel_size[1]):.0%})"
            )

    return check


def _padding(conv: nn.Conv2d) -> Sequence[int]:
    if conv.padding == "valid":
        return (0, 0)
    if isinstance(conv.padding, str):  # "same"
        return [
            rate * (kernel - 1) // 2
            for rate, kernel in zip(conv.dilation, conv.kernel_size, strict=True)
        ]
    return [int(padding) for padding in conv.padding]


def _valid(length: int, kernel: int, rate: int, stride: int, padding: int) -> float:
    """Along one side: the part of the weights that lie on the map."""
    outputs = (length + 2 * padding - rate * (kernel - 1) - 1) // stride + 1
    places = torch.arange(outputs)[:, None] * stride - padding + torch.arange(kernel) * rate
    return float(((places >= 0) & (places < length)).double().mean())
