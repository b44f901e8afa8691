"""One run from a recipe: build the parts, train, measure, and leave a folder that tells all of
it."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.callbacks import ProgressBar, TQDMProgressBar
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.profilers import PassThroughProfiler
from torch import nn

from weakseg.config.recipe import RecipeError, Resolved
from weakseg.data.pseudo import expect_labels
from weakseg.inference.multiscale import Inference
from weakseg.networks.analysis.gridding import warn_of_dilation
from weakseg.planning.agreement import OnePlan
from weakseg.planning.plan import plan_of, print_plan
from weakseg.reporting.dashboards import class_table, keep_files, log_tables
from weakseg.reporting.image_logger import ImageLogger
from weakseg.reporting.results import report_run
from weakseg.reporting.round_tables import RoundTables
from weakseg.reporting.run_images import SUSPECTS, Suspect
from weakseg.suspicion.of_run import write_review
from weakseg.trained.checkpoint import read_segmenter
from weakseg.training.average_precision import AveragePrecision
from weakseg.training.building import build_run
from weakseg.training.checkpoints import Checkpoints, WholeFiles
from weakseg.training.cluster import trainer_arguments
from weakseg.training.corrections_check import missing_folder
from weakseg.training.early_stopping import why_ended
from weakseg.training.evidence_check import why_none
from weakseg.training.image_statistics import ImageStatistics
from weakseg.training.job_callback import NoteJob
from weakseg.training.label_monitor import LabelMonitor
from weakseg.training.memory_budget import OutOfMemory, check_memory, device_of
from weakseg.training.metrics_file import Record
from weakseg.training.own_callbacks import (
    place_checkpoints,
    refused_callbacks,
    refused_with_trainer,
)
from weakseg.training.rank_monitor import CleanStop, RankMonitor, StopTogether
from weakseg.training.resume import (
    StoppedRun,
    compare_processes,
    last_checkpoint,
    read_stop,
    recipe_digest,
)
from weakseg.training.rounds import ONE_ROUND, Rounds
from weakseg.training.run_folder import run_folder
from weakseg.training.segmenter import Segmenter
from weakseg.training.step_timer import StepTimer
from weakseg.training.used_models import note_models
from weakseg.utils.job import JobRecord
from weakseg.utils.memory import keep_freed
from weakseg.utils.processes import leave_group, rank
from weakseg.utils.remote_path import as_path, expect_local
from weakseg.utils.signals import of_a_run


def fit(recipe: Resolved, job: JobRecord | None = None) -> Path:
    """Train as a recipe says, or go on with a run that was stopped; returns the folder of the run.

    Args:
        recipe: what is trained.
        job: where a scheduler's job notes the folder, to find it when it is started anew.
    """
    atexit.register(leave_group)  # not now: a program may train again with the same processes
    with _quiet_lightning():
        return _fit(recipe, job)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence those messages of Lightning that no user needs, for the time of a run."""
    log = logging.getLogger("pytorch_lightning")
    level = log.level
    log.setLevel(logging.WARNING)  # tips and device lists would push our messages off the screen
    try:
        with warnings.catch_warnings():
            # Lightning calls a function that torch deprecates
            warnings.filterwarnings("ignore", module="pytorch_lightning.utilities._pytree")
            # steps are counted across epochs
            warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
            # who resumes a run without one of its callbacks has written so
            warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint need.*")
            yield
    finally:
        log.setLevel(level)


