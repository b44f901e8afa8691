"""Draws the pictures of docs/how-to/scribbles.md and points.md, beside them: python
docs/draw_scribbles.py

Nothing is painted by hand but the scribbles on the photo. For the rounds a small network is trained
on 24 pictures of the toy set, which takes about half a minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytorch_lightning as pl
import torch
from draw_crf import grid
from PIL import Image, ImageDraw
from skimage import data
from torch import Tensor, nn
from torchvision.transforms.functional import to_pil_image

from weakseg import Evidence, Rounds, Segmenter
from weakseg.data.toy.dataset import Toy
from weakseg.evidence import IGNORE
from weakseg.functional.confusion import confusion_matrix, mean_iou
from weakseg.functional.painting import grow_marks
from weakseg.functional.regions.region_graph import Superpixels
from weakseg.functional.regions.superpixels import region_counts
from weakseg.networks import DeepLabV3Plus
from weakseg.optimizers import AdamW
from weakseg.strategies import Points, ScribblesGraphCut
from weakseg.strategies.base import Context

PICTURES = Path(__file__).parent / "how-to" / "pictures"
SMALL = Superpixels(scale=20, smallest=10)  # as in the recipe
# of the classes, and one more
COLOURS = torch.tensor(
    [[235, 235, 235], [230, 60, 60], [255, 160, 0], [0, 130, 255], [170, 60, 220], [20, 20, 20]]
)
DARK = len(COLOURS) - 1
ROUNDS = 3
ROWS = (4, 13, 11)  # the images that are shown
CLICKED = (2, 14)
# tiles are this many times larger than the toy set's images before they are fitted into the picture
FACTOR = 4

TABLE = (
    [(30, 40), (40, 200), (70, 350), (200, 390)],
    [(590, 380), (540, 250), (570, 80)],
    [(440, 30), (520, 60), (500, 160)],
)
SAUCER = [(100, 250), (120, 310), (210, 345), (330, 340), (430, 270)]
CUP = (
    [(190, 150), (290, 175), (350, 140)],
    [(195, 60), (180, 110), (200, 210), (230, 280)],
    [(370, 85), (300, 110), (230, 100)],
)
# of a photo, lines by class
SCRIBBLES = {"few": (TABLE, [SAUCER]), "many": (TABLE, [SAUCER, *CUP])}

Tile = tuple[str, Image.Image]


class Album(Toy):
    """The toy set, which keeps the targets of every round."""

    def __init__(self, train: int, size: int) -> None:
        super().__init__(train=train, val=0, size=size, evidence="scribbles", batch_size=4)
        self.rounds: list[dict[str, Tensor]] = []

    def use_targets(self, store, keys) -> None:
        super().use_targets(store, keys)
        images = map(self.id_of, self.training)
        self.rounds.append({image: store.read(image, keys[image]) for image in images})


def train(album: Album, network: nn.Module, epochs: int) -> Album:
    """Cut, train and cut again, so many epochs per round: what the recipe does, with less of
    everything."""
    segmenter = Segmenter(
        network, ScribblesGraphCut(SMALL, appearance=1), album.classes, AdamW(lr=3e-3)
    )
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    with TemporaryDirectory() as folder:
        rounds = Rounds(when="epochs", every=epochs, count=ROUNDS, workers=0)
        last = epochs * (ROUNDS - 1) + 1  # a round is made if training goes on after it
        pl.Trainer(
            default_root_dir=folder, max_epochs=last, callbacks=[rounds], accelerator="cpu", **quiet
        ).fit(segmenter, album)
    return album


def draw_rounds(album: Album, images: Sequence[int]) -> Image.Image:
    """A row for each image: its scribbles, its superpixels, what was cut in every round, and the
    truth."""
    return grid(
        [
            [*_start(evidence), *_cuts(album, evidence, truth)]
            for evidence, truth in map(album.sample, images)
        ],
        256,
        3,
    )


def _start(evidence: Evidence) -> Iterator[Tile]:
    segments = SMALL(evidence.image)
    yield "scribbles", marked(evidence)
    yield f"{int(segments.max()) + 1} superpixels", pieces(evidence, segments)


def _cuts(album: Album, evidence: Evidence, truth: Tensor) -> Iterator[Tile]:
    for number, targets in enumerate(album.rounds):
        counts = confusion_matrix(targets[evidence.id], truth, len(album.classes))
        yield (
            f"round {number}: {mean_iou(counts):.2f}",
            painted(evidence.image, targets[evidence.id]),
        )
    yield "truth", painted(evidence.image, truth)


def draw_photo() -> Image.Image:
    """A photo with few and with more scribbles: superpixels, and round 0 without and with the
    appearance."""
    rows = []
    for evidence in map(coffee, SCRIBBLES.values()):
        cuts = {
            weight: ScribblesGraphCut(appearance=weight).estimate(evidence, Context()).labels
            for weight in (0.0, 0.5)
        }
        line = [("superpixels and scribbles", pieces(evidence, Superpixels()(evidence.image), 2))]
        rows.append(
            line
            + [
                (f"strategy.appearance={weight:g}", painted(evidence.image, cut, 2))
                for weight, cut in cuts.items()
            ]
        )
    return grid(rows, 128, 2)


def coffee(scribbles: Sequence[Sequence[Sequence[tuple[int, int]]]]) -> Evidence:
    """A photo uint8 [3,400,600] with scribbles 3 pixels wide, of background and of class 3."""
    photo = torch.from_numpy(data.coffee()).permute(2, 0, 1).contiguous()
    drawn = Image.new("L", (photo.shape[2], photo.shape[1]), IGNORE)
    for label, lines in zip((0, 3), scribbles, strict=True):
        for line in lines:
            ImageDraw.Draw(drawn).line(line, label, 3, "curve")
    return Evidence(
        "coffee",
        photo,
        marks=torch.frombuffer(bytearray(drawn.tobytes()), dtype=torch.uint8).view(photo.shape[1:]),
    )


def draw_points(
    clicked: Toy, images: Sequence[int], xy: float = 25, rgb: float = 15
) -> Image.Image:
    """A row for each image: its clicks, the target they make, and what the dense CRF loss counts as
    near and alike to two of them."""
    rows = []
    for evidence, truth in map(clicked.sample, images):
        target = Points().estimate(evidence, Context())
        line = [
            ("clicks", marked(evidence, radius=6)),
            ("target", marked(evidence._replace(marks=target))),
        ]
        for label in torch.unique(evidence.marks[evidence.marks != IGNORE])[[-1, 0]].tolist():
            place = (evidence.marks == label).nonzero()[0]
            one = torch.full_like(evidence.marks, IGNORE)
            one[*place] = label
            near = pull(evidence.image, *place.tolist(), xy, rgb)
            dim = 0.25 * evidence.image.float().mean(0)
            shown = near * evidence.image + (1 - near) * dim
            line.append(
                (
                    "near it and alike",
                    marked(Evidence("", shown.to(torch.uint8), marks=one), radius=6),
                )
            )
        rows.append([*line, ("truth", painted(evidence.image, truth))])
    return grid(rows, 256, 3)


def pull(image: Tensor, row: int, column: int, xy: float, rgb: float) -> Tensor:
    """How much every pixel belongs together with one of them in the dense CRF loss, from 0 to 1:
    float [H,W]."""
    y, x = torch.meshgrid(*map(torch.arange, image.shape[1:]), indexing="ij")
    colours = image.double()
    apart = ((y - row) ** 2 + (x - column) ** 2) / xy**2 + (
        colours - colours[:, row, column, None, None]
    ).square().sum(0) / rgb**2
    return torch.exp(-apart / 2)


# tiles: colours of classes on images uint8 [3,H,W], larger than these so that lines are thin ------


def marked(evidence: Evidence, factor: int = FACTOR, radius: float = 0) -> Image.Image:
    """The image with its marks, if it has any; as discs if there is a radius in pixels of the
    tile."""
    if evidence.marks is None:
        return to_pil_image(larger(evidence.image, factor))
    return to_pil_image(
        inked(
            larger(evidence.image, factor),
            grow_marks(larger(evidence.marks[None], factor)[0], radius),
            factor,
        )
    )


def pieces(evidence: Evidence, segments: Tensor, factor: int = FACTOR) -> Image.Image:
    """The marks, the borders of the superpixels, and a tint on those that have marks: of the class
    with the most."""
    counts = region_counts(evidence.marks, segments, len(COLOURS))
    classes = counts.argmax(1).masked_fill(counts.sum(1) == 0, IGNORE)
    large = larger(segments[None], factor)[0]
    border = torch.zeros_like(large, dtype=torch.bool)
    border[:, 1:] = large[:, 1:] != large[:, :-1]
    border[1:] |= large[1:] != large[:-1]
    image = over(larger(evidence.image, factor), classes[large], 0.5)
    return to_pil_image(
        inked(
            over(image, torch.where(border, DARK, IGNORE), 0.9),
            larger(evidence.marks[None], factor)[0],
            factor,
        )
    )


def inked(image: Tensor, marks: Tensor, width: float) -> Tensor:
    """An image with marks in the colours of their classes and a dark rim around."""
    return over(
        over(image, torch.where(grow_marks(marks, width / 2) == IGNORE, IGNORE, DARK), 0.8),
        marks,
        1,
    )


def painted(image: Tensor, labels: Tensor, factor: int = FACTOR) -> Image.Image:
    """A grey image in the colours of its labels."""
    grey = image.float().mean(0).to(torch.uint8).expand_as(image)
    return to_pil_image(over(larger(grey, factor), larger(labels[None], factor)[0], 0.65))


def over(image: Tensor, labels: Tensor, strength: float) -> Tensor:
    """An image with the colours of labels [H,W] on it, where they are not 255."""
    colours = COLOURS[labels.long().where(labels != IGNORE, 0)].permute(2, 0, 1)
    mixed = (strength * colours + (1 - strength) * image).to(torch.uint8)
    return torch.where(labels != IGNORE, mixed, image)


def larger(values: Tensor, factor: int) -> Tensor:
    return values.repeat_interleave(factor, 1).repeat_interleave(factor, 2)


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    draw_photo().save(PICTURES / "scribbles-photo.png", optimize=True)
    draw_points(Toy(train=24, val=0, evidence="points"), CLICKED).save(
        PICTURES / "points-clicks.png", optimize=True
    )
    pl.seed_everything(0)
    album = Album(24, 96)
    train(album, DeepLabV3Plus(classes=len(album.classes), encoder="tu-regnetx_002"), 8)
    draw_rounds(album, ROWS).save(PICTURES / "scribbles-rounds.png", optimize=True)


if __name__ == "__main__":
    main()
