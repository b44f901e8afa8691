"""Draws the picture at the top of the README and of docs/index.md.

    python docs/draw_front.py [folder]

Five networks are trained on the toy set with the recipes as they are, which takes about ten
minutes on two CPU cores. Runs that are already in the folder are used again, so that a change of
the drawing is seen in seconds. Without a folder the runs are thrown away.

The networks are given images of 112 pixels. The picture shows the same scenes drawn finer, and
labels with smooth outlines on them.
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
from weakseg.strategies.base import Context, Estimate, estimates

PICTURE = Path(__file__).parent / "front.svg"
ANNOTATED = 15  # a training image
UNSEEN = 339  # a validation image
TRAIN = 300  # images of the toy set, as in the recipes
VAL = 60
SIZE = 112
FINER = 4  # scenes are shown in so many times more pixels

TILE = 216
GAP = 14
MARGIN = 24
TOP = 104  # height of the column heads
TITLE = 52  # and of the line above a row
CAPTION = 34  # and below the last row
COLOURS = (
    "#3f4756",
    "#2f9e44",
    "#f08c00",
    "#1c7ed6",
    "#d6249f",
)  # as the classes: background first
WHITE = "#ffffff"
INK = "#1f2430"
GREY = "#667080"


class Kind(NamedTuple):
    """A column: what somebody annotates, and how a network learns from it."""

    name: str
    evidence: str
    recipe: str
    seconds: str
    """of annotation per image: means of PASCAL VOC as in benchmarks/label_efficiency.py, rounded"""


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


# what is measured ---------------------------------------------------------------------------------


def trained(recipe: str, folder: Path, words: Sequence[str] = ()) -> Segmenter:
    """The network of a recipe, from the folder if it has been trained there before."""
    done = sorted(report.parent for report in folder.glob(f"{recipe}/*/report.html"))
    if done:
        return load(done[-1])
    place = [f"trainer.default_root_dir={folder}", "trainer.accelerator=cpu"]
    return load(fit([f"recipe={recipe}", *place, *words]))


@torch.no_grad()
def column(kind: Kind, segmenter: Segmenter) -> Column:
    """Evidence and target of the annotated image, prediction for the unseen one."""
    toy = Toy(TRAIN, VAL, SIZE, evidence=kind.evidence)
    evidence, _ = toy.sample(ANNOTATED)
    unseen, _ = toy.sample(UNSEEN)
    labels = target(segmenter, evidence)
    return Column(kind, evidence, labels, predicted(segmenter, unseen), validated(segmenter, toy))


def target(segmenter: Segmenter, evidence: Evidence) -> Tensor:
    """The pseudo-label that the strategy estimates, with the prediction of the trained network."""
    strategy = segmenter.strategy
    if estimates(strategy):
        estimate = strategy.estimate(evidence, Context(segmenter.predict(evidence.image)))
        labels = estimate.labels if isinstance(estimate, Estimate) else estimate
        return labels.to(torch.uint8)
    # estimated in each training step, from the logits of that step
    images = evidence.image[None]
    valid = torch.ones_like(images[:, 0], dtype=torch.bool)
    labels = strategy.labels(segmenter(images), images, evidence.tags[None], valid)
    return labels[0].to(torch.uint8)


def predicted(segmenter: Segmenter, evidence: Evidence) -> Tensor:
    return segmenter.predict(evidence.image).probs.argmax(0).to(torch.uint8)


def validated(segmenter: Segmenter, toy: Toy) -> float:
    """The mean IoU over the validation images."""
    counts = torch.zeros(len(toy.classes), len(toy.classes), dtype=torch.int64)
    for index in range(TRAIN, TRAIN + VAL):
        evidence, truth = toy.sample(index)
        counts += confusion_matrix(predicted(segmenter, evidence), truth, len(toy.classes))
    return float(mean_iou(counts))


# the picture --------------------------------------------------------------------------------------


def draw(columns: Sequence[Column], full: Column) -> str:
    """The whole picture as SVG. It has no size of its own, so it fills the width it is given."""
    fine = Toy(TRAIN, VAL, SIZE * FINER)
    photo, unseen = (fine.sample(index)[0].image for index in (ANNOTATED, UNSEEN))
    width = 2 * MARGIN + (1 + len(columns)) * (TILE + GAP) - GAP
    rows = [TOP + TITLE + row * (TILE + TITLE) for row in range(3)]  # upper edges of the tiles
    height = rows[-1] + TILE + CAPTION + MARGIN // 2
    parts = [
        tag("title", "Cheap annotations become pseudo-labels, which train a segmentation network"),
        *definitions(photo, unseen),
        tag("rect", width=width, height=height, rx=14, fill=WHITE),
        *title(1, rows, "annotate cheaply"),
        *title(2, rows, "weakseg estimates a pseudo-label of each image"),
        *title(3, rows, "and trains a network on them: its prediction for a new image"),
        *first_column(rows, full),
    ]
    for place, each in enumerate(columns, 1):
        parts += [*kind_column(place, rows, each, fine.classes)]
    return tag(
        "svg",
        "\n".join(["", *parts, ""]),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        font_family="Helvetica, Arial, sans-serif",
    )


def first_column(rows: Sequence[int], full: Column) -> Iterator[str]:
    """The images as they are, and a full mask to compare with."""
    contents = [
        [use("photo")],
        [use("grey-photo"), *regions(full.target), *chip("full mask")],
        [use("unseen"), *chip("new image")],
    ]
    yield from heads(0, "image", f"full mask: {full.kind.seconds}")
    yield from tiles(0, rows, contents)
    yield text(middle(0), rows[2] + TILE + 27, f"full masks: {full.miou:.2f}", colour=GREY)


def kind_column(
    place: int, rows: Sequence[int], each: Column, classes: Sequence[str]
) -> Iterator[str]:
    """What somebody annotates, the pseudo-label, and the prediction for the unseen image."""
    contents = [
        [use("photo"), *annotations(each.evidence, classes)],
        [use("grey-photo"), *regions(each.target), *legend(each.target)],
        [use("grey-unseen"), *regions(each.prediction)],
    ]
    yield from heads(place, each.kind.name, f"{each.kind.seconds} per image")
    yield from tiles(place, rows, contents)
    yield text(middle(place), rows[2] + TILE + 27, f"mIoU {each.miou:.2f}")


def definitions(photo: Tensor, unseen: Tensor) -> Iterator[str]:
    """What tiles share: round corners, hatching, the images in colour and in pale grey."""
    yield "<defs>"
    yield tag("clipPath", tag("rect", width=TILE, height=TILE, rx=8), id="tile")
    yield tag(
        "pattern",
        tag("rect", width=9, height=9, fill=WHITE, fill_opacity=0.75)
        + tag("rect", width=2, height=9, fill="#9aa3af"),
        id="ignored",
        width=9,
        height=9,
        patternUnits="userSpaceOnUse",
        patternTransform="rotate(45)",
    )
    for name, image in (("photo", photo), ("unseen", unseen)):
        for prefix, pixels in (("", image), ("grey-", pale(image))):
            data = f"data:image/jpeg;base64,{jpeg(pixels)}"
            yield tag("image", id=f"{prefix}{name}", width=TILE, height=TILE, href=data)
    yield "</defs>"


def heads(place: int, name: str, cost: str) -> Iterator[str]:
    """The name of a column and what an image costs."""
    yield text(middle(place), 52, name, size=32, bold=True)
    yield text(middle(place), 84, cost, colour=GREY)


def title(number: int, rows: Sequence[int], words: str) -> Iterator[str]:
    """What happens in a row, with its number in a disc."""
    y = rows[number - 1] - 25
    yield tag("circle", cx=MARGIN + 15, cy=y, r=15, fill=INK)
    yield text(MARGIN + 15, y + 8, str(number), size=22, bold=True, colour=WHITE)
    yield text(MARGIN + 42, y + 9, words, size=26, bold=True, anchor="start")


def tiles(place: int, rows: Sequence[int], contents: Sequence[Sequence[str]]) -> Iterator[str]:
    """The tiles of a column, one per row."""
    for top, content in zip(rows, contents, strict=True):
        where = f"translate({left(place)} {top})"
        yield tag("g", "".join(content), transform=where, clip_path="url(#tile)")


def left(place: int) -> int:
    return MARGIN + place * (TILE + GAP)


def middle(place: int) -> float:
    return left(place) + TILE / 2


def chip(words: str) -> Iterator[str]:
    """A few words in the lower left corner of a tile."""
    width = 16 + round(10.4 * len(words))
    yield tag("rect", x=7, y=TILE - 36, width=width, height=29, rx=6, fill=WHITE, opacity=0.94)
    yield text(7 + width / 2, TILE - 14, words, size=21)


def legend(labels: Tensor) -> Iterator[str]:
    """What hatching means, where there is much of it."""
    if (labels == IGNORE).float().mean() > 0.2:
        yield from chip("hatched: ignored")


# evidence and labels on a tile --------------------------------------------------------------------


def annotations(evidence: Evidence, classes: Sequence[str]) -> Iterator[str]:
    """What somebody annotated, as an annotation tool draws it."""
    if evidence.boxes is not None and evidence.box_classes is not None:
        labels = evidence.box_classes.tolist()
        for box, label in zip(evidence.boxes.tolist(), labels, strict=True):
            yield from frame([value * TILE / SIZE for value in box], COLOURS[label])
    elif evidence.marks is not None:
        for label in evidence.marks[evidence.marks != IGNORE].unique().tolist():
            yield from marked(evidence.marks == label, COLOURS[label])
    elif evidence.tags is not None:
        labels = [label for label in evidence.tags.nonzero().flatten().tolist() if label]
        yield from pills([(classes[label], COLOURS[label]) for label in labels])


def frame(box: Sequence[float], colour: str) -> Iterator[str]:
    """A box in the colour of its class with a white rim, wholly inside of the tile."""
    x1, y1, x2, y2 = (min(max(round(value, 1), 3), TILE - 3) for value in box)
    place = {"x": x1, "y": y1, "width": round(x2 - x1, 1), "height": round(y2 - y1, 1)}
    yield tag("rect", **place, fill="none", stroke=WHITE, stroke_width=7)
    yield tag("rect", **place, fill="none", stroke=colour, stroke_width=4)


def marked(pixels: Tensor, colour: str) -> Iterator[str]:
    """Clicks as discs, scribbles as they are."""
    clicks = pixels.nonzero().tolist()
    if len(clicks) <= 8:
        for y, x in clicks:
            cx, cy = (round((value + 0.5) * TILE / SIZE, 1) for value in (x, y))
            yield tag("circle", cx=cx, cy=cy, r=9, fill=colour, stroke=WHITE, stroke_width=3)
    else:
        rim = {"stroke": WHITE, "stroke_width": 2.5, "paint_order": "stroke"}
        yield tag("path", d=outline(pixels), fill=colour, **rim)


def pills(names: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Names of classes on their colours, one above the other."""
    for place, (name, colour) in enumerate(reversed(names)):
        top = TILE - 46 - 42 * place
        width = 26 + 13 * len(name)
        shape = {"x": 10, "y": top, "width": width, "height": 36, "rx": 18}
        yield tag("rect", **shape, fill=colour, stroke=WHITE, stroke_width=3)
        yield text(10 + width / 2, top + 26, name, colour=WHITE)


