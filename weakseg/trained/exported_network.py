"""A network as it leaves weakseg: from the pixels of images of any size to scores, in one graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from weakseg.networks.base import Adapter, main_logits
from weakseg.networks.parts.layers import crop
from weakseg.training.segmenter import IMAGENET_MEAN, IMAGENET_STD
from weakseg.utils.messages import one_line

# any, but no multiple of 16 or 32, as a coincidence of sizes would be kept in the graph; and two
# images, as one would be kept, too
EXAMPLE = (2, 3, 72, 104)
ANY_SIZE = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
"""of the sides of a batch of images"""
KEPT = {"val", "tensor_meta", "unbacked_bindings"}
"""what torch has to know of a node of a graph: its type and size"""


class ExportedNetwork(nn.Module):
    """Images uint8 [B,3,H,W] in true colours to logits and probabilities, float32 [B,C,H,W].

    Normalisation, upsampling and softmax are part of it, so that whoever runs it has none of them
    to get wrong.

    Args:
        network: with its optional parts; it is copied to the CPU.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: Adapter) -> None:
        super().__init__()
        self.network = deepcopy(network.network).cpu().float()
        self.stride = network.stride
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1) * 255)
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and probabilities at the images' own resolution."""
        normalised = (image.float() - self.mean) / self.std
        logits = self._upsample(main_logits(self.network(normalised)), image)
        return logits, logits.softmax(1)

    def _upsample(self, logits: Tensor, image: Tensor) -> Tensor:
        """As `Adapter.upsample`, without its questions about sizes, which a graph for images of any
        size cannot answer."""
        height, width = image.shape[-2:]
        if self.stride == 1:
            return logits
        if self.stride is None:
            return F.interpolate(logits, (height, width), mode="bilinear")
        size = (logits.shape[-2] * self.stride, logits.shape[-1] * self.stride)
        return crop(F.interpolate(logits, size, mode="bilinear"), height, width)


def trace(network: ExportedNetwork) -> ExportedProgram:
    """The graph of a network for any number of images of any size; a ValueError says why there is
    none."""
    example = torch.zeros(EXAMPLE, dtype=torch.uint8)
    try:
        with torch.no_grad(), quiet():
            program = torch.export.export(network, (example,), dynamic_shapes=(ANY_SIZE,))
    except Exception as error:  # whatever torch raises amid somebody's network
        raise ValueError(
            f"{type(network.network).__name__} cannot be exported for images of any size: "
            f"{one_line(error)[:400]}; format=hub stores its weights all the same"
        ) from error
    _forget_sources(program)
    return program


def _forget_sources(program: ExportedProgram) -> None:
    """Drop from a graph the files of this machine that each of its nodes comes from."""
    for node in program.graph.nodes:
        for name in node.meta.keys() - KEPT:
            del node.meta[name]


@contextmanager
def quiet() -> Iterator[None]:
    """Without what torch logs and warns of while it exports, which no user can act upon."""
    loggers = [logging.getLogger(name) for name in ("torch", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
