"""Photos, the base of all data sets that are files: read, checked, and made into evidence in one
place."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge, doc
from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.data.class_names import Naming, Others
from weakseg.data.corrections.keeping import kept as corrections_as_text
from weakseg.data.files.downsampling import downsample_evidence
from weakseg.data.files.entries import Entry, content_key, kept, named
from weakseg.data.files.handed_on import is_for_another
from weakseg.data.files.repairs import count_lost, count_shapes
from weakseg.data.formats.base import Annotation, FormatError, Kind, Place, noting
from weakseg.data.formats.evidence import RIM, check_shape, to_evidence
from weakseg.data.formats.images import Colour, Window, changes, read_image, read_mask
from weakseg.data.loader import shuffled
from weakseg.data.simulate.annotator import CAREFUL, AnnotationKind, Annotator, MaskShare, stream_of
from weakseg.data.simulate.derive import large_of, tags_of
from weakseg.evidence import Evidence
from weakseg.utils.fingerprint import code_fingerprint, fingerprint, homes
from weakseg.utils.garbage import many_objects
from weakseg.utils.lengths import Length, Share
from weakseg.utils.limits import CountFromZero, limited

Wrong = Literal["error", "skip", "cut"]
KINDS_OF: dict[str, tuple[Kind, ...]] = {
    "masks": ("polygon", "mask"),
    "boxes": ("box",),
    "points": ("point",),
    "scribbles": ("line",),
    "tags": ("tag",),
}
# attributes that do not change what is read of an image, or that come with it in its entry
NOT_READING = frozenset(
    [
        *("trainer", "prepare_data_per_node", "allow_zero_length_dataloader_with_multiple_devices"),
        *("batch_size", "workers", "shares", "augmentation", "seed", "annotated"),
        *("pseudo", "pseudo_images", "pseudo_weight", "pseudo_confidence", "pseudo_share"),
        *("unlabelled", "corrections", "corrections_in_use", "_targets", "_predicted"),
        *("training", "_not_held_out", "unlabelled_images", "groups", "pseudo_labels"),
        *("cache", "augment_on", "_version", "_loaders", "_samples"),
        *("entries", "with_masks", "pictures", "problems", "remarks", "validation", "_held_out"),
        *("declared", "unannotated", "found", "clicked", "own_files", "_simulated", "_fits"),
        "_log_hyperparams",
    ]
)
REMEMBERED = 2**28  # bytes of simulated annotations that each process keeps, about
MOST_PROBLEMS = 5  # problems that an error shows; `weakseg.check` shows all


class Reading(NamedTuple):
    """What was found in the files of one image, and what they make."""

    entry: Entry
    annotation: Annotation | None = None
    evidence: Evidence | None = None
    truth: Tensor | None = None
    size: tuple[int, int] | None = None
    """width and height of the image before it shrinks"""


LongSide = Annotated[int, doc("a number of pixels"), Ge(1), doc("or null for images as they are")]


class Photos(WeakData):
    """Photos with annotation files, masks, or both. A subclass lists them with `take`.

    Args:
        long_side: images whose longer side has more pixels are shrunk to this on reading, with all
            that is annotated; null for none.
        others: what becomes of objects of classes that the data set does not have. error: they are
            refused; background or ignore: they are left out, and in masks their pixels are
            background, or 255.
        wrong: what becomes of annotated objects that cannot be right, such as a click outside of
            the image. error: the image is refused; skip: they are left out, as if they had not been
            drawn; where a box was, that is background; cut: of objects that reach over the rim of
            the image, what is inside stays; all else is refused. Files that cannot be read are
            refused all the same. `python -m weakseg.check` shows everything.
        simulated: whether evidence is made from the masks, as a person would have given it, instead
            of read from annotation files.
        annotation_seed: another number makes other simulated points and scribbles.
        annotator: how careful the simulated annotator is, and how much is drawn.
        mask_share: which part of the training images, at least one if it is not 0, has masks
            instead of what is annotated otherwise. Those of a small part are also among those of a
            larger one. Another annotation_seed chooses others.
        window: of images of 16 bits, the values that become black and white; null keeps the upper 8
            of the 10, 12, 14 or 16 bits that an image uses.
    """

    line_width: Length = Share(0.006)
    point_radius: Length = 0

    @limited
    def __init__(
        self,
        long_side: LongSide | None = None,
        others: Others = "error",
        wrong: Wrong = "error",
        simulated: bool = False,
        annotation_seed: CountFromZero = 0,
        annotator: Annotator = CAREFUL,
        mask_share: MaskShare = 0.0,
        window: Window | None = None,
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        if window is not None and not -math.inf < window[0] < window[1] < math.inf:
            raise ValueError(
                "window should be two numbers, the one that becomes black first and the larger "
                f"one second, but it is {window}"
            )
        self.window = window
        self.long_side = long_side
        self.others = others
        self.wrong = wrong
        self.simulated = simulated
        self.annotation_seed = annotation_seed
        self.annotator = annotator
        self.mask_share = mask_share
        self._simulated: dict[str, dict[str, Tensor]] = {}
        self.masked: frozenset[str] = frozenset()
        """the images that have their mask instead of what is annotated otherwise"""
        self.problems: list[FormatError] = []
        """what was wrong when the files were listed"""
        self.remarks: list[str] = []
        """what was chosen or left out when they were, and is right; the check and the beginning of
        a run show it"""
        self.colours: Mapping[Colour, int] | None = None
        """which values the colours of masks are, for masks in colours"""
        self.entries: Sequence[Entry] = []
        self.with_masks = 0
        """how many images have a mask"""
        self.evidence: AnnotationKind | None = None
        self.mask_names: Sequence[str | None] = ()
        self.kinds: Collection[Kind] | None = None
        self.kinds_of: Mapping[str, tuple[Kind, ...]] = KINDS_OF
        """what in the files is meant by each word for `evidence`"""
        self.whole = self.tags_of_masks = False
        self.bare = False
        """whether there are no annotation files, but only what a person corrects"""
        self.names_found = False
        """whether the classes are those that annotation files happen to name, and not named by the
        user"""
        self._fits = False

    @property
    def other_names(self) -> Mapping[str, str | None]:
        """As in the base class, by `rename`."""
        return self.naming.rename

    @property
    def rim(self) -> float:
        """How many pixels what is annotated may reach over the rim of its image."""
        return math.inf if self.wrong == "cut" else RIM

    @many_objects()
    def take(
        self,
        naming: Naming,
        train: Sequence[Entry],
        val: Sequence[Entry],
        *,
        lists: str = "the lists of train and val",
    ) -> None:
        """The classes, the images that are trained on, and those that are only measured on; an
        image in both lists is noted."""
        train = self._apart(train, {entry.id for entry in val}, lists)
        # a table would be thrown away at once
        both = [*train, *val]
        self.entries = both if is_for_another() else kept(both)
        self.with_masks = sum(entry.mask is not None for entry in [*train, *val])
        self.naming = naming
        self.classes = naming.classes
        self.validation = range(len(train), len(self.entries))
        self.masked = self._choose_masked(train) if self.mask_share else frozenset()
        if not self.entries:
            raise ValueError(
                "; ".join(
                    ["there is no image in the data set", *map(str, self.problems[:MOST_PROBLEMS])]
                )
            )
        for id, count in Counter(entry.id for entry in [*train, *val]).items():
            if count > 1:
                self.problems.append(
                    FormatError(
                        Place(id), "the name of an image", "its own", f"that of {count} images"
                    )
                )

    def _apart(self, train: Sequence[Entry], measured: Collection[str], lists: str) -> list[Entry]:
        """The images to train on without those that are measured on."""
        both = [entry.id for entry in train if entry.id in measured]
        if both:
            came = (
                f"in both, for {len(both)} of them, such as {both[0]}; nothing can be measured on "
                "what was trained on"
            )
            self.problems.append(
                FormatError(Place(lists), "every image", "in one of the two", came)
            )
        return [entry for entry in train if entry.id not in measured]

    def _choose_masked(self, train: Sequence[Entry]) -> frozenset[str]:
        able = [entry.id for entry in train if entry.mask is not None or self.whole]
        wanted = max(1, round(self.mask_share * len(train)))
        if wanted > len(able):
            raise ValueError(
                f"mask_share={self.mask_share:g} asks for masks of {wanted} training images, but "
                f"{len(able)} of them have one"
            )
        return frozenset(
            able[place] for place in shuffled(len(able), self.annotation_seed)[:wanted]
        )

    def __len__(self) -> int:
        return len(self.entries)

    def id_of(self, index: int) -> str:
        """The name of the photo."""
        return named(self.entries, index).id

    def image_file(self, index: int) -> Path:
        """The photo."""
        return named(self.entries, index).image

    def content_key(self, index: int) -> str | None:
        """As in the base class: by the files of the image, and what a person has corrected."""
        entry = named(self.entries, index)
        if not self._reading or entry.id in self.corrections_in_use.damaged:
            return None
        history = self.histories.get(entry.id)
        own = "" if history is None else corrections_as_text({entry.id: history})
        further = self.further_files(entry)
        return content_key(self.entries, index, further, f"{self._reading}\n{own}")

    def further_files(self, entry: Entry) -> Sequence[Path]:
        """What else an image is made from, beside the files of its entry. Override it if there
        is."""
        return ()

    @cached_property
    def _reading(self) -> str:
        """All that decides how files are read: the code, and every attribute but those that decide
        how images are loaded in training. "" where an attribute cannot be compared."""
        chosen = {name: value for name, value in vars(self).items() if name not in NOT_READING}
        try:
            return fingerprint(code_fingerprint(*homes(type(self))), chosen)
        except TypeError:
            return ""

    def read_photo(self, path: Path) -> Tensor:
        """As in the base class, with the window of images of 16 bits."""
        return read_image(path, window=self.window)

    def setup(self, stage: str) -> None:
        """Before training: files that could not be read are not passed over, and wrong objects only
        if one wants it so."""
        if problems := self.unread:
            first = "\n".join(f"  {problem}" for problem in problems[:MOST_PROBLEMS])
            count = f"{len(problems)} problem{'s' * (len(problems) > 1)}"
            raise ValueError(
                f"{count} in the files; python -m weakseg.check data=... shows all of them\n{first}"
            )
        self._fits |= stage == "fit"
        remarks = (
            self.remarks if stage == "fit" else self._measured_on() if stage == "validate" else []
        )
        if self.trainer is None or self.trainer.is_global_zero:
            print("\n".join(remarks), end="\n" * bool(remarks), file=sys.stderr)

    def _measured_on(self) -> list[str]:
        """Of how many images figures are, for a data set that is only measured on and keeps some
        images for training all the same."""
        if self._fits or not self.training:
            return []
        return [
            f"measured on {len(self.validation)} of the {len(self)} images, the others are to "
            "train on; Folder(val_share=1) measures on all"
        ]

    def shapes_of(self, index: int) -> Counter[str]:
        """How many shapes of each kind the annotation of an image holds, whatever of them is
        used."""
        read = self.entries[index].read
        problems: list[FormatError] = []
        return Counter() if read is None else Counter(shape.kind for shape in read(problems).shapes)

    def _serious(self, problems: list[FormatError]) -> list[FormatError]:
        return [
            problem for problem in problems if self.wrong != "skip" or problem.place.number is None
        ]

    @property
    def unread(self) -> list[FormatError]:
        """What could not be read when the files were listed, and is not to be skipped."""
        return self._serious(self.problems)

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        """The evidence and the truth of an image, read from its files; a FormatError names what is
        wrong in them."""
        problems: list[FormatError] | None = [] if self.wrong == "skip" else None
        reading = self.read_files(index, problems)
        for problem in self._serious(problems or []):
            raise problem
        assert reading.evidence is not None
        return reading.evidence, reading.truth

    def read_files(
        self,
        index: int,
        problems: list[FormatError] | None = None,
        repairs: Counter[str] | None = None,
    ) -> Reading:
        """The same with the contents of the files. With a list, all problems are noted there, and
        what is right is still returned.

        `repairs` is given what was changed or left out without an error, by what it is.
        """
        entry = self.entries[index]
        image = annotation = whole_truth = evidence = truth = None
        with noting(problems):
            image = read_image(entry.image, window=self.window)
        if entry.read is not None and (self.whole or not self.simulated):
            with noting(problems):
                raw = entry.read(problems)
                annotation = self.naming.renamed(raw)
                if repairs is not None:
                    repairs["objects left out, as data.rename says"] += len(raw.shapes) - len(
                        annotation.shapes
                    )
        if image is None:
            return Reading(entry, annotation)
        if annotation is not None and problems is not None:
            annotation = self._right_shapes(annotation, image, problems)
        with noting(problems):
            whole_truth = truth = self._truth(entry, annotation, image)
        with noting(problems):
            evidence, truth = self._evidence(entry, annotation, image, whole_truth)
        size = (image.shape[-1], image.shape[-2])
        if repairs is not None and evidence is not None:
            repairs.update(self._repairs(entry, annotation, size, evidence, (whole_truth, truth)))
        return Reading(entry, annotation, evidence, truth, size)

    def _repairs(
        self,
        entry: Entry,
        annotation: Annotation | None,
        size: tuple[int, int],
        evidence: Evidence,
        truths: tuple[Tensor | None, Tensor | None],
    ) -> Counter[str]:
        repairs = Counter(changes(entry.image, self.window))
        if annotation is None or self.simulated:  # only masks are read
            return repairs + count_lost(None, self.naming, None, evidence, truths)
        used = self.used
        repairs += count_shapes(annotation, self.naming, used, size, self.line_width)
        return repairs + count_lost(annotation, self.naming, used, evidence, truths)

    @property
    def used(self) -> Collection[Kind] | None:
        """The kinds of shapes that evidence, or the truth, is made from; None for all."""
        kinds = self.kinds if self.evidence is None else self.kinds_of[self.evidence]
        if kinds is None or "tag" in kinds:  # tags name the classes of all shapes
            return None
        return {
            *kinds,
            *(KINDS_OF["masks"] if self.whole else ()),
            *(("tag",) if "box" in kinds else ()),
        }

    def _right_shapes(
        self, annotation: Annotation, image: Tensor, problems: list[FormatError]
    ) -> Annotation:
        """The annotation without the shapes that are wrong, which are noted, and of the size of the
        image."""
        height, width = image.shape[-2:]
        right = []
        for shape in annotation.shapes:
            with noting(problems):
                check_shape(shape, width, height, self.naming.wide(annotation), self.rim)
                right.append(shape)
        if annotation.size not in (None, (width, height)):
            with noting(problems):
                self._made(annotation, image)
        return annotation._replace(shapes=right, size=annotation.size and (width, height))

    def _truth(self, entry: Entry, annotation: Annotation | None, image: Tensor) -> Tensor | None:
        if entry.mask is not None:
            values = read_mask(entry.mask, self.colours)
            place = Place(str(entry.mask), entry.id)
            if values.shape != image.shape[-2:]:
                expected = f"that of the image, {image.shape[-1]} by {image.shape[-2]}"
                raise FormatError(
                    place,
                    "the size of the mask",
                    expected,
                    f"{values.shape[1]} by {values.shape[0]}",
                )
            return self.naming.labels(values, self.mask_names, place)
        if self.whole and annotation is not None:
            return self._made(annotation, image, "masks").marks
        return None

    def _evidence(
        self, entry: Entry, annotation: Annotation | None, image: Tensor, truth: Tensor | None
    ) -> tuple[Evidence, Tensor | None]:
        kind = self.evidence
        masked = entry.id in self.masked
        from_truth = masked or (
            kind is not None and (self.simulated or (kind == "masks" and annotation is None))
        )
        if self.bare and truth is None:
            from_truth = False
        evidence = Evidence(entry.id, image)
        if annotation is not None and not from_truth:
            evidence = self._made(annotation, image, kind)._replace(id=entry.id)
        if truth is not None and self.tags_of_masks and not from_truth:
            large = large_of(truth, len(self.classes)) if kind in ("boxes", "tags") else None
            evidence = evidence._replace(tags=self._tags(truth, evidence), large=large)
        evidence, truth = downsample_evidence(evidence, truth, self.long_side)
        if from_truth:
            if truth is None:
                raise FormatError(
                    Place(str(entry.image), entry.id),
                    "the mask that evidence is made from",
                    "there",
                    "missing",
                )
            fields = {
                **evidence._asdict(),
                **self._simulate("masks" if masked else kind or "masks", entry, truth),
            }
            evidence = Evidence(**fields)
        return evidence, truth

    def _tags(self, truth: Tensor, evidence: Evidence) -> Tensor:
        """Classes of the mask and of the annotation, where both differ; background is always named,
        as in the literature."""
        tags = tags_of(truth, len(self.classes))
        if evidence.marks is not None:
            tags |= tags_of(evidence.marks, len(self.classes))
        if evidence.box_classes is not None:
            tags[evidence.box_classes] = True
        tags[0] = True
        return tags

    def _simulate(self, kind: AnnotationKind, entry: Entry, truth: Tensor) -> dict[str, Tensor]:
        """What the simulated annotator draws; cached, since a scribble takes longer to make than a
        photo to read."""
        if (made := self._simulated.get(entry.id)) is None:
            objects, labels = self.objects(entry, truth)
            stream = stream_of(entry.id, self.annotation_seed)
            made = self.annotator.annotate(kind, truth, objects, labels, len(self.classes), stream)
            size = sum(tensor.nbytes for tensor in made.values())
            if kind != "masks" and size * (len(self._simulated) + 1) < REMEMBERED:
                self._simulated[entry.id] = made
        return made

    def __getstate__(self) -> dict[str, Any]:  # loader processes make their own
        return {**super().__getstate__(), "_simulated": {}}

    def objects(self, entry: Entry, truth: Tensor) -> tuple[Tensor | None, Sequence[int]]:
        """Separate objects, for simulated boxes and points: numbers from 1 on [H,W] and the class
        of each; None if they are not known."""
        return None, ()

    def _made(
        self, annotation: Annotation, image: Tensor, evidence: AnnotationKind | None = None
    ) -> Evidence:
        kinds = self.kinds if evidence is None else self.kinds_of[evidence]
        whole = self.whole and evidence == "masks"
        if kinds is not None and "box" in kinds:
            kinds = (*kinds, "tag")
        wide = self.naming.wide(annotation)
        made = to_evidence(
            annotation, image, wide, kinds, self.line_width, self.point_radius, whole, self.rim
        )
        return self.naming.narrowed(made, wide)