def regions(labels: Tensor) -> Iterator[str]:
    """Labels uint8 [H,W] as areas in the colours of their classes; ignored pixels are hatched."""
    for label in labels.unique().tolist():
        area = outline(labels == label)
        if label == IGNORE:
            yield tag("path", d=area, fill="url(#ignored)", fill_rule="evenodd")
        elif label:
            rim = {"stroke": WHITE, "stroke_width": 1.5}
            yield tag(
                "path", d=area, fill=COLOURS[label], fill_opacity=0.85, fill_rule="evenodd", **rim
            )


def outline(pixels: Tensor) -> str:
    """The smoothed outlines of pixels bool [H,W], in units of a tile, as the path of an SVG."""
    around = F.pad(pixels[None, None].float(), (2, 2, 2, 2), mode="replicate")
    smooth = F.interpolate(around, scale_factor=float(FINER), mode="bilinear")
    if pixels.sum() > 60:  # smaller ones would vanish
        smooth = F.avg_pool2d(smooth, 2 * FINER - 1, 1, FINER - 1)
    lines = find_contours(np.pad(smooth[0, 0].numpy(), 1), 0.5)
    return "".join(_path(line) for line in lines)


def _path(line: np.ndarray) -> str:
    corners = approximate_polygon(line, 0.6) - 1 - 2 * FINER + 0.5
    if len(corners) <= 3:
        return ""
    places = corners[:-1] * TILE / (SIZE * FINER)
    return "M" + " ".join(f"{x:.1f},{y:.1f}" for y, x in places) + "Z"