def _fit(recipe: Resolved, job: JobRecord | None) -> Path:
    _expect_local_folders(recipe)
    plan = plan_of(recipe)
    recipe = recipe.with_plan(plan.values, plan.reasons)
    pl.seed_everything(recipe.seed, verbose=False)
    data, segmenter, rounds = build_run(recipe)
    if segmenter.optimizer.freeze_batchnorm:  # in eval mode on purpose
        warnings.filterwarnings("ignore", ".* in eval mode at the start of training")
    stopped = read_stop(recipe)
    settings = recipe.sections["trainer"]
    own = _own_callbacks(recipe)
    agreement = [OnePlan(plan)] if plan.values else []
    root = Path(settings.get("default_root_dir") or "runs")
    statistics = ImageStatistics()
    rank_monitor = RankMonitor(of_a_run())
    # there is no folder yet: Lightning may refuse its arguments
    checkpoints = None if settings.get("enable_checkpointing") is False else Checkpoints(root)
    note_job = NoteJob(job, rank_monitor)
    callbacks = _callbacks(
        settings, rounds, statistics, rank_monitor, checkpoints, [*agreement, *own.values()]
    )
    cluster = trainer_arguments()
    trainer: Any = recipe.build(
        "trainer",
        default_root_dir=root,
        logger=False,
        callbacks=[note_job, *callbacks],
        use_distributed_sampler=False,
        enable_model_summary=False,
        **{**cluster, "plugins": [WholeFiles(), *cluster["plugins"]]},
    )
    if trainer.strategy.root_device.type == "cpu":
        keep_freed()
    compare_processes(_processes(trainer), stopped.processes, recipe.processes)
    names = {key: node["name"] for key, node in recipe.sections["callbacks"].items()}
    if wrong := refused_with_trainer(own, names, trainer, data):
        raise RecipeError(recipe.located(wrong))
    _look_at_pseudo_labels(recipe, data)
    _look_at_unlabelled_images(recipe, data, rounds)
    _look_at_corrections(recipe, data)
    _look_at_dilation(segmenter.network, data)
    _look_at_memory(recipe, segmenter, data)
    print_plan(recipe, plan)
    with run_folder(recipe, root, rank_monitor) as folder:
        if checkpoints is not None:
            checkpoints.folder = folder / "checkpoints"
            checkpoints.recipe = recipe_digest(folder)
        if rank() == 0:
            note_models(segmenter.strategy, folder)
        place_checkpoints(own, folder)
        if settings.get("profiler") is not None:
            _keep_profile(trainer.profiler, folder)
        loggers = _loggers(recipe, folder, stopped)
        # which logs nothing, but some callbacks want a logger
        trainer.loggers = [DummyLogger()] if trainer.fast_dev_run else loggers
        rank_monitor.prepare(trainer)
        try:
            trainer.fit(
                segmenter,
                datamodule=data,
                ckpt_path=last_checkpoint(recipe, folder),
                weights_only=True,
            )
        except SystemExit as stop:
            # which Lightning would keep from a program that goes on
            if isinstance(stop.__context__, KeyboardInterrupt):
                raise stop.__context__ from None
            # Lightning's answer to SIGTERM; a scheduler must not take it for a finished run
            raise SystemExit(stop.code or 143) from None
        if len(data.validation) and segmenter.validated_at != trainer.global_step:
            trainer.validate(segmenter, datamodule=data, verbose=False)
        measured = statistics.everywhere()
        numbers = rounds.numbers()
        rank_monitor.relax()
        if trainer.is_global_zero:
            queue = write_review(measured, segmenter.classes, numbers, folder)
            suspects = [
                Suspect(numbers[image], score, reasons)
                for image, score, reasons in queue[:SUSPECTS]
            ]
            figures = report_run(
                recipe, folder, segmenter, rounds, data, _endings(trainer), suspects
            )
            log_tables(loggers, trainer.global_step, [class_table(figures, segmenter.classes)])
            keep_files(loggers, folder, recipe.name, data)
            note_job.finish(trainer)
        return Path(trainer.strategy.broadcast(str(folder)))


def _callbacks(
    settings: Mapping[str, Any],
    rounds: Rounds,
    statistics: ImageStatistics,
    rank_monitor: RankMonitor,
    checkpoints: Checkpoints | None,
    own: Iterable[Any] = (),
) -> list[Any]:
    """What Lightning calls during the training, in this order: those of the recipe find all that
    ours have logged, and what they leave is in the checkpoints that follow."""
    own = list(own)
    callbacks: list[Any] = [
        rounds,
        StepTimer(),
        LabelMonitor(),
        statistics,
        ImageLogger(),
        RoundTables(),
        AveragePrecision(),
        OutOfMemory(),
        rank_monitor,
        *own,
    ]
    if checkpoints is None:
        callbacks.append(StopTogether(rank_monitor.stopping, None))
    else:
        callbacks += [checkpoints, CleanStop(rank_monitor.stopping, checkpoints)]
    has_bar = any(isinstance(callback, ProgressBar) for callback in own)
    if settings.get("enable_progress_bar") is not False and not has_bar:
        # of the kind that rounds have, too
        callbacks.append(TQDMProgressBar(1 if sys.stdout.isatty() else 50))
    return callbacks


def _own_callbacks(recipe: Resolved) -> dict[str, Any]:
    """The callbacks that the recipe names, by their keys there."""
    own = recipe.build_all("callbacks")
    errors = refused_callbacks(own)
    if recipe.resume is not None and recipe.sections["trainer"].get("fast_dev_run"):
        errors.append(
            "trainer.fast_dev_run: a few steps to see that a recipe works, in a run of their own; "
            "leave it out with resume="
        )
    if errors:
        raise RecipeError(recipe.located(errors))
    return own


