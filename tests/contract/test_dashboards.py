"""What every strategy promises whoever looks at it: a dashboard, a report or a later round changes
nothing about the training.

Each strategy runs with each logger, as the command runs it, through validations, a second round,
and a second run in the same folder, whose targets are in the label store already. One run of wandb,
which takes seconds to start, serves all strategies.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import wandb

from weakseg.fit import main
from weakseg.reporting import loggers
from weakseg.strategies import NAMES
from weakseg.strategies.base import Strategy, estimates
from weakseg.training.metrics_file import read_record

LOGGERS = tuple(loggers.NAMES)
WORDS = [
    *(
        "recipe=full",
        "network=tests.small.TinyNet",
        "network.classes=3",
        "data.train=4",
        "data.val=1",
    ),
    *(
        "data.batch_size=2",
        "rounds.when=epochs",
        "rounds.count=2",
        "rounds.workers=0",
        "trainer.max_steps=4",
        "trainer.accelerator=cpu",
    ),
    *(
        "trainer.check_val_every_n_epoch=1",
        "trainer.log_every_n_steps=1",
        "trainer.enable_progress_bar=false",
    ),
]
SMALLER = {
    "cosegmentation": ["strategy.long_side=32", "strategy.iterations=1", "strategy.samples=16"],
    "clustering": ["strategy.alternations=1"],
}


class Outcome(NamedTuple):
    """All that a run leaves but times."""

    figures: list[dict[str, str]]
    weights: dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def wandb_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    run = wandb.init(
        mode="offline",
        dir=tmp_path_factory.mktemp("wandb"),
        settings=wandb.Settings(silent=True, console="off"),
    )
    yield run
    run.finish()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Outcome]]:
    """What each strategy leaves without a dashboard, in its first and its second run; made when it
    is first needed."""
    return {}


def outcome(run: Path) -> Outcome:
    rows = read_record(run / "metrics.csv")
    figures = [
        {name: value for name, value in row.items() if value and not name.startswith("time/")}
        for row in rows
    ]
    return Outcome(
        figures, torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    )


def runs(name: str, logger: str, folder: Path) -> list[Outcome]:
    """A run, and a second one that finds all targets in the label store."""
    words = [
        *WORDS,
        "data=tests.small.Everything",
        f"strategy={name}",
        f"logger={logger}",
        f"trainer.default_root_dir={folder}",
        *SMALLER.get(name, []),
    ]
    return [outcome(main(words)) for _ in range(2)]


def makes_targets(name: str) -> bool:
    module, _, kind = NAMES[name].rpartition(".")
    strategy: type[Strategy] = getattr(import_module(module), kind)
    return estimates(strategy)


@pytest.mark.filterwarnings("ignore:in epoch")  # so small a network finds little
@pytest.mark.parametrize("logger", LOGGERS)
@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_changes_nothing(
    name: str,
    logger: str,
    plain: dict[str, list[Outcome]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if logger == "wandb":
        shared = request.getfixturevalue("wandb_run")
        monkeypatch.setattr("weakseg.reporting.loggers.wandb.Wandb._start", lambda *_: shared)
    if name not in plain:
        plain[name] = runs(name, "none", tmp_path / "plain")
    with_dashboard = plain[name] if logger == "none" else runs(name, logger, tmp_path)
    for now, then in zip(with_dashboard, plain[name], strict=True):
        assert now.figures == then.figures
        assert all(torch.equal(value, then.weights[part]) for part, value in now.weights.items())
    first, second = with_dashboard
    assert len([row for row in first.figures if "val/miou" in row]) == 2
    assert [row["round"] for row in first.figures if "round" in row] == (
        ["0", "1"] if makes_targets(name) else []
    )
    assert all(torch.equal(value, second.weights[part]) for part, value in first.weights.items())


@pytest.mark.filterwarnings("ignore:in epoch")
@pytest.mark.parametrize("name", NAMES)
def test_without_any_mask_a_run_tells_how_good_it_is(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = f"trainer.default_root_dir={tmp_path}"
    run = main(
        [
            *WORDS,
            "data=tests.small.NoTruth",
            f"strategy={name}",
            "logger=tensorboard",
            folder,
            *SMALLER.get(name, []),
        ]
    )
    known = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["weakseg"][
        "validation"
    ]
    assert known["figure"] == "val/box_extent_iou"
    assert [
        row["val/box_extent_iou"] for row in outcome(run).figures if "val/box_extent_iou" in row
    ].count(repr(known["value"]))
    printed, report = capsys.readouterr().out, (run / "report.html").read_text()
    assert f"best.ckpt: val/box_extent_iou {known['value']:.3f}" in printed
    # 1 of 1 and 4 of 4 images, and these 4 once more as the most suspicious ones, if measured
    queue = run / "review.csv"
    shown = 5 + (len(queue.read_text().splitlines()) - 1 if queue.exists() else 0)
    panels = [report.count(f'alt="{panel}"') for panel in ("evidence", "prediction", "truth")]
    assert panels == [shown, shown, 0]
    assert report.count('alt="target"') == (shown if makes_targets(name) else 0)
