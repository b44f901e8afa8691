"""Networks as .pt2 files, which `torch.export` writes and reads: for programs that have PyTorch but
not weakseg."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass
from torch.fx import Node

from weakseg.inference.multiscale import Inference
from weakseg.trained.description import Description, as_text, from_text
from weakseg.trained.exported_model import ExportedModel
from weakseg.trained.exported_network import quiet
from weakseg.trained.program_check import check_program


def write_program(program: ExportedProgram, description: Description, path: Path) -> None:
    """Write the graph of an exported network, and its description as extra files, one for each of
    its values."""
    # not into the file: on a full disk torch would end the whole process
    buffer = io.BytesIO()
    with quiet():
        torch.export.save(program, buffer, extra_files=as_text(description))
    path.write_bytes(buffer.getbuffer())


class ProgramModel(ExportedModel):
    """A .pt2 file that weakseg has written."""

    def __init__(
        self,
        program: nn.Module,
        description: Description,
        inference: Inference,
        path: Path,
        device: torch.device,
    ) -> None:
        super().__init__(description, inference, path, "torch", device)
        self._program = program

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """As in the base class."""
        logits: Tensor = self._program(images.to(self.device))[0]
        return logits


def load_program(
    path: Path, predict: Inference | Mapping[str, Any] | None, device: torch.device
) -> ProgramModel:
    """The network of a .pt2 file. What such a file may hold beside a graph and its weights, code
    among it, is refused before torch reads it."""
    check_program(path)
    texts: dict[str, Any] = {"classes": ""}  # torch fills only what is not empty
    try:
        with quiet():
            program = torch.export.load(path, extra_files=texts)
    except Exception as error:  # whatever torch raises for a file of another version
        raise ValueError(
            f"{path} cannot be read by torch {torch.__version__}: {str(error).strip()[:300]}; a "
            ".pt2 file is for the version of torch that wrote it, an .onnx file for any program"
        ) from error
    description = from_text(texts, path)
    description.expect_classes(_logits_shape(program), path)
    if device.type != "cpu":
        program = move_to_device_pass(program, device)
    return ProgramModel(
        program.module(check_guards=False),
        description,
        description.inference(predict),
        path,
        device,
    )


def _logits_shape(program: ExportedProgram) -> tuple[Any, ...]:
    """Of the first output, in which sides of any size are names; empty if there is none."""
    outputs = program.graph.output_node().args[0]
    first = outputs[0] if isinstance(outputs, tuple | list) and outputs else None
    value = first.meta.get("val") if isinstance(first, Node) else None
    return tuple(value.shape) if isinstance(value, Tensor) else ()
