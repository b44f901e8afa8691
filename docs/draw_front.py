"""Draws the picture at the top of the README and of docs/index.md: python docs/draw_front.py [folder]

Five networks are trained on the toy set with the recipes as they are, which takes about ten minutes on two CPU cores. Runs that are already
in the folder are used again, so that a change of the drawing is seen in seconds. Without a folder the runs are thrown away.

The networks see images of 112 pixels. The picture shows the same scenes drawn finer, and labels with smooth outlines on them.
"""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from skimage.measure import approximate_polygon, find_contours
from torch import Tensor

from weakseg import Evidence, Segmenter
from weakseg.data.toy import Toy
from weakseg.evidence import IGNORE
from weakseg.fit import main as fit
from weakseg.functional.confusion import confusion_matrix, mean_iou
from weakseg.run import load

PICTURE = Path(__file__).parent / "front.svg"
ANNOTATED = 15  # a training image
UNSEEN = 339  # a validation image
TRAIN, VAL, SIZE = 300, 60, 112  # of the toy set, as in the recipes
FINER = 4  # scenes are shown in so many times more pixels

TILE, GAP, MARGIN = 216, 14, 24
TOP = 104  # height of the column heads
TITLE = 52  # and of the line above a row
CAPTION = 34  # and below the last row
COLOURS = ("#3f4756", "#2f9e44", "#f08c00", "#1c7ed6", "#d6249f")  # background, leaf, wheel, fish, umbrella
INK = "#1f2430"
GREY = "#667080"


class Kind(NamedTuple):
    """A column: what somebody annotates, and how it is learned from."""

    name: str
    evidence: str
    recipe: str
    seconds: str
    """of annotation per image: means of PASCAL VOC 2012 as in benchmarks/label_efficiency.py, rounded"""


FULL = Kind("full mask", "masks", "full", "240 s")
KINDS = (
    Kind("tags", "tags", "tags", "20 s"),
    Kind("clicks", "points", "points", "22 s"),
    Kind("scribbles", "scribbles", "scribbles", "35 s"),
    Kind("boxes", "boxes", "boxes", "40 s"),
)


class Column(NamedTuple):
    """What is drawn of one kind; labels are uint8 [H,W]."""

    kind: Kind
    evidence: Evidence
    target: Tensor
    prediction: Tensor
    miou: float
    """of the network, over all validation images"""


# what is measured ----------------------------------------------------------------------------------------------------------------------


def trained(recipe: str, folder: Path, words: Sequence[str] = ()) -> Segmenter:
    """The network of a recipe, from the folder if it has been trained there before."""
    done = sorted(report.parent for report in folder.glob(f"{recipe}/*/report.html"))
    if done:
        return load(done[-1])
    return load(fit([f"recipe={recipe}", f"trainer.default_root_dir={folder}", "trainer.accelerator=cpu", *words]))


@torch.no_grad()
def column(kind: Kind, segmenter: Segmenter) -> Column:
    """Evidence and target of the annotated image, prediction for the unseen one."""
    toy = Toy(TRAIN, VAL, SIZE, evidence=kind.evidence)
    evidence, _ = toy.sample(ANNOTATED)
    unseen, _ = toy.sample(UNSEEN)
    prediction = segmenter.predict(unseen.image).probs.argmax(0).to(torch.uint8)
    return Column(kind, evidence, target(segmenter, evidence), prediction, validated(segmenter, toy))


def target(segmenter: Segmenter, evidence: Evidence) -> Tensor:
    """The pseudo-label that the strategy estimates for an image, with the trained network at hand."""
    if segmenter.strategy.estimates():
        return segmenter.strategy.estimate(evidence, segmenter.predict(evidence.image)).to(torch.uint8)
    # estimated in each training step, from the logits of that step
    logits = segmenter(evidence.image[None])
    labels = segmenter.strategy.labels(logits, evidence.image[None], evidence.tags[None], torch.ones_like(logits[:, 0], dtype=torch.bool))
    return labels[0].to(torch.uint8)


def validated(segmenter: Segmenter, toy: Toy) -> float:
    """The mean IoU over the validation images."""
    counts = torch.zeros(len(toy.classes), len(toy.classes), dtype=torch.int64)
    for index in range(TRAIN, TRAIN + VAL):
        evidence, truth = toy.sample(index)
        counts += confusion_matrix(segmenter.predict(evidence.image).probs.argmax(0), truth, len(toy.classes))
    return float(mean_iou(counts))


# the picture ---------------------------------------------------------------------------------------------------------------------------


