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
from weakseg.strategies.base import fits_together
from weakseg.training.checked_images import CheckedImage, checked_image
from weakseg.training.estimation import Failure
from weakseg.training.image_work import image_failure
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


def read_each(source: Source, indices: Iterable[int]) -> Iterator[tuple[int, Images]]:
    """Read and check images, one after the other."""
    for index in indices:
        found = Images()
        _read_image(source, index, found)
        yield index, found


def _read_image(source: Source, index: int, found: Images) -> None:
    strategy = source.segmenter.strategy
    id = id_of(source.data, index)
    try:
        evidence, truth = source.corrected(index)
        id = str(evidence.id)
        image = checked_image(evidence, truth, len(source.segmenter.classes))
    except Exception as error:
        # a reader of files may raise anything: it is reported with the image's name
        found.broken.append(image_failure(id, error))
        return
    try:
        if source.number is not None:  # predictions need no evidence
            evidence.need(*strategy.needs)
            strategy.check(evidence, source.segmenter.classes)
    except ValueError as error:
        found.without.append(image_failure(id, error))
        return
    found.readable[index] = image


def id_of(data: WeakData, index: int) -> str:
    """The id of an image that may not be readable."""
    return data.entries[index].id if isinstance(data, Photos) else f"number {index}"


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
