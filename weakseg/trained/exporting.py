"""export_model: a trained network as a file or folder for others, checked before it is left."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge, Le
from tqdm.auto import tqdm

from weakseg.config.recipe import RecipeError
from weakseg.config.values import plain
from weakseg.networks.parts.weights import read_weights
from weakseg.trained.checkpoint import CheckpointModel, run_of
from weakseg.trained.description import UNKNOWN, Description, describe
from weakseg.trained.exported_network import ExportedNetwork, trace
from weakseg.trained.graph_check import BATCHES, SIZES, Comparison, Times, compare, take_times
from weakseg.trained.loading import expect_out, load_model
from weakseg.trained.model import TrainedModel
from weakseg.trained.model_card import Measured, measured_in, write_card
from weakseg.trained.onnx_graph import need_onnx, write_onnx
from weakseg.trained.published import check_class, write_published
from weakseg.trained.torch_program import write_program
from weakseg.utils.files import only_user
from weakseg.utils.paths import CARD, CONFIG, WEIGHTS

ENDINGS = {"onnx": ".onnx", "torch": ".pt2", "hub": ""}
FOLDER = "exported"
"""in the folder of a run: what it was exported to"""

BESIDE = ".export-"
"""begins the name of the folder in which an export is written before it is moved"""


class Export(NamedTuple):
    """What was written, and how it compares with the network."""

    path: Path
    comparison: Comparison
    times: Times | None
    """None for a folder of weights, which is the same network"""


def export_model(
    run: Path | str,
    format: Literal["onnx", "torch", "hub"] = "onnx",
    out: Path | str | None = None,
    checkpoint: str = "best",
    opset: Annotated[int, Ge(18), Le(23)] = 20,
    licence: str = UNKNOWN,
    overwrite: bool = False,
) -> Export:
    """Export a trained network: as a graph that runs without weakseg, or as a folder for a hub.
    What was written is read back and compared with the network; a file that differs is not left.

    Args:
        run: a run folder, a checkpoint in one, or a folder that format=hub has written.
        format: onnx for a graph that onnxruntime and others run; torch for a program of
            torch.export (.pt2); hub for a folder with weights, configuration and model card.
        out: the file, or with format=hub the folder; null for exported/<checkpoint>.<ending> in the
            run folder.
        checkpoint: of a run folder: best, last or a file.
        opset: the version of ONNX's operators, for format=onnx.
        licence: of the trained weights, as you publish them, such as mit or cc-by-4.0.
        overwrite: whether what exists at out is replaced.
    """
    expect_out(run, out)
    model = load_model(run, checkpoint, device="cpu")
    if not isinstance(model, CheckpointModel) or model.origin.kind == format:
        raise RecipeError(f"run: {run} is exported already; export the run that it came from")
    target = _target(model, format, None if out is None else Path(out))
    _check_target(target, format, overwrite)
    _check_network(model, format)
    adapter = model.segmenter.adapter
    description = describe(model, adapter.name, adapter.stride, licence)
    steps = 2 + len(SIZES) * len(BATCHES) + (format != "hub")
    with _place(target) as place, tqdm(total=steps, desc="exporting", unit=" steps") as bar:
        _write(model, format, description, place, opset, bar.update)
        written = _read(place, target)
        bar.set_description("comparing")
        comparison = _compared(model, written, target, bar.update)
        times = None if format == "hub" else take_times(model, written)
        bar.update(steps - bar.n)
        _move(place, target)
    return Export(target, comparison, times)


def _target(model: CheckpointModel, format: str, out: Path | None) -> Path:
    """Where the export goes: what `out` says, or beside the checkpoints of the run."""
    if out is not None:
        if format != "hub" and out.suffix != ENDINGS[format]:
            raise RecipeError(
                f"out: a file of format={format} ends in {ENDINGS[format]}, but it is {out}; write "
                f"out={out.with_suffix(ENDINGS[format])}"
            )
        return out
    weights = Path(model.origin.path)
    if model.origin.kind == "hub":
        return weights.parent / f"{weights.stem}{ENDINGS[format]}"
    folder = weights.parent
    run = folder.parent if folder.name == "checkpoints" else run_of(weights)
    return run / FOLDER / f"{weights.stem}{ENDINGS[format]}"


def _check_target(target: Path, format: str, overwrite: bool) -> None:
    """A RecipeError for a place that is taken, or of the wrong kind."""
    files = [target] if format != "hub" else [target / name for name in (WEIGHTS, CONFIG, CARD)]
    if target.exists() and target.is_dir() != (format == "hub"):
        kind = "a folder" if target.is_dir() else "a file"
        raise RecipeError(f"out: format={format} cannot be written to {target}, which is {kind}")
    there = [file for file in files if file.exists()]
    if there and not overwrite:
        raise RecipeError(
            f"out: {there[0]} exists already; write overwrite=true to replace it, or another out="
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecipeError(f"out: {target.parent} cannot be made: {error.strerror}") from None


def _check_network(model: CheckpointModel, format: str) -> None:
    """A RecipeError for a network that this format is not for, before anything long begins."""
    name = model.segmenter.adapter.name
    if model.finds_objects and format != "hub":
        raise RecipeError(
            f"format: {name} cannot be exported as a graph: how many objects it finds, and so the "
            "sizes in the graph, depends on the image; format=hub stores it for weakseg"
        )
    if format == "hub":
        try:
            check_class(str(model.recipe_section("network").get("name")))
        except ValueError as error:
            raise RecipeError(f"format: {error}") from None
    if format == "onnx":
        need_onnx()


@contextmanager
def _place(target: Path) -> Iterator[Path]:
    """A place beside the target, which is gone afterwards."""
    _remove_leftovers(target.parent)
    try:
        with (
            tempfile.TemporaryDirectory(prefix=BESIDE, dir=target.parent) as folder,
            only_user(Path(folder)),
        ):
            yield Path(folder) / target.name
    except OSError as error:
        # a disk that is full amid a file does not say which one
        raise ValueError(f"{target} cannot be written: {error.strerror or error}") from error


def _remove_leftovers(folder: Path) -> None:
    """Delete what killed exports have left; one that goes on holds its place."""
    for place in folder.glob(f"{BESIDE}*"):
        with suppress(ValueError, OSError), only_user(place):
            shutil.rmtree(place)


def _write(
    model: CheckpointModel,
    format: str,
    description: Description,
    place: Path,
    opset: int,
    move: Callable[[], object],
) -> None:
    """Write the export at this place."""
    if format == "hub":
        place.mkdir()
        sections, seed, measured = _known(model)
        card = write_card(description, sections, seed, measured)
        network = model.segmenter.network
        write_published(place, network, sections, description, card)
        move()
        return
    program = trace(ExportedNetwork(model.segmenter.adapter))
    move()
    if format == "torch":
        write_program(program, description, place)
    else:
        write_onnx(program, description, place, opset)


def _read(place: Path, target: Path) -> TrainedModel:
    """What was written, read again."""
    try:
        return load_model(place, device="cpu")
    except ValueError as error:
        raise ValueError(
            f"{target} was not written, as it could not be read again: {error}"
        ) from error


def _known(
    model: CheckpointModel,
) -> tuple[dict[str, dict[str, Any]], int, Measured | None]:
    """The sections of the recipe, the seed, and how good the weights are."""
    names = ("strategy", "network", "data", "optimizer", "rounds", "predict")
    sections = {name: model.recipe_section(name) for name in names}
    sections["data"].setdefault("evidence", model.segmenter.strategy.needs)
    measured = measured_in(read_weights(Path(model.origin.path)))
    return plain(sections), model.seed, measured


def _compared(
    model: TrainedModel, written: TrainedModel, target: Path, move: Callable[[], object]
) -> Comparison:
    """The comparison of what was written with the network; a ValueError if they differ."""
    try:
        comparison = compare(model, written, move)
    except Exception as error:  # whatever fails inside of a wrong graph
        raise ValueError(
            f"{target} was not written: the exported network fails where the trained one does not: "
            f"{str(error)[:300]}"
        ) from error
    if not comparison.passes:
        raise ValueError(
            f"{target} was not written: the exported network is another one than the trained one: "
            f"{comparison}"
        )
    return comparison


def _move(place: Path, target: Path) -> None:
    """Bring what was written to where it belongs. Of a folder that exists other files stay."""
    if not place.is_dir():
        os.replace(place, target)
        return
    target.mkdir(exist_ok=True)
    # the configuration, which knows the digest of the weights, comes last
    for name in (WEIGHTS, CARD, CONFIG):
        os.replace(place / name, target / name)
