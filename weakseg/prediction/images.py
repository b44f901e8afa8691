"""predict_images: masks of a trained network for a folder of images, as files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from weakseg.config.values import RecipeError, plain
from weakseg.data.formats.writing.formats import LabelFormat, check_format, write_labels
from weakseg.inference.multiscale import Inference
from weakseg.prediction.conversion import labelled_images
from weakseg.prediction.listing import Images, check_words
from weakseg.prediction.outputs import CONFIDENCE, Wanted, places_of, remove_old
from weakseg.prediction.steps import Broken, Done
from weakseg.prediction.work import Precision
from weakseg.prediction.worker import How, Network, PredictWorker
from weakseg.reporting.summaries import command_line
from weakseg.trained.loading import load_model
from weakseg.trained.model import TrainedModel
from weakseg.utils.engine import EngineName, Pool, spread
from weakseg.utils.limits import Count, limited
from weakseg.utils.output_folder import OutputFolder
from weakseg.utils.progress import track
from weakseg.utils.remote_path import is_remote, path_from
from weakseg.utils.versions import versions

THREADS = 8  # that read, if there are so many cores
REMOTE_THREADS = 32  # that read images, or write results, at URLs


class Predicted(NamedTuple):
    """What a call has done."""

    folder: Path
    """with a mask for each image"""
    summary: Path
    predicted: int
    """images predicted by this call"""
    skipped: int
    """images whose results were there already"""
    broken: tuple[Broken, ...]
    """images that have no result, and why"""
    seconds: float
    """for all of it but loading the network and writing another format"""
    model: str
    """where the network came from"""
    files: tuple[Path, ...]
    """those of another format"""

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.predicted / self.seconds if self.predicted else 0.0


@limited
def predict_images(
    run: str | Path,
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    checkpoint: str = "best",
    overlay: bool = False,
    probabilities: bool = False,
    confidence: bool = False,
    format: LabelFormat = "png",
    overwrite: bool = False,
    parts: Count = 1,
    part: Count = 1,
    batch_size: Count = 8,
    workers: Count | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    predict: Mapping[str, Any] | Inference | None = None,
    engine: EngineName = "local",
    actors: Count | None = None,
) -> Predicted:
    """Predict images with a trained network: a mask for each, as an indexed PNG in the folder of
    results, under the image's own relative name, and a summary of all.

    What is there already is not predicted again. An image that cannot be read is named in the
    summary and does not stop the others.

    Args:
        run: the trained network: a run folder, a checkpoint, an exported graph (.onnx, .pt2), or a
            folder that export format=hub has written.
        images: a folder, with all folders below it; an image; a .txt file with the path of an image
            on each line; a glob such as photos/*.jpg; or a list of these.
        out: the folder for the results, which is made where there is none.
        checkpoint: of a run folder: best, last or a file.
        overlay: whether pictures of the images with their masks are drawn, too, in overlays/.
        probabilities: whether the probability of each class at each pixel is kept, too, in
            probabilities/, as float16 [C,H,W] in .npz files. They are large.
        confidence: whether the probability of the label of each pixel is kept, too, in confidence/,
            as PNG files of 0 to 255: for data.pseudo, which trains on these masks.
        format: what the masks are written as, too, when all images are predicted: coco has all of
            them in one file; png is for the masks alone.
        overwrite: whether what is there already is predicted again.
        parts: into how many parts the images are split, for as many processes or machines.
        part: which of them is done here, from 1 on.
        batch_size: images of one size that the network is given at once; of images above 640 by 640
            pixels fewer.
        workers: threads that read images, and as many that write results; null for as many as there
            are cores, up to 8, and 32 for images or results at a URL.
        device: cpu, cuda, cuda:1, mps or the like; auto for a GPU where there is one.
        precision: of the numbers in the network; auto is half precision on a GPU, single precision
            elsewhere.
        predict: scales, mirror image, windows and CRF, above what the run's recipe says.
        engine: what does the work: local is this process; ray is Ray Data, on the machines of a Ray
            that runs already, or on this one.
        actors: processes of engine=ray that predict; null for one per GPU or, without any, core.
    """
    command = command_line("predict", predict_images, locals())
    listed, folder = check_words(images, out, overwrite, parts, part, engine, actors)
    here = device if engine == "local" else "cpu"  # GPUs are for the actors
    model = load_model(run, checkpoint, predict=predict, device=here)
    objects = model.finds_objects and format != "png"
    wanted = Wanted(overlay, probabilities, objects, confidence)
    _check_outputs(listed, wanted, format, model.classes)
    threads = (workers or _threads(listed.folder, folder.path)) if engine == "local" else workers
    network = Network(run, checkpoint, predict, device)
    how = How(network, folder.path, wanted, precision, batch_size, threads)
    start = perf_counter()
    with folder:
        folder.begin(_maker(model))
        mine = folder.mine(list(listed.files))
        missing = [
            name for name in mine if not folder.has(name, places_of(folder, name, wanted).all)
        ]
        todo = [(name, listed.files[name]) for name in missing]
        if engine == "local":
            results = iter(PredictWorker(how, model)(todo))
        else:
            results = spread(PredictWorker, {"how": how}, todo, Pool(actors, device))
        broken = _noted(results, len(missing), folder)
        if overwrite:
            lost = {each.name for each in broken}
            remove_old(folder, missing, lost, wanted)
        done = Predicted(
            folder=folder.path,
            summary=folder.summary,
            predicted=len(missing) - len(broken),
            skipped=len(mine) - len(missing),
            broken=tuple(broken),
            seconds=perf_counter() - start,
            model=model.origin.path,
            files=(),
        )
        # before anything else is made of the masks: this much is done
        on = str(model.device) if engine == "local" else device
        folder.finish(_head(command, model, listed, done, on), mine)
        files = _convert(folder, mine, wanted, format, model.classes, listed.folder)
    return done._replace(files=tuple(files))


def _check_outputs(listed: Images, wanted: Wanted, format: str, classes: Sequence[str]) -> None:
    """A RecipeError, before anything is predicted, for files that could not be written."""
    among = [name for name in listed.files if name.startswith(f"{CONFIDENCE}/")]
    if wanted.confidence and among:
        raise RecipeError(
            f"confidence: the mask of {among[0]} would lie among the files of confidence/; rename "
            "that folder of images"
        )
    try:
        check_format(format, classes, listed.files)
    except ValueError as error:
        raise RecipeError(f"format: {error}") from None


def _noted(results: Iterable[Done | Broken], count: int, folder: OutputFolder) -> list[Broken]:
    """Note what was predicted as soon as it is; returns the images that have no results."""
    broken = []
    for each in track(results, count, "predicting"):
        if isinstance(each, Broken):
            broken.append(each)
        else:
            folder.note(each.entry)
    return sorted(broken)


def _convert(
    folder: OutputFolder,
    names: Sequence[str],
    wanted: Wanted,
    format: str,
    classes: Sequence[str],
    images: Path,
) -> list[Path]:
    """The masks that are there once more, in another format."""
    if format == "png":
        return []
    named = track(names, len(names), f"writing {format}")
    labelled = labelled_images(folder, named, wanted)
    place = folder.path
    return write_labels(format, labelled, classes, place, suffix=folder.suffix, images_in=images)


def _maker(model: TrainedModel) -> dict[str, Any]:
    """What masks depend on beside the images."""
    return {
        "verb": "predict",
        "model": model.origin.sha256,
        "classes": list(model.classes),
        "predict": _how(model.inference),
    }


def _how(inference: Inference) -> dict[str, Any]:
    values: dict[str, Any] = plain(inference)
    del values["validation"]  # which is for training
    return values


def _head(
    command: str, model: TrainedModel, listed: Images, done: Predicted, device: str
) -> dict[str, Any]:
    return {
        "command": command,
        "versions": versions("pillow", "onnxruntime"),
        "model": model.origin._asdict(),
        "classes": list(model.classes),
        # data.pseudo finds the images by it
        "images_folder": path_from(listed.folder, done.folder),
        "predict": _how(model.inference),
        "long_side": model.long_side,
        "device": device,
        "predicted": done.predicted,
        "skipped": done.skipped,
        "seconds": round(done.seconds, 3),
        "images_per_second": round(done.rate, 3),
        "broken": [each._asdict() for each in done.broken],
    }


def _threads(*places: Path) -> int:
    """How many threads read, and write, if nobody says: at URLs they mostly wait."""
    if any(map(is_remote, places)):
        return REMOTE_THREADS
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(THREADS, cores or 1)
