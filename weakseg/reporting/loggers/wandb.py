"""Runs in Weights & Biases: online if that is possible, else kept in the run's folder; it never
prompts and never waits for long."""

from __future__ import annotations

import math
import netrc
import os
import re
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import wandb
from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from weakseg.evidence import IGNORE
from weakseg.functional.painting import paint_evidence
from weakseg.reporting.drawing import Case
from weakseg.reporting.loggers.base import Table, View
from weakseg.utils.secrets import scrub, scrub_words

PATIENCE = 3.0  # seconds for the host to answer
START = 20.0  # seconds for a host that answers to take the run
DATA_DIR = "WANDB_DATA_DIR"
FINISH = 120.0  # seconds to upload the rest when the program ends; what is left stays on disk


class Wandb(View):
    """Shows a run in wandb.

    Args:
        project: null for what WANDB_PROJECT says, else weakseg.
        name: of the run; null for the recipe and the folder.
        entity: user or team; null for what WANDB_ENTITY says.
        mode: "auto" is what WANDB_MODE says, else online if a key is configured and the host
            answers, and offline otherwise.
        artifacts: what to keep there at the end of a run: "targets", those of the last round as
            masks, and "model", the best checkpoint.
    """

    def __init__(
        self,
        project: str | None = None,
        name: str | None = None,
        entity: str | None = None,
        mode: Literal["auto", "online", "offline", "disabled"] = "auto",
        artifacts: Sequence[Literal["targets", "model"]] = (),
    ) -> None:
        if mode == "online" and not has_key(_settings().base_url):
            raise ValueError(
                "mode=online needs a key: run `wandb login` once or set WANDB_API_KEY; or leave "
                "mode at auto"
            )
        self.project = project or os.environ.get("WANDB_PROJECT") or "weakseg"
        self.name = name
        self.entity = entity
        self.mode = mode
        self.artifacts = artifacts

    def build(self, folder: Path, config: Mapping[str, Any]) -> list[Logger]:
        """Start the run, or go on with the one of this folder; on other ranks than 0 a logger that
        does nothing."""
        run = self._start(folder, config) if getattr(rank_zero_only, "rank", 0) == 0 else None
        logger = Scrubbed(experiment=run, project=self.project, save_dir=folder)
        logger.artifacts = self.artifacts
        return [logger]

    def _start(self, folder: Path, config: Mapping[str, Any]) -> Any:
        mode, why = self._choose()
        try:
            run = self._init(folder, config, mode)
        except Exception as error:  # a host may fail in many ways, and no run should end for that
            if mode != "online" or self.mode == "online":
                raise
            mode = "offline"
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            wandb.teardown()  # its helper process still holds the run that failed
            run = self._init(folder, config, mode)
        if mode == "offline":
            _say(
                f"{why}; this run is kept offline, upload it later with: wandb sync "
                f"{folder}/wandb/offline-run-*"
            )
        elif mode == "online":
            _say(str(run.url))
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        return run

    def _choose(self) -> tuple[Literal["online", "offline", "disabled"], str]:
        """The mode, and the reason if it is offline."""
        wanted = self.mode if self.mode != "auto" else os.environ.get("WANDB_MODE", "")
        if wanted in ("offline", "dryrun"):
            return "offline", "as requested"
        if wanted == "disabled":
            return "disabled", ""
        host = _settings().base_url
        if not has_key(host):
            return "offline", "no key is configured (wandb login)"
        if self.mode == "auto" and not answers(host):
            return "offline", f"{host} does not answer"
        return "online", ""

    def _init(
        self,
        folder: Path,
        config: Mapping[str, Any],
        mode: Literal["online", "offline", "disabled"],
    ) -> Any:
        settings: dict[str, Any] = {
            "silent": True,
            "console": "off",  # it would redirect the progress bars
            # the remote's address and the uncommitted changes may hold anything
            "disable_git": True,
            "disable_code": True,
            "init_timeout": START,
            "finish_timeout": FINISH,
        }
        known = {
            name: value for name, value in settings.items() if name in wandb.Settings.model_fields
        }
        command = config.get("command")
        with _no_secrets_no_prompt():
            return wandb.init(
                project=self.project,
                entity=self.entity,
                name=self.name or f"{folder.parent.name}/{folder.name}",
                # of a run, which may be resumed; the results of another command are always new
                id=None if command else re.sub(r"[^A-Za-z0-9_-]", "-", folder.name)[-64:],
                job_type=command or "fit",
                resume="allow",
                reinit="finish_previous",
                dir=str(folder),
                config=scrub(dict(config)),
                mode=mode,
                settings=wandb.Settings(**known),
            )


