"""What a run does about signals and about its other ranks: end all of them together, and say which
one has died or hangs."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch.distributed as dist
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from torch.distributed import distributed_c10d

from weakseg.training.checkpoints import Checkpoints
from weakseg.utils.lifeline import when_orphaned
from weakseg.utils.processes import highest
from weakseg.utils.progress import move, moved
from weakseg.utils.signals import Stopping

TIMEOUT = "WEAKSEG_RANK_TIMEOUT"  # seconds, in the environment
USUAL = 1800.0  # torch's own patience with a rank
# in the environment of ranks that rank 0 has launched: its process id
LAUNCHER = "WEAKSEG_LAUNCHER"
POLL_INTERVAL = 0.3  # seconds between two looks at the launched ranks
OWN_WORDS = 2.5  # seconds for a rank that lost another one to say so itself, and to clean up


class StopTogether(Callback):
    """After a signal, ends training where a run can go on: all ranks at the same step, with a
    checkpoint of it if there are any."""

    def __init__(self, stopping: Stopping, checkpoints: Checkpoints | None) -> None:
        self.stopping = stopping
        self.checkpoints = checkpoints
        self._signum = 0  # which all ranks know of

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning has taken the signals over right before."""
        self.stopping.take_over()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning has taken the signals over right before, in a validation of its own."""
        self.stopping.take_over()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on a signal waits for the end of a step."""
        self.stopping.take_over()
        self.stopping.patient = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Learn of a signal on any rank; let a checkpoint be written before the next batch, if that
        is possible there."""
        self._signum = self._signum or highest(self.stopping.signum)
        if self._signum and self.checkpoints is not None:
            self.checkpoints.soon = True

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """End if the last step is in the checkpoint."""
        if self._signum and (
            self.checkpoints is None or self.checkpoints.saved_at == trainer.global_step
        ):
            self._end()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End: what follows, a validation and the report, can be done by a resumed run."""
        self.stopping.patient = False
        self._signum = self._signum or highest(self.stopping.signum)
        if self._signum:
            self._end()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Nothing waits for the end of a step any more."""
        self.stopping.patient = False

    def _end(self) -> None:
        self.stopping.signum = self.stopping.signum or self._signum  # another rank's
        self.stopping.raise_if_asked()


class CleanStop(StopTogether, Checkpoint):
    """Of the kind that Lightning calls after all other callbacks, and refuses without checkpoints;
    it belongs behind `Checkpoints`."""


def advice(folder: Path) -> str:
    """How to go on with a run."""
    return f"stopped; go on with: python -m weakseg.fit resume={shlex.quote(str(folder))}"


ORPHANED = "rank 0 has died; all ranks end"


class LostRank(RuntimeError):
    """Another rank has died; the message says which."""


class RankMonitor(Callback):
    """The other ranks of a run, as this one sees them, and whether this one has trained at all.

    Args:
        stopping: of this process.
        folder: of the run, which rank 0 knows; the others receive it.
    """

    def __init__(self, stopping: Stopping, folder: Path | None = None) -> None:
        self.stopping = stopping
        self.folder = folder
        self.steps = 0  # of this process, not of a run that it goes on with
        self.noticed = False  # whether the main thread has noticed that a rank is lost
        # rank and exit code of a launched process that has failed
        self.dead: tuple[int, int] | None = None
        self._launched: Sequence[subprocess.Popen[Any]] = ()
        self._pulse: Pulse | None = None

    def prepare(self, trainer: Trainer) -> None:
        """Right before `fit`, in which Lightning launches the other ranks."""
        launcher: Any = trainer.strategy.launcher
        if trainer.world_size > 1 and (_is_launched() or "TORCHELASTIC_RUN_ID" in os.environ):
            when_orphaned(
                int(os.environ[LAUNCHER]) if _is_launched() else os.getppid(), self._end_as_orphan
            )
        elif hasattr(launcher, "procs"):
            os.environ[LAUNCHER] = str(os.getpid())
            self.stopping.launched = lambda: launcher.procs
            launch = launcher.launch

            def launch_watched(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
                def watched(*arguments: Any, **named: Any) -> Any:
                    self._watch_launched()
                    return function(*arguments, **named)

                return launch(watched, *arguments, **named)

            launcher.launch = launch_watched

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ranks know each other now: tell them the folder, and begin to watch."""
        if trainer.world_size == 1 or self._pulse is not None:
            return
        self.folder = Path(trainer.strategy.broadcast(str(self.folder)))
        if trainer.global_rank == 1:  # which speaks when rank 0 cannot
            self.stopping.advice = advice(self.folder)
        self._pulse = Pulse(trainer.global_rank, trainer.world_size, timeout(), self.stopping)
        self._pulse.start()

    def _watch_launched(self) -> None:
        """Right after the launch, before the ranks know each other: Lightning's own watch begins
        here, too."""
        if self._launched:
            return  # this is a later fit or validation
        self._launched = self.stopping.launched()
        if self._launched:
            _dismiss_observer()
            threading.Thread(target=self._watch, daemon=True, name="weakseg-rank-monitor").start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """This rank moves."""
        self.steps += 1
        move()

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """This rank moves."""
        move()

    def explain(self, error: BaseException) -> BaseException:
        """The same error, or, where it only says that a connection broke, one that says whose
        process has died."""
        if not _is_broken_connection(error):
            return error
        self.noticed = True
        end = time.monotonic() + OWN_WORDS - 0.5
        while (
            (self._launched or _is_launched())
            and self.dead is None
            and not _is_orphan()
            and time.monotonic() < end
        ):
            # the system breaks the connections of a process some moments before it says that this
            # has ended
            time.sleep(0.1)
        if self.dead is not None:
            return LostRank(_obituary(*self.dead))
        if _is_orphan():
            return LostRank(ORPHANED)
        return LostRank(
            "another rank has died: the connection to it broke; what it printed, or who killed "
            "it, says why"
        )

    def relax(self) -> None:
        """Training is over: ranks may end, and none has to move."""
        if self._pulse is not None:
            self._pulse.over = True

    def part(self) -> None:
        """The run ends by an exception, in a process that may live on: nobody has to end that
        because ranks are gone."""
        self.noticed = True
        self.relax()

    def finish(self, patience: float) -> None:
        """Wait for the launched ranks to end, and end them."""
        end = time.monotonic() + patience
        for process in self.stopping.launched():
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _end_as_orphan(self) -> None:
        time.sleep(OWN_WORDS)
        self.stopping.end_now(
            128 + self.stopping.signum if self.stopping.signum else 1,
            "" if self.stopping.signum else f"error: {ORPHANED}",
        )

    def _watch(self) -> None:
        """End this process when a launched rank has failed and nothing here has noticed."""
        while self.dead is None:
            time.sleep(POLL_INTERVAL)
            codes = [process.poll() for process in self._launched]
            failed = [(rank, code) for rank, code in enumerate(codes, 1) if code]
            if failed:
                self.dead = failed[0]
            elif all(code == 0 for code in codes):
                return
        time.sleep(OWN_WORDS)
        if not self.stopping.signum and not self.noticed:
            self.stopping.end_now(_exit_code(self.dead[1]), f"error: {_obituary(*self.dead)}")


