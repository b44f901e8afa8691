"""The plan of a training by the recipe that fits a data set, where nobody has named one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from weakseg.config.recipe import Resolved, load, resolve
from weakseg.planning.plan import Plan, plan_of, with_format
from weakseg.planning.proposal import proposal


class Proposed(NamedTuple):
    """A training, and why it is this one."""

    recipe: Resolved
    plan: Plan
    looked_at: Resolved
    """the same with all that is annotated, and not only what the recipe learns from"""
    line: str


def proposed_plan(words: Sequence[str], any_recipe: Resolved) -> Proposed:
    """What `recipe=<the one that fits>` would make of the words.

    Args:
        words: of a command line without `recipe=`.
        any_recipe: what some recipe makes of them.
    """
    found = proposal(with_format(any_recipe).build("data"))
    if found is None:
        line = "no annotation was found: this is the plan of a training on masks"
        return _by(any_recipe.name, words, line)
    for name in found.recipes:
        proposed = _by(name, words, f"recipe={name} is proposed: {found.reason}")
        if proposed.recipe.sections["network"].get("weights") or proposed.recipe.init_from:
            return proposed
    return proposed


def _by(name: str, words: Sequence[str], line: str) -> Proposed:
    recipe = resolve(load([f"recipe={name}", *words]))
    plan = plan_of(recipe)
    looked_at = resolve(load([f"recipe={name}", *words], keep=False))
    return Proposed(
        recipe.with_plan(plan.values, plan.reasons),
        plan,
        looked_at.with_plan(plan.values, plan.reasons),
        line,
    )