class Scrubbed(WandbLogger):
    """Lightning's logger for wandb, which stores no secrets among the hyper-parameters."""

    artifacts: Sequence[str] = ()

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Store hyper-parameters with every secret masked."""
        super().log_hyperparams(scrub(dict(params if isinstance(params, dict) else vars(params))))

    def log_files(self, kind: str, name: str, path: Path, facts: Mapping[str, Any]) -> None:
        """Keep a file or a folder as an artifact of wandb's; offline, its upload takes the files
        from where they are."""
        artifact = wandb.Artifact(name, kind, metadata=scrub(dict(facts)))
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file():
                inside = file.relative_to(path if path.is_dir() else path.parent).as_posix()
                # the other policy copies every file first
                artifact.add_file(str(file), name=inside, policy="immutable")
        with staged(self):
            self.experiment.log_artifact(artifact)


def log_table(logger: WandbLogger, step: int, table: Table) -> None:
    """Show a table, its images with layers to switch on and off."""
    data = [
        [_image(cell, table.classes) if isinstance(cell, Case) else cell for cell in row]
        for row in table.rows
    ]
    with staged(logger):
        shown = wandb.Table(columns=list(table.columns), data=data)
        logger.experiment.log({table.name: shown, "trainer/global_step": step})


@contextmanager
def staged(logger: WandbLogger) -> Iterator[None]:
    """What waits for its upload does so beside the run, not in the home of the user, unless
    WANDB_DATA_DIR says where."""
    if DATA_DIR in os.environ or not logger.save_dir:
        yield
        return
    os.environ[DATA_DIR] = str(Path(logger.save_dir) / "wandb")
    try:
        yield
    finally:
        del os.environ[DATA_DIR]


def log_pictures(
    logger: WandbLogger, step: int, cases: Sequence[Case], classes: Sequence[str]
) -> None:
    """Show images with layers to switch on and off: weak (the evidence painted), target,
    prediction, truth."""
    images = [_image(case, classes) for case in cases]
    logger.experiment.log({"val/images": images, "trainer/global_step": step})


def _image(case: Case, classes: Sequence[str]) -> wandb.Image:
    names = {**dict(enumerate(classes)), IGNORE: "no label"}
    weak = paint_evidence(case.evidence, len(classes))
    layers: dict[str, Tensor | None] = {
        "weak": weak,
        "target": case.target,
        "prediction": case.prediction,
        "truth": case.truth,
    }
    masks = {
        name: {"mask_data": labels.numpy(), "class_labels": names}
        for name, labels in layers.items()
        if labels is not None
    }
    score = (
        ""
        if case.score is None or math.isnan(case.score)
        else f": {case.score_name} {case.score:.3f}"
    )
    return wandb.Image(
        case.evidence.image.permute(1, 2, 0).numpy(),
        caption=f"{case.evidence.id}{score}",
        masks=masks,
    )


def has_key(host: str) -> bool:
    """Whether wandb will find a key for the host without a prompt."""
    if (
        _settings().api_key
        or os.environ.get("WANDB_API_KEY")
        or os.environ.get("WANDB_IDENTITY_TOKEN_FILE")
    ):
        return True
    home = Path.home()
    for file in (
        [os.environ["NETRC"]] if os.environ.get("NETRC") else [home / ".netrc", home / "_netrc"]
    ):
        try:
            entries = netrc.netrc(os.path.expanduser(file))
        except (OSError, netrc.NetrcParseError):
            continue
        # newer versions of wandb have another default host, and take the key of the older one for
        # it
        if any(
            entries.authenticators(machine) for machine in (urlsplit(host).netloc, "api.wandb.ai")
        ):
            return True
    return False


def answers(host: str, patience: float = PATIENCE) -> bool:
    """Whether a host answers at all within a few seconds, name look-up and proxies included."""
    answered = threading.Event()

    def connect() -> None:
        try:
            urllib.request.urlopen(host, timeout=patience).close()
        except urllib.error.HTTPError:  # refusing is answering
            answered.set()
        except (OSError, ValueError):
            return
        answered.set()

    # a look-up of a name has no time limit
    threading.Thread(target=connect, daemon=True).start()
    return answered.wait(patience)


def _settings() -> Any:
    return wandb.setup(settings=wandb.Settings(silent=True)).settings


@contextmanager
def _no_secrets_no_prompt() -> Iterator[None]:
    """wandb stores the command line, and prompts for a key if there is a terminal."""
    words = sys.argv
    stdin = sys.stdin
    with open(os.devnull) as nothing:
        sys.argv = scrub_words(words)
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.argv = words
            sys.stdin = stdin


def _say(text: str) -> None:
    print(f"wandb: {text}", file=sys.stderr)
