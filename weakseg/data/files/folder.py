"""A folder of images with annotation files of any of the formats: most data sets of one's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, doc

from weakseg.data.class_names import BACKGROUND, VOID, Naming, with_background
from weakseg.data.corrections.folder import Corrections, CorrectionsFolder
from weakseg.data.corrections.overlay import draws
from weakseg.data.files.entries import Entry, Reader, in_memory, named
from weakseg.data.files.handed_on import ManyReader, parsed, pictures_of
from weakseg.data.files.layout import (
    annotation_files,
    expect_folder,
    find_annotations,
    own_split,
    stems_of,
)
from weakseg.data.files.listing import part_of_path, part_of_stem, positions, read_names, share_of
from weakseg.data.files.photos import KINDS_OF, MOST_PROBLEMS, Photos
from weakseg.data.files.unannotated import expect_no_annotations
from weakseg.data.formats import (
    coco,
    csv_file,
    cvat,
    datumaro,
    label_studio,
    labelmap,
    labelme,
    mask_png,
    voc_xml,
    yolo,
)
from weakseg.data.formats.base import (
    KINDS,
    Absent,
    Annotation,
    FormatError,
    Kind,
    Part,
    Place,
    Shape,
    noting,
)
from weakseg.data.formats.images import Colour, image_size
from weakseg.data.formats.labelmap import LabelMap
from weakseg.data.formats.yolo import Header
from weakseg.data.simulate.annotator import AnnotationKind
from weakseg.utils.garbage import many_objects
from weakseg.utils.lengths import Share
from weakseg.utils.limits import CountFromZero, limited
from weakseg.utils.messages import counted
from weakseg.utils.remote_path import as_path, named_in

Format = Literal[
    "voc_xml", "coco", "yolo", "labelme", "cvat", "datumaro", "label_studio", "mask_png", "csv"
]
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
NOT_ABOUT_IMAGES = frozenset(
    [*YOLO_NAMES, "train.txt", "val.txt", "valid.txt", "test.txt", "labelmap.txt"]
)
VAL_SHARE = 0.2
PARTS_IN_ORDER: tuple[Part, Part, Part] = ("train", "val", "test")


class Folder(Photos):
    """Images and annotation files in a folder. Images that no file speaks of are left out, unless
    they are only measured on. Without annotation files, the images are those that a person has
    annotated with weakseg.review (`corrections`).

    Args:
        root: the folder.
        format: of the annotation files: voc_xml, coco, yolo, labelme, cvat, datumaro, label_studio,
            mask_png or csv; null for images without any.
        classes: names of the classes, background apart, in the order of their numbers; null for
            those that the files name, in alphabetical order, or that were added with
            weakseg.review, in that order. mask_png needs them, with the class of
            value 1 first, unless a labelmap.txt names them.
        images: folder of the images, from the root on; null for where tools put them: images,
            JPEGImages, train and valid, or the root.
        annotations: from the root on, an annotation file, or a folder of them; null for where tools
            put them: annotations, Annotations, labels, SegmentationClass, a file in the root, or
            beside the images. For formats with one file per image, they are called like the images.
        masks: folder of masks, called like the images, whose values are the numbers of the classes:
            the truth. null for none. With a labelmap.txt in the root, their colours, or values, are
            those of the classes there.
        whole: whether polygons and masks in the annotation files outline all that there is. Then
            what is outside of them is background, and they are the truth.
        evidence: masks, boxes, points, scribbles (lines) or tags, the rest of the files is not
            used; null for all that they hold. In files of mask_png, points and scribbles are the
            pixels that are not 255.
        train: file with the names of the images that are trained on, one per line; null for those
            that are in no other list.
        val: file with the names of those that are only measured on; null for a part of the images,
            always the same.
        val_share: which part, from 0 to 1, if there is no file: of the images that have a mask, if
            any has one, else of all; the latter are measured by what is annotated. 1 leaves none of
            these to train on. null for the data set's own split into train, val and test, or 0.2
            where it has none.
        rename: what classes in the files are called here, such as {airplane: aeroplane}; null
            leaves one out.
        line_width: of lines, in pixels, or as a share of the image's long side, which is three
            pixels at least.
        point_radius: of the discs around points, likewise; 0 marks one pixel.
    """

    @limited
    def __init__(
        self,
        root: Path,
        format: Format | None = None,
        classes: list[str] | None = None,
        images: str | None = None,
        annotations: str | None = None,
        masks: str | None = None,
        whole: bool = False,
        evidence: AnnotationKind | None = None,
        train: str | None = None,
        val: str | None = None,
        val_share: Annotated[float, Ge(0), Le(1), doc("a part of the images")] | None = None,
        rename: dict[str, str | None] | None = None,
        line_width: Annotated[float, Gt(0)] | Share = Share(0.006),
        point_radius: CountFromZero | Share = 0,
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        self.root = expect_folder("root", as_path(root))
        self.own_split = False
        """whether the data set says itself which images are to be trained on"""
        self.evidence = evidence
        self.format = format
        self.whole = whole
        self.line_width = line_width
        self.point_radius = point_radius
        self.bare = format is None
        many = format in MANY
        ending = "" if format is None else MANY[format][1] if many else ENDINGS[format]
        self.pictures = pictures_of(self.root, images)
        self.masks = None if masks is None else self._named_masks(named_in(self.root, masks))
        if format is None:
            expect_no_annotations(self.root, self.pictures, annotations, self.masks)
            self.files = self.root
        else:
            self.files = find_annotations(self.root, self.pictures, annotations, ending, many)
        # the files hold what was drawn, and nothing about other pixels
        if format == "mask_png" and evidence in MARKS:
            self.kinds_of = {**KINDS_OF, evidence: ("mask",)}
        if (
            format == "mask_png"
            and self.masks is None
            and (self.simulated or evidence not in MARKS)
        ):
            self.masks = self.files
        self.rename = rename or {}
        label_map = self._label_map()
        if classes is None and label_map is not None and format == "mask_png":
            classes = [name for name in label_map.names if name is not None and name != BACKGROUND]
        if classes is None and format is None:
            classes = self._drawn_classes()
        self.header = _header(self.root, self.files, format, classes)
        self.names: Sequence[str | None] = (
            self.header.names if label_map is None else label_map.names
        )
        self.declared: dict[str, Part] = {}
        """the part of the data set's own split that an image belongs to, where annotation files say
        so"""
        self.own_files: dict[str, Path] = {}
        """annotation files of single images"""
        readers: dict[str, Reader] = {}
        if format is not None:
            readers = self._many(MANY[format][0], ending) if many else self._single(ending)
        self.unannotated = [
            name for name in self.pictures.names if name not in readers and not self.bare
        ]
        """images without an entry in any annotation file, or not annotated yet"""
        if format is not None and (classes is None or evidence is None):
            found, self.kinds, problems = self._found(readers)
            self.names_found = classes is None
            classes = found if classes is None else classes
            if not classes:
                raise ValueError(self._why_nothing(readers, ending, [*self.problems, *problems]))
        # a person who begins has named no class yet
        named = with_background(classes) if classes else (BACKGROUND,)
        naming = Naming(named, self.others, self.rename)
        self.mask_names = naming.classes if label_map is None else label_map.names
        trained, measured = self._split(readers, train, val, val_share)
        if not (trained or measured):
            raise ValueError(self._why_nothing(readers, ending, self.problems))
        self.take(naming, trained, measured, lists=f"{self.root}, the lists {train} and {val}")
        self._held_out = self.validation
        if self.bare:
            self.use_corrections(self.corrections_in_use)
            self.remarks.append(self._drawn())

    def use_corrections(self, corrections: Corrections) -> None:
        """As in the base class. Without annotation files, images are measured on, too, as soon as
        they have corrections."""
        super().use_corrections(corrections)
        if self.bare:
            self.validation = [
                index
                for index in self._held_out
                if named(self.entries, index).mask is not None or self.is_annotated(index)
            ]

    def is_annotated(self, index: int) -> bool:
        """As in the base class: without annotation files, those that a person has drawn on."""
        if not self.bare:
            return True
        entry = named(self.entries, index)
        of_mask = entry.mask is not None and (self.simulated or self.evidence == "masks")
        if of_mask or entry.id in self.masked:
            return True
        history = self.histories.get(entry.id)
        drawn = history is not None and draws(history, self.classes)
        return drawn or entry.id in self.corrections_in_use.damaged

    def _drawn_classes(self) -> list[str]:
        """The classes that a person has added, where no file names any."""
        if self.corrections is None:
            raise ValueError(
                f"there are no annotation files in {self.root} whose format is named, and no "
                "corrections: draw on the images with python -m weakseg.review data=folder "
                f"data.root={self.root}, or name the files with data.format and, if they are "
                "elsewhere, data.annotations"
            )
        return CorrectionsFolder(self.corrections).classes

    def _drawn(self) -> str:
        """How many images a person has drawn on."""
        count = sum(map(self.is_annotated, range(len(self))))
        return (
            f"{self.root}: {counted(len(self), 'image')} without annotation files, {count} of them "
            "drawn on"
        )

    def _named_masks(self, folder: Path) -> Path:
        """The folder that the user named; without a mask of any image, all would silently be
        measured by what is annotated."""
        expect_folder("masks", folder)
        wanted = [f"{name.rpartition('.')[0]}.png" for name in self.pictures.names]
        if wanted and not any((folder / name).is_file() for name in wanted):
            there = next(
                (
                    path.relative_to(folder).as_posix()
                    for path in sorted(folder.rglob("*"))
                    if path.is_file()
                ),
                "none at all",
            )
            raise ValueError(
                f"masks should be called like the images, such as {wanted[0]}, but none in "
                f"{folder} is; there is {there}"
            )
        return folder

    def _label_map(self) -> LabelMap | None:
        """The classes of colours and values of masks, from a file beside them if there is one."""
        folders = [
            folder
            for folder in (self.masks, self.files if self.format == "mask_png" else None)
            if folder is not None
        ]
        places = [place for folder in folders for place in (self.root, folder, folder.parent)]
        path = next(
            (place / "labelmap.txt" for place in places if (place / "labelmap.txt").is_file()), None
        )
        if path is None:
            return None
        found = labelmap.read(path)
        if not set(found.names) - {None, BACKGROUND}:
            raise FormatError(
                Place(str(path)),
                "the file",
                "a list of one class or more beside the background",
                "one of none",
            )
        self.colours = found.colours
        return found

    @many_objects()
    def _many(self, read: ManyReader, ending: str) -> dict[str, Reader]:
        found: dict[str, Annotation] = {}
        absent: dict[str, Absent] = {}
        for path in annotation_files(self.files, ending):
            part = part_of_stem(path.stem) or part_of_path(f"{path.parent.name}/{path.name}")
            annotations: list[Annotation] = []
            with noting(self.problems):
                annotations = parsed(read, path, self.problems)
            for annotation in annotations:
                with noting(self.problems):
                    own = annotation.part or part
                    name = self.pictures.find(annotation.image, annotation.place, own)
                    if annotation.absent is not None:
                        absent[name] = annotation.absent
                        continue
                    found[name] = (
                        self._joined(found[name], annotation) if name in found else annotation
                    )
                    if own is not None:
                        self.declared[name] = own
        self._remark_absent({name: reason for name, reason in absent.items() if name not in found})
        return {name: partial(in_memory, annotation) for name, annotation in found.items()}

    def _joined(self, earlier: Annotation, annotation: Annotation) -> Annotation:
        """The annotations of one image in two files; only those of COCO may be about different
        things."""
        elsewhere = earlier.place.file != annotation.place.file
        if self.format == "coco" and elsewhere and (both := coco.joined(earlier, annotation)):
            return both
        hint = (
            f", in {earlier.place.file} too: name one of the files with data.annotations"
            if elsewhere
            else ""
        )
        raise FormatError(
            annotation.place,
            "the image",
            "one that no other entry is about",
            f"one that comes twice{hint}",
        )

    def _remark_absent(self, absent: Mapping[str, Absent]) -> None:
        if not absent:
            return
        counts = Counter(absent.values())
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
        self.remarks.append(
            f"{self.files}: {len(absent)} image{'s are' if len(absent) > 1 else ' is'} left out: "
            f"{reasons}"
        )

    def _single(self, ending: str) -> dict[str, Reader]:
        files = {
            path.relative_to(self.files).as_posix().removesuffix(ending): path
            for path in annotation_files(self.files, ending)
        }
        paths: dict[str, Path] = {}
        for name in self.pictures.names:
            stem = next((stem for stem in stems_of(name) if stem in files), None)
            if stem is not None:
                paths[name] = files.pop(stem)
        for stem, path in files.items():
            if len(same := self.pictures.uploaded(stem)) == 1 and same[0] not in paths:
                paths[same[0]] = path
            elif self._is_about_an_image(path, paths.values()):
                self.problems.append(
                    FormatError(
                        Place(str(path)), "the image", f"called {stem}, like the file", "missing"
                    )
                )
        self.own_files = paths
        return {
            name: self._reader(name, paths[name]) for name in self.pictures.names if name in paths
        }

    def _is_about_an_image(self, path: Path, others: Collection[Path]) -> bool:
        """Whether a file that has no image should have one: not those of other uses, which are
        mostly in the root."""
        above = (
            self.files == self.root
            and path.parent == self.root
            and not any(other.parent == self.root for other in others)
        )
        return path.name not in NOT_ABOUT_IMAGES and not above

    def _reader(self, name: str, path: Path) -> Reader:
        return partial(
            _read_one,
            self.format,
            path,
            name,
            self.pictures.names[name],
            self.names,
            self.header.key_points,
            self.colours,
        )

    def _found(
        self, readers: dict[str, Reader]
    ) -> tuple[list[str], tuple[Kind, ...], list[FormatError]]:
        """Classes and kinds of annotation that the files hold, and what is wrong in them."""
        if self.format == "mask_png":
            return [], ("mask",), []
        names = set[str]()
        kinds = set[Kind]()
        problems = list[FormatError]()
        for read in readers.values():
            shapes: Sequence[Shape] = ()
            with noting(problems):  # reported when the image is read
                shapes = read(problems).shapes
            names |= {self.rename.get(shape.name, shape.name) or BACKGROUND for shape in shapes}
            kinds |= {shape.kind for shape in shapes}
        return (
            sorted(names - {BACKGROUND} - VOID),
            tuple(kind for kind in KINDS if kind in kinds),
            problems,
        )

    def _why_nothing(
        self, readers: dict[str, Reader], ending: str, problems: list[FormatError]
    ) -> str:
        """Why no class, or no image, is left, which can have many reasons."""
        if problems:
            more = (
                f"; and {len(problems) - MOST_PROBLEMS} more"
                if len(problems) > MOST_PROBLEMS
                else ""
            )
            return "; ".join(map(str, problems[:MOST_PROBLEMS])) + more
        if not self.pictures.names:
            return (
                f"there should be images in {self.pictures.folder}, but there are none of a kind "
                "that is read"
            )
        files = annotation_files(self.files, ending)
        if not files:
            others = Counter(path.suffix for path in self.files.rglob("*") if path.is_file())
            there = (
                ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(3))
                or "none at all"
            )
            return (
                f"there should be {ending} files in {self.files} for format={self.format}, but "
                f"there are {there}; is it another format?"
            )
        if not readers:
            why = (
                "; ".join(self.remarks)
                or f"files such as {files[0]} name no image that is in {self.pictures.folder}"
            )
            return f"no image is annotated: {why}"
        return (
            f"no object of any class is in {self.files} ({len(files)} files): name the classes, "
            "such as data.classes=[cat,dog]"
        )

    @many_objects()
    def _split(
        self, readers: dict[str, Reader], train: str | None, val: str | None, share: float | None
    ) -> tuple[list[Entry], list[Entry]]:
        entries = {name: self._entry(name, readers.get(name)) for name in self.pictures.names}
        usable = [
            name
            for name, entry in entries.items()
            if entry.read is not None
            or (self.simulated and entry.mask is not None)
            or (self.bare and not self.simulated)
        ]
        nothing_said = train is None and val is None and share is None
        chosen = self._own_split(entries, usable) if nothing_said else None
        self.own_split = chosen is not None
        self.default_split |= nothing_said and chosen is None
        trained, measured = chosen or self._named_split(
            entries, usable, train, val, VAL_SHARE if share is None else share
        )
        return [entries[name] for name in trained], [entries[name] for name in measured]

    def _own_split(
        self, entries: Mapping[str, Entry], usable: Sequence[str]
    ) -> tuple[list[str], list[str]] | None:
        """The data set's own, if it has one with images to train on."""
        own = own_split(self.root, self.pictures, self.header.parts, self.declared)
        if own is None:
            return None
        train, val, test = (own.of(part) for part in PARTS_IN_ORDER)
        trained = [name for name in usable if name in train]
        able = {*usable, *(name for name, entry in entries.items() if entry.mask is not None)}
        measured = [name for name in entries if name in val & able]
        if not trained:
            return None
        if not val:
            masked = [name for name in trained if entries[name].mask is not None and not self.whole]
            measured = sorted(_measurable(trained, masked, VAL_SHARE))
            trained = [name for name in trained if name not in set(measured)]
            self.default_split = True
        rest = f", {len(test)} of its test part left out" if test else ""
        self.remarks.append(
            f"{self.root}: the data set's own split is used, that of its {own.origin}: "
            f"{len(trained)} images to train on, {len(measured)} to measure on{rest}; data.train, "
            "data.val or data.val_share choose otherwise"
        )
        return trained, measured

    def _named_split(
        self,
        entries: Mapping[str, Entry],
        usable: Sequence[str],
        train: str | None,
        val: str | None,
        share: float,
    ) -> tuple[list[str], list[str]]:
        trained = self._listed(train)
        held_out = self._listed(val)
        if held_out is None:
            masked = [name for name in usable if entries[name].mask is not None and not self.whole]
            held_out = sorted(_measurable(usable, masked, share)) if trained is None else []
        rest = set(usable) - set(held_out)
        chosen = rest if trained is None else set(usable).intersection(trained)
        return [name for name in usable if name in chosen], held_out

    def _listed(self, name: str | None) -> list[str] | None:
        if name is None:
            return None
        path = named_in(self.root, name)
        return positions(read_names(path), self.pictures, str(path), self.problems)

    def _entry(self, name: str, read: Reader | None) -> Entry:
        mask = None if self.masks is None else self.masks / f"{name.rpartition('.')[0]}.png"
        return Entry(
            name,
            self.pictures.names[name],
            read,
            mask if mask is not None and mask.is_file() else None,
            self.own_files.get(name),
        )


