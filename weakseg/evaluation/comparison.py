"""compare_runs: trained networks side by side, on the same images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Gt, Lt, doc

from weakseg.evaluation.compared import Comparison, Draws, compare_sides
from weakseg.evaluation.comparison_files import write_comparison
from weakseg.evaluation.comparison_page import write_comparison_page
from weakseg.evaluation.comparison_pictures import draw_pictures
from weakseg.evaluation.comparison_tables import show_comparison
from weakseg.evaluation.dashboards import view_of
from weakseg.evaluation.folder import make_folder
from weakseg.evaluation.sides import open_sides, paths_of
from weakseg.reporting.loggers.base import View
from weakseg.reporting.summaries import command_line
from weakseg.utils.files import only_user, remove_leftovers
from weakseg.utils.limits import Count, CountFromZero, limited
from weakseg.utils.versions import versions

PAGE = "comparison.html"

Level = Annotated[float, doc("a share of the draws"), Gt(0), Lt(1)]


@limited
def compare_runs(
    runs: Sequence[Path | str],
    out: Path | str = Path("runs/compare"),
    samples: Count = 1000,
    level: Level = 0.95,
    seed: CountFromZero = 0,
    pictures: CountFromZero = 8,
    device: str = "auto",
    logger: View | Mapping[str, Any] | None = None,
) -> Comparison:
    """Compare trained networks on the same images: figures side by side, differences per class with
    bootstrap intervals, the keys in which the recipes differ, what the annotation costs, and the
    images on which they differ most.

    Args:
        runs: two or more run folders, folders that evaluate has written, checkpoints or exported
            networks; each is compared with the first. A run without an evaluation of its best
            weights is evaluated first, on the data that it was trained with; an exported network
            on that of the others.
        out: folder for comparison.html, comparison.json and comparison.csv, which are made anew
            each time.
        samples: how often the images are drawn for the intervals.
        level: the share of the draws that an interval holds.
        seed: of the draws.
        pictures: how many images the page shows, those on which the networks differ most.
        device: cpu, cuda, mps or the like, for predictions; auto for a GPU where there is one.
        logger: a dashboard for figures and tables, as keys of the section logger: logger=wandb or
            logger=tensorboard.
    """
    given = {**locals()}
    if isinstance(logger, View):  # which was made in Python and has no words; its class does
        given["logger"] = f"{type(logger).__module__}.{type(logger).__qualname__}"
    command = command_line("compare", compare_runs, given)
    view = view_of(logger)
    paths = paths_of(runs)
    folder = Path(out)
    with _held(folder):
        sides = open_sides(paths, device)
        comparison = replace(compare_sides(sides, Draws(samples, level, seed)), folder=folder)
        shown = draw_pictures(comparison, pictures, device)
        write_comparison_page(folder / PAGE, comparison, shown, command, versions())
        write_comparison(folder, comparison, command, versions())
        if view is not None:
            show_comparison(view, folder, comparison)
    return comparison


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The folder of the comparison, made and held for this process."""
    make_folder(folder)
    with only_user(folder, advice="name another with out="):
        remove_leftovers(folder)
        yield
