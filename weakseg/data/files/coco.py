"""COCO, and data sets in its layout: images in a folder, and one instances file for training and
one for measuring."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from weakseg.data.class_names import BACKGROUND, VOID, Naming, with_background
from weakseg.data.files.entries import Entry, in_memory
from weakseg.data.files.handed_on import parsed
from weakseg.data.files.layout import expect_folder
from weakseg.data.files.listing import Pictures
from weakseg.data.files.photos import KINDS_OF, MOST_PROBLEMS, Photos
from weakseg.data.formats.base import noting
from weakseg.data.formats.coco import read
from weakseg.data.simulate.annotator import AnnotationKind
from weakseg.utils.garbage import many_objects
from weakseg.utils.limits import limited
from weakseg.utils.remote_path import as_path

# COCO's names of the classes that VOC has too
VOC_RENAMES: dict[str, str | None] = {
    "airplane": "aeroplane",
    "couch": "sofa",
    "dining table": "diningtable",
    "motorcycle": "motorbike",
    "potted plant": "pottedplant",
    "tv": "tvmonitor",
}


class Coco(Photos):
    """COCO. Its polygons and masks outline every object of its classes, so that the rest is
    background: that is the truth.

    Args:
        root: the folder with the images and `annotations`.
        evidence: masks, boxes (with tags), points (key points), or tags.
        train: the images that are trained on: folder of the root, and
            annotations/instances_<train>.json.
        val: the same for those that are only measured on; null for none.
        classes: names of the classes, background apart; null for all of the files, in their order.
            Of other classes, see `others`.
        voc_names: whether classes that VOC has too are called as there, such as aeroplane for
            airplane.
        rename: what further classes are called here; null leaves one out.
    """

    @limited
    def __init__(
        self,
        root: Path,
        evidence: AnnotationKind = "boxes",
        train: str = "train2017",
        val: str | None = "val2017",
        classes: list[str] | None = None,
        voc_names: bool = False,
        rename: dict[str, str | None] | None = None,
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        self.root = expect_folder("root", as_path(root))
        self.evidence = evidence
        self.whole = True
        self.renames = {**(VOC_RENAMES if voc_names else {}), **(rename or {})}
        self.found: dict[str, None] = {}
        parts = [[] if name is None else self._entries(name) for name in (train, val)]
        names = [name for name in self.found if name != BACKGROUND] if classes is None else classes
        if not names:
            problems = (
                "; ".join(map(str, self.problems[:MOST_PROBLEMS]))
                or "no object of any class is in the files: name them with data.classes"
            )
            raise ValueError(problems)
        self.take(Naming(with_background(names), self.others, self.renames), *parts)

    @many_objects()
    def _entries(self, name: str) -> list[Entry]:
        file = self.root / "annotations" / f"instances_{name}.json"
        if not file.is_file():
            raise ValueError(f"there should be a file {file}, but there is none")
        pictures = Pictures(self.root / name)
        wanted = {*KINDS_OF["masks"], *KINDS_OF[self.evidence or "masks"]}
        entries: list[Entry] = []
        annotations = []
        absent = 0
        with noting(self.problems):
            annotations = parsed(read, file, self.problems)
        for annotation in annotations:
            names = dict.fromkeys(
                self.renames.get(shape.name, shape.name)
                for shape in annotation.shapes
                if shape.name not in VOID
            )
            self.found |= {name: None for name in names if name is not None}
            if annotation.absent is not None:
                absent += 1
                continue
            with noting(self.problems):
                image = pictures.find(annotation.image, annotation.place)
                annotation = annotation._replace(
                    shapes=[shape for shape in annotation.shapes if shape.kind in wanted]
                )
                entries.append(
                    Entry(f"{name}/{image}", pictures.names[image], partial(in_memory, annotation))
                )
        if absent:
            self.remarks.append(
                f"{file}: {absent} image{'s are' if absent > 1 else ' is'} left out, since nobody "
                "has annotated them"
            )
        return entries
