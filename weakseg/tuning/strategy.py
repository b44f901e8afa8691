"""tune_strategy: which of some settings of a strategy labels a data set best, by the evidence
itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge

from weakseg.config.recipe import Recipe, RecipeError, load, resolve, to_yaml
from weakseg.evaluation.folder import evaluation_folder
from weakseg.labelling.source import Source, source_of_recipe, with_words
from weakseg.reporting.summaries import command_line
from weakseg.strategies.base import Strategy, fits_together
from weakseg.training.round_targets import method_fingerprint
from weakseg.tuning.grid import Setting, read_grid, settings_of, text_of
from weakseg.tuning.measuring import Trial, measure
from weakseg.tuning.page import write_tuning_page
from weakseg.tuning.results import (
    PAGE,
    RECIPE,
    SUMMARY,
    Tuned,
    choose,
    summary_of,
    tuned_rows,
)
from weakseg.tuning.words import check_words
from weakseg.utils.files import write_whole
from weakseg.utils.limits import Count, limited
from weakseg.utils.remote_path import as_path

LOCK = ".tuning.lock"
NOTHING_TO_COMPARE = (
    "by: there is nothing to compare the settings by: no image has marks of which a part can be "
    "hidden, or no class is in five images; take more with images="
)
NOTHING_TO_MEASURE = "tune compares pseudo-labels, so choose its settings by val/* of short runs"
Section = Mapping[str, Any] | None


@limited
def tune_strategy(
    recipe: str,
    *,
    out: str | Path,
    images: Annotated[int, Ge(2)] = 100,
    candidates: Count = 12,
    by: Literal["auto", "consistency", "hidden"] = "auto",
    grid: Mapping[str, Any] | None = None,
    seed: int | None = None,
    init_from: Path | str | None = None,
    device: str = "auto",
    data: Section = None,
    strategy: Section = None,
    network: Section = None,
    rounds: Section = None,
) -> Tuned:
    """Try settings of a strategy on some images of a data set, and find out without any truth which
    one labels them best: by how well others' images predict the labels, and by marks that were
    hidden.

    The recipe as it is is always among the settings, and is what is recommended unless another one
    is better by more than other images of the same kind might change. Targets are kept in the label
    store: a call that was killed goes on where it was.

    Args:
        recipe: a name, or a file.
        out: the folder for index.html, summary.json and tuned.yaml, which are made anew each time.
        images: how many training images the settings are tried on, evenly spaced.
        candidates: how many settings at most, those with the fewest changes first.
        by: what is compared. consistency: how well a linear probe predicts the labels of an image
            that was fitted to those of others, from features of the encoder, or from colours where
            its weights are random. hidden: how many marks have the right label that were hidden,
            which takes three times as long. auto: the mean of both where there are marks, else
            consistency; of strategies that are fitted to features themselves, such as
            cosegmentation, hidden alone, and without marks no setting is recommended.
        grid: values to try of a key of the strategy, such as grid.crf.bilateral_rgb=[3,4,5]. Where
            none is given, those that the strategy declares.
        seed: of the first weights of the network; null for that of the recipe.
        init_from: a checkpoint with the first weights of the network.
        device: cpu, cuda, cuda:1, mps or the like; auto for a GPU where there is one.
        data: the data set, such as data=folder data.root=photos.
        strategy: options that are the same in all settings.
        network: whose encoder makes the features; network.weights says where it has its weights
            from.
        rounds: workers is how many processes estimate, folder where the targets are kept.
    """
    command = command_line("tune", tune_strategy, locals())
    start = time.monotonic()
    check_words(recipe, out, grid, data, strategy)
    given = {"data": data, "strategy": strategy, "network": network, "rounds": rounds}
    sections = {name: dict(node) for name, node in given.items() if node}
    source = source_of_recipe(recipe, sections, seed, init_from, device, NOTHING_TO_MEASURE)
    trials = _trials(recipe, sections, source, grid, candidates)
    with evaluation_folder(as_path(out), LOCK, (PAGE, SUMMARY, RECIPE), "no tuning has") as new:
        # of a strategy that is fitted to features the probe tells little: it errs with the labels
        fitted = by == "auto" and _is_fitted_to_features(source.segmenter.strategy)
        measured = measure(source, trials, images, by != "hidden", by != "consistency", fitted)
        scores = measured.scores
        if not scores:
            raise RecipeError(NOTHING_TO_COMPARE)
        rows = tuned_rows(
            [trial.setting for trial in trials],
            scores,
            source.segmenter.classes,
            measured.coverage,
            measured.objects,
            measured.truth,
        )
        alike = fitted and "hidden" not in scores
        best, chosen = choose(rows, alike)
        tuned = Tuned(
            measures=tuple(scores),
            features=measured.features,
            rows=rows,
            best=best,
            chosen=chosen,
            alike=alike,
            images=len(measured.indices),
            left_out=measured.failures,
            classes=list(rows[0].classes),
            seconds=time.monotonic() - start,
            folder=as_path(out),
            command=command,
        )
        write_tuning_page(new / PAGE, tuned, measured, source)
        write_whole(new / SUMMARY, summary_of(tuned))
        text = _recipe_text(_with(recipe, sections, tuned.words))
        # as that of a run: it may hold an address with a password
        write_whole(new / RECIPE, text.encode(), mode=0o600)
    return tuned


def _trials(
    recipe: str,
    sections: Mapping[str, Mapping[str, Any]],
    source: Source,
    grid: Mapping[str, Any] | None,
    most: int,
) -> list[Trial]:
    """The settings with their strategies; values that change nothing are left out."""
    build = partial(_strategy, recipe, sections, source)
    default = source.segmenter.strategy
    asked = read_grid(grid) if grid else _declared(source)
    different = {
        key: [value for value in values if not _is_same(default, build({key: value}), key)]
        for key, values in asked.items()
    }
    trials = [
        Trial(each, build(each) if each else default) for each in settings_of(different, most)
    ]
    if len(trials) == 1:
        raise RecipeError(
            f"grid: there is nothing to try: {type(default).__name__} declares no values to try, "
            "or they are what the recipe says; give some, such as grid.crf.bilateral_rgb=[3,4,5]"
        )
    return trials


def _is_fitted_to_features(strategy: Strategy) -> bool:
    return fits_together(strategy) and bool(strategy.wants.intermediate)


def _is_same(default: Strategy, other: Strategy, key: str) -> bool:
    """Whether a value of a key changes nothing: it may be 200.0 where the default is 200."""
    try:
        return bool(attrgetter(key)(default) == attrgetter(key)(other))
    except AttributeError:  # an argument that is kept under another name
        return method_fingerprint(default) == method_fingerprint(other)


def _declared(source: Source) -> dict[str, list[str]]:
    tunable = type(source.segmenter.strategy).tunable
    return {key: [text_of(value) for value in values] for key, values in tunable.items()}


def _strategy(
    recipe: str, sections: Mapping[str, Mapping[str, Any]], source: Source, setting: Setting
) -> Any:
    resolved = resolve(_with(recipe, sections, setting), ["strategy"])
    # all settings have what was planned for the recipe
    left = {key: source.options[key] for key in resolved.parts["strategy"].auto}
    resolved = resolved.with_values("strategy", **left)
    return resolved.build("strategy", classes=len(source.segmenter.classes))


def _with(
    recipe: str, sections: Mapping[str, Mapping[str, Any]], setting: Mapping[str, str]
) -> Recipe:
    strategy = {**sections.get("strategy", {}), **setting}
    own = {"strategy": strategy} if strategy else {}
    return with_words(load([f"recipe={recipe}"]), {**sections, **own})


def _recipe_text(recipe: Recipe) -> str:
    return f"# settings chosen by python -m weakseg.tune\n{to_yaml(resolve(recipe))}"
