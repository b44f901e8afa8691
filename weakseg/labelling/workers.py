"""The work on some of the images by one process of many of an engine: reading and checking them,
describing them for a joint fit, labelling them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from weakseg.labelling.images import Images, read_each
from weakseg.labelling.source import Sections, Source, source_of_recipe, source_of_run
from weakseg.labelling.writing import Wanted, Writer
from weakseg.strategies.base import fits_together
from weakseg.training.checked_images import CheckedImage
from weakseg.training.estimation import Failure, collected
from weakseg.training.joint_fit import Described, fit_described, key_of_fit
from weakseg.training.round_targets import RoundTargets, cache_folder
from weakseg.utils.array_cache import ArrayCache
from weakseg.utils.engine import Pool, spread
from weakseg.utils.output_folder import OutputFolder
from weakseg.utils.progress import track

READING_PAYS = 2000  # images from which on it is worth it to have the engine read them, too


class Named(NamedTuple):
    """What the words of a call name as the source of labels."""

    recipe: str | None
    run: Path | str | None
    checkpoint: str
    sections: Sections
    seed: int | None
    init_from: Path | str | None
    device: str

    def open(self, device: str | None = None) -> Source:
        """The source, with its network on a device; None for the one that the words name."""
        device = device or self.device
        if self.recipe is not None:
            return source_of_recipe(self.recipe, self.sections, self.seed, self.init_from, device)
        return source_of_run(str(self.run), self.checkpoint, self.sections, device)


class Round(NamedTuple):
    """What the targets of all images of a round have in common."""

    queried: str
    method: str
    fitted: Tensor | None

    @classmethod
    def of(cls, targets: RoundTargets) -> Round:
        """Of these targets, as far as they are known."""
        return cls(targets.queried, targets.method, targets.fitted)


class Item(NamedTuple):
    """An image that is to be described or labelled."""

    number: int
    """in the data set"""
    image: CheckedImage
    key: str
    """of its target"""
    name: str = ""
    """of its files"""


class Done(NamedTuple):
    """An image whose labels are written."""

    entry: Mapping[str, Any]
    """its line of the summary"""
    estimated: bool
    """whether its target was not in the label store yet"""


def targets_of(source: Source, images: Mapping[int, CheckedImage]) -> RoundTargets:
    """The targets of the round that labels are of."""
    return RoundTargets(
        source.segmenter,
        source,
        images,
        source.store,
        ArrayCache(cache_folder(source.store, source.segmenter.strategy)),
        source.number or 0,
        source.rounds.workers,
    )


class _Worker:
    """One process, which has a source of its own."""

    def __init__(self, named: Named, round: Round | None = None) -> None:
        self.source = named.open()
        self.source.rounds.workers = 0  # there are other processes enough
        self.round = round

    def targets(self, items: Sequence[Item]) -> RoundTargets:
        """Those of some images."""
        assert self.round is not None
        targets = targets_of(self.source, {item.number: item.image for item in items})
        targets.queried, targets.method, targets.fitted = self.round
        return targets


class ReadWorker(_Worker):
    """Reads and checks images."""

    def __call__(self, indices: Sequence[int]) -> Iterator[tuple[int, Images]]:
        """What was found of each."""
        return read_each(self.source, indices)


class DescribeWorker(_Worker):
    """Describes images for a joint fit."""

    def __call__(self, items: Sequence[Item]) -> Iterator[Described | Failure]:
        """What the strategy has to know of each."""
        return self.targets(items).describe({item.number: item.key for item in items})


class LabelWorker(_Worker):
    """Labels images and writes their files; what it returns of each is to be noted."""

    def __init__(self, named: Named, round: Round, folder: Path, wanted: Wanted) -> None:
        super().__init__(named, round)
        self.folder = OutputFolder(folder)
        self.wanted = wanted

    def __call__(self, items: Sequence[Item]) -> Iterator[Done | Failure]:
        """Estimate what is missing in the label store, and write the labels."""
        targets = self.targets(items)
        keys = {item.number: item.key for item in items}
        names = {item.number: item.name for item in items}
        writer = Writer(self.source, self.folder, self.wanted, targets.store, keys, names)
        missing = set() if self.source.number is None else set(targets.missing(keys))
        failed = [each for each in targets.estimate(keys, sorted(missing)) if each is not None]
        yield from failed
        lost = {failure.id for failure in failed}
        for item in items:
            if item.image.id not in lost:
                done = writer.write(item.number)
                if isinstance(done, Failure):
                    yield done
                else:
                    yield Done(done, item.number in missing)


class OnEngine:
    """The steps of a call of `label_dataset`, by the processes of an engine.

    Args:
        named: the source of labels.
        pool: how many processes there are.
    """

    def __init__(self, named: Named, pool: Pool) -> None:
        self.named = named
        self.pool = pool

    def read(self, indices: Sequence[int]) -> Iterator[tuple[int, Images]]:
        """What was found of images, in any order."""
        return spread(ReadWorker, {"named": self.named}, indices, self.pool)

    def fit(self, targets: RoundTargets, keys: Mapping[int, str]) -> Tensor | None:
        """What the strategy fits to images, which the engine describes."""
        strategy = targets.strategy
        assert fits_together(strategy)
        cache = targets.context().cache
        images = targets.images
        key = key_of_fit((images[index].id, own) for index, own in keys.items())
        found = cache.get(key)
        if found is None:
            name = type(strategy).__name__
            items = [Item(index, images[index], own) for index, own in keys.items()]
            arguments = {"named": self.named, "round": Round.of(targets)}
            results = spread(DescribeWorker, arguments, items, self.pool)
            what = f"{name} could not describe the images"
            described = collected(results, len(items), "describing images", 1, what)
            what = f"{name} could not be fitted to the images"
            keep = partial(cache.put, key)
            found = fit_described(strategy, targets.fitted, described, keep, what)
        return torch.from_numpy(found["fitted"]) if "fitted" in found else None

    def label(
        self,
        writer: Writer,
        targets: RoundTargets,
        keys: Mapping[int, str],
        note: Callable[[Done | Failure], None],
    ) -> None:
        """Label images; each result is noted as soon as it is there."""
        items = [
            Item(index, targets.images[index], key, writer.names[index])
            for index, key in keys.items()
        ]
        arguments = {
            "named": self.named,
            "round": Round.of(targets),
            "folder": writer.folder.path,
            "wanted": writer.wanted,
        }
        results = spread(LabelWorker, arguments, items, self.pool)
        for result in track(results, len(items), "labelling"):
            note(result)
