"""The table of settings on the screen."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from weakseg.tuning.page import cells, headings
from weakseg.tuning.results import Tuned
from weakseg.utils.messages import counted


def print_tuned(tuned: Tuned, console: Console) -> None:
    """Print the settings, the best first, and what to do."""
    table = Table(title="settings", title_justify="left")
    table.add_column("setting", overflow="fold")
    for heading in headings(tuned):
        table.add_column(heading, justify="right")
    order = sorted(tuned.rows, key=lambda row: -row.difference.value)
    for row in order:
        chosen = row is tuned.rows[tuned.chosen]
        texts = [row.short, *cells(row, tuned)]
        table.add_row(*map(Text, texts), style="bold" if chosen else None)
    console.print(table)
    console.print(f"on {counted(tuned.images, 'image')}: {tuned.meaning}", soft_wrap=True)
    if tuned.features:
        console.print(f"the probe has seen {tuned.features}", soft_wrap=True)
    if tuned.has_truth:
        console.print("the truth stands beside; no setting is chosen by it", soft_wrap=True)
    console.print(Text(tuned.verdict), soft_wrap=True)
