"""Saves a workspace with weakseg's panels in a project of wandb: `python wandb_workspace.py
<entity> <project>`. Needs `pip install wandb-workspaces` and a key (`wandb login`)."""

from __future__ import annotations

import sys
from typing import Any

from weakseg.reporting.loggers.panels import PANELS

TABLES = ("labels/classes", "labels/worst", "classes", "evaluation/images")


def build(entity: str, project: str) -> Any:
    """The workspace, not saved yet."""
    import wandb_workspaces.reports.v2 as panels
    import wandb_workspaces.workspaces as workspaces

    sections = [
        workspaces.Section(
            name=section,
            is_open=True,
            panels=[
                panels.LinePlot(
                    title=title, x="trainer/global_step", metric_regex="|".join(figures)
                )
                for title, figures in charts.items()
            ],
        )
        for section, charts in PANELS.items()
    ]
    tables = [panels.WeavePanelSummaryTable(table_name=name) for name in TABLES]
    sections.append(workspaces.Section(name="Tables", is_open=True, panels=tables))
    return workspaces.Workspace(entity=entity, project=project, name="weakseg", sections=sections)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python wandb_workspace.py <entity> <project>")
    print(build(*sys.argv[1:]).save().url)
