"""evaluate_model: how good a trained network is on a data set, as figures, files and a page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le

from weakseg.data.base import WeakData
from weakseg.evaluation.counted import CountedImage
from weakseg.evaluation.dashboards import show_evaluation, view_of
from weakseg.evaluation.dataset import Subset
from weakseg.evaluation.folder import (
    PAGE,
    default_folder,
    evaluation_folder,
    make_folder,
    refuse_foreign,
)
from weakseg.evaluation.kept_counts import KeptCounts
from weakseg.evaluation.measuring import Measurement
from weakseg.evaluation.page import write_evaluation_page
from weakseg.evaluation.results import Evaluation, Head, write_evaluation
from weakseg.evaluation.words import check_words
from weakseg.evaluation.worker import CountWorker, Named
from weakseg.inference.multiscale import Inference
from weakseg.reporting.loggers.base import View
from weakseg.reporting.summaries import command_line
from weakseg.trained.loading import expect_out
from weakseg.utils.engine import EngineName, Pool, spread
from weakseg.utils.limits import Count, limited
from weakseg.utils.remote_path import as_path
from weakseg.utils.versions import versions

BATCH = 32  # images that a process of an engine is given at once, at most
PATIENCE = 600.0  # seconds that a part waits for another one that writes the evaluation


@limited
def evaluate_model(
    run: Path | str,
    data: WeakData | Mapping[str, Any] | None = None,
    out: Path | str | None = None,
    checkpoint: str = "best",
    subset: Subset = "auto",
    predict: Inference | Mapping[str, Any] | None = None,
    device: str = "auto",
    least_miou: Annotated[float, Ge(0), Le(1)] | None = None,
    logger: View | Mapping[str, Any] | None = None,
    parts: Count = 1,
    part: Count = 1,
    engine: EngineName = "local",
    actors: Count | None = None,
) -> Evaluation:
    """Measure a trained network on a data set with truth: IoU, boundary IoU, accuracy, calibration,
    and average precision of objects, as a table, summary.json, images.csv and a report page.

    Args:
        run: the trained network: a run folder, a checkpoint, an exported graph (.onnx, .pt2), or a
            folder that export format=hub has written.
        data: the data set: keys of the section data, above those that the network was trained with;
            with data=<name> those of another data set. In Python also a `WeakData`.
        out: folder for summary.json, images.csv, confusions.npz and report.html, which are
            made anew each time; null for the folder evaluation in that of the run, or one beside an
            exported file. For another data set, its name is part of that of the folder.
        checkpoint: of a run folder: best, last or a file.
        subset: which images: validation, training or all; auto for the validation images where the
            network was trained with this data set, or where the files or a word says which ones
            these are, and for all of another data set.
        predict: scales, mirror image, windows and CRF, as keys of the section predict, above those
            that are stored with the network.
        device: cpu, cuda, cuda:1, mps or the like; auto for a GPU where there is one.
        least_miou: the mean IoU that has to be reached, from 0 to 1; where it is not, the exit code
            is 1.
        logger: a dashboard for figures and tables, as keys of the section logger: logger=wandb or
            logger=tensorboard.
        parts: into how many parts the images are split, for as many processes or machines. Each
            keeps its counts in the folder; the one that ends last writes the files.
        part: which of them is measured here, from 1 on.
        engine: what predicts and counts: local is this process; ray is Ray Data, on the machines of
            a Ray that runs already, or on this one.
        actors: processes of engine=ray that count; null for one per GPU or, without any, core.
    """
    check_words(parts, part, engine, actors)
    expect_out(run, out)
    given = locals()
    # what was made in Python has no words; its class says what it is
    shown = {
        name: f"{type(made).__module__}.{type(made).__qualname__}"
        for name, made in (("data", data), ("logger", logger))
        if isinstance(made, WeakData | View)
    }
    command = command_line("evaluate", evaluate_model, {**given, **shown})
    start = time.monotonic()
    view = view_of(logger)
    named = Named(run, checkpoint, predict, device, data, subset)
    # GPUs are for the actors
    measurement = named.open() if engine == "local" else named.open("cpu")
    model = measurement.model
    measured = measurement.measured
    folder = as_path(out) if out is not None else default_folder(Path(run), model.origin, measured)
    name = model.origin.recipe or Path(run).name
    writing = _Writing(measurement, name, folder, least_miou, command, start)
    kept = KeptCounts(folder, model, measured, parts, part)
    if engine != "local":
        count = partial(spread, CountWorker, {"named": named}, pool=Pool(actors, device, BATCH))
        evaluation = _in_parts(writing, kept, count)
    elif parts > 1:
        evaluation = _in_parts(writing, kept, measurement.count)
    else:
        with evaluation_folder(folder) as new:
            measurement.run()
            evaluation = writing.write(new)
    if view is not None and not evaluation.missing_parts:
        show_evaluation(view, folder, evaluation)
    return evaluation


@dataclass(frozen=True)
class _Writing:
    """What the files of an evaluation are made of.

    Args:
        measurement: of the images.
        name: of the network.
        folder: of the evaluation.
        least_miou: the mean IoU that was to be reached.
        command: that has made it.
        start: when it began, by the clock that only goes forward.
    """

    measurement: Measurement
    name: str
    folder: Path
    least_miou: float | None
    command: str
    start: float

    def evaluation(self) -> Evaluation:
        """What was measured."""
        found = self.measurement.evaluation()
        return replace(found, folder=self.folder, least_miou=self.least_miou)

    def write(self, new: Path) -> Evaluation:
        """Write the page and the files, into a folder of their own at first."""
        measurement = self.measurement
        evaluation = self.evaluation()
        seconds = time.monotonic() - self.start
        head = Head(self.command, versions("onnxruntime"), seconds)
        write_evaluation_page(
            new / PAGE,
            evaluation,
            measurement.selection(),
            measurement.picture,
            title=f"{self.name} on {measurement.measured.name}",
            notes=_notes(evaluation, head),
            score=measurement.score,
        )
        write_evaluation(new, evaluation, head)
        return evaluation


def _in_parts(
    writing: _Writing, kept: KeptCounts, count: Callable[[Sequence[int]], Iterable[CountedImage]]
) -> Evaluation:
    """Count a part of the images; write the evaluation if it is the last part."""
    measurement = writing.measurement
    folder = writing.folder
    make_folder(folder)
    refuse_foreign(folder)
    measurement.find_truth()
    kept.fill(count)
    missing = kept.missing_parts
    for counted in kept.counted():
        measurement.add(counted)
    if missing:
        return replace(writing.evaluation(), missing_parts=missing)
    # two parts may end at the same time; both write the same
    with evaluation_folder(folder, patience=PATIENCE) as new:
        evaluation = writing.write(new)
    kept.remove()
    return evaluation


def _notes(evaluation: Evaluation, head: Head) -> list[str]:
    """Lines below the title of the page."""
    model = evaluation.model
    made_by = ", ".join(f"{name} {version}" for name, version in head.versions.items())
    step = "" if model["step"] is None else f", after step {model['step']}"
    return [
        f"network: {model['path']}{step}; initial weights: {model['weights'] or 'not known'}",
        f"measured on {evaluation.measured_on}",
        f"predicted with {_in_words(evaluation.settings)}",
        f"{made_by}; {head.command}",
    ]


def _in_words(settings: Mapping[str, Any]) -> str:
    """How the network predicted.

    >>> _in_words({"scales": (0.75, 1.0), "flip": True, "window": 513, "crf": None})
    'the scales 0.75, 1; mirror images; windows of 513 pixels'
    """
    scales = ", ".join(f"{scale:g}" for scale in settings["scales"])
    words = {
        f"the scales {scales}": scales != "1",
        "mirror images": settings["flip"],
        f"windows of {settings['window']} pixels": settings["window"],
        "a dense CRF": settings["crf"],
    }
    return "; ".join(text for text, told in words.items() if told) or "one pass of the whole image"