def timeout() -> float:
    """Seconds without any step or image after which a rank is taken to hang; 0 for never."""
    text = os.environ.get(TIMEOUT, "")
    try:
        seconds = float(text or USUAL)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise ValueError(
            f"the environment variable {TIMEOUT} should be seconds, such as 600, or 0 for no "
            f"limit, but it is {text!r}"
        )
    return seconds


def _is_launched() -> bool:
    """Whether this is a rank that rank 0 has launched."""
    return LAUNCHER in os.environ and os.environ.get("LOCAL_RANK", "0") != "0"


def _is_orphan() -> bool:
    """Whether rank 0, which has launched this one, is gone."""
    return _is_launched() and os.environ[LAUNCHER] != str(os.getppid())


def _dismiss_observer() -> None:
    """Lightning's own watch kills this process without a word; a version of it that is built
    otherwise stays."""
    for thread in threading.enumerate():
        if thread.name == "child-process-observer" and hasattr(thread, "_child_processes"):
            thread._child_processes = []


def _is_broken_connection(error: BaseException) -> bool:
    words = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "TCPStore")
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


def _exit_code(code: int) -> int:
    signum = -code if code < 0 else code - 128
    return 128 + signum if signum in (signal.SIGINT, signal.SIGTERM) else 1


def _obituary(rank: int, code: int) -> str:
    if code < 0:
        return f"rank {rank} was killed by {signal.Signals(-code).name}; all ranks end"
    return (
        f"rank {rank} has ended with exit code {code}, and what it printed says why; all ranks end"
    )


# hanging ------------------------------------------------------------------------------------------


class Beat(NamedTuple):
    """What a rank says of itself every few seconds."""

    number: int
    """of the beat"""
    moved: int
    """images and steps that it has finished"""
    waits: bool
    """whether its main thread waits for other ranks"""
    where: str
    """its main thread is"""


