"""What annotation files of all formats are read into, and the error with the place at which such a
file is wrong."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from weakseg.data.formats.runs import Runs, complaint
from weakseg.utils.secrets import scrub_message

Kind = Literal["box", "polygon", "line", "point", "tag", "mask"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Part = Literal["train", "val", "test"]
Absent = Literal["skipped", "not annotated"]
Floats = NDArray[np.float64]
T = TypeVar("T")

# pixels from the corner of an image; beyond that no annotation is meant, and sums could overflow
FARTHEST = 1e6
# of one image or mask: where Pillow begins to warn of image bombs; 270 MB as colours
MOST_PIXELS = 89_000_000
# every suffix of the kinds of image that `formats.images` reads
PICTURES = frozenset(
    [
        *(
            ".jpg",
            ".jpeg",
            ".jpe",
            ".jfif",
            ".png",
            ".apng",
            ".webp",
            ".tif",
            ".tiff",
            ".bmp",
            ".gif",
            ".ppm",
            ".pgm",
            ".pbm",
            ".pnm",
        ),
        *(".pfm", ".avif", ".avifs", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    ]
)
PARTS: dict[str, Part] = {
    **dict.fromkeys(["train", "training", "trn"], "train"),
    **dict.fromkeys(["val", "valid", "validation", "dev"], "val"),
    **dict.fromkeys(["test", "testing", "tst"], "test"),
}
LONGEST_VALUE = 200  # characters of a foreign value in a message
LONGEST_TEXT = 1500  # of a part of a message, which may name a hundred classes
WORDS: dict[type, str] = {
    str: "text",
    list: "a list",
    dict: "an object with named fields",
    int: "a whole number",
}


class FormatError(ValueError):
    """A file breaks the rules of its format: which file, image and object, what was expected, and
    what came."""

    def __init__(self, place: Place, what: str, expected: str, came: str) -> None:
        super().__init__(place, what, expected, came)
        self.place = place
        self.what = what
        self.expected = expected
        self.came = came

    def __str__(self) -> str:
        return (
            f"{self.place}: {self.what} should be {_cut(self.expected)}, but it is "
            f"{_cut(self.came)}"
        )


class Place(NamedTuple):
    """Where something stands, for messages.

    >>> print(Place("cats.json", "a.jpg", 3))
    cats.json, image 'a.jpg', object 3
    """

    file: str
    image: str | None = None
    number: int | None = None
    """which object of the image's file this is, counted from 1; in files of lines, .csv and .txt,
    which line"""

    def __str__(self) -> str:
        image = "" if self.image is None else f", image {excerpt(self.image)}"
        what = "line" if self.file.endswith((".csv", ".txt")) else "object"
        file = scrub_message(self.file) if "://" in self.file else self.file
        return f"{file}{image}" + ("" if self.number is None else f", {what} {self.number}")

    def wrong(self, what: str, expected: str, came: object) -> FormatError:
        """An error that shows the foreign value that came instead of what was expected here."""
        return FormatError(self, what, expected, excerpt(came))


class Shape(NamedTuple):
    """One annotated shape. All coordinates are pixel edges: (0, 0) is the image's upper left
    corner, (W, H) its lower right."""

    name: str
    """of the class, as the file has it"""
    kind: Kind
    place: Place
    parts: tuple[Floats, ...] = ()
    """float64 [n,2], x and y. A box has one part of two corners, a line one of its bends, a point
    one of all its points, a polygon one for each ring; the pixels of its rings are added up"""
    runs: Runs | None = None
    """the pixels of a mask"""
    layer: int = 0
    """shapes of a higher layer cover those of a lower one"""


class Annotation(NamedTuple):
    """The annotation of one image in a file."""

    image: str
    """the image's name, as the file has it: foreign text, to be opened only through
    `opening.inside`"""
    shapes: list[Shape]
    size: tuple[int, int] | None
    """width and height as the file has them; None if it has none"""
    place: Place
    part: Part | None = None
    """which part of the data set's own split the image belongs to, where the file names it"""
    absent: Absent | None = None
    """why the file has no annotation of this image; None if it is annotated, even as empty"""


def box(
    name: str, place: Place, x1: float, y1: float, x2: float, y2: float, layer: int = 0
) -> Shape:
    """A box with these edges; one that is empty or inverted is refused."""
    if not (x1 < x2 and y1 < y2):
        raise place.wrong(
            "a box", "wider and higher than 0, so that x1 < x2 and y1 < y2", [x1, y1, x2, y2]
        )
    return Shape(name, "box", place, (np.array([[x1, y1], [x2, y2]]),), layer=layer)


def polygon(name: str, place: Place, rings: Sequence[Floats], layer: int = 0) -> Shape:
    """An area inside of one ring, or inside of any of several."""
    if not rings or any(len(ring) < 3 for ring in rings):
        raise FormatError(
            place,
            "a polygon",
            "made of 3 points or more",
            f"one of {min(map(len, rings), default=0)}",
        )
    return Shape(name, "polygon", place, tuple(rings), layer=layer)


def line(name: str, place: Place, points: Floats, layer: int = 0) -> Shape:
    """Straight strokes from each point to the next one."""
    if len(points) < 2:
        raise FormatError(place, "a line", "made of 2 points or more", f"one of {len(points)}")
    return Shape(name, "line", place, (points,), layer=layer)


def point(name: str, place: Place, points: Floats, layer: int = 0) -> Shape:
    """One click or several."""
    if not len(points):
        raise FormatError(place, "a point", "a pair of numbers or more", "none")
    return Shape(name, "point", place, (points,), layer=layer)


