"""Tables: one CSV file for many images, with the columns image,class for tags or image,x,y,class
for points.

0 0 is the upper left corner of the image, so that whole numbers are the column and row of a pixel
counted from 0. An image with a row without a class shows none.
"""

from __future__ import annotations

import csv
from pathlib import Path

from weakseg.data.formats.base import Annotation, FormatError, Place, Shape, noting, numbers, point
from weakseg.data.formats.opening import read_text

TAGS = ["image", "class"]
POINTS = ["image", "x", "y", "class"]


def read(path: Path, problems: list[FormatError] | None = None) -> list[Annotation]:
    """The images of the file, in the order in which they first come."""
    place = Place(str(path))
    rows = csv.reader(read_text(path).splitlines(), strict=True)
    images: dict[str, Annotation] = {}
    try:
        if (header := [word.strip().lower() for word in next(rows, [])]) not in (TAGS, POINTS):
            raise place.wrong("the first line", "image,class or image,x,y,class", ",".join(header))
        for row in rows:
            with noting(problems):
                _read_row(row, header, place._replace(number=rows.line_num), images)
    except csv.Error as error:
        raise FormatError(
            place._replace(number=rows.line_num),
            "a line",
            "fields with commas between",
            f"not: {error}",
        ) from None
    return list(images.values())


def _read_row(
    row: list[str], header: list[str], place: Place, images: dict[str, Annotation]
) -> None:
    if not row:
        return
    if len(row) != len(header):
        raise place.wrong("a line", ",".join(header), ",".join(row))
    image, *where, name = (word.strip() for word in row)
    if not image:
        raise place.wrong("a line", "one that begins with the name of an image", ",".join(row))
    place = place._replace(image=image)
    annotation = images.setdefault(image, Annotation(image, [], None, place._replace(number=None)))
    if where:
        points = numbers(where, place, "x and y").reshape(1, 2)
        annotation.shapes.append(point(name, place, points))
    elif name:
        annotation.shapes.append(Shape(name, "tag", place))