def _measurable(usable: Sequence[str], masked: Sequence[str], share: float) -> set[str]:
    """The images to hold out: of those that have a mask, at least one, if any has one; all others
    are better learned from."""
    if not masked or not share:
        return share_of(usable, share)
    return share_of(masked, max(share, 1 / len(masked)))


def _read_one(
    format: str | None,
    path: Path,
    name: str,
    picture: Path,
    names: Sequence[str | None],
    key_points: tuple[int, int] | None,
    colours: Mapping[Colour, int] | None,
    problems: list[FormatError] | None,
) -> Annotation:
    match format:
        case "voc_xml":
            return voc_xml.read(path, problems)
        case "labelme":
            return labelme.read(path, problems)
        case "mask_png":
            return mask_png.read(path, names, name, colours)
        case "yolo":
            known = [name or "" for name in names]
            return yolo.read(path, known, name, image_size(picture), problems, key_points)
    raise ValueError(f"there is no reader for one image of the format {format}")


def _header(root: Path, files: Path, format: str | None, classes: Sequence[str] | None) -> Header:
    """The classes in the order of their numbers, where the files use numbers for them, and what
    else is common to all files."""
    if format == "mask_png":
        if not classes:
            raise ValueError(
                "classes should name the values of the masks from 1 on, such as "
                "classes=[cat,dog]; files of mask_png have no names, unless there is a "
                "labelmap.txt beside them"
            )
        return Header(list(with_background(classes)))
    if format != "yolo":
        return Header([])
    found = next(
        (
            place / name
            for place in (root, files, files.parent)
            for name in YOLO_NAMES
            if (place / name).is_file()
        ),
        None,
    )
    if found is not None:
        return yolo.read_header(found)
    if classes is None:
        raise ValueError(
            "yolo files number their classes: give classes=..., or put one of "
            f"{', '.join(YOLO_NAMES)} into {root}"
        )
    return Header([name for name in classes if name != BACKGROUND])
