"""Receptive fields of the layers of a network: theoretical, by arithmetic, and effective, by
gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, NamedTuple

import torch
from annotated_types import Gt, Le
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakTensorKeyDictionary

from weakseg.networks.base import main_logits
from weakseg.networks.parts.layers import evaluating, run_sizes
from weakseg.utils.limits import limited


class Layer(NamedTuple):
    """One layer, and the receptive field of a value behind it."""

    name: str
    """of the module that it runs in"""
    kind: str
    kernel: int
    stride: float
    """below 1 where the map is enlarged"""
    dilation: int
    field: float
    """rows of pixels that one value depends on at most; infinite behind image pooling"""
    jump: float
    """rows of pixels from one value to the next"""


class Effect(NamedTuple):
    """Which pixels the value at the centre of the logits depends on, as gradients have it."""

    rows: int
    """from the first to the last with a gradient"""
    columns: int
    side: int
    """of the smallest square around their middle that holds the given share of the gradients'
    energy"""


def receptive_field(network: nn.Module, size: int = 128) -> list[Layer]:
    """Every convolution, pooling and enlargement in the order of execution, for images of size x
    size.

    Modules and functions are found alike. Where branches meet, the largest field counts. Kernels
    are taken to be square; pooling into a fixed number of parts has the kernel that follows from
    the size; what leaves the form [B,C,H,W], as attention does, depends on everything.

    >>> layers = receptive_field(
    ...     nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 4, 3, dilation=4))
    ... )
    >>> print(table(layers))
    name  kind  kernel  stride  dilation  field  jump
    0     conv       3       2         1      3     2
    1     conv       3       1         4     19     2
    """
    image = torch.empty(1, 3, size, size, device="meta")
    tracker = _Tracker(image)
    with _naming(network, tracker.inside), tracker:
        run_sizes(network, image)
    return tracker.layers


def table(layers: Sequence[Layer]) -> str:
    """The layers as a table of text."""
    rows = [
        list(Layer._fields),
        *([cell if isinstance(cell, str) else f"{cell:g}" for cell in layer] for layer in layers),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = 2  # words to the left, figures to the right
    lines = [
        [
            f"{cell:{'<' if column < left else '>'}{widths[column]}}"
            for column, cell in enumerate(row)
        ]
        for row in rows
    ]
    return "\n".join("  ".join(line).rstrip() for line in lines)


@limited
def effective_field(
    network: nn.Module,
    size: int = 128,
    share: Annotated[float, Gt(0), Le(1)] = 0.95,
    images: int = 4,
) -> Effect:
    """What the value at the centre of the logits in effect depends on (Luo et al., NeurIPS 2016).

    Its gradients with respect to random images of size x size are squared and added up over images
    and colours. They keep within the bound of `receptive_field`, and most of their energy lies far
    inside of it.
    """
    chance = torch.Generator().manual_seed(0)
    image = (
        torch.randn(images, 3, size, size, generator=chance)
        .to(next(network.parameters()))
        .requires_grad_()
    )
    with evaluating(network), torch.enable_grad():
        logits = main_logits(network(image))
        centre = logits[:, :, logits.shape[2] // 2, logits.shape[3] // 2].sum()
        (gradient,) = torch.autograd.grad(centre, image)
    return _effect(gradient.double().square().sum((0, 1)).cpu(), share)


def _effect(energy: Tensor, share: float) -> Effect:
    marginals = [energy.sum(1), energy.sum(0)]
    reached = [marginal.nonzero().flatten().tolist() for marginal in marginals]
    if not reached[0]:
        return Effect(0, 0, 0)
    away = []  # from the middle, per axis
    for marginal in marginals:
        places = torch.arange(len(marginal))
        away.append((places - ((marginal * places).sum() / marginal.sum()).round().long()).abs())
    distance = torch.maximum(away[0][:, None], away[1])
    rings = torch.zeros(max(energy.shape) + 1, dtype=energy.dtype).index_add(
        0, distance.flatten(), energy.flatten()
    )
    radius = int((rings.cumsum(0) < share * rings.sum() * (1 - 1e-12)).sum())
    rows, columns = (indices[-1] - indices[0] + 1 for indices in reached)
    return Effect(rows, columns, 2 * radius + 1)


# following tensors --------------------------------------------------------------------------------


class _Field(NamedTuple):
    size: float
    jump: float


class _Step(NamedTuple):
    kind: str
    kernel: int = 1
    stride: float = 1
    dilation: int = 1

    def after(self, field: _Field) -> _Field:
        steps: float = (self.kernel - 1) * self.dilation
        if self.kind == "transposed conv":  # its kernel lies on the enlarged map
            steps = math.ceil((steps + 1) * self.stride) - 1
        return _Field(field.size + steps * field.jump, field.jump * self.stride)


_ARGUMENTS = {
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation"),
    "conv_transpose2d": (
        "input",
        "weight",
        "bias",
        "stride",
        "padding",
        "output_padding",
        "groups",
        "dilation",
    ),
    "max_pool2d": ("input", "kernel_size", "stride", "padding", "dilation"),
    "max_pool2d_with_indices": ("input", "kernel_size", "stride", "padding", "dilation"),
    "avg_pool2d": ("input", "kernel_size", "stride"),
    "adaptive_avg_pool2d": ("input",),
    "adaptive_max_pool2d": ("input",),
    "max_unpool2d": ("input",),
    "interpolate": ("input", "size", "scale_factor", "mode", "align_corners"),
}
_TAPS = {"nearest": 1, "nearest-exact": 1, "bilinear": 2, "bicubic": 4}


def _step(function: str, given: Mapping[str, Any], before: int, after: int) -> _Step:
    """What a function does to fields, if its input had `before` rows and its output has `after`."""
    dilation = _first(given.get("dilation", 1))
    if function == "conv2d":
        return _Step("conv", given["weight"].shape[2], _first(given.get("stride", 1)), dilation)
    if function == "conv_transpose2d":
        return _Step(
            "transposed conv",
            given["weight"].shape[2],
            1 / _first(given.get("stride", 1)),
            dilation,
        )
    if "kernel_size" in given and function != "max_unpool2d":
        kernel = _first(given["kernel_size"])
        return _Step("pool", kernel, _first(given.get("stride") or kernel), dilation)
    if function.startswith("adaptive"):
        parts = [-(-(part + 1) * before // after) - part * before // after for part in range(after)]
        return _Step("pool", max(parts), before / after)
    steps = (
        (before - 1, after - 1)
        if given.get("align_corners") and min(before, after) > 1
        else (before, after)
    )
    return _Step("enlargement", _TAPS.get(given.get("mode", "nearest"), 2), steps[0] / steps[1])


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, Sequence) else value)


class _Tracker(TorchFunctionMode):
    """Hands the fields of the inputs of every torch function on to its outputs."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.fields: Any = WeakTensorKeyDictionary()
        self.fields[image] = _Field(1, 1)
        self.layers: list[Layer] = []
        self.inside: list[str] = []  # the modules that run, the innermost last

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(zip(_ARGUMENTS.get(func.__name__, ()), args, strict=False)) | dict(
            kwargs or {}
        )
        inputs = [
            leaf
            for leaf in tree_leaves((args, given))
            if isinstance(leaf, Tensor) and leaf in self.fields
        ]
        # as it is before a function that works in place
        known = [self.fields[tensor] for tensor in inputs]
        rows = max((tensor.shape[2] for tensor in inputs if tensor.ndim == 4), default=0)
        output = func(*args, **(kwargs or {}))
        outputs = (
            [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)] if inputs else []
        )
        if outputs:
            field = _Field(max(field.size for field in known), min(field.jump for field in known))
            field = self._passed(func.__name__, given, field, rows, outputs[0].shape)
            for tensor in outputs:
                self.fields[tensor] = field
        return output

    def _passed(
        self,
        function: str,
        given: Mapping[str, Any],
        field: _Field,
        rows: int,
        shape: Sequence[int],
    ) -> _Field:
        if function in _ARGUMENTS:
            step = _step(function, given, rows, shape[2])
            pooled = function.startswith("adaptive") and shape[2] == 1
            field = _Field(math.inf if pooled else step.after(field).size, step.after(field).jump)
            if step != _Step("enlargement", step.kernel):
                self.layers.append(Layer(self.inside[-1] if self.inside else "", *step, *field))
            return field
        seen_whole = len(shape) != 4 or (shape[2] == 1 < rows and function != "__getitem__")
        return _Field(math.inf, field.jump) if seen_whole else field


@contextmanager
def _naming(network: nn.Module, inside: list[str]) -> Iterator[None]:
    """Keep the list of the modules that run."""

    def hooks(module: nn.Module, name: str) -> list[RemovableHandle]:
        def leave(*_: Any) -> None:
            inside.pop()

        return [
            module.register_forward_pre_hook(lambda *_: inside.append(name)),
            module.register_forward_hook(leave),
        ]

    handles = [handle for name, module in network.named_modules() for handle in hooks(module, name)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
