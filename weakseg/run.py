"""One run from a recipe: build the parts, train, measure, and leave a folder that tells all of
it."""

from __future__ import annotations

import json
import logging
import math
import os
import secrets
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.callbacks import TQDMProgressBar
from rich.console import Console
from torch import nn

from weakseg.config.recipe import Recipe, RecipeError, Resolved, resolve, to_yaml
from weakseg.config.recipe import load as load_recipe
from weakseg.config.values import read_yaml
from weakseg.config.words import next_step
from weakseg.functional.class_matching import match_classes
from weakseg.inference.multiscale import Inference
from weakseg.networks.analysis.gridding import dilation_note, warn_of_dilation
from weakseg.networks.parts.weights import load_state, read_weights, reorder
from weakseg.reporting.drawing import Case
from weakseg.reporting.image_logger import Dashboard, make_case
from weakseg.reporting.report import write_report
from weakseg.reporting.tables import print_tables
from weakseg.training.average_precision import AveragePrecision
from weakseg.training.checkpoints import PLACE, Checkpoints, WholeFiles
from weakseg.training.label_monitor import Watch
from weakseg.training.label_quality import harden
from weakseg.training.memory_budget import OutOfMemory, check_memory, device_of
from weakseg.training.metrics_file import Record, read_record
from weakseg.training.rank_monitor import CleanStop, Companions, LostRank, StopTogether, advice
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter
from weakseg.training.step_timer import Timing
from weakseg.utils.files import only_user, remove_leftovers, write_whole
from weakseg.utils.fingerprint import fingerprint
from weakseg.utils.processes import rank
from weakseg.utils.secrets import scrub_text, scrub_yaml
from weakseg.utils.signals import LIMIT, SignalStop, of_a_run

GALLERY = 12  # validation images in the report, worst first


