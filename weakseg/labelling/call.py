"""One call of `label_dataset`: images are read, targets estimated, files written."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from weakseg.data.base import WeakData
from weakseg.data.corrections.counts import count_corrections
from weakseg.data.formats.writing.formats import check_format, write_labels
from weakseg.labelling import workers
from weakseg.labelling.images import (
    Images,
    Subset,
    folder_of_images,
    indices_of,
    is_joint,
    name_of,
    read_images,
)
from weakseg.labelling.passes import NotDescribed, Passes
from weakseg.labelling.source import Source
from weakseg.labelling.workers import Done, OnEngine, targets_of
from weakseg.labelling.writing import Wanted, Writer, labelled_images
from weakseg.training.estimation import MANY, Failure
from weakseg.training.round_targets import RoundTargets
from weakseg.training.used_models import print_models, used_models
from weakseg.utils.fingerprint import fingerprint
from weakseg.utils.output_folder import OutputFolder, check_names
from weakseg.utils.progress import track
from weakseg.utils.remote_path import path_from
from weakseg.utils.versions import versions

SHORT = 16  # characters of keys in summaries
ALONE = (
    "the strategy is fitted to all training images together, and this part describes all of them; "
    "to share that with the others, call each part with describe=true first"
)


class Labelled(NamedTuple):
    """What a call has done."""

    folder: Path
    """with a mask for each image"""
    summary: Path
    labelled: int
    """images whose labels this call has written"""
    estimated: int
    """of these, those whose target was not in the label store yet"""
    skipped: int
    """images whose labels were in the folder already"""
    without: tuple[Failure, ...]
    """images without the evidence that the strategy needs"""
    broken: tuple[Failure, ...]
    """images that have no labels, and why"""
    seconds: float
    """for all of it but loading the network"""
    model: str
    """where the network came from; "" if none is trained yet"""
    worst: tuple[str, ...]
    """the most suspicious images, the worst first"""
    method: str
    """what has made the labels"""
    files: tuple[Path, ...]
    """those of another format"""
    described: str = ""
    """with describe=true: what was done, and what comes next"""


class Labelling:
    """One call of label_dataset."""

    def __init__(
        self,
        source: Source,
        folder: OutputFolder,
        wanted: Wanted,
        subset: Subset,
        command: str,
        on_engine: OnEngine | None,
    ) -> None:
        self.source = source
        self.on_engine = on_engine
        self.folder = folder
        self.wanted = wanted
        self.subset = subset
        self.command = command
        self.broken: list[Failure] = []
        self.estimated = 0

    def write(self, format: str) -> Labelled:
        """Write all labels of this part, and its summary."""
        start = perf_counter()
        mine = self.folder.mine(indices_of(self.source.data, self.subset))
        passes = self._passes()
        found = self._read(mine, None if passes is None else self._share())
        self.broken += found.broken
        own = [index for index in mine if index in found.readable]
        if mine and not own:
            raise ValueError(_nothing(found))
        names = self._names(found, own)
        check_format(format, self.source.segmenter.classes, names.values())
        if self.source.number is not None:
            print_models(self.source.segmenter.strategy)
        targets = self._targets(found, passes)
        keys = targets.keys(own)
        self.folder.begin(self._maker(targets))
        writer = Writer(self.source, self.folder, self.wanted, targets.store, keys, names)
        todo = [index for index in own if not writer.is_done(index)]
        labelled = self._label(writer, targets, {index: keys[index] for index in todo})
        order = self._order(names.values())
        ids = {name: found.readable[index].id for index, name in names.items()}
        images = folder_of_images(self.source.data, names)
        files = self._convert({name: ids[name] for name in order}, format, images)
        done = Labelled(
            folder=self.folder.path,
            summary=self.folder.summary,
            labelled=labelled,
            estimated=self.estimated,
            skipped=len(own) - len(todo),
            without=tuple(found.without),
            broken=tuple(self.broken),
            seconds=perf_counter() - start,
            model="" if self.source.origin is None else self.source.origin.path,
            worst=tuple(order[:MANY]),
            method=self.source.method,
            files=tuple(files),
        )
        self.folder.finish(self._head(done, images), order)
        return done

    def describe(self) -> Labelled:
        """Describe this part's share of the images, once; fit as far as all parts have done so."""
        start = perf_counter()
        strategy = self.source.segmenter.strategy
        passes = Passes(self.folder, len(self.source.data.training), describing=True)
        found = self._read([], self._share())
        try:
            self._targets(found, passes)
            said = f"{type(strategy).__name__} is fitted to all images: go on without describe=true"
        except NotDescribed as error:
            said = (
                f"part {self.folder.part} of {self.folder.parts} has described its images; "
                f"{_parts(error.parts)} not yet; call each with describe=true until all is fitted"
            )
        seconds = perf_counter() - start
        none = (self.folder.path, self.folder.summary, 0, 0, 0, (), (), seconds, "", ())
        return Labelled(*none, self.source.method, (), said)

    def _passes(self) -> Passes | None:
        """The descriptions of other calls; None where this one describes what it has to."""
        if self.folder.parts == 1 or not is_joint(self.source):
            return None
        passes = Passes(self.folder, len(self.source.data.training), describing=False)
        if passes.begun:
            return passes
        print(ALONE, file=sys.stderr)
        return None

    def _share(self) -> Sequence[int]:
        """The training images that this part describes."""
        return self.folder.mine(self.source.data.training)

    def _read(self, mine: Sequence[int], fit_to: Sequence[int] | None) -> Images:
        pays = self.on_engine is not None and len(self.source.data) >= workers.READING_PAYS
        read = self.on_engine.read if self.on_engine is not None and pays else None
        return read_images(self.source, mine, self.folder.part == 1, fit_to, read)

    def _label(self, writer: Writer, targets: RoundTargets, keys: Mapping[int, str]) -> int:
        """Estimate what is missing, and write the labels of these images; returns of how many."""
        before = len(self.broken)
        if self.on_engine is not None:
            self.on_engine.label(writer, targets, keys, self._note)
            return len(keys) - (len(self.broken) - before)
        able = list(keys) if self.source.number is None else self._estimate(targets, keys)
        before = len(self.broken)
        for index in track(able, len(able), "writing the labels"):
            done = writer.write(index)
            self._note(done if isinstance(done, Failure) else Done(done, False))
        return len(able) - (len(self.broken) - before)

    def _note(self, done: Done | Failure) -> None:
        if isinstance(done, Failure):
            self.broken.append(done)
        else:
            self.folder.note(done.entry)
            self.estimated += done.estimated

    def _names(self, found: Images, own: Sequence[int]) -> dict[int, str]:
        data = self.source.data
        names = {index: name_of(data, index, found.readable[index].id) for index in own}
        check_names(names.values())
        return names

    def _targets(self, found: Images, passes: Passes | None) -> RoundTargets:
        """The targets of the round that the labels are of."""
        source = self.source
        targets = targets_of(source, found.readable)
        if passes is not None:
            targets.fit = passes.fit
        elif self.on_engine is not None:
            targets.fit = self.on_engine.fit
        if source.number is not None:
            fit_to = source.data.training if passes is None else self._share()
            training = [index for index in fit_to if index in found.readable]
            targets.begin(training if passes is not None else training or None)
        return targets

    def _estimate(self, targets: RoundTargets, keys: Mapping[int, str]) -> list[int]:
        """Estimate the targets that no run has estimated; returns the images that have one."""
        missing = targets.missing(keys)
        results = targets.estimate(keys, missing)
        failed = [
            result
            for result in track(results, len(missing), "estimating the labels")
            if result is not None
        ]
        self.broken += failed
        self.estimated = len(missing) - len(failed)
        lost = {failure.id for failure in failed}
        return [index for index in keys if targets.images[index].id not in lost]

    def _maker(self, targets: RoundTargets) -> dict[str, Any]:
        """What labels depend on beside each image and its evidence, of which an entry has a key."""
        source = self.source
        return {
            "verb": "label",
            "strategy": type(source.segmenter.strategy).__name__,
            "classes": list(source.segmenter.classes),
            "network": "" if source.origin is None else source.origin.sha256[:SHORT],
            "method": targets.method[:SHORT],
            "fitted": fingerprint(targets.fitted)[:SHORT],
            "predict": str(source.segmenter.inference) if source.number is None else "",
        }

    def _order(self, names: Iterable[str]) -> list[str]:
        """The images that have labels, the most suspicious first."""
        entries = {name: self.folder.entry(name) for name in names}
        scores = {name: entry["score"] for name, entry in entries.items() if entry is not None}
        return sorted(scores, key=lambda name: (scores[name], name))

    def _convert(self, ids: Mapping[str, str], format: str, images: Path | None) -> list[Path]:
        """The masks that are there once more, in another format."""
        if format == "png":
            return []
        folder = self.folder
        labelled = labelled_images(folder, self.source.store, ids)
        shown = track(labelled, len(ids), f"writing {format}")
        classes = self.source.segmenter.classes
        place = folder.path
        return write_labels(format, shown, classes, place, suffix=folder.suffix, images_in=images)

    def _head(self, done: Labelled, images: Path | None) -> dict[str, Any]:
        source = self.source
        where = None if images is None else path_from(images, self.folder.path)
        return {
            "command": self.command,
            "versions": versions(),
            "model": None if source.origin is None else source.origin._asdict(),
            "classes": list(source.segmenter.classes),
            "images_folder": where,
            "recipe": source.name,
            "method": done.method,
            "models": [each._asdict() for each in used_models(source.segmenter.strategy)],
            "long_side": getattr(source.data, "long_side", None),
            "order": "the lowest score, the most suspicious image, first",
            "labelled": done.labelled,
            "estimated": done.estimated,
            "skipped": done.skipped,
            "seconds": round(done.seconds, 3),
            "without_evidence": [_named(failure) for failure in done.without],
            "broken": [_named(failure) for failure in done.broken],
            "corrections": _corrections(source.data),
        }


def _parts(parts: Sequence[int]) -> str:
    """Which parts, and a verb.

    >>> _parts([4, 7])
    'parts 4, 7 have'
    """
    one = len(parts) == 1
    return f"part{'' if one else 's'} {', '.join(map(str, parts))} {'has' if one else 'have'}"


def _corrections(data: WeakData) -> dict[str, Any] | None:
    """How much a person has corrected of a data set, and where that stands."""
    if data.corrections is None:
        return None
    counts = count_corrections(data.histories.values())
    return {"folder": str(data.corrections), **counts._asdict()}


def _named(failure: Failure) -> dict[str, str]:
    return {"name": failure.id, "reason": failure.reason}


def _nothing(found: Images) -> str:
    """Why there is no image to label."""
    failures = [*found.without, *found.broken]
    what = "with the evidence that is needed" if found.without else "that can be read"
    first = failures[0]
    more = f", and {len(failures) - 1} more" if len(failures) > 1 else ""
    return f"there is no image {what}: image {first.id}: {first.reason}{more}"