def draw(columns: Sequence[Column], full: Column) -> str:
    """The whole picture as SVG: it has no size of its own, so it fills the width that it is given."""
    fine = Toy(TRAIN, VAL, SIZE * FINER)
    photo, unseen = (fine.sample(index)[0].image for index in (ANNOTATED, UNSEEN))
    width = 2 * MARGIN + (1 + len(columns)) * (TILE + GAP) - GAP
    rows = [TOP + TITLE + row * (TILE + TITLE) for row in range(3)]  # upper edges of the tiles
    height = rows[-1] + TILE + CAPTION + MARGIN // 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="Helvetica, Arial, sans-serif">',
        "<title>What weakseg does: cheap annotations become pseudo-labels, and these train a segmentation network</title>",
        *definitions(photo, unseen),
        f'<rect width="{width}" height="{height}" rx="14" fill="#ffffff"/>',
        *title(1, rows, "annotate cheaply"),
        *title(2, rows, "weakseg estimates a pseudo-label of each image"),
        *title(3, rows, "and trains a network on them: its prediction for a new image"),
    ]
    first = [
        [picture("photo")],
        [picture("grey-photo"), *regions(full.target), *chip("full mask")],
        [picture("unseen"), *chip("new image")],
    ]
    parts += heads(0, "image", f"full mask: {full.kind.seconds}")
    parts += tiles(0, rows, first)
    parts += text(MARGIN + TILE / 2, rows[2] + TILE + 27, f"full masks: {full.miou:.2f}", middle=True, colour=GREY)
    for place, each in enumerate(columns, 1):
        shown = [
            [picture("photo"), *annotations(each.evidence, fine.classes)],
            [picture("grey-photo"), *regions(each.target), *legend(each.target)],
            [picture("grey-unseen"), *regions(each.prediction)],
        ]
        parts += heads(place, each.kind.name, f"{each.kind.seconds} per image")
        parts += tiles(place, rows, shown)
        parts += text(left(place) + TILE / 2, rows[2] + TILE + 27, f"mIoU {each.miou:.2f}", middle=True)
    return "\n".join([*parts, "</svg>", ""])


def definitions(photo: Tensor, unseen: Tensor) -> Iterator[str]:
    """What tiles share: their round corners, the photographs in colour and in pale grey, and hatching for ignored pixels."""
    yield "<defs>"
    yield f'<clipPath id="tile"><rect width="{TILE}" height="{TILE}" rx="8"/></clipPath>'
    yield '<pattern id="ignored" width="9" height="9" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    yield '<rect width="9" height="9" fill="#ffffff" fill-opacity="0.75"/><rect width="2" height="9" fill="#9aa3af"/></pattern>'
    for name, image in (("photo", photo), ("unseen", unseen)):
        for prefix, pixels in (("", image), ("grey-", pale(image))):
            yield f'<image id="{prefix}{name}" width="{TILE}" height="{TILE}" href="data:image/jpeg;base64,{jpeg(pixels)}"/>'
    yield "</defs>"


def heads(place: int, name: str, cost: str) -> Iterator[str]:
    """The name of a column and what an image costs."""
    middle = left(place) + TILE / 2
    yield from text(middle, 52, name, size=32, middle=True, bold=True)
    yield from text(middle, 84, cost, middle=True, colour=GREY)


def tiles(place: int, rows: Sequence[int], contents: Sequence[Sequence[str]]) -> Iterator[str]:
    for top, content in zip(rows, contents, strict=True):
        yield f'<g transform="translate({left(place)} {top})" clip-path="url(#tile)">'
        yield from content
        yield "</g>"


def left(place: int) -> int:
    return MARGIN + place * (TILE + GAP)


def picture(name: str) -> str:
    return f'<use href="#{name}"/>'


def text(x: float, y: float, words: str, size: int = 24, middle: bool = False, bold: bool = False, colour: str = INK) -> Iterator[str]:
    anchor = ' text-anchor="middle"' if middle else ""
    weight = ' font-weight="bold"' if bold else ""
    yield f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}"{anchor}{weight}>{words}</text>'


def title(number: int, rows: Sequence[int], words: str) -> Iterator[str]:
    """What happens in a row, with its number in a disc."""
    y = rows[number - 1] - 25
    yield f'<circle cx="{MARGIN + 15}" cy="{y}" r="15" fill="{INK}"/>'
    yield from text(MARGIN + 15, y + 8, str(number), size=22, middle=True, bold=True, colour="#ffffff")
    yield from text(MARGIN + 42, y + 9, words, size=26, bold=True)


def chip(words: str) -> Iterator[str]:
    """A few words in the lower left corner of a tile."""
    width = 16 + round(10.4 * len(words))
    yield f'<rect x="7" y="{TILE - 36}" width="{width}" height="29" rx="6" fill="#ffffff" fill-opacity="0.94"/>'
    yield from text(7 + width / 2, TILE - 14, words, size=21, middle=True)