def fit(recipe: Resolved) -> Path:
    """Train as a recipe says, or go on with a run that was stopped; returns the folder of the
    run."""
    with _quiet_lightning():
        return _fit(recipe)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep to ourselves what Lightning says and nobody needs, for the time of a run."""
    log = logging.getLogger("pytorch_lightning")
    level = log.level
    log.setLevel(logging.WARNING)  # its greetings would push ours off the screen
    try:
        with warnings.catch_warnings():
            # its own quarrel with torch
            warnings.filterwarnings("ignore", module="pytorch_lightning.utilities._pytree")
            # steps are counted across epochs
            warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
            yield
    finally:
        log.setLevel(level)


def _fit(recipe: Resolved) -> Path:
    pl.seed_everything(recipe.seed, verbose=False)
    data, segmenter, rounds = _build(recipe)
    if segmenter.optimizer.freeze_batchnorm:  # in eval mode on purpose
        warnings.filterwarnings("ignore", ".* in eval mode at the start of training")
    stopped = _stopped(recipe)
    settings = recipe.sections["trainer"]
    root = Path(settings.get("default_root_dir") or "runs")
    companions = Companions(of_a_run())
    # there is no folder yet: Lightning may refuse its arguments
    checkpoints = None if settings.get("enable_checkpointing") is False else Checkpoints(root)
    trainer: Any = recipe.build(
        "trainer",
        default_root_dir=root,
        logger=False,
        callbacks=_callbacks(settings, rounds, companions, checkpoints),
        plugins=[WholeFiles()],
        use_distributed_sampler=False,
        enable_model_summary=False,
    )
    _compare_processes(_processes(trainer), stopped.processes, recipe.processes)
    _look_at_dilation(segmenter.network, data)
    _look_at_memory(recipe, segmenter, data)
    with _folder(recipe, root, companions) as folder:
        if checkpoints is not None:
            checkpoints.folder = folder / "checkpoints"
            checkpoints.recipe = _recipe_digest(folder)
        loggers = _loggers(recipe, folder, stopped)
        if not trainer.fast_dev_run:  # which logs nothing
            trainer.loggers = loggers
        companions.prepare(trainer)
        try:
            trainer.fit(
                segmenter, datamodule=data, ckpt_path=_last(recipe, folder), weights_only=True
            )
        except SystemExit as stop:
            # which Lightning would keep from a program that goes on
            if isinstance(stop.__context__, KeyboardInterrupt):
                raise stop.__context__ from None
            # Lightning's answer to SIGTERM; a scheduler must not take it for a finished run
            raise SystemExit(stop.code or 143) from None
        if len(data.validation) and segmenter.validated_at != trainer.global_step:
            trainer.validate(segmenter, datamodule=data, verbose=False)
        companions.relax()
        if trainer.is_global_zero:
            _tell(recipe, folder, segmenter, rounds, data)
        return Path(trainer.strategy.broadcast(str(folder)))


def _callbacks(
    settings: Mapping[str, Any],
    rounds: Rounds,
    companions: Companions,
    checkpoints: Checkpoints | None,
) -> list[Any]:
    """What Lightning calls during the training, in this order."""
    callbacks: list[Any] = [
        rounds,
        Timing(),
        Watch(),
        Dashboard(),
        AveragePrecision(),
        OutOfMemory(),
        companions,
    ]
    if checkpoints is None:
        callbacks.append(StopTogether(companions.stopping, None))
    else:
        callbacks += [checkpoints, CleanStop(companions.stopping, checkpoints)]
    if settings.get("enable_progress_bar") is not False:
        # of the kind that rounds have, too
        callbacks.append(TQDMProgressBar(1 if sys.stdout.isatty() else 50))
    return callbacks


class Stopped(NamedTuple):
    """Where a run was stopped that goes on; the beginning for a new one."""

    steps: int = 0
    rows: int | None = None
    """of metrics.csv; None where an older checkpoint does not say"""
    processes: int | None = None
    recipe: str | None = None
    """a digest of recipe.yaml; None where an older checkpoint does not say"""


# what a run needs to go on from a checkpoint
GOES_ON = {"weakseg", "global_step", "loops", "optimizer_states"}


def _stopped(recipe: Recipe) -> Stopped:
    """Read the checkpoint that the run goes on from; whatever is wrong with it is found before
    anything else is done."""
    if recipe.resume is None:
        return Stopped()
    folder = Path(recipe.resume)
    places = [
        folder / name
        for name in ("metrics.csv", "report.html", "checkpoints/last.ckpt", "checkpoints/best.ckpt")
    ]
    for file in places:
        if os.path.lexists(file) and not file.is_file():
            raise RecipeError(
                [f"resume: expected a file, but {file} is none; move it away to go on"]
            )
    last = _last(recipe, folder)
    if last is None:
        return Stopped()
    try:
        content = read_weights(last)
    except ValueError as error:
        raise RecipeError([f"resume: {error}; {_way_out(last)}"]) from None
    if missing := sorted(GOES_ON - set(content)):
        raise RecipeError(
            [
                f"resume: {last} is no checkpoint that a run can go on from: it has no "
                f"{', no '.join(missing)} (best.ckpt is of that kind, for init_from=); "
                f"{_way_out(last)}"
            ]
        )
    stopped = Stopped(content["global_step"], **content.get(PLACE, {}))
    if stopped.recipe not in (None, _recipe_digest(folder)):
        raise RecipeError(
            [
                f"resume: {folder / 'recipe.yaml'} is not the recipe that this run was trained "
                "with until now; undo the change (what may change goes on the command line, such "
                "as trainer.max_steps=), or start a new run from its weights with "
                f"recipe={folder / 'recipe.yaml'} init_from={last}"
            ]
        )
    return stopped


def _recipe_digest(folder: Path) -> str | None:
    """Of the values in a run's recipe.yaml, whatever its comments say; None where there is no such
    file."""
    file = folder / "recipe.yaml"
    return (
        fingerprint(json.dumps(read_yaml(file.read_bytes(), str(file))[0], sort_keys=True))
        if file.is_file()
        else None
    )


def _way_out(last: Path) -> str:
    """What to do without the last checkpoint."""
    best = last.with_name("best.ckpt")
    recipe = last.parents[1] / "recipe.yaml"
    new = (
        f"or start a new run from the best weights with recipe={recipe} init_from={best}"
        if best.is_file()
        else ""
    )
    return (
        f"delete it to have resume= train this run again from its start{', ' if new else ''}{new}"
    )


def _compare_processes(now: int, then: int | None, wanted: int | None) -> None:
    """Refuse to go on with other batches than those of the run, unless it is asked for in so many
    words."""
    if wanted is not None and wanted != now:
        raise RecipeError(
            [
                f"processes: expected {now}, as many as trainer.devices and trainer.num_nodes "
                f"make, but it is {wanted}"
            ]
        )
    if then is not None and then != now and wanted is None:
        raise RecipeError(
            [
                f"resume: this run was trained by {then} process{'es' * (then > 1)} and would go "
                f"on with {now}, so its results would differ from those of an undisturbed run; "
                f"write processes={now} to go on all the same, or set trainer.devices and "
                f"trainer.num_nodes so that there are {then}"
            ]
        )


def _processes(trainer: Any) -> int:
    """How many processes a trainer makes; refuses more than this machine can run."""
    cores = os.cpu_count() or 1
    if isinstance(trainer.accelerator, CPUAccelerator) and trainer.num_devices > max(4, cores):
        many = f"{trainer.num_devices} processes are too many for the {cores} cores of this machine"
        raise RecipeError([f"trainer.devices: {many}"])
    return int(trainer.num_devices * trainer.num_nodes)


def _look_at_dilation(network: nn.Module, data: Any) -> None:
    """Warn, once and not on every rank, of dilation that is too much for the crops of the training,
    where images are larger."""
    if rank() != 0:
        return
    crop = data.augmentation.crop
    try:
        if crop and crop < max(_size(data)):
            warn_of_dilation(network, crop)
    except UserWarning:  # who has made errors of warnings wants this one
        raise
    except Exception as error:
        # a network may need numbers to run, where the check has sizes; what is wrong with images is
        # said later
        logging.getLogger(__name__).debug("dilation was not checked: %s", error)


def _size(data: Any) -> tuple[int, int]:
    """Height and width of the first image."""
    height, width = data.sample(data.training[0])[0].image.shape[-2:]
    return height, width


def _dilation(network: nn.Module, data: Any) -> list[str]:
    """A note on dilation that is too much for whole images."""
    try:
        note = dilation_note(network, _size(data))
    except Exception as error:  # a network may need numbers to run, where the check has sizes
        logging.getLogger(__name__).debug("dilation was not checked: %s", error)
        return []
    return [note] if note else []


def _look_at_memory(recipe: Resolved, segmenter: Segmenter, data: Any) -> None:
    """Refuse, before anything long begins, steps that take far more memory than there is; warn if
    it is only more than is free."""
    if rank() == 0 and (
        excess := check_memory(segmenter, data, *device_of(recipe.sections["trainer"]))
    ):
        raise RecipeError([f"data: {excess}"])


def load(
    folder: Path | str, checkpoint: str = "last.ckpt", inference: Inference | None = None
) -> Segmenter:
    """The trained network of a run folder, ready for `segmenter.predict(image)`. The data set may
    be gone.

    Arguments:
        inference: how it is asked about an image; None for what the section `predict` of the run's
            recipe says.
    """
    recipe = resolve(load_recipe([f"resume={folder}"]), ["network", "strategy", "predict"])
    path = Path(folder) / "checkpoints" / checkpoint
    content = read_weights(path)
    if "weakseg" not in content:
        raise ValueError(
            f"{path} is no checkpoint of weakseg: it does not say which classes its weights know"
        )
    classes = content["weakseg"]["classes"]
    # the first weights are those that nobody needs any more
    untrained = recipe.with_random_weights()
    network, strategy = (
        untrained.build(section, classes=len(classes)) for section in ("network", "strategy")
    )
    segmenter = Segmenter(network, strategy, classes, None, inference or recipe.build("predict"))
    segmenter.load_state_dict(content["state_dict"])
    # older checkpoints do not say
    segmenter.long_side = content["weakseg"].get(
        "long_side", recipe.sections["data"].get("long_side")
    )
    return segmenter.eval()


def _build(recipe: Resolved) -> tuple[Any, Segmenter, Rounds]:
    """Data, network with strategy, and rounds; what their constructors refuse is told for all of
    them at once."""
    data: Any = recipe.build("data")
    errors: list[str] = []
    parts: dict[str, Any] = {}
    for section in ("network", "strategy", "optimizer", "rounds", "predict"):
        try:
            parts[section] = recipe.build(section, classes=len(data.classes))
        except RecipeError as error:
            errors += error.errors
    if recipe.init_from and "network" in parts:
        errors += _start_from(recipe, parts["network"], data.classes)
    if errors:
        raise RecipeError(errors)
    segmenter = Segmenter(
        parts["network"], parts["strategy"], data.classes, parts["optimizer"], parts["predict"]
    )
    return data, segmenter, parts["rounds"]


def _start_from(recipe: Resolved, network: nn.Module, classes: Sequence[str]) -> list[str]:
    """Load the network's weights from a checkpoint, its classes matched by their names; returns
    what is wrong with it."""
    source = Path(recipe.init_from or "")
    try:
        content = read_weights(source)
        state = {
            name.removeprefix("network."): value
            for name, value in content.get("state_dict", {}).items()
            if name.startswith("network.")
        }
        theirs = content.get("weakseg", {}).get("classes", classes)
        if set(theirs) != set(classes):
            raise ValueError(
                f"the weights in {source} know the classes {', '.join(theirs)}, but the data set "
                f"has {', '.join(classes)}; expected the same names, in any order: see "
                "data.rename, data.classes and data.others"
            )
        table = match_classes(theirs, classes)
        if table is not None:
            state = reorder(state, _wider(recipe, len(classes)), table, len(classes), source)
        load_state(network, state, source)
    except ValueError as error:
        return [f"init_from: {error}"]
    return []


def _wider(recipe: Resolved, classes: int) -> nn.Module | None:
    """The recipe's network for one class more, whose tensors tell which rows belong to classes;
    None if it cannot be built."""
    wider = recipe.with_random_weights().with_values("network", classes=classes + 1)
    try:
        network: nn.Module = wider.build("network")
    except RecipeError:
        return None
    return network


def _loggers(recipe: Resolved, folder: Path, stopped: Stopped) -> list[Any]:
    record = Record(folder)
    record.rewind(stopped.steps, stopped.rows)
    extra: Any = recipe.build("logger")
    return [record, *extra.build(folder, recipe.sections)]


def _last(recipe: Recipe, folder: Path) -> Path | None:
    """The checkpoint to go on from; None for a new run, and for one that was stopped before its
    first checkpoint."""
    last = folder / "checkpoints" / "last.ckpt"
    return last if recipe.resume is not None and last.is_file() else None


HEAD = """\
# Readable by its owner only: what gives access, such as passwords and tokens, stands here as it was
# given, so that the run can be resumed. The copy in report.html has none of that.
"""


@contextmanager
def _folder(recipe: Resolved, root: Path, companions: Companions) -> Iterator[Path]:
    """The folder of the run, which rank 0 makes and keeps to itself; other ranks write nothing but
    why they failed."""
    if rank() != 0:
        with _explained(recipe, companions):
            yield Path(recipe.resume or root)
        return
    if recipe.resume is not None:
        folder = Path(recipe.resume)
    else:
        folder = root / recipe.name / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise RecipeError(
                [f"trainer.default_root_dir: the folder {folder} cannot be made: {error}"]
            ) from error
        companions.folder = folder
    with _explained(recipe, companions):
        if recipe.resume is None:
            write_whole(folder / "recipe.yaml", (HEAD + to_yaml(recipe)).encode(), mode=0o600)
        with only_user(folder):
            companions.folder = folder  # which is no other process's
            remove_leftovers(folder)
            for file in folder.glob("error*.txt"):  # of a run that this one goes on with
                file.unlink()
            print(f"run folder: {folder}", file=sys.stderr)
            companions.stopping.advice = advice(folder)
            yield folder


@contextmanager
def _explained(recipe: Recipe, companions: Companions) -> Iterator[None]:
    """Whatever ends the run, say how to go on where that is possible, and leave no trace of a run
    that has not begun."""
    try:
        yield
    except BaseException as error:
        stopping = companions.stopping
        companions.part()
        wanted = (
            isinstance(error, SignalStop | KeyboardInterrupt | SystemExit) or stopping.signum != 0
        )
        if wanted:
            if rank() == 0 and companions.folder is not None:
                print(f"\n{advice(companions.folder)}", file=sys.stderr)
            stopping.advice = ""
            stopping.farewell = True
            companions.finish(LIMIT - 2)
            raise
        told = companions.explain(error)
        _keep_what_failed(recipe, companions, told)
        companions.finish(2)
        if told is error:
            raise
        raise told from error
    companions.finish(LIMIT)


def _keep_what_failed(recipe: Recipe, companions: Companions, error: BaseException) -> None:
    """The traceback goes into the folder of a run that has begun; a folder of one that has not
    goes."""
    folder = companions.folder
    if folder is None:
        return
    if recipe.resume is None and not companions.steps:
        if rank() == 0:
            _remove(folder)
        return
    file = folder / ("error.txt" if rank() == 0 else f"error-rank{rank()}.txt")
    try:
        write_whole(
            file, scrub_text("".join(traceback.format_exception(error)), recipe.sections).encode()
        )
        error.add_note(f"the traceback is in {file}")
    except OSError:  # a full disk, perhaps the very reason
        pass
    # what was resumed and made no step will fail again, and so will the same step with the same
    # numbers rank 0 may be the one that is lost
    speaks = rank() == 0 or (rank() == 1 and isinstance(error, LostRank))
    if companions.steps and not isinstance(error, FloatingPointError) and speaks:
        error.add_note(advice(folder))


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for above in (folder.parent, folder.parent.parent):
        try:
            above.rmdir()
        except OSError:  # not empty
            return


def _tell(recipe: Resolved, folder: Path, segmenter: Segmenter, rounds: Rounds, data: Any) -> None:
    """The table on the screen, and the report."""
    rows = read_record(folder / "metrics.csv")
    final = {
        name: float(value)
        for row in rows
        for name, value in row.items()
        if name.startswith(("val/", "label/mask_ap")) and value
    }
    final |= rounds.figures
    best = _best(folder)
    report = folder / "report.html"
    write_report(
        report,
        title=f"{recipe.name}: {folder.name}",
        classes=segmenter.classes,
        figures=rows,
        final=final,
        confusion=segmenter.confusion if segmenter.confusion.any() else None,
        cases=_validation_cases(segmenter, rounds, data),
        training=[] if segmenter.confusion.any() else _training_cases(segmenter, data),
        recipe=scrub_yaml(to_yaml(recipe)),
        notes=[
            *_notes(recipe, segmenter),
            *_dilation(segmenter.network, data),
            *([best] if best else []),
        ],
    )
    print_tables(final, segmenter.classes, Console())
    if best:
        print(best)
    print(f"report: {report}")
    print(next_step(recipe.sections["data"]["name"], folder))


def _validation_cases(segmenter: Segmenter, rounds: Rounds, data: Any) -> list[Case]:
    """The validation images with the worst scores, or some of all if none has a score."""
    scores = segmenter.scores
    worst = sorted(
        scores, key=lambda index: -math.inf if math.isnan(scores[index]) else scores[index]
    )[:GALLERY]
    cases = []
    for index in worst or _some(data.validation):
        evidence, truth = data.sample(index)
        cases.append(make_case(segmenter, evidence, truth, rounds, scores.get(index)))
    return cases


def _some(indices: Sequence[int]) -> list[int]:
    """A few of the images, spread evenly."""
    count = min(GALLERY, len(indices))
    return [indices[place * len(indices) // count] for place in range(count)]


def _training_cases(segmenter: Segmenter, data: Any) -> list[Case]:
    """Training images with the targets in use: where no mask tells how good they are, a person has
    to see it."""
    cases = []
    for index in _some(data.training):
        evidence, truth = data.sample(index)
        target = data.target(evidence)
        hard = None if target is None else harden(target, evidence.box_classes)
        cases.append(make_case(segmenter, evidence, truth, None)._replace(target=hard))
    return cases


def _best(folder: Path) -> str:
    """How good the best network is, in words; nothing where no validation has measured any."""
    path = folder / "checkpoints" / "best.ckpt"
    if not path.is_file():
        return ""
    try:
        known = read_weights(path).get("weakseg", {}).get("validation")
    except ValueError as error:  # what was trained and measured is told all the same
        return f"best.ckpt: {error}"
    if known is None:
        return ""
    return (
        f"best.ckpt: {known['figure']} {known['value']:.3f}, the highest of all validations, "
        f"after step {known['step']}"
    )


def _notes(recipe: Recipe, segmenter: Segmenter) -> list[str]:
    weights = recipe.sections["network"].get("weights")
    return [
        f"weakseg {_version('weakseg')}, torch {_version('torch')}, pytorch-lightning "
        f"{_version('pytorch-lightning')}; seed {recipe.seed}",
        f"network: {type(segmenter.network).__name__}, initial weights: "
        f"{scrub_text(str(recipe.init_from or weights or 'random'))}",
        "figures are of the last weights, not of the best ones; IoU is taken from one confusion "
        "matrix over all images at their own size",
    ]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a bare checkout
        return "from a checkout"
