"""Keys that every strategy has without an argument in its constructor: the same for classes of ours
and of the user's, known before torch is imported."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import weakseg.config.recipe
import weakseg.config.sections
import weakseg.config.words
from tests.config.test_kept import SECTIONS, built_in
from weakseg.config.common_keys import sketch_with_common_keys, with_common_keys
from weakseg.config.recipe import RecipeError, build, check_spelling, load, resolve, show, to_yaml
from weakseg.config.schema import arguments
from weakseg.config.signatures import attributes, class_value, sketched
from weakseg.strategies import COMMON_KEYS as HOLDER
from weakseg.strategies import NAMES
from weakseg.strategies.boxes_crf import BoxesCRF
from weakseg.strategies.common_keys import COMMON_KEYS, LossTerms
from weakseg.utils.fingerprint import module_fingerprint

HOME = "weakseg.strategies"
OWN = """
from weakseg import Strategy
from weakseg.strategies.common_keys import LossTerms

class Mine(Strategy):
    terms = LossTerms(dice=2.0)
    def __init__(self, part: float = 0.5) -> None:
        super().__init__()
        self.part = part
    def estimate(self, evidence, context): ...

class OwnLoss(Mine):
    terms = LossTerms()
    def loss(self, logits, batch): ...

class Nothing(OwnLoss):
    takes = ()

class Computed(Mine):
    class_weights = property(lambda self: None)
"""


@pytest.fixture(autouse=True)
def all_of_weakseg(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weakseg.config.sections, "SECTIONS", SECTIONS)
    monkeypatch.setattr(weakseg.config.words, "built_in", built_in)
    (here / "own_losses.py").write_text(OWN)
    monkeypatch.syspath_prepend(here)
    monkeypatch.delitem(sys.modules, "own_losses", raising=False)  # that of another test


def mistakes(*words: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        check_spelling(load(words))
    return caught.value.errors


@pytest.mark.parametrize("name", NAMES)
def test_source_and_class_tell_the_same(name: str) -> None:
    dotted = NAMES[name]
    module, _, kind = dotted.rpartition(".")
    sketch = sketched(dotted)
    assert sketch is not None
    told = sketch_with_common_keys(sketch, dotted, HOME)
    known = with_common_keys(getattr(importlib.import_module(module), kind), HOME)
    assert list(arguments(told)) == list(arguments(known))
    assert told.refused == known.refused  # type: ignore[attr-defined]
    assert class_value(dotted, "takes") == getattr(importlib.import_module(module), kind).takes


def test_every_common_key_is_an_attribute_with_a_default() -> None:
    assert tuple(attributes(HOLDER)) == COMMON_KEYS


def test_values_are_attributes_of_what_is_built() -> None:
    resolved = resolve(load(["recipe=boxes_rect", "strategy.terms.dice=0.5"]))
    strategy = resolved.build("strategy", classes=3)
    assert strategy.terms == LossTerms(dice=0.5)
    assert strategy.class_weights is None
    assert "strategy.terms" not in to_yaml(resolved)
    again = build(resolved.sections["strategy"], "strategy", HOME)
    assert again.terms == strategy.terms


def test_the_written_recipe_builds_the_same_with_the_same_keys_of_targets(here: Path) -> None:
    first = resolve(
        load(["recipe=boxes", "strategy.class_weights.cat=3", "strategy.terms.focal=2"])
    )
    (here / "again.yaml").write_text(to_yaml(first, defaults=True))
    second = resolve(load(["recipe=again.yaml"]))
    assert (
        to_yaml(second, defaults=True).split("\n", 1)[1]
        == (to_yaml(first, defaults=True).split("\n", 1)[1])
    )
    built = [each.build("strategy", classes=3) for each in (first, second)]
    assert built[0].terms == built[1].terms == LossTerms(focal=2)
    assert built[0].class_weights == built[1].class_weights == {"cat": 3}
    prints = [module_fingerprint(strategy) for strategy in built]
    assert prints == [module_fingerprint(BoxesCRF(**vars_of(built[0])))] * 2


def vars_of(strategy: BoxesCRF) -> dict[str, object]:
    return {"unary": strategy.unary, "share": strategy.share, "crf": strategy.crf}


def test_a_class_of_the_users_has_them(here: Path) -> None:
    words = ["recipe=boxes", "strategy=own_losses.Mine", "strategy.part=0.2"]
    words += ["strategy.class_weights=auto"]
    check_spelling(load(words))
    resolved = resolve(load(words))
    assert "dice: 2.0" in show(resolved)  # its own default
    strategy = resolved.build("strategy", classes=3)
    assert (strategy.part, strategy.class_weights, strategy.terms) == (
        0.2,
        "auto",
        LossTerms(dice=2),
    )
    resolved = resolve(load([*words, "strategy.terms.focal=1"]))
    assert resolved.build("strategy", classes=3).terms == LossTerms(dice=2, focal=1)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["strategy.terms.dise=1"], "strategy.terms.dise: no such key; did you mean dice?"),
        (["strategy.dice=1"], "strategy.dice: no such key; did you mean terms.dice?"),
        (
            ["strategy.terms.dice=-1"],
            "strategy.terms.dice: it should be 0 or more and finite, but it is -1",
        ),
        (
            ["strategy=tags", "strategy.terms.dice=1"],
            "strategy.terms: does not apply to Tags: leave it out",
        ),
        (
            ["strategy=own_losses.Nothing", "strategy.class_weights=auto"],
            "strategy.class_weights: does not apply to Nothing: leave it out",
        ),
        (
            ["strategy=own_losses.Mine", "strategy.term.dice=1"],
            "strategy.term: no such key; did you mean terms?",
        ),
    ],
)
def test_mistakes_are_answered_without_an_import(
    words: list[str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("weakseg.config.resolution.imported", None)
        (found,) = mistakes("recipe=boxes_rect", *words)
    assert found.startswith(line)


@pytest.mark.parametrize("name", ["full", "tags"])
def test_the_class_itself_says_the_same_of_a_mistake(name: str) -> None:
    """Where the source does not tell, the class does."""
    with pytest.raises(RecipeError) as caught:
        build({"name": name, "class_weights": "often", "terms": {"dice": "-1"}}, "strategy", HOME)
    words = [f"strategy={name}", "strategy.class_weights=often", "strategy.terms.dice=-1"]
    assert mistakes("recipe=boxes_rect", *words) == caught.value.errors


def test_a_loss_of_the_users_takes_what_target_loss_does_not_compute() -> None:
    resolved = resolve(load(["recipe=boxes_rect", "strategy=own_losses.OwnLoss"]))
    assert resolved.parts["strategy"].constructor.__name__ == "OwnLoss"
    part = [*arguments(resolved.parts["strategy"].constructor)]
    assert part == ["part", *COMMON_KEYS]


def test_a_computed_attribute_is_no_key() -> None:
    resolved = resolve(load(["recipe=boxes_rect", "strategy=own_losses.Computed"]))
    assert [*arguments(resolved.parts["strategy"].constructor)] == [
        "part",
        "terms",
        "regions",
    ]
