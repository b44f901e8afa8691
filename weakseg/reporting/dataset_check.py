"""The check of a data set: reads every image and every annotation, and reports all problems at
once."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from weakseg.data.base import WeakData
from weakseg.data.corrections.counts import CorrectionCounts, count_corrections
from weakseg.data.files.folder import Folder
from weakseg.data.files.photos import Photos
from weakseg.data.files.repairs import MANY
from weakseg.data.formats.base import FormatError, Place
from weakseg.data.formats.evidence import RIM
from weakseg.data.formats.images import orientation, source_of
from weakseg.data.names import nearly_same
from weakseg.evidence import IGNORE, MASKED, Evidence
from weakseg.reporting.corrections_check import look_at_corrections, problems_of_folder
from weakseg.reporting.problem import Problem
from weakseg.utils.messages import counted
from weakseg.utils.progress import track

COLUMNS = (
    "boxes",
    "images with a box",
    "images with marks",
    "images tagged",
    "images in the truth",
)
# what a file without any shape of the right kind is complained of
USABLE = "the annotation for data.evidence"
FIGURES = {  # what a validation image is measured by, and where the figures stand
    "masks": "masks: val/miou",
    "boxes": "boxes: val/box_extent_iou",
    "marks": "marks: val/marks_accuracy",
    "tags": "tags: val/tags_f1",
}
RARER = 3  # times as often comes a class as one that is called nearly the same by mistake
FLAT = 3  # grey values between the darkest and the brightest pixels of an image that shows nothing
TURNED = 5  # EXIF notes from here on swap width and height


class Finding(NamedTuple):
    """What was found of one image."""

    id: str
    problems: list[Problem]
    counts: Counter[tuple[str, int]]
    """how often each class comes, by kind"""
    repairs: Counter[str]
    """how often something was changed or left out without an error, by what it is"""
    kinds: Counter[str]
    """how many shapes of each kind the files hold"""
    size: tuple[int, int] | None = None
    """width and height of the image as it is read; None if it could not be"""
    measures: str = "nothing"
    """the most telling of what a prediction can be compared with: masks (the truth), boxes, marks,
    tags or nothing"""
    partial: bool = False
    """whether the truth is unknown on more than a quarter of the image"""


@dataclass
class DatasetCheck:
    """What was found of all images."""

    classes: tuple[str, ...]
    images: int = 0
    measured: int = 0
    """of the images, those that are only measured on"""
    seconds: float = 0.0
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """what was chosen or left out, and is right"""
    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    repairs: Counter[str] = field(default_factory=Counter)
    """how often something was changed or left out without an error, by what it is"""
    kinds: Counter[str] = field(default_factory=Counter)
    """how many shapes of each kind the files hold"""
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """width and height of each image as it is read"""
    partial: int = 0
    """images whose truth is unknown on more than a quarter of their pixels"""
    corrections: CorrectionCounts | None = None
    """how much a person has corrected; None where the data set has no such folder"""
    held_out: dict[str, list[str]] = field(default_factory=dict)
    """the images that are only measured on, by the most telling of what they can be measured by"""

    @property
    def errors(self) -> int:
        """How many problems are errors."""
        return sum(problem.level == "error" for problem in self.problems)


def check_dataset(data: WeakData, workers: int = 0) -> DatasetCheck:
    """Check every image of a data set, in this process or in several."""
    found = DatasetCheck(tuple(data.classes), len(data), len(data.validation))
    if isinstance(data, Photos):
        found.problems += [_problem(error) for error in data.problems]
        found.remarks += data.remarks
    if isinstance(data, Folder) and data.unannotated:
        found.problems.append(_unannotated(data))
    start = time.monotonic()
    ids = Counter[str]()
    held_out = set(data.validation)
    for index, finding in enumerate(
        track(_findings(data, workers), len(data), "looking at the images")
    ):
        _add(found, finding, index in held_out)
        ids[finding.id] += 1
    found.seconds = time.monotonic() - start
    if not isinstance(data, Photos):  # which notes this itself
        twice = [id for id, count in ids.items() if count > 1]
        found.problems += [
            Problem(f"image {id}", "the id", "its own", f"that of {ids[id]} images") for id in twice
        ]
    else:
        found.problems += _partial(data, found)
        if unused := _unused(data, found.kinds):
            # once is enough
            found.problems = [problem for problem in found.problems if problem.what != USABLE] + [
                unused
            ]
    if isinstance(data, Photos) and data.names_found:
        found.problems += _mistyped(found)
    found.problems += _never(found) + _unmeasured(found) + _of_several_depths(found)
    _look_at_pseudo_labels(found, data)
    _look_at_unlabelled_images(found, data)
    if data.corrections is not None:
        found.corrections = count_corrections(data.histories.values())
        found.remarks.append(f"corrections of {data.corrections}: {found.corrections}")
        found.problems += problems_of_folder(data, ids)
    return found


def _look_at_pseudo_labels(found: DatasetCheck, data: WeakData) -> None:
    """The headers of pseudo-labelled images and their masks, where the data set has any."""
    try:
        labels = data.pseudo_labels
    except ValueError as error:
        found.problems.append(
            Problem(
                "data.pseudo", "the folder", "one of pseudo-labels for this data set", str(error)
            )
        )
        return
    if labels is None:
        return
    found.remarks.append(f"pseudo-labels of {labels.folder}: {labels.counts}")
    for place in track(range(len(labels)), len(labels), "looking at the pseudo-labels"):
        if problem := labels.problem(place):
            name = labels.images[place].name
            found.problems.append(
                Problem(f"pseudo-label of {name}", "image and mask", "whole, of one size", problem)
            )


def _look_at_unlabelled_images(found: DatasetCheck, data: WeakData) -> None:
    """The images without annotation that are trained on, where the data set has any."""
    try:
        images = data.unlabelled_images
    except ValueError as error:
        problem = Problem("data.unlabelled", "images", "some without annotation", str(error))
        found.problems.append(problem)
        return
    if images is None:
        return
    found.remarks.append(f"unlabelled images of {images.where}: {images.counts}")
    for place in track(range(len(images)), len(images), "looking at the unlabelled images"):
        try:
            data.unlabelled_evidence(place)
        except Exception as error:
            # a reader of files may raise anything: it is reported with the image's name
            name = f"unlabelled image {images.ids[place]}"
            found.problems.append(
                Problem(name, "a whole image", "one that can be read", str(error))
            )


def _add(found: DatasetCheck, finding: Finding, held_out: bool) -> None:
    # a mask that is annotation and truth is read twice
    found.problems += dict.fromkeys(finding.problems)
    found.counts += finding.counts
    found.repairs += finding.repairs
    found.kinds += finding.kinds
    found.partial += finding.partial
    if finding.size is not None:
        found.sizes.append(finding.size)
    if held_out:
        found.held_out.setdefault(finding.measures, []).append(finding.id)


def print_check(found: DatasetCheck, console: Console, most: int = 200) -> None:
    """Print what was chosen, the problems, the counts of classes, what was changed on reading, what
    can be measured, and a sum."""
    for remark in found.remarks:
        console.print(remark, markup=False, highlight=False, soft_wrap=True)
    for problem in found.problems[:most]:
        console.print(
            str(problem),
            style="red" if problem.level == "error" else "yellow",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    if len(found.problems) > most:
        console.print(f"... and {len(found.problems) - most} more")
    table = Table("class", *COLUMNS)
    for number, name in enumerate(found.classes):
        table.add_row(name, *(str(found.counts[column, number]) for column in COLUMNS))
    console.print(table)
    for line in [*_sizes(found), *_repaired(found), *_measurable(found)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    rate = found.images / max(found.seconds, 1e-9)
    warnings = len(found.problems) - found.errors
    console.print(
        f"{counted(found.images, 'image')}, {found.measured} of them only measured on, in "
        f"{found.seconds:.1f} s ({rate:.0f} per second): {counted(found.errors, 'error')}, "
        f"{counted(warnings, 'warning')}",
        highlight=False,
        soft_wrap=True,
    )


def _sizes(found: DatasetCheck) -> list[str]:
    if not found.sizes:
        return []
    low, high = (
        f"{width} by {height}"
        for width, height in (pick(found.sizes, key=math.prod) for pick in (min, max))
    )
    return [
        f"size of the images as they are read: {low}"
        if low == high
        else f"size of the images as they are read: {low} to {high}"
    ]


def _repaired(found: DatasetCheck) -> list[str]:
    if not found.repairs:
        return []
    return [
        "changed or left out on reading:",
        *(f"  {what}: {count}" for what, count in sorted(found.repairs.items())),
    ]


def _measurable(found: DatasetCheck) -> list[str]:
    """What the figures of a validation will rest on: annotations count only where no validation
    image has a mask."""
    by = {kind: len(ids) for kind, ids in found.held_out.items() if kind in _counting(found)}
    return [
        f"measured on {counted(count, 'image')} by {FIGURES[kind]}" for kind, count in by.items()
    ]


def _counting(found: DatasetCheck) -> Collection[str]:
    return {"masks"} if "masks" in found.held_out else set(FIGURES)


class _Checks(Dataset[Finding]):
    def __init__(self, data: WeakData) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Finding:
        return check_image(self.data, index)


def _findings(data: WeakData, workers: int) -> Iterator[Finding]:
    """In the order of the images; workers hand over words and numbers only, no pictures."""
    loader: DataLoader[Finding] = DataLoader(
        _Checks(data), batch_size=8 if workers else 1, num_workers=workers, collate_fn=list
    )
    for findings in loader:
        yield from findings


def check_image(data: WeakData, index: int) -> Finding:
    """All that is wrong with one image, and how often each class comes in what is right."""
    if isinstance(data, Photos):
        return _check_files(data, index)
    problems: list[Problem] = []
    evidence = None
    truth = None
    id = f"number {index}"
    try:
        evidence, truth = data.sample(index)
        id = str(evidence.id)
    except Exception as error:  # the user's own reader may raise anything
        problems.append(
            Problem(
                f"image {id}", "reading it", "possible", f"not: {type(error).__name__}: {error}"
            )
        )
    if evidence is not None:
        evidence, wrong = look_at_corrections(data, index, evidence)
        problems += [*_checked(evidence, truth, len(data.classes)), *wrong]
    return _finding(id, problems, evidence, truth)


def _check_files(data: Photos, index: int) -> Finding:
    errors: list[FormatError] = []
    repairs = Counter[str]()
    read = data.read_files(index, errors, repairs)
    problems = [_problem(error) for error in errors]
    kinds = (
        Counter[str]()
        if read.annotation is None
        else Counter[str](shape.kind for shape in read.annotation.shapes)
    )
    if read.annotation is not None and not errors:
        problems += _nothing_used(read.annotation.place, kinds, _wanted(data))
    if (
        read.annotation is not None
        and read.annotation.size is None
        and (turn := _turn(data, index))
    ):
        how = (
            f"one that its camera turned (EXIF {turn}), and its annotation does not say for which "
            "way up"
        )
        problems.append(
            Problem(f"{read.entry.image}", "the image", "stored upright", how, "warning")
        )
    if read.evidence is not None and _is_one_grey(read.evidence.image):
        how = (
            "practically one grey or colour; images of 16 bits may need "
            "data.window=[darkest,brightest]"
        )
        problems.append(
            Problem(f"{read.entry.image}", "the image", "one that shows something", how, "warning")
        )
    evidence = read.evidence
    if evidence is not None:
        evidence, wrong = look_at_corrections(data, index, evidence, read.size)
        problems += wrong
    return _finding(read.entry.id, problems, evidence, read.truth)._replace(
        repairs=+repairs, kinds=kinds
    )


def _finding(
    id: str, problems: list[Problem], evidence: Evidence | None, truth: Tensor | None
) -> Finding:
    if evidence is None:
        return Finding(id, problems, Counter(), Counter(), Counter())
    wrong = any(problem.level == "error" for problem in problems)
    counts = Counter[tuple[str, int]]() if wrong else _counts(evidence, truth)
    size = (evidence.image.shape[-1], evidence.image.shape[-2])
    measures = "masks" if truth is not None else next(iter(evidence.annotations), "nothing")
    partial = truth is not None and (truth != IGNORE).float().mean().item() < MASKED
    return Finding(id, problems, counts, Counter(), Counter(), size, measures, partial)


def _wanted(data: Photos) -> Collection[str] | None:
    """The kinds of shapes of which there should be some; None for any. Tags beside boxes are used,
    but are no boxes."""
    if data.evidence is None or data.used is None:
        return data.used
    return data.kinds_of[data.evidence]


def _nothing_used(
    place: Place, kinds: Counter[str], wanted: Collection[str] | None
) -> list[Problem]:
    """A warning if a file is about an image, but has nothing that evidence is made from: that is
    taken for background, or for no mark."""
    if not kinds:
        return [Problem(str(place), "the annotation", "of at least one object", "empty", "warning")]
    if wanted is None or set(wanted) & set(kinds):
        return []
    return [
        Problem(
            str(place),
            USABLE,
            f"of at least one {' or '.join(sorted(wanted))}",
            f"only of {_listed(kinds)}",
            "warning",
        )
    ]


def _listed(kinds: Counter[str]) -> str:
    return ", ".join(
        f"{count} {kind if count == 1 else MANY[kind]}" for kind, count in sorted(kinds.items())
    )


def _is_one_grey(image: Tensor) -> bool:
    """Whether nearly all pixels have the same values; some thousands of them, spread evenly, are
    compared."""
    steps = [max(1, side // 128) for side in image.shape[1:]]
    values = image[:, :: steps[0], :: steps[1]].reshape(3, -1).float()
    low, high = torch.quantile(values, torch.tensor([0.01, 0.99]), dim=1)
    return bool((high - low <= FLAT).all())


def _checked(evidence: Evidence, truth: Tensor | None, classes: int) -> list[Problem]:
    try:
        evidence.check(classes)
        evidence.check_truth(truth, classes)
    except ValueError as error:
        return [
            Problem(
                f"image {evidence.id}",
                "the evidence",
                "right",
                f"not: {str(error).removeprefix(f'image {evidence.id}: ')}",
            )
        ]
    return _over_the_rim(evidence)


def _over_the_rim(evidence: Evidence) -> list[Problem]:
    """A warning of boxes that were probably drawn on another image, or on a larger copy."""
    if evidence.boxes is None or not len(evidence.boxes):
        return []
    height, width = evidence.image.shape[-2:]
    over = float(
        torch.cat(
            [
                -evidence.boxes[:, :2],
                evidence.boxes[:, 2:] - evidence.boxes.new_tensor([width, height]),
            ]
        ).max()
    )
    if over <= RIM:
        return []
    return [
        Problem(
            f"image {evidence.id}",
            "every box",
            f"at most {RIM} pixels over the rim",
            f"up to {over:g} over it",
            "warning",
        )
    ]


def _counts(evidence: Evidence, truth: Tensor | None) -> Counter[tuple[str, int]]:
    counts = Counter[tuple[str, int]]()
    if evidence.box_classes is not None:
        labels = evidence.box_classes.tolist()
        counts.update(("boxes", label) for label in labels)
        counts.update(("images with a box", label) for label in set(labels))
    if evidence.tags is not None:
        counts.update(
            ("images tagged", label) for label in evidence.tags.nonzero().flatten().tolist()
        )
    for column, labels_of in (
        ("images with marks", evidence.marks),
        ("images in the truth", truth),
    ):
        if labels_of is not None:
            shown = (
                torch.bincount(labels_of.flatten(), minlength=IGNORE + 1)[:IGNORE]
                .nonzero()
                .flatten()
                .tolist()
            )
            counts.update((column, label) for label in shown)
    return counts


def _turn(data: Photos, index: int) -> int:
    """The EXIF orientation, if it swaps width and height; 0 otherwise, and where the image cannot
    be opened."""
    try:
        with Image.open(source_of(data.entries[index].image)) as image:
            turn = orientation(image)
    except Exception:  # reported by whoever reads the pixels
        return 0
    return turn if turn >= TURNED else 0


def _unannotated(data: Folder) -> Problem:
    names = data.unannotated
    came = f"not, for {len(names)} of them, such as {', '.join(names[:3])}"
    return Problem(str(data.files), "the annotations", "about every image", came, "warning")


def _unused(data: Photos, kinds: Counter[str]) -> Problem | None:
    """An error if no file has a shape of the kind that `evidence` names."""
    kinds_wanted = _wanted(data)
    if (
        kinds_wanted is None
        or data.evidence is None
        or data.simulated
        or not kinds
        or set(kinds_wanted) & set(kinds)
    ):
        return None
    wanted = " or ".join(MANY[kind] for kind in sorted(kinds_wanted))
    hint = (
        "leave data.evidence out to use what is there, or make evidence from masks with "
        "data.simulated=true"
    )
    return Problem(
        "the annotations",
        "what they hold",
        f"{wanted}, for data.evidence={data.evidence}",
        f"{_listed(kinds)} alone; {hint}",
    )


def _partial(data: Photos, found: DatasetCheck) -> list[Problem]:
    """A warning of masks that are probably scribbles."""
    if found.partial <= len(found.sizes) // 2 or data.evidence in ("scribbles", "points"):
        return []
    came = (
        f"not, for {found.partial} of {len(found.sizes)}: 255 on more than a quarter; for "
        "scribbles or clicks write data.evidence=scribbles"
    )
    return [
        Problem(
            "the masks",
            "each of them",
            "one of nearly all pixels, as it is taken for the truth",
            came,
            "warning",
        )
    ]


def _unmeasured(found: DatasetCheck) -> list[Problem]:
    """A warning of images that are held out although nothing can be measured on them."""
    ids = [id for kind, own in found.held_out.items() if kind not in _counting(found) for id in own]
    if not ids:
        return []
    came = (
        f"not, for {len(ids)} of them, such as {', '.join(ids[:3])}: nothing is measured on "
        "these, and nothing is learned from them"
    )
    wanted = (
        "one with a mask, as others are"
        if "masks" in found.held_out
        else "one with a mask or an annotation"
    )
    return [
        Problem("the data set", "every image that is only measured on", wanted, came, "warning")
    ]


def _of_several_depths(found: DatasetCheck) -> list[Problem]:
    """A warning where images of 16 bits are not all read alike."""
    depths = [what for what in found.repairs if "read as" in what]
    if len(depths) < 2:
        return []
    bits = ", ".join(what.partition("read as ")[2] for what in depths)
    came = f"of {bits}: the same grey is read differently; give data.window=[darkest,brightest]"
    return [
        Problem(
            "the data set",
            "every image of 16 bits",
            "of as many bits as the others",
            came,
            "warning",
        )
    ]


def _never(found: DatasetCheck) -> list[Problem]:
    """Classes of which no image has anything."""
    seen = {label for (_, label), count in found.counts.items() if count}
    missing = [name for number, name in enumerate(found.classes) if number not in seen and number]
    if not missing or not seen:
        return []
    return [
        Problem(
            "the data set",
            "every class",
            "shown by some image",
            f"not, for {', '.join(missing)}",
            "warning",
        )
    ]


def _mistyped(found: DatasetCheck) -> list[Problem]:
    """A warning of classes that are probably another one, mistyped in some files: much rarer than
    one of nearly the same name."""
    often = [
        max(found.counts[column, number] for column in COLUMNS)
        for number in range(len(found.classes))
    ]
    problems = []
    for number, name in enumerate(found.classes[1:], 1):
        others = [
            other for other in range(1, len(often)) if 0 < RARER * often[number] <= often[other]
        ]
        if likely := [other for other in others if nearly_same(name, found.classes[other])]:
            meant = found.classes[likely[0]]
            times = often[likely[0]]
            came = (
                f"{name} (seen {often[number]}), beside {meant} (seen {times}); if they are the "
                f"same, data.rename={{{name}: {meant}}}"
            )
            problems.append(
                Problem(
                    "the data set", "every class", "called the same everywhere", came, "warning"
                )
            )
    return problems


def _problem(error: FormatError) -> Problem:
    place: Place = error.place
    return Problem(str(place), error.what, error.expected, error.came)
