"""The tables of an evaluation, which its page shows and its command prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.console import Console

from weakseg.evaluation.results import Evaluation
from weakseg.reporting.tables import agreement_table, figure_text, precision_table, print_table

HEADINGS = {
    "iou": "IoU",
    "boundary_iou": "boundary IoU",
    "recall": "recall",
    "precision": "precision",
    "share": "share of pixels",
}
PER_CLASS = (
    "IoU of all pixels, and of those along contours (boundary IoU); which part of the pixels of a "
    "class is found (recall), which part of those that are predicted is right (precision), and "
    "which part of all pixels the class has in the truth"
)
AGREEMENT = "how well the network agrees with what is annotated on the images: none has a mask"
WHOLE = {
    "miou": "mean IoU",
    "boundary_iou": "mean boundary IoU",
    "pixel_accuracy": "pixel accuracy",
    "calibration_error": "expected calibration error",
    "confidence": "mean confidence",
    "mask_ap": "mask AP",
    "box_extent_iou": "IoU of extents with the boxes",
    "marks_accuracy": "right marks, mean of the classes",
    "tags_f1": "F1 for the tags",
}


class ClassTable(NamedTuple):
    """Figures of classes, and the mean below."""

    title: str
    why: str
    """what the figures are"""
    names: list[str]
    classes: int
    """how many of the rows are of classes"""
    columns: Mapping[str, Sequence[float | None]]


def class_tables(evaluation: Evaluation) -> list[ClassTable]:
    """The tables of what was measured."""
    classes = evaluation.classes
    figures = evaluation.figures
    tables = []
    if "miou" in figures:
        columns = {
            heading: [
                *(row[name] for row in evaluation.per_class),
                figures.get({"iou": "miou"}.get(name, name)),
            ]
            for name, heading in HEADINGS.items()
        }
        tables.append(ClassTable("per class", PER_CLASS, [*classes, "mean"], len(classes), columns))
    known = {f"val/{name}": value for name, value in figures.items()}
    names, columns_of = agreement_table(known, classes)
    if columns_of:
        tables.append(ClassTable("agreement", AGREEMENT, names, len(names) - 1, columns_of))
    names, columns_of = precision_table(known, classes)
    if columns_of:
        title = "average precision (AP) of objects"
        tables.append(ClassTable(title, title, names, len(classes) - 1, columns_of))
    return tables


def facts(evaluation: Evaluation) -> dict[str, str]:
    """The figures of the whole data set, in words."""
    return {
        words: figure_text(evaluation.figures[name])
        for name, words in WHOLE.items()
        if name in evaluation.figures
    }


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print the tables, of which network and images they are, and the figures of all images
    together."""
    for table in class_tables(evaluation):
        print_table(table.title, table.names, table.classes, table.columns, console)
    network = f"network: {evaluation.model['path']}"
    console.print(network, soft_wrap=True, highlight=False, markup=False)
    console.print(f"measured on {evaluation.measured_on}", soft_wrap=True, highlight=False)
    line = ", ".join(f"{words} {value}" for words, value in facts(evaluation).items())
    console.print(line, soft_wrap=True, highlight=False)
