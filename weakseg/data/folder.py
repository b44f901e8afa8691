"""A folder of images with annotation files of any of the formats: most data sets of one's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from weakseg.data.annotator import Asked, check_asked
from weakseg.data.formats import coco, csv_file, cvat, datumaro, label_studio, labelme, mask_png, voc_xml, yolo
from weakseg.data.formats.base import KINDS, Annotation, FormatError, Kind, Place, noting
from weakseg.data.formats.images import image_size
from weakseg.data.listing import Pictures, positions, read_names, share_of
from weakseg.data.naming import BACKGROUND, Naming, with_background
from weakseg.data.photos import KINDS_OF, TOLD, Entry, Photos, Reader, held

Format = Literal["voc_xml", "coco", "yolo", "labelme", "cvat", "datumaro", "label_studio", "mask_png", "csv"]
ManyReader = Callable[[Path, list[FormatError] | None], list[Annotation]]
# formats with many images in a file, and those with a file of this ending for each image
MANY: dict[str, tuple[ManyReader, str]] = {
    "coco": (coco.read, ".json"),
    "cvat": (cvat.read, ".xml"),
    "datumaro": (datumaro.read, ".json"),
    "label_studio": (label_studio.read, ".json"),
    "csv": (csv_file.read, ".csv"),
}
ENDINGS = {"voc_xml": ".xml", "yolo": ".txt", "labelme": ".json", "mask_png": ".png"}
MARKS = ("points", "scribbles")  # evidence that files of mask_png may hold instead of whole masks
YOLO_NAMES = ("data.yaml", "data.yml", "classes.txt", "obj.names")


class Folder(Photos):
    """Images and annotation files in a folder. Images that no file speaks of are left out, unless they are only measured on.

    Arguments:
        root: the folder.
        format: of the annotation files: voc_xml, coco, yolo, labelme, cvat, datumaro, label_studio, mask_png or csv.
        classes: names of the classes, background apart, in the order of their numbers; null for those that the files name, in
            alphabetical order. mask_png needs them, with the class of value 1 first.
        images: folder of the images, from the root on.
        annotations: from the root on, an annotation file, or a folder of them. For formats with one file per image, they are called like
            the images.
        masks: folder of masks, called like the images, whose values are the numbers of the classes: the truth. null for none.
        whole: whether polygons and masks in the annotation files outline all that there is. Then what is outside of them is background,
            and they are the truth.
        evidence: masks, boxes, points, scribbles (lines) or tags, the rest of the files is not used; null for all that they hold. In files
            of mask_png, points and scribbles are the pixels that are not 255.
        train: file with the names of the images that are trained on, one per line; null for those that are in no other list.
        val: file with the names of those that are only measured on; null for a part of the images, always the same.
        val_share: which part, from 0 to 1, if there is no file: of the images that have a mask, if any has one, else of all; the latter are
            measured by what is annotated.
        rename: what classes in the files are called here, such as {airplane: aeroplane}; null leaves one out.
        line_width: of lines, in pixels.
        point_radius: of the discs around points, in pixels; 0 marks one pixel.
    """

    def __init__(
        self,
        root: Path,
        format: Format,
        classes: list[str] | None = None,
        images: str = "images",
        annotations: str = "annotations",
        masks: str | None = None,
        whole: bool = False,
        evidence: Asked | None = None,
        train: str | None = None,
        val: str | None = None,
        val_share: float = 0.2,
        rename: dict[str, str | None] | None = None,
        line_width: float = 3,
        point_radius: int = 0,
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        check_asked(evidence, none=True)
        _check(format, classes, val_share, line_width, point_radius)
        self.root, self.evidence, self.format = Path(root), evidence, format
        self.whole, self.line_width, self.point_radius = whole, line_width, point_radius
        self.files, self.pictures = self.root / annotations, Pictures(self.root / images)
        self.masks = None if masks is None else self.root / masks
        if format == "mask_png" and evidence in MARKS:  # the files hold what was drawn, and say nothing elsewhere
            self.kinds_of = {**KINDS_OF, evidence: ("mask",)}
        if format == "mask_png" and self.masks is None and (self.simulated or evidence not in MARKS):
            self.masks = self.files
        if not self.files.exists():
            raise ValueError(
                f"there should be annotations at {self.files}, a {'file or ' if format in MANY else ''}folder, but there are none"
            )
        self.rename = rename or {}
        self.names = _numbered(self.root, self.files, format, classes)
        readers = self._many(*MANY[format]) if format in MANY else self._single(ENDINGS[format])
        self.unannotated = [name for name in self.pictures.names if name not in readers]
        """images that no annotation file speaks of"""
        if classes is None or evidence is None:
            found, self.kinds = self._found(readers)
            classes = found if classes is None else classes
            if not classes and self.problems:  # nobody named a class because nothing could be read
                raise ValueError("; ".join(map(str, self.problems[:TOLD])))
        naming = Naming(with_background(classes), self.others, self.rename)
        self.mask_names = naming.classes
        trained, measured = self._split(readers, train, val, val_share)
        self.take(naming, trained, measured, lists=f"{self.root}, the lists {train} and {val}")

    def _many(self, read: ManyReader, ending: str) -> dict[str, Reader]:
        files = sorted(self.files.rglob(f"*{ending}")) if self.files.is_dir() else [self.files]
        readers: dict[str, Reader] = {}
        for path in files:
            annotations: list[Annotation] = []
            with noting(self.problems):
                annotations = read(path, self.problems)
            for annotation in annotations:
                with noting(self.problems):
                    name = self.pictures.find(annotation.image, annotation.place)
                    if name in readers:
                        raise FormatError(annotation.place, "the image", "one that no other entry is about", "one that comes twice")
                    readers[name] = partial(held, annotation)
        return readers

    def _single(self, ending: str) -> dict[str, Reader]:
        files = {path.relative_to(self.files).as_posix(): path for path in sorted(self.files.rglob(f"*{ending}"))}
        readers: dict[str, Reader] = {}
        for name, picture in self.pictures.names.items():
            path = files.pop(name.rpartition(".")[0] + ending, None)
            if path is not None:
                readers[name] = partial(_read_one, self.format, path, name, picture, self.names)
        for name, path in files.items():
            if path.name not in YOLO_NAMES and path.name not in ("train.txt", "val.txt", "test.txt"):
                self.problems.append(
                    FormatError(Place(str(path)), "the image", f"called {name.rpartition('.')[0]}, like the file", "missing")
                )
        return readers

    def _found(self, readers: dict[str, Reader]) -> tuple[list[str], tuple[Kind, ...]]:
        """Classes and kinds of annotation that the files hold."""
        if self.format == "mask_png":
            return [], ("mask",)
        names, kinds = set[str](), set[Kind]()
        for read in readers.values():
            shapes: Sequence[Any] = ()
            with noting([]):  # what is wrong is told when the image is read
                shapes = read([]).shapes
            names |= {self.rename.get(shape.name, shape.name) or BACKGROUND for shape in shapes}
            kinds |= {shape.kind for shape in shapes}
        return sorted(names - {BACKGROUND}), tuple(kind for kind in KINDS if kind in kinds)

    def _split(self, readers: dict[str, Reader], train: str | None, val: str | None, share: float) -> tuple[list[Entry], list[Entry]]:
        entries = {name: self._entry(name, readers.get(name)) for name in self.pictures.names}
        usable = [name for name, entry in entries.items() if entry.read is not None or (self.simulated and entry.mask is not None)]
        trained, held_out = self._listed(train), self._listed(val)
        if held_out is None:
            masked = [name for name in usable if entries[name].mask is not None and not self.whole]
            held_out = sorted(_measurable(usable, masked, share)) if trained is None else []
        rest = set(usable) - set(held_out)
        chosen = rest if trained is None else set(usable).intersection(trained)
        return [entries[name] for name in usable if name in chosen], [entries[name] for name in held_out]

    def _listed(self, name: str | None) -> list[str] | None:
        if name is None:
            return None
        path = self.root / name
        return positions(read_names(path), list(self.pictures.names), str(path), self.problems)

    def _entry(self, name: str, read: Reader | None) -> Entry:
        mask = None if self.masks is None else self.masks / f"{name.rpartition('.')[0]}.png"
        return Entry(name, self.pictures.names[name], read, mask if mask is not None and mask.is_file() else None)


def _measurable(usable: Sequence[str], masked: Sequence[str], share: float) -> set[str]:
    """The images to hold out: of those that have a mask, at least one, if any has one; all others are better learned from."""
    if not masked or not share:
        return share_of(usable, share)
    return share_of(masked, max(share, 1 / len(masked)))


def _read_one(format: str, path: Path, name: str, picture: Path, names: Sequence[str], problems: list[FormatError] | None) -> Annotation:
    match format:
        case "voc_xml":
            return voc_xml.read(path, problems)
        case "labelme":
            return labelme.read(path, problems)
        case "mask_png":
            return mask_png.read(path, names, name)
    return yolo.read(path, names, name, image_size(picture), problems)


def _numbered(root: Path, files: Path, format: str, classes: Sequence[str] | None) -> list[str]:
    """The classes in the order of the numbers that the files use for them, where they use numbers."""
    if format == "mask_png":
        return list(with_background(classes or ()))
    if format != "yolo":
        return []
    found = next((place / name for place in (root, files, files.parent) for name in YOLO_NAMES if (place / name).is_file()), None)
    if found is not None:
        return yolo.read_names(found)
    if classes is None:
        raise ValueError(f"yolo files number their classes: give classes=..., or put one of {', '.join(YOLO_NAMES)} into {root}")
    return [name for name in classes if name != BACKGROUND]


def _check(format: str, classes: Sequence[str] | None, val_share: float, line_width: float, point_radius: int) -> None:
    if format not in get_args(Format):
        raise ValueError(f"format should be one of {', '.join(get_args(Format))}, but it is {format}")
    if format == "mask_png" and not classes:
        raise ValueError(
            "classes should name the values of the masks from 1 on, such as classes=[cat,dog]; files of mask_png have no names"
        )
    if not 0 <= val_share < 1:
        raise ValueError(f"val_share should be from 0 to less than 1, a part of the images, but it is {val_share}")
    if not line_width > 0 or point_radius < 0:
        raise ValueError(f"line_width should be above 0 and point_radius at least 0, but they are {line_width} and {point_radius}")
