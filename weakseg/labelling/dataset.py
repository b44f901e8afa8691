"""label_dataset: the pseudo-labels of a data set as files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from weakseg.config.recipe import RecipeError
from weakseg.data.base import WeakData
from weakseg.data.corrections.counts import count_corrections
from weakseg.data.formats.writing.formats import LabelFormat, check_format, write_labels
from weakseg.labelling.images import (
    Images,
    Subset,
    folder_of_images,
    indices_of,
    name_of,
    read_images,
)
from weakseg.labelling.source import Source, source_of_recipe, source_of_run
from weakseg.labelling.words import check_words
from weakseg.labelling.writing import Wanted, Writer, labelled_images
from weakseg.reporting.summaries import command_line
from weakseg.training.corrections_check import missing_folder
from weakseg.training.estimation import MANY, Failure
from weakseg.training.round_targets import RoundTargets, cache_folder
from weakseg.utils.array_cache import ArrayCache
from weakseg.utils.fingerprint import fingerprint
from weakseg.utils.limits import Count, limited
from weakseg.utils.messages import one_line
from weakseg.utils.output_folder import OutputFolder, check_names
from weakseg.utils.progress import track
from weakseg.utils.remote_path import path_from
from weakseg.utils.versions import versions

SHORT = 16  # characters of keys in summaries
Section = Mapping[str, Any] | None


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


@limited
def label_dataset(
    recipe: str | None = None,
    run: str | Path | None = None,
    *,
    out: str | Path,
    checkpoint: str = "best",
    subset: Subset = "all",
    format: LabelFormat = "png",
    confidence: bool = False,
    probabilities: bool = False,
    overwrite: bool = False,
    parts: Count = 1,
    part: Count = 1,
    seed: int | None = None,
    init_from: Path | str | None = None,
    device: str = "auto",
    data: Section = None,
    strategy: Section = None,
    network: Section = None,
    rounds: Section = None,
    predict: Section = None,
) -> Labelled:
    """Write the pseudo-labels of a data set: a mask for each image, as an indexed PNG in the folder
    of results, under the image's own relative name, and a summary with the most suspicious first.

    Targets that a run has estimated before are taken from its label store; nothing is estimated
    twice. An image that is broken is named in the summary and does not stop the others.

    Args:
        recipe: estimates the labels as the first round of a run of this recipe does, before any
            training. A name, or a file.
        run: a run folder, or a checkpoint in one, in place of a recipe: its strategy labels with
            the trained network where it queries one. Of a strategy that estimates nothing, the
            predictions of the network are the labels.
        out: the folder for the labels, which is made where there is none.
        checkpoint: of a run folder: best, last or a file.
        subset: which images: all of the data set, or those to train on (training) or to measure on
            (validation) alone; without those that lack the evidence.
        format: what the labels are written as, too, when all of them are there; png is for the
            masks alone.
        confidence: whether the probability of the label of each pixel is kept, too, in confidence/,
            as PNG files of 0 to 255. For soft labels, and with run=.
        probabilities: whether soft labels, or predictions, are kept, too, in probabilities/, as
            float16 [C,H,W] in .npz files. They are large.
        overwrite: whether labels that are in the folder already are written again.
        parts: into how many parts the images are split, for as many processes or machines.
        part: which of them is done here, from 1 on.
        seed: of the first weights of the network; null for that of the recipe.
        init_from: a checkpoint with the first weights of the network.
        device: cpu, cuda, cuda:1, mps or the like; auto for a GPU where there is one.
        data: the data set, such as data=folder data.root=photos, above what recipe or run says.
        strategy: its options, with recipe=.
        network: its options, with recipe=.
        rounds: workers is how many processes estimate, folder where the targets are kept.
        predict: scales, mirror image, windows and CRF, where predictions are the labels.
    """
    command = command_line("label", label_dataset, locals())
    check_words(recipe, run, out, parts, part, seed, init_from, data, strategy, network)
    given = {
        "data": data,
        "strategy": strategy,
        "network": network,
        "rounds": rounds,
        "predict": predict,
    }
    sections = {name: node for name, node in given.items() if node}
    if recipe is not None:
        source = source_of_recipe(recipe, sections, seed, init_from, device)
    else:
        source = source_of_run(str(run), checkpoint, sections, device)
    if missing := missing_folder(source.data):
        raise RecipeError(missing)
    folder = _folder(source, out, overwrite, parts, part)
    wanted = Wanted(confidence, probabilities)
    with folder:
        return _Labelling(source, folder, wanted, subset, command).write(format)


def _folder(
    source: Source, out: str | Path, overwrite: bool, parts: int, part: int
) -> OutputFolder:
    """The folder of results; a RecipeError if it cannot be right."""
    # of files, in which no results may lie; the images may be elsewhere
    root = getattr(source.data, "root", None)
    images = getattr(getattr(source.data, "pictures", None), "folder", None)
    inputs = [path for path in dict.fromkeys([root, images]) if isinstance(path, Path)]
    try:
        return OutputFolder(out, inputs=inputs, parts=parts, part=part, overwrite=overwrite)
    except (ValueError, OSError) as error:
        raise RecipeError(one_line(error)) from None


class _Labelling:
    """One call of label_dataset."""

    def __init__(
        self, source: Source, folder: OutputFolder, wanted: Wanted, subset: Subset, command: str
    ) -> None:
        self.source = source
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
        found = read_images(self.source, mine, listing=self.folder.part == 1)
        self.broken += found.broken
        own = [index for index in mine if index in found.readable]
        if mine and not own:
            raise ValueError(_nothing(found))
        names = self._names(found, own)
        check_format(format, self.source.segmenter.classes, names.values())
        targets = self._targets(found)
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

    def _label(self, writer: Writer, targets: RoundTargets, keys: Mapping[int, str]) -> int:
        """Estimate what is missing, and write the labels of these images; returns of how many."""
        able = list(keys) if self.source.number is None else self._estimate(targets, keys)
        failures = [
            failure
            for index in track(able, len(able), "writing the labels")
            if (failure := writer.write(index)) is not None
        ]
        self.broken += failures
        return len(able) - len(failures)

    def _names(self, found: Images, own: Sequence[int]) -> dict[int, str]:
        data = self.source.data
        names = {index: name_of(data, index, found.readable[index].id) for index in own}
        check_names(names.values())
        return names

    def _targets(self, found: Images) -> RoundTargets:
        """The targets of the round that the labels are of."""
        source = self.source
        strategy = source.segmenter.strategy
        targets = RoundTargets(
            source.segmenter,
            source,
            found.readable,
            source.store,
            ArrayCache(cache_folder(source.store, strategy)),
            source.number or 0,
            source.rounds.workers,
        )
        if source.number is not None:
            training = [index for index in source.data.training if index in found.readable]
            targets.begin(training or None)
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