def oval(
    name: str, place: Place, x: float, y: float, rx: float, ry: float, layer: int = 0
) -> Shape:
    """An ellipse that is parallel to the image's sides, as a polygon that is nowhere a twentieth of
    a pixel off it."""
    if not (rx > 0 and ry > 0):
        raise FormatError(
            place, "an ellipse", "wider and higher than 0", f"one of radius {rx:g} and {ry:g}"
        )
    corners = math.ceil(math.pi / math.sqrt(0.1 / max(rx, ry, 0.1)))
    angles = np.arange(max(corners, 16)) * (2 * math.pi / max(corners, 16))
    return polygon(
        name, place, [np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], 1)], layer
    )


def mask(name: str, place: Place, runs: Runs, layer: int = 0) -> Shape:
    """Pixels, whatever their form; runs that do not fill their window exactly are refused before
    they are unpacked."""
    if runs.width < 1 or runs.height < 1 or runs.width * runs.height > MOST_PIXELS:
        size = f"{runs.width} by {runs.height}"
        raise FormatError(
            place,
            "a mask",
            f"at least one pixel wide and high, and of at most {MOST_PIXELS} pixels",
            size,
        )
    if wrong := complaint(runs):
        raise FormatError(
            place,
            "a mask",
            f"runs of {runs.width * runs.height} pixels together, {runs.width} by {runs.height}",
            wrong,
        )
    return Shape(name, "mask", place, runs=runs, layer=layer)


def upright(name: str, place: Place, corners: Floats, layer: int = 0) -> Shape:
    """The smallest box with upright sides around these corners."""
    (x1, y1) = corners.min(0).tolist()
    (x2, y2) = corners.max(0).tolist()
    return box(name, place, x1, y1, x2, y2, layer)


def turned(points: Floats, middle: tuple[float, float], degrees: float) -> Floats:
    """Points turned around a place, clockwise on the screen."""
    cos = math.cos(math.radians(degrees))
    sin = math.sin(math.radians(degrees))
    return np.asarray((points - middle) @ np.array([[cos, sin], [-sin, cos]]) + middle)


def pairs(values: object, place: Place, what: str) -> Floats:
    """Finite x and y in turn, x1 y1 x2 y2 ..., as float64 [n,2]."""
    flat = numbers(values, place, what)
    if len(flat) % 2:
        raise FormatError(
            place, what, "x and y in turn, an even number of numbers", f"{len(flat)} numbers"
        )
    return flat.reshape(-1, 2)


def numbers(
    values: object, place: Place, what: str, count: int | None = None, most: float = FARTHEST
) -> Floats:
    """A list of finite numbers as float64 [n], n being the count if one is given. Text counts as
    the number that it spells."""
    flat = _parsed(values, count)
    if flat is None or not (np.abs(flat) <= most).all():  # false for NaN as well
        many = "a list of" if count is None else count
        raise place.wrong(what, f"{many} finite numbers from {-most:g} to {most:g}", values)
    return flat


def _parsed(values: object, count: int | None) -> Floats | None:
    if (
        not isinstance(values, list)
        or (count is not None and len(values) != count)
        or not set(map(type, values)) <= {float, int, str}
    ):
        return None
    try:
        return np.fromiter(map(float, values), np.float64, len(values))
    except (ValueError, OverflowError):
        return None


def wholes(values: object, place: Place, what: str, count: int | None = None) -> NDArray[np.int64]:
    """The same without fractions, for numbers of pixels."""
    flat = numbers(values, place, what, count, MOST_PIXELS)
    if (flat % 1).any():
        raise place.wrong(what, "whole numbers", values)
    return flat.astype(np.int64)


def size_of(width: object, height: object, place: Place) -> tuple[int, int] | None:
    """Width and height as a file has them; None where it has none, which some tools write as 0."""
    if width in (None, 0, "0", "") and height in (None, 0, "0", ""):
        return None
    pair = wholes([width, height], place, "the size of the image")
    if pair.min() < 1 or pair.prod() > MOST_PIXELS:
        raise place.wrong(
            "the size of the image",
            f"two numbers above 0, of at most {MOST_PIXELS} pixels",
            [width, height],
        )
    return int(pair[0]), int(pair[1])


def field(entry: object, key: str, kind: type[T], place: Place) -> T:
    """A named field of a JSON object that must be there and of this type."""
    if not isinstance(entry, dict):
        raise place.wrong("an entry", f"an object with the field {key!r}", entry)
    value: Any = entry.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise FormatError(
            place, f"the field {key!r}", WORDS[kind], excerpt(value) if key in entry else "missing"
        )
    return value


@contextmanager
def noting(problems: list[FormatError] | None) -> Iterator[None]:
    """Leave out what is wrong and go on, if there is a list to note it in."""
    try:
        yield
    except FormatError as error:
        if problems is None:
            raise
        problems.append(error)


def excerpt(value: object) -> str:
    """A foreign value for a message: on one line, and short whatever its length.

    >>> excerpt([1.0, float("nan"), "x" * 1000])
    "[1.0, nan, 'xxxxxxxxxxxx...xxxxxxxxxxxxx']"
    """
    return _cut(reprlib.repr(value), LONGEST_VALUE)


def _cut(text: str, longest: int = LONGEST_TEXT) -> str:
    return text if len(text) <= longest else f"{text[:longest]}..."