def _keep_profile(profiler: Any, folder: Path) -> None:
    """A profile that was asked for by its name goes into the run folder, as fit-profile.txt."""
    if isinstance(profiler, PassThroughProfiler):
        return  # nobody has asked for one, and this would leave an empty file
    if getattr(profiler, "dirpath", folder) is None and profiler.filename is None:
        profiler.dirpath = str(folder)
        profiler.filename = "profile"


def _endings(trainer: Any) -> list[str]:
    """What is to be known of how a run ended, and of a run that is none."""
    endings = [why_ended(trainer)]
    if trainer.fast_dev_run:
        steps = f"{trainer.fast_dev_run:d} step{'s' * (trainer.fast_dev_run != 1)}"
        endings.append(
            f"trainer.fast_dev_run: {steps} to see that the recipe works, without metrics.csv and "
            "dashboards; the figures say nothing"
        )
    return [ending for ending in endings if ending]


def _processes(trainer: Any) -> int:
    """How many processes a trainer makes; refuses more than this machine can run."""
    cores = os.cpu_count() or 1
    if isinstance(trainer.accelerator, CPUAccelerator) and trainer.num_devices > max(4, cores):
        many = f"{trainer.num_devices} processes are too many for the {cores} cores of this machine"
        raise RecipeError(f"trainer.devices: {many}")
    return int(trainer.num_devices * trainer.num_nodes)


def _expect_local_folders(recipe: Resolved) -> None:
    """Refuse to write runs, targets and corrections elsewhere: lines are added to their files, and
    several processes hold them."""
    root = recipe.sections["trainer"].get("default_root_dir")
    try:
        expect_local("trainer.default_root_dir", root)
        expect_local("rounds.folder", recipe.sections["rounds"].get("folder"))
        expect_local("data.corrections", recipe.sections["data"].get("corrections"))
    except ValueError as error:
        raise RecipeError(recipe.located([str(error)])) from None


def _look_at_pseudo_labels(recipe: Resolved, data: Any) -> None:
    """Refuse a folder that cannot be one of pseudo-labels before there is a run folder, to which
    `latest` would lead."""
    folder = getattr(data, "pseudo", None)
    if folder is None:
        return
    try:
        expect_labels(as_path(folder), data.classes)
    except ValueError as error:
        raise RecipeError(recipe.located([f"data.{error}"])) from None


def _look_at_unlabelled_images(recipe: Resolved, data: Any, rounds: Any) -> None:
    """Refuse a folder without images, and images that no round would ever come to, before there is
    a run folder."""
    if getattr(data, "unlabelled", None) is None:
        return
    try:
        data.unlabelled_images  # noqa: B018
    except ValueError as error:
        raise RecipeError(recipe.located([f"data.{error}"])) from None
    if rounds.count == 1:
        raise RecipeError(f"data.{ONE_ROUND}")


def _look_at_corrections(recipe: Resolved, data: Any) -> None:
    """Refuse a folder that is not there, which may be mistyped, and a data set of corrections
    alone in which nobody has drawn anything, before there is a run folder. A resumed run has its
    own."""
    folder = getattr(data, "corrections", None)
    if recipe.resume is not None:
        return
    if missing := missing_folder(data):
        raise RecipeError(recipe.located([missing]))
    if (folder is not None or getattr(data, "bare", False)) and not data.training:
        raise RecipeError(f"data: {why_none(data)}")


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
    height, width = data.corrected(data.training[0])[0].image.shape[-2:]
    return height, width


def _look_at_memory(recipe: Resolved, segmenter: Segmenter, data: Any) -> None:
    """Refuse, before anything long begins, steps that take far more memory than there is; warn if
    it is only more than is free."""
    if rank() == 0 and (
        excess := check_memory(segmenter, data, *device_of(recipe.sections["trainer"]))
    ):
        raise RecipeError(f"data: {excess}")


def load(
    folder: Path | str, checkpoint: str = "last.ckpt", inference: Inference | None = None
) -> Segmenter:
    """The trained network of a run folder, ready for `segmenter.predict(image)`. The data set may
    be gone. `weakseg.load_model` takes exported and published networks, too.

    Args:
        inference: how it is queried about an image; None for what the section `predict` of the
            run's recipe says.
    """
    return read_segmenter(Path(folder), Path(folder) / "checkpoints" / checkpoint, inference)[0]


def _loggers(recipe: Resolved, folder: Path, stopped: StoppedRun) -> list[Any]:
    record = Record(folder)
    record.rewind(stopped.steps, stopped.rows)
    extra: Any = recipe.build("logger")
    return [record, *extra.build(folder, recipe.sections)]
