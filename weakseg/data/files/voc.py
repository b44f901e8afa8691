"""PASCAL VOC 2012, and whatever else has its layout, with the annotations that exist for it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from weakseg.data.class_names import Naming, with_background
from weakseg.data.files.entries import Entry, Reader, in_memory
from weakseg.data.files.layout import expect_folder
from weakseg.data.files.listing import read_names
from weakseg.data.files.photos import Photos
from weakseg.data.formats import clicks, scribblesup, voc_xml
from weakseg.data.formats.base import Annotation, Shape, noting
from weakseg.data.names import spelling_hint
from weakseg.data.simulate.annotator import AnnotationKind
from weakseg.utils.limits import limited
from weakseg.utils.remote_path import as_path, named_in

CLASSES = (
    *(
        "background",
        "aeroplane",
        "bicycle",
        "bird",
        "boat",
        "bottle",
        "bus",
        "car",
        "cat",
        "chair",
        "cow",
    ),
    *(
        "diningtable",
        "dog",
        "horse",
        "motorbike",
        "person",
        "pottedplant",
        "sheep",
        "sofa",
        "train",
        "tvmonitor",
    ),
)
CLICKS = ("Points/whats_the_point.json", "Points/background_from_scribbles.json")
MASKS = ("SegmentationClass", "SegmentationClassAug")
SCRIBBLES = "Scribbles"


class VOC(Photos):
    """PASCAL VOC in the layout of VOCdevkit. Tags are those of the masks, as in the literature;
    images without a mask have none.

    Args:
        root: the folder VOCdevkit, the one above it, or VOCdevkit/VOC2012 itself.
        evidence: what is annotated: masks; boxes (of Annotations, with tags and large); points
            (clicks, with tags); scribbles (with tags); or tags (with large).
        train: list in ImageSets/Segmentation of the images that are trained on, or the path of one.
            train_aug wants the masks of SBD in SegmentationClassAug; where VOC has a mask itself,
            that one counts.
        val: list of the images that are only measured on; null for none.
        classes_used: names of the classes, background apart; null for all 20. Of other classes, see
            `others`.
        points: file or files of clicks as JSON, from the folder VOC2012 on; null for those in
            Points.
        scribbles: folder of the XML files of ScribbleSup, from the folder VOC2012 on.
    """

    @limited
    def __init__(
        self,
        root: Path,
        evidence: AnnotationKind = "boxes",
        train: str = "train",
        val: str | None = "val",
        classes_used: list[str] | None = None,
        points: list[str] | None = None,
        scribbles: str = SCRIBBLES,
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        if wrong := [name for name in classes_used or () if name not in CLASSES]:
            raise ValueError(
                f"classes_used should name classes of VOC, but {wrong[0]!r} is none; "
                f"{spelling_hint(wrong[0], CLASSES[1:])}"
            )
        self.home = _home(expect_folder("root", as_path(root)))
        self.evidence = evidence
        self.tags_of_masks = True
        self.mask_names = CLASSES
        self.scribbles = named_in(self.home, scribbles)
        if evidence == "scribbles" and not self.simulated and not self.scribbles.is_dir():
            raise ValueError(
                f"there are no scribbles in {self.scribbles}: expected the XML files of "
                "ScribbleSup there, one per image such as 2007_000032.xml; put them there, name "
                "another folder with scribbles=..., or make some from the masks with "
                "simulated=true"
            )
        self.clicked = self._clicks(points) if evidence == "points" and not self.simulated else {}
        lists = [[] if name is None else self._list(name) for name in (train, val)]
        naming = Naming(with_background(classes_used or CLASSES), self.others)
        trained, measured = ([self._entry(id) for id in ids] for ids in lists)
        self.take(naming, trained, measured, lists=f"the lists {train} and {val}")

    def _list(self, name: str) -> list[str]:
        path = (
            as_path(name)
            if name.endswith(".txt")
            else self.home / "ImageSets" / "Segmentation" / f"{name}.txt"
        )
        # the lists of single classes have a number behind each name; the one that came with SBD's
        # masks has paths
        return [
            line.split()[0].rpartition("/")[2].removesuffix(".jpg")
            for line in read_names(path)
            if line
        ]

    def _entry(self, id: str) -> Entry:
        masks = (self.home / folder / f"{id}.png" for folder in MASKS)
        mask = next((path for path in masks if path.is_file()), None)
        if mask is None and (self.simulated or self.evidence == "masks"):
            mask = self.home / MASKS[0] / f"{id}.png"  # will be reported as missing
        photo = self.home / "JPEGImages" / f"{id}.jpg"
        read, file = self._reader(id)
        return Entry(id, photo, read, mask, file)

    def _reader(self, id: str) -> tuple[Reader | None, Path | None]:
        """What reads the annotation, and its file if it has one of its own."""
        if self.simulated:
            return None, None
        if self.evidence == "boxes":
            file = self.home / "Annotations" / f"{id}.xml"
            return partial(voc_xml.read, file), file
        if self.evidence == "scribbles":
            file = self.scribbles / f"{id}.xml"
            return partial(scribblesup.read, file), file
        return (partial(in_memory, self.clicked[id]) if id in self.clicked else None), None

    def _clicks(self, points: list[str] | None) -> dict[str, Annotation]:
        files = [named_in(self.home, name) for name in points or CLICKS]
        if points is None:
            files = [files[0], *(path for path in files[1:] if path.is_file())]
        if missing := [path for path in files if not path.is_file()]:
            raise ValueError(
                f"there are no clicks in {missing[0]}: expected the JSON file of What's the "
                f"Point, {{image: [{{x, y, cls}}]}}; put it there, name another with points=..., "
                "or make clicks from the masks with simulated=true"
            )
        found: dict[str, Annotation] = {}
        for path in files:
            with noting(self.problems):
                for one in clicks.read(path, CLASSES, self.problems):
                    earlier: list[Shape] = found[one.image].shapes if one.image in found else []
                    found[one.image] = one._replace(shapes=[*earlier, *one.shapes])
        return found


def _home(root: Path) -> Path:
    for place in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (place / "JPEGImages").is_dir():
            return place
    raise ValueError(
        "root should be the folder VOCdevkit, with VOC2012/JPEGImages in it, but there is none "
        f"in {root}"
    )
