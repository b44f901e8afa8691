"""Panels of dashboards, the script that saves them in wandb, and the sweep file, as wandb's agent
runs it."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from weakseg.config.recipe import check_spelling, load
from weakseg.fit import main
from weakseg.reporting.loggers import TensorBoard
from weakseg.reporting.loggers.panels import PANELS
from weakseg.training.metrics_file import read_record

ROOT = Path(__file__).resolve().parents[3]
SMALL = {
    "network": "tests.small.TinyNet",
    "network.classes": "5",
    "data.train": "4",
    "data.val": "2",
    "data.size": "32",
    "data.batch_size": "2",
    "rounds.workers": "0",
    "rounds.when": "epochs",
    "rounds.count": "2",
    "trainer.max_steps": "4",
    "trainer.log_every_n_steps": "1",
    "trainer.enable_progress_bar": "false",
    "trainer.accelerator": "cpu",
}
# of other strategies, networks and data sets
ELSEWHERE = {
    "Agreement with annotations",
    "Average precision of objects",
    "How well other images predict the targets",
    "Share of each class in what a step estimates",
}


def sweep_words() -> tuple[list[str], list[str]]:
    """The command of the sweep file up to its words, and the words of one of its runs."""
    sweep = yaml.safe_load((ROOT / "docs" / "sweep.yaml").read_text())
    chosen = {
        name: {"value": one.get("value", one.get("values", [one.get("min")])[0])}
        for name, one in sweep["parameters"].items()
        if "value" in one or "values" in one or "min" in one
    }
    assert chosen.keys() == sweep["parameters"].keys()
    assert sweep["metric"] == {"name": "val/miou", "goal": "maximize"}
    command = create_sweep_command(sweep["command"])
    macros = create_sweep_command_args({"args": chosen})
    macros["env"] = ["/usr/bin/env"]
    words = [
        word
        for part in command
        for word in (macros[part[2:-1]] if part.startswith("${") else [part])
    ]
    start = words.index("weakseg.fit") + 1
    return words[:start], words[start:]


def test_the_sweep_file_runs_as_it_stands(tmp_path: Path) -> None:
    command, words = sweep_words()
    assert command == ["/usr/bin/env", "python", "-m", "weakseg.fit"]
    assert "optimizer.lr=0.001" in words
    check_spelling(load(words))
    smaller = {key: value for key, value in SMALL.items() if not key.startswith("rounds.w")}
    values = dict(word.split("=", 1) for word in words) | smaller | {"logger": "none"}
    values |= {"rounds.when": "once", "trainer.default_root_dir": str(tmp_path)}
    del values["rounds.count"]
    run = main([*(f"{key}={value}" for key, value in values.items()), "rounds.workers=0"])
    assert any(row["val/miou"] for row in read_record(run / "metrics.csv"))


def test_every_panel_has_a_figure_of_a_run_and_every_curve_a_panel(tmp_path: Path) -> None:
    words = [f"{key}={value}" for key, value in SMALL.items()]
    run = main(["recipe=boxes", *words, f"trainer.default_root_dir={tmp_path}"])
    rows = read_record(run / "metrics.csv")
    figures = {name for row in rows for name, value in row.items() if value}
    panels = {title: regex for charts in PANELS.values() for title, regex in charts.items()}
    shown = {
        title: {name for name in figures for each in regex if re.fullmatch(each, name)}
        for title, regex in panels.items()
    }
    assert {title for title, names in shown.items() if not names} == ELSEWHERE
    left = figures - set().union(*shown.values())
    kinds = {name.partition("/")[0] for name in left}
    # places, and what does not change from round to round
    assert kinds == {"step", "epoch", "round", "evidence"}


def test_the_panels_are_in_tensorboards_custom_scalars(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    layout_pb2 = pytest.importorskip("tensorboard.plugins.custom_scalar.layout_pb2")
    (logger,) = TensorBoard().build(tmp_path, {})
    logger.finalize("success")
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (event,) = events.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    found = {
        section.title: {chart.title: list(chart.multiline.tag) for chart in section.chart}
        for section in layout.category
    }
    assert found == PANELS


def test_the_workspace_has_all_panels_and_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """With stand-ins for the classes of wandb-workspaces, which keep what they are given."""
    kinds = ("Section", "Workspace", "LinePlot", "WeavePanelSummaryTable")
    for name in ("wandb_workspaces", "wandb_workspaces.workspaces", "wandb_workspaces.reports.v2"):
        module: Any = ModuleType(name)
        for kind in kinds:
            setattr(module, kind, SimpleNamespace)
        monkeypatch.setitem(sys.modules, name, module)
    reports = ModuleType("wandb_workspaces.reports")
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports", reports)
    monkeypatch.setattr(reports, "v2", sys.modules["wandb_workspaces.reports.v2"], raising=False)
    top: Any = sys.modules["wandb_workspaces"]
    top.workspaces, top.reports = sys.modules["wandb_workspaces.workspaces"], reports
    script = runpy.run_path(str(ROOT / "docs" / "wandb_workspace.py"))
    workspace = script["build"]("me", "weakseg")
    *sections, tables = workspace.sections
    titles = {part.name: [panel.title for panel in part.panels] for part in sections}
    assert titles == {section: list(charts) for section, charts in PANELS.items()}
    assert [panel.table_name for panel in tables.panels] == list(script["TABLES"])
    assert (workspace.entity, workspace.project) == ("me", "weakseg")