class Seen(NamedTuple):
    """A rank's last beat, and when it was another one, by the clock of whoever saw it."""

    beat: Beat
    beaten: float
    moved: float


def see(before: Seen | None, beat: Beat, now: float) -> Seen:
    """What is known of a rank when a beat of it is read."""
    if before is None:
        return Seen(beat, now, now)
    beaten = now if beat.number != before.beat.number else before.beaten
    return Seen(beat, beaten, now if beat.moved != before.beat.moved else before.moved)


def judge(seen: dict[int, Seen], now: float, limit: float) -> str:
    """Which rank hangs, or nothing.

    One that is not heard of hangs. Where all are heard of, but none has moved, it is the one that
    does not wait for others.
    """
    silent = [rank for rank, one in seen.items() if now - one.beaten > limit]
    if silent:
        return f"{_names(silent)} not answered for {limit:g} seconds"
    if not seen or any(now - one.moved <= limit for one in seen.values()):
        return ""
    busy = [rank for rank, one in seen.items() if not one.beat.waits] or list(seen)
    places = "; ".join(f"rank {rank} is in {seen[rank].beat.where}" for rank in busy)
    return f"{_names(busy)} not moved for {limit:g} seconds, and the others wait: {places}"


def _names(ranks: Sequence[int]) -> str:
    return (
        f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))} "
        f"hang{'s' * (len(ranks) == 1)}: {'has' if len(ranks) == 1 else 'have'}"
    )


def place(frame: Any) -> tuple[bool, str]:
    """Whether a thread waits for other ranks, and the innermost line of it that is not torch's."""
    waits = (
        f"torch{os.sep}distributed" in frame.f_code.co_filename
        or frame.f_code.co_name == "_engine_run_backward"
    )
    while frame.f_back is not None and f"{os.sep}torch{os.sep}" in frame.f_code.co_filename:
        frame = frame.f_back
    return (
        waits,
        f"{os.path.basename(frame.f_code.co_filename)}, line {frame.f_lineno}, "
        f"{frame.f_code.co_name}",
    )


class Pulse:
    """Tells the other ranks every few seconds that this one lives and where it is, and ends it when
    one of them hangs."""

    def __init__(self, rank: int, world: int, limit: float, stopping: Stopping) -> None:
        self.rank = rank
        self.world = world
        self.limit = limit
        self.stopping = stopping
        # one of its own: a store serves one thread at a time
        self.store: Any = distributed_c10d._get_default_store().clone()
        self.seen: dict[int, Seen] = {}
        self.over = limit == 0
        self._exchanged = time.monotonic()

    def start(self) -> None:
        """In two threads: one may be kept waiting by rank 0, which keeps the store."""
        for work in (self._beat, self._judge):
            threading.Thread(target=work, daemon=True, name="weakseg-pulse").start()

    def _beat(self) -> None:
        number = 0
        while not self.over:
            number += 1
            frame = sys._current_frames()[threading.main_thread().ident or 0]
            try:
                self.store.set(
                    f"weakseg/{self.rank}", json.dumps(Beat(number, moved(), *place(frame)))
                )
                for rank in range(self.world):
                    if self.store.check([f"weakseg/{rank}"]):
                        beat = Beat(*json.loads(self.store.get(f"weakseg/{rank}")))
                        self.seen[rank] = see(self.seen.get(rank), beat, time.monotonic())
            except RuntimeError:  # the store has gone with its rank, whose end is noticed otherwise
                self.over = True
            self._exchanged = time.monotonic()
            time.sleep(min(5.0, self.limit / 4))

    def _judge(self) -> None:
        # rank 0 speaks for all, if it can
        patience = self.limit if self.rank == 0 else self.limit + 3
        while not self.over:
            time.sleep(min(1.0, self.limit / 4))
            if time.monotonic() - self._exchanged > patience:
                self._end(f"rank 0 hangs: has not answered for {self.limit:g} seconds")
            elif sentence := judge(dict(self.seen), time.monotonic(), patience):
                self._end(sentence)

    def _end(self, sentence: str) -> None:
        if self.stopping.signum or self.over:
            return
        launcher = os.environ.get(LAUNCHER, "")
        if _is_launched() and launcher == str(os.getppid()):
            # rank 0 would have said so itself, and ended this process
            os.kill(int(launcher), signal.SIGKILL)
        self.stopping.end_now(1, f"error: {sentence} ({TIMEOUT})")