def legend(labels: Tensor) -> Iterator[str]:
    """What hatching means, where there is much of it."""
    if (labels == IGNORE).float().mean() > 0.2:
        yield from chip("hatched: ignored")


# evidence and labels on a tile ---------------------------------------------------------------------------------------------------------


def annotations(evidence: Evidence, classes: Sequence[str]) -> Iterator[str]:
    """What somebody annotated, as it is drawn in an annotation tool."""
    if evidence.boxes is not None and evidence.box_classes is not None:
        for box, label in zip(evidence.boxes.tolist(), evidence.box_classes.tolist(), strict=True):
            yield from frame([value * TILE / SIZE for value in box], COLOURS[label])
    elif evidence.marks is not None:
        for label in evidence.marks.unique().tolist():
            if label != IGNORE:
                yield from marked(evidence.marks == label, COLOURS[label])
    elif evidence.tags is not None:
        yield from tags([(classes[label], COLOURS[label]) for label in evidence.tags.nonzero().flatten().tolist() if label])


def frame(box: Sequence[float], colour: str) -> Iterator[str]:
    x1, y1, x2, y2 = (min(max(value, 3), TILE - 3) for value in box)
    place = f'x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" fill="none"'
    yield f'<rect {place} stroke="#ffffff" stroke-width="7"/><rect {place} stroke="{colour}" stroke-width="4"/>'


def marked(pixels: Tensor, colour: str) -> Iterator[str]:
    """Clicks as discs, scribbles as they are."""
    clicks = pixels.nonzero().tolist()
    if len(clicks) <= 8:
        for y, x in clicks:
            where = f'cx="{(x + 0.5) * TILE / SIZE:.1f}" cy="{(y + 0.5) * TILE / SIZE:.1f}"'
            yield f'<circle {where} r="9" fill="{colour}" stroke="#ffffff" stroke-width="3"/>'
    else:
        yield f'<path d="{outline(pixels)}" fill="{colour}" stroke="#ffffff" stroke-width="2.5" paint-order="stroke"/>'


def tags(names: Sequence[tuple[str, str]]) -> Iterator[str]:
    for place, (name, colour) in enumerate(reversed(names)):
        top, width = TILE - 46 - 42 * place, 26 + 13 * len(name)
        yield f'<rect x="10" y="{top}" width="{width}" height="36" rx="18" fill="{colour}" stroke="#ffffff" stroke-width="3"/>'
        yield from text(10 + width / 2, top + 26, name, middle=True, colour="#ffffff", size=24)


def regions(labels: Tensor) -> Iterator[str]:
    """Labels uint8 [H,W] as areas in the colours of their classes; the background stays grey, what is ignored is hatched."""
    for label in labels.unique().tolist():
        if label == IGNORE:
            yield f'<path d="{outline(labels == IGNORE)}" fill="url(#ignored)" fill-rule="evenodd"/>'
        elif label:
            style = f'fill="{COLOURS[label]}" fill-opacity="0.85" stroke="#ffffff" stroke-width="1.5"'
            yield f'<path d="{outline(labels == label)}" {style} fill-rule="evenodd"/>'


def outline(pixels: Tensor) -> str:
    """The smoothed outlines of pixels bool [H,W], in units of a tile, as the path of an SVG."""
    around = F.pad(pixels[None, None].float(), (2, 2, 2, 2), mode="replicate")
    smooth = F.interpolate(around, scale_factor=float(FINER), mode="bilinear")[0, 0]
    smooth = F.avg_pool2d(smooth[None, None], 2 * FINER - 1, 1, FINER - 1)[0, 0] if pixels.sum() > 60 else smooth
    lines = find_contours(np.pad(smooth.numpy(), 1), 0.5)
    return "".join(_path(line) for line in lines)


def _path(line: np.ndarray) -> str:
    corners = (approximate_polygon(line, 0.6) - 1 - 2 * FINER + 0.5) * TILE / (SIZE * FINER)
    return "M" + " ".join(f"{x:.1f},{y:.1f}" for y, x in corners[:-1]) + "Z" if len(corners) > 3 else ""


def pale(image: Tensor) -> Tensor:
    """An image in light grey, on which colours are seen."""
    return (128 + image.float().mean(0) / 2).to(torch.uint8).expand_as(image)


def jpeg(image: Tensor) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(buffer, "JPEG", quality=80, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def main(folder: Path, *words: str) -> None:
    """Train what is not in the folder yet, with further words if there are any, and draw."""
    full, *columns = (column(kind, trained(kind.recipe, folder, words)) for kind in (FULL, *KINDS))
    PICTURE.write_text(draw(columns, full))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with TemporaryDirectory() as temporary:
            main(Path(temporary))
