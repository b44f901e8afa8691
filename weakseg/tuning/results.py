"""What tuning has found, as an object, as summary.json, and in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any, Literal

from weakseg.evaluation.bootstrap import Interval
from weakseg.tuning.grid import Setting, name_of
from weakseg.tuning.scores import Scores, differences

SUMMARY = "summary.json"
RECIPE = "tuned.yaml"
PAGE = "index.html"
Measure = Literal["consistency", "hidden"]
MEASURES: dict[Measure, str] = {
    "consistency": "how well a linear probe predicts the labels that was fitted to other images",
    "hidden": "how many of the marks that were hidden have the right label",
}
TRUTH = "truth, not used"


@dataclass(frozen=True)
class Row:
    """What was measured of one setting."""

    setting: Setting
    difference: Interval
    """of the score from that of the recipe as it is, as a share of the highest score; with an
    interval"""
    scores: dict[Measure, float]
    classes: dict[str, float]
    """the score by class"""
    coverage: float
    objects: float
    truth: float
    """the mean IoU with the truth; nan where there is none"""

    @property
    def name(self) -> str:
        """In the words of a command line."""
        return name_of(self.setting)

    @property
    def short(self) -> str:
        """The same with the last part of each key alone."""
        parts = [f"{key.rpartition('.')[2]}={value}" for key, value in self.setting.items()]
        return " ".join(parts) or self.name


@dataclass(frozen=True)
class Tuned:
    """What tuning has found.

    Args:
        measures: by which the settings were compared, alone or by their mean.
        features: what the probe has seen, for the page.
        rows: one for each setting, the recipe as it is first.
        best: place of the row with the highest score.
        chosen: place of the row that is recommended: the best one where its lead is beyond what
            other images of the same kind might change, else the recipe as it is.
        alike: whether the labels come from a classifier on the features that the probe sees, so
            that both may err alike, and no setting is recommended by how well they agree.
        images: how many the settings were tried on.
        left_out: images that lack the evidence that the strategy needs.
        classes: names of those that were measured.
        seconds: for all of it.
        folder: with the page, the summary and the recipe.
        command: that does the same.
    """

    measures: tuple[Measure, ...]
    features: str
    rows: list[Row]
    best: int
    chosen: int
    alike: bool
    images: int
    left_out: int
    classes: list[str]
    seconds: float
    folder: Path
    command: str

    @property
    def words(self) -> dict[str, str]:
        """The values to use, by key below `strategy`; none where the recipe should stay as it
        is."""
        return dict(self.rows[self.chosen].setting)

    @property
    def has_truth(self) -> bool:
        """Whether some images have a truth, which is shown and not used."""
        return not isnan(self.rows[0].truth)

    @property
    def worst(self) -> int:
        """Place of the row with the lowest score."""
        leads = [row.difference.value for row in self.rows]
        return leads.index(min(leads))

    @property
    def meaning(self) -> str:
        """What is compared, in words."""
        return ", and ".join(MEASURES[name] for name in self.measures)

    @property
    def verdict(self) -> str:
        """What to do, in a sentence."""
        best = self.rows[self.best]
        value, low, high = map(percent, best.difference)
        lead = f"{value}, from {low} to {high}"
        if len(self.rows) == 1:
            return "there is nothing to choose: one setting was tried"
        if self.best == 0:
            return "keep the recipe as it is: no other setting has a higher score"
        if self.alike:
            return (
                f"keep the recipe as it is: the probe agrees better with {best.name} ({lead}), but "
                "labels of this strategy come from a classifier on the same features, which may "
                "err as the probe does"
            )
        if self.chosen == 0:
            return (
                f"keep the recipe as it is: the lead of {best.name} ({lead}) is within what other "
                "images of the same kind might change"
            )
        return f"use {best.name}: its score is higher ({lead})"


def tuned_rows(
    settings: Sequence[Setting],
    scores: Mapping[Measure, Scores],
    names: Sequence[str],
    coverage: Sequence[float],
    objects: Sequence[float],
    truth: Sequence[float],
) -> list[Row]:
    """A row for each setting.

    Args:
        settings: what was tried.
        scores: what was measured, by measure; those settings are compared by the mean of.
        names: of all classes.
        coverage: of each setting.
        objects: of each setting.
        truth: of each setting; nothing where there is none.
    """
    leads = differences(list(scores.values()))
    classes = next(iter(scores.values())).classes
    return [
        Row(
            setting,
            leads[place],
            {name: float(each.mean[place]) for name, each in scores.items()},
            {names[number]: float(each[place]) for number, each in classes.items()},
            coverage[place],
            objects[place],
            truth[place] if truth else nan,
        )
        for place, setting in enumerate(settings)
    ]


def choose(rows: Sequence[Row], alike: bool = False) -> tuple[int, int]:
    """Places of the best row and of the one that is recommended.

    Args:
        rows: of the settings.
        alike: as in `Tuned`.
    """
    leads = [row.difference.value for row in rows]
    best = leads.index(max(leads))
    return best, best if rows[best].difference.low > 0 and not alike else 0


def summary_of(tuned: Tuned) -> bytes:
    """The content of summary.json."""
    head: dict[str, Any] = {
        "command": tuned.command,
        "measures": list(tuned.measures),
        "meaning": tuned.meaning,
        "features": tuned.features,
        "images": tuned.images,
        "left_out": tuned.left_out,
        "verdict": tuned.verdict,
        "strategy": tuned.words,
        "best": tuned.rows[tuned.best].setting,
        "seconds": round(tuned.seconds, 1),
        "settings": [_entry(row, tuned) for row in tuned.rows],
    }
    return (json.dumps(head, indent=2, ensure_ascii=False) + "\n").encode()


def _entry(row: Row, tuned: Tuned) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "setting": row.setting,
        **{name: round(value, 6) for name, value in row.scores.items()},
        "difference": [round(value, 6) for value in row.difference],
        "classes": {name: round(value, 6) for name, value in row.classes.items()},
        "coverage": round(row.coverage, 6),
        "objects": round(row.objects, 6),
    }
    return (
        entry if row.truth != row.truth else {**entry, "truth_miou_not_used": round(row.truth, 6)}
    )


def percent(share: float) -> str:
    """A difference in percent.

    >>> percent(0.0312), percent(-0.2)
    ('+3.1 %', '-20.0 %')
    """
    return f"{100 * share:+.1f} %"
