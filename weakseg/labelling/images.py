"""The images of a data set that can be labelled: read, checked, and named for files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import Literal

from weakseg.config.recipe import RecipeError
from weakseg.data.base import WeakData
from weakseg.data.files.photos import Photos
from weakseg.data.formats.images import image_size
from weakseg.evidence import Evidence
from weakseg.labelling.source import Source
from weakseg.strategies.base import Strategy, fits_together
from weakseg.training.checked_images import CheckedImage, checked_image
from weakseg.training.estimation import (
    POOL_PAYS_TO_READ,
    Failure,
    can_copy,
    can_send,
    for_each,
)
from weakseg.training.image_records import ImageRecords, record_keys, rule_of_checks
from weakseg.training.image_work import Samples, image_failure
from weakseg.training.round_targets import cores_of
from weakseg.utils.fingerprint import fingerprint
from weakseg.utils.progress import track

Subset = Literal["all", "training", "validation"]


@dataclass
class Images:
    """What was found of the images of a data set."""

    readable: dict[int, CheckedImage] = field(default_factory=dict)
    """those with the evidence that the strategy needs, by their index"""
    broken: list[Failure] = field(default_factory=list)
    """those that cannot be read, or whose evidence cannot be what it claims to be"""
    without: list[Failure] = field(default_factory=list)
    """those without the evidence that the strategy needs"""

    def add(self, other: Images) -> None:
        """Those of another part, too."""
        self.readable |= other.readable
        self.broken += other.broken
        self.without += other.without


def indices_of(data: WeakData, subset: Subset) -> list[int]:
    """The images of a data set that a word means, by their index."""
    chosen = {"all": range(len(data)), "training": data.training, "validation": data.validation}
    if not len(chosen[subset]):
        raise RecipeError(_none_of(subset, len(data)))
    return list(chosen[subset])


def _none_of(subset: Subset, count: int) -> str:
    """That there are no such images among so many."""
    if not count:
        return "data: the data set has no images"
    return f"subset: the data set has no {subset} images, but {count} others; subset=all takes them"


def read_images(
    source: Source,
    mine: Collection[int],
    listing: bool = True,
    fit_to: Collection[int] | None = None,
    read: Callable[[Sequence[int]], Iterable[tuple[int, Images]]] | None = None,
) -> Images:
    """Read and check the images that are to be labelled, and, for a strategy that is fitted to all
    training images together, those, too.

    Args:
        source: what labels them.
        mine: the images that are to be labelled. What is wrong with others is left to the parts
            that label these.
        listing: whether what could not be read when the files were listed counts as broken.
        fit_to: the images that such a strategy is fitted to; None for all training images.
        read: reads images in another way than `read_each`, in any order.
    """
    data = source.data
    own = set(mine)
    fit_to = data.training if fit_to is None else fit_to
    indices = sorted({*own, *fit_to} if is_joint(source) else own)
    found = Images()
    others = Images()
    if isinstance(data, Photos) and listing:
        found.broken += [Failure(str(error.place), str(error)) for error in data.unread]
    results = read_each(source, indices) if read is None else read(indices)
    # processes of an engine end in any order
    for index, image in sorted(
        track(results, len(indices), "reading the evidence"), key=itemgetter(0)
    ):
        (found if index in own else others).add(image)
    found.readable |= others.readable
    twice = Counter(image.id for image in found.readable.values())
    if same := [id for id, count in twice.items() if count > 1]:
        raise ValueError(
            f"{len(same)} ids belong to more than one image: {', '.join(same[:5])}; every image "
            "needs an id of its own"
        )
    return found


def is_joint(source: Source) -> bool:
    """Whether the strategy is fitted to all training images together before it estimates any."""
    return fits_together(source.segmenter.strategy) and source.number is not None


def read_each(source: Source, indices: Sequence[int]) -> Iterator[tuple[int, Images]]:
    """Read and check images, in any order: those that an earlier start has found to be right are
    not read again."""
    strategy = source.segmenter.strategy
    classes = source.segmenter.classes
    needs = source.number is not None  # predictions need no evidence
    records = ImageRecords(source.store)
    rule = fingerprint(rule_of_checks(strategy, classes, held_out=not needs), source.table)
    keys = record_keys(source.data, indices, rule)
    known = dict(records.checked(keys))
    yield from ((index, Images({index: image})) for index, image in known.items())
    unknown = [index for index in indices if index not in known]
    work = _Look(source.samples, source.data, strategy, classes, needs)
    able = can_copy(source.samples) and can_send(strategy)
    workers = source.rounds.workers
    most = (cores_of(1) if workers is None else workers) if able else 0
    results = for_each(work, unknown, len(unknown), most, POOL_PAYS_TO_READ, light=True)
    for index, found in results:
        if index in found.readable and index in keys:
            records.keep_checked(keys[index], found.readable[index])
        yield index, found
    records.flush()


@dataclass(frozen=True)
class _Look:
    """Whether an image can be labelled."""

    samples: Samples
    data: WeakData
    strategy: Strategy
    classes: tuple[str, ...]
    needs: bool

    def __call__(self, index: int) -> tuple[int, Images]:
        found = Images()
        id = id_of(self.data, index)
        try:
            evidence, truth = self.samples.corrected(index)
            id = str(evidence.id)
            image = checked_image(evidence, truth, len(self.classes))
        except Exception as error:
            # a reader of files may raise anything: it is reported with the image's name
            found.broken.append(image_failure(id, error))
            return index, found
        try:
            if self.needs:
                evidence.need(*self.strategy.needs)
                self.strategy.check(evidence, self.classes)
            found.readable[index] = image
        except ValueError as error:
            found.without.append(image_failure(id, error))
        return index, found


def id_of(data: WeakData, index: int) -> str:
    """The id of an image that may not be readable."""
    return data.id_of(index) if isinstance(data, Photos) else f"number {index}"


def name_of(data: WeakData, index: int, id: str) -> str:
    """The name of an image that files of labels have: its id, with the ending of its file.

    >>> name_of(WeakData(), 0, "scan.1")  # not scan.png, which may be that of scan.2, too
    'scan.1.png'
    """
    file = data.image_file(index)
    ending = ".png" if file is None else file.suffix
    known = file is not None and PurePosixPath(id).suffix == file.suffix
    dotted = "." in PurePosixPath(id).name
    return id if known or (file is None and not dotted) else f"{id}{ending}"


def size_of(data: WeakData, index: int, evidence: Evidence) -> tuple[int, int]:
    """Height and width of the file of an image, which its labels are to fit: `data.long_side` may
    have shrunk what was read from it."""
    file = data.image_file(index)
    if file is None or getattr(data, "long_side", None) is None:
        height, width = evidence.image.shape[-2:]
    else:
        width, height = image_size(file)
    return height, width


def folder_of_images(data: WeakData, names: Mapping[int, str]) -> Path | None:
    """The folder in which every image has its name, where there is one: the labels may be those of
    pseudo-labelled images of another run.

    Args:
        data: the data set.
        names: of images, by their index.
    """
    folders = set()
    for index, name in names.items():
        file = data.image_file(index)
        depth = len(PurePosixPath(name).parts)
        folder = None if file is None or len(file.parts) <= depth else file.parents[depth - 1]
        folders.add(folder if folder is not None and folder / name == file else None)
    return folders.pop() if len(folders) == 1 else None