# SVG and images -----------------------------------------------------------------------------------


def tag(name: str, content: str = "", **attributes: str | float) -> str:
    """An element of SVG; fill_opacity=1 is the attribute fill-opacity."""
    pairs = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in attributes.items())
    return f"<{name}{pairs}>{content}</{name}>" if content else f"<{name}{pairs}/>"


def text(
    x: float,
    y: float,
    words: str,
    size: int = 24,
    bold: bool = False,
    colour: str = INK,
    anchor: str = "middle",
) -> str:
    weight = {"font_weight": "bold"} if bold else {}
    return tag("text", words, x=x, y=y, font_size=size, fill=colour, text_anchor=anchor, **weight)


def use(name: str) -> str:
    return tag("use", href=f"#{name}")


def pale(image: Tensor) -> Tensor:
    """An image in light grey, on which colours are seen."""
    return (128 + image.float().mean(0) / 2).to(torch.uint8).expand_as(image)


def jpeg(image: Tensor) -> str:
    buffer = io.BytesIO()
    pixels = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    pixels.save(buffer, "JPEG", quality=80, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def main(folder: Path, *words: str) -> None:
    """Train what is not in the folder yet, with further words if there are any, and draw."""
    full, *columns = (column(kind, trained(kind.recipe, folder, words)) for kind in (FULL, *KINDS))
    PICTURE.write_text(draw(columns, full) + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with TemporaryDirectory() as temporary:
            main(Path(temporary))
