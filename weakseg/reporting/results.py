"""What a run leaves at its end: the tables on the screen, and the report."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from weakseg.config.recipe import Recipe, Resolved, to_yaml
from weakseg.data.corrections.counts import count_corrections
from weakseg.networks.analysis.gridding import dilation_note
from weakseg.networks.parts.weights import read_weights
from weakseg.reporting.report import write_report
from weakseg.reporting.run_images import (
    Suspect,
    suspect_cases,
    training_cases,
    validation_cases,
)
from weakseg.reporting.tables import print_tables
from weakseg.training.metrics_file import read_record
from weakseg.training.rounds import Rounds
from weakseg.training.run_folder import read_commands
from weakseg.training.segmenter import Segmenter
from weakseg.training.used_models import read_models
from weakseg.utils.secrets import scrub_yaml


def report_run(
    recipe: Resolved,
    folder: Path,
    segmenter: Segmenter,
    rounds: Rounds,
    data: Any,
    endings: Sequence[str] = (),
    suspects: Sequence[Suspect] = (),
) -> dict[str, float]:
    """The table on the screen, and the report; `endings` are lines on how the run has ended, and
    `suspects` the most suspicious images. Returns the figures of the table."""
    rows = read_record(folder / "metrics.csv")
    final = {
        name: float(value)
        for row in rows
        for name, value in row.items()
        if name.startswith(("val/", "label/mask_ap")) and value
    }
    final |= rounds.figures
    best = _best(folder)
    training = training_cases(segmenter, data)
    report = folder / "report.html"
    write_report(
        report,
        title=f"{recipe.name}: {folder.name}",
        classes=segmenter.classes,
        figures=rows,
        final=final,
        confusion=segmenter.confusion if segmenter.confusion.any() else None,
        cases=validation_cases(segmenter, rounds, data),
        training=training.cases,
        training_note=training.note,
        suspects=suspect_cases(segmenter, data, suspects),
        review=shlex.join(["python", "-m", "weakseg.review", f"run={folder}"]),
        commands=read_commands(folder),
        recipe=scrub_yaml(to_yaml(recipe)),
        notes=[
            *endings,
            *_notes(recipe, segmenter),
            *(model.described for model in read_models(folder)),
            *_pseudo_labels(data),
            *_unlabelled_images(data),
            *_corrections(data),
            *_dilation(segmenter.network, data),
            *([best] if best else []),
        ],
    )
    print_tables(final, segmenter.classes, Console())
    for line in [*endings, *([best] if best else [])]:
        print(line)
    print(f"report: {report}")
    print(next_step(recipe.sections["data"]["name"], folder))
    return final


def next_step(data: str, folder: Path) -> str:
    """What to do after a run: to look at it, and then to train on images of one's own, or to
    correct the worst labels and use the network.

    >>> next_step("folder", Path("runs/boxes/1"))
    'next: open it in a browser; then correct the worst labels: python -m weakseg.review
    run=runs/boxes/1; masks of other images: python -m weakseg.predict run=runs/boxes/1
    images=<folder> out=masks overlay=true'

    >>> next_step("toy", Path("runs/boxes/1"))
    'next: open it in a browser; then images of your own: python -m weakseg.check data=folder
    data.root=<folder> data.format=coco'
    """
    look = "next: open it in a browser; then "
    if data == "toy":
        return (
            f"{look}images of your own: python -m weakseg.check data=folder data.root=<folder> "
            "data.format=coco"
        )
    run = shlex.quote(f"run={folder}")
    return (
        f"{look}correct the worst labels: python -m weakseg.review {run}; masks of other images: "
        f"python -m weakseg.predict {run} images=<folder> out=masks overlay=true"
    )


def _dilation(network: nn.Module, data: Any) -> list[str]:
    """A note on dilation that is too much for whole images."""
    try:
        height, width = data.corrected(data.training[0])[0].image.shape[-2:]
        note = dilation_note(network, (height, width))
    except Exception as error:  # a network may need numbers to run, where the check has sizes
        logging.getLogger(__name__).debug("dilation was not checked: %s", error)
        return []
    return [note] if note else []


def _best(folder: Path) -> str:
    """How good the best network is, in words; nothing where no validation has measured any."""
    path = folder / "checkpoints" / "best.ckpt"
    if not path.is_file():
        return ""
    try:
        known = read_weights(path).get("weakseg", {}).get("validation")
    except ValueError as error:  # what was trained and measured is printed all the same
        return f"best.ckpt: {error}"
    if known is None:
        return ""
    return (
        f"best.ckpt: {known['figure']} {known['value']:.3f}, the highest of all validations, "
        f"after step {known['step']}"
    )


def _notes(recipe: Recipe, segmenter: Segmenter) -> list[str]:
    return [
        f"weakseg {_version('weakseg')}, torch {_version('torch')}, pytorch-lightning "
        f"{_version('pytorch-lightning')}; seed {recipe.seed}",
        f"network: {type(segmenter.network).__name__}, initial weights: "
        f"{segmenter.initial_weights}",
        "figures are of the last weights, not of the best ones; IoU is taken from one confusion "
        "matrix over all images at their own size",
    ]


def _pseudo_labels(data: Any) -> list[str]:
    """Which pseudo-labelled images were trained on beside those of the data set."""
    labels = getattr(data, "pseudo_labels", None)
    if labels is None:
        return []
    return [f"pseudo-labels of {labels.folder}: {labels.counts}; {_in_batches(data)}"]


def _unlabelled_images(data: Any) -> list[str]:
    """Which images without annotation were trained on from the second round on."""
    images = getattr(data, "unlabelled_images", None)
    if images is None:
        return []
    from_then_on = f"from the second round on {_in_batches(data)}"
    return [f"unlabelled images of {images.where}: {images.counts}; {from_then_on}"]


def _in_batches(data: Any) -> str:
    return f"{data.pseudo_share:g} of each batch, with a weight of {data.pseudo_weight:g}"


def _corrections(data: Any) -> list[str]:
    """How much a person has corrected of what was trained on."""
    if not (histories := getattr(data, "histories", {})):
        return []
    return [f"corrections of {data.corrections}: {count_corrections(histories.values())}"]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a bare checkout
        return "from a checkout"
