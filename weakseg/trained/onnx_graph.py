"""Networks as .onnx files: written by PyTorch's exporter, read by onnxruntime, with neither of the
two needed for the other."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from weakseg.config.recipe import RecipeError
from weakseg.inference.multiscale import Inference
from weakseg.trained.description import Description, as_text, from_text
from weakseg.trained.exported_model import ExportedModel
from weakseg.trained.exported_network import quiet
from weakseg.utils.messages import one_line

INPUT = "image"
OUTPUTS = ("logits", "probabilities")
SIDES = ("batch", "height", "width")
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
EXTRA = "pip install 'weakseg[export]'"


def write_onnx(program: ExportedProgram, description: Description, path: Path, opset: int) -> None:
    """Write the graph of an exported network and its description.

    Args:
        program: as `trace` makes it. It is changed, so it is of no use afterwards.
        description: goes into the metadata of the file, one entry for each of its values.
        path: of the file.
        opset: the version of ONNX's operators.
    """
    for node in program.graph.nodes:
        # of the two ONNX has a slice only, which it copies
        if node.target is torch.ops.aten.slice_copy.Tensor:
            node.target = torch.ops.aten.slice.Tensor
    with quiet(), contextlib.redirect_stdout(io.StringIO()):
        try:
            exported: Any = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=opset,
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                verbose=False,
            )
        except Exception as error:  # whatever the exporter raises amid somebody's network
            raise ValueError(f"ONNX has no such network: {_cause(error)}") from error
    _name_sides(exported.model)
    for node in exported.model.graph:
        node.metadata_props.clear()  # of use to whoever debugs the exporter
    exported.model.producer_name = "weakseg"
    exported.model.producer_version = description.weakseg
    exported.model.metadata_props.update(as_text(description))
    exported.save(path)


def _name_sides(model: Any) -> None:
    """Call the sides of images what they are, instead of s77."""
    (image,) = model.graph.inputs
    symbols = [str(image.shape[place]) for place in (0, 2, 3)]
    names = dict(zip(symbols, SIDES, strict=True))
    for value in (image, *model.graph.outputs):
        shape = [names.get(str(side), side) for side in value.shape]
        value.shape = type(value.shape)(shape)


class OnnxModel(ExportedModel):
    """An .onnx file that weakseg has written."""

    def __init__(
        self,
        session: Any,
        description: Description,
        inference: Inference,
        path: Path,
        device: torch.device,
    ) -> None:
        super().__init__(description, inference, path, "onnx", device)
        self._session = session

    def logits(self, images: Tensor) -> Tensor:
        """As in the base class."""
        found = self._session.run(["logits"], {INPUT: images.cpu().numpy()}, self._only_these())
        return torch.from_numpy(found[0]).to(self.device)

    def _only_these(self) -> Any:
        """Have only the outputs computed that are wanted."""
        options = importlib.import_module("onnxruntime").RunOptions()
        options.only_execute_path_to_fetches = True
        return options


def load_onnx(
    path: Path, predict: Inference | Mapping[str, Any] | None, device: torch.device
) -> OnnxModel:
    """The network of an .onnx file. No code in it is run: a graph has none."""
    need_onnx("onnxruntime")
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # threads that wait busily slow down whatever else works on the same cores
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime has a class of its own for each kind of failure
        raise ValueError(
            f"{path} is not a graph that onnxruntime can read: {one_line(error)[:300]}"
        ) from None
    description = from_text(session.get_modelmeta().custom_metadata_map, path)
    if [each.name for each in session.get_inputs()] != [INPUT]:
        raise ValueError(f"{path} does not have the one input {INPUT!r}; export the run again")
    shapes = {each.name: each.shape for each in session.get_outputs()}
    description.expect_classes(shapes.get("logits", ()), path)
    where = device if len(providers) > 1 else torch.device("cpu")
    return OnnxModel(session, description, description.inference(predict), path, where)


def need_onnx(*packages: str) -> None:
    """A RecipeError that says how to install packages, where one is missing.

    Args:
        packages: onnxruntime is enough to read; with none named, all that writing takes.
    """
    for package in packages or PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            way = "pip install onnxruntime" if packages else EXTRA
            raise RecipeError(f"run: a graph of ONNX needs {package}: {way} ({error})") from None


def _cause(error: BaseException) -> str:
    """The innermost reason of an exporter's failure."""
    while error.__cause__ is not None:
        error = error.__cause__
    return one_line(error)[:300]
