"""Many short trainings that differ in a word or two: each is run once and kept, and all end in one
table and one picture."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from html import escape
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch, as weakseg.fit does

import torch

from weakseg.config.recipe import list_recipes, load, resolve
from weakseg.reporting.charts import HEIGHT, WIDTH, Point, line_chart
from weakseg.run import fit
from weakseg.training.metrics_file import read_record
from weakseg.utils.files import write_whole
from weakseg.utils.fingerprint import fingerprint

FIGURES = ("val/miou", "label/miou")
COLOURS = ("#2563eb", "#dc2626", "#16a34a", "#9333ea")
STYLE = (
    "text {font: 11px sans-serif; fill: #444} .grid {stroke: #ddd} polyline {fill: none; "
    "stroke-width: 2} "
    + " ".join(
        f"polyline.series-{i} {{stroke: {c}}} :not(polyline).series-{i} {{fill: {c}}}"
        for i, c in enumerate(COLOURS)
    )
)
TITLE = 18  # pixels above a panel
Figures = Mapping[str, float]


class Panel(NamedTuple):
    """One chart of a picture: curves from 0 to 1."""

    title: str
    along: str
    """what x is"""
    curves: Mapping[str, Sequence[Point]]


def reader(about: str | None) -> argparse.ArgumentParser:
    """Options of a script, and words, which may also stand in files: @file."""
    parser = argparse.ArgumentParser(
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        fromfile_prefix_chars="@",
    )
    parser.convert_arg_line_to_args = lambda line: (
        [line] if line and not line.startswith("#") else []
    )  # type: ignore[method-assign]
    parser.add_argument("words", nargs="*", metavar="key=value")
    return parser


def complete(recipe: str, words: Sequence[str]) -> list[str]:
    """The words of a run of a recipe. Those that begin with names of recipes and a colon are for
    these alone.

    Of two words about one key the later one counts, and what is said for a recipe alone counts more
    than what is said for all.

    >>> complete("full", ["seed=1", "data=voc", "tags,points:data.crop=null"])
    ['recipe=full', 'data=voc', 'seed=1']
    >>> complete("tags", ["tags,points:data.crop=null", "data.crop=7", "data.crop=9"])
    ['recipe=tags', 'data.crop=null']
    """
    general = list[str]()
    special = list[str]()
    for word in words:
        names, colon, rest = word.partition(":")
        if not colon or "=" in names:
            general.append(word)
        elif unknown := set(names.split(",")) - set(list_recipes()):
            raise SystemExit(
                f"{word}: there is no recipe {sorted(unknown)[0]}; there are "
                f"{', '.join(list_recipes())}"
            )
        elif recipe in names.split(","):
            special.append(rest)
    # to name a data set forgets what was said of another
    data = [word for word in general if _key(word) == "data"]
    all_words = [*data, *(word for word in general if word not in data), *special]
    latest = {_key(word): place for place, word in enumerate(all_words)}
    return [
        f"recipe={recipe}",
        *(word for place, word in enumerate(all_words) if latest[_key(word)] == place),
    ]


def _key(word: str) -> str:
    return word.partition("=")[0]


def figures_of(
    name: str,
    words: Sequence[str],
    folder: Path,
    further: Callable[[Path], Figures] | None = None,
) -> Figures:
    """val/miou, and label/miou where there are targets, at the end of a run; a run that was
    finished in this folder is only looked up.

    Runs are told apart by their words alone: after a change of the code take another folder.

    Args:
        name: of the run, for whoever watches.
        words: of the run.
        folder: for everything.
        further: figures of a run folder that are kept beside these.
    """
    kept = _kept(words, folder)
    if (figures := finished(words, folder)) is not None:
        return figures
    start = perf_counter()
    run = _run(words, folder)
    measured = _read(run)
    shown = ", ".join(f"{figure} {value:.4f}" for figure, value in measured.items())
    figures = {**measured, **(further(run) if further is not None else {})}
    kept.parent.mkdir(parents=True, exist_ok=True)
    place = run.resolve().relative_to(folder.resolve()).as_posix()
    content = {"name": name, "words": list(words), "figures": figures, "run": place}
    write_whole(kept, json.dumps(content, indent=1).encode())
    print(f"{name}: {shown} in {perf_counter() - start:.0f} s", flush=True)
    return figures


def finished(words: Sequence[str], folder: Path) -> Figures | None:
    """The figures of a run, if it was finished in this folder."""
    kept = _kept(words, folder)
    return dict(json.loads(kept.read_text())["figures"]) if kept.is_file() else None


def run_of(words: Sequence[str], folder: Path) -> Path:
    """The run folder of a run that was finished in this folder."""
    return folder / str(json.loads(_kept(words, folder).read_text())["run"])


def _kept(words: Sequence[str], folder: Path) -> Path:
    return folder / "finished" / f"{fingerprint(*sorted(words))}.json"


def _run(words: Sequence[str], folder: Path) -> Path:
    usual = [
        f"rounds.folder={folder / 'labels'}",  # seeds share their targets
        "trainer.check_val_every_n_epoch=100000",  # the end is measured anyway
        f"trainer.default_root_dir={folder / 'runs'}",
        "trainer.enable_checkpointing=false",
        "trainer.enable_progress_bar=false",
    ]
    own = {_key(word) for word in words}
    recipe = load([*(word for word in usual if _key(word) not in own), *words])
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return fit(resolve(recipe))


def _read(run: Path) -> Figures:
    rows = read_record(run / "metrics.csv")
    return {
        figure: float([row[figure] for row in rows if row.get(figure)][-1])
        for figure in FIGURES
        if any(row.get(figure) for row in rows)
    }


def setting() -> str:
    """What a person who reads the figures should know."""
    return (
        f"{date.today()}, {platform.machine()}, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}"
    )


def cell(values: Sequence[float]) -> str:
    """The mean over the seeds, with half the distance of the best from the worst.

    >>> cell([0.5, 0.7]), cell([0.5]), cell([])
    ('0.600 ± 0.100', '0.500', '-')
    """
    if not values:
        return "-"
    return f"{mean(values):.3f}" + (
        f" ± {(max(values) - min(values)) / 2:.3f}" if len(values) > 1 else ""
    )


def picture(panels: Sequence[Panel]) -> str:
    """The panels below each other, as an SVG file that needs no page around it."""
    tall = HEIGHT + TITLE
    drawn = [
        f'<g transform="translate(0 {number * tall})">{_drawn(panel)}</g>'
        for number, panel in enumerate(panels)
    ]
    size = f'viewBox="0 0 {WIDTH} {tall * len(panels)}" width="{2 * WIDTH}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style><rect width="100%" '
        'height="100%" fill="white"/>'
    )
    return f"{head}{''.join(drawn)}</svg>\n"


def _drawn(panel: Panel) -> str:
    curves = {name: points for name, points in panel.curves.items() if points}
    chart = line_chart(curves, panel.along, low=0, high=1)
    inside = chart[chart.index(">", chart.index("<svg")) + 1 : chart.index("</svg>")]
    legend = ""
    x = float(WIDTH)
    for number, name in reversed(list(enumerate(curves))):
        x -= 26 + 6 * len(name)
        legend += (
            f'<rect class="series-{number}" x="{x}" y="4" width="10" height="10"/><text '
            f'x="{x + 14}" y="13">{escape(name)}</text>'
        )
    title = f'<text x="8" y="13" font-weight="bold">{escape(panel.title)}</text>'
    return f'{title}{legend}<g transform="translate(0 {TITLE})">{inside}</g>'
