"""The plan of a training: what a recipe leaves to the data and the machine, resolved once."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from weakseg.config.auto import KEYS
from weakseg.config.recipe import RecipeError, Resolved, to_yaml
from weakseg.config.schema import arguments
from weakseg.config.values import plain, written
from weakseg.data.base import WeakData
from weakseg.data.files.handed_on import keep_parsed
from weakseg.data.files.recognition import recognise
from weakseg.networks import NAMES as NETWORKS
from weakseg.networks.base import encoder_of
from weakseg.planning.class_weights import class_weights
from weakseg.planning.facts import Facts, facts_of, machine_of
from weakseg.planning.first_weights import ask_ahead, how_at_hand
from weakseg.planning.rules import BATCH, ENCODERS, MEMORY, RULES, Choice, pretrained, trained_side
from weakseg.strategies.base import estimates
from weakseg.training.memory_budget import HEAVIEST, measure
from weakseg.training.segmenter import Segmenter
from weakseg.utils.fingerprint import fingerprint
from weakseg.utils.messages import one_line
from weakseg.utils.processes import rank
from weakseg.utils.secrets import scrub_text

# in which rank 0 hands its plan to the processes that Lightning starts for the others: what is at
# hand, and how much memory there is, may differ
HANDED_ON = "WEAKSEG_PLAN"
WEIGHTS = "strategy.class_weights"
FORMAT = "data.format"  # found out before a data set can be built, and so before all else
# how the weights of networks came here, by what is known of these: looking again takes as long
_looked_for: dict[str, str] = {}


@dataclass(frozen=True)
class Plan:
    """What the rules have decided, and why."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """by keys of the recipe"""
    reasons: Mapping[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """A line for each key, as a word of a command line, with the reason."""
        words = [f"{key}={word(value)}" for key, value in self.values.items()]
        width = max(map(len, words), default=0)
        reasons = self.reasons.values()
        return [f"  {one:{width}}  {why}" for one, why in zip(words, reasons, strict=True)]


def word(value: Any) -> str:
    """A value as it is written on a command line, without spaces.

    >>> word([0.75, 1.5]), word(None), word(1e-4)
    ('[0.75,1.5]', 'null', '0.0001')
    """
    return written(plain(value)).replace(", ", ",")


def planned(recipe: Resolved, quiet: bool = False) -> Resolved:
    """The recipe with numbers for all that was left to the data and the machine; the same object
    where nothing was.

    Args:
        recipe: with all its classes.
        quiet: whether nothing is printed.
    """
    if not recipe.left_to_plan:
        return recipe
    plan = plan_of(recipe)
    if not quiet:
        print_plan(recipe, plan)
    return recipe.with_plan(plan.values, plan.reasons)


def print_plan(recipe: Resolved, plan: Plan) -> None:
    """The plan in words, on the screen of the first process; nothing where nothing is planned."""
    if rank() == 0 and plan.values:
        print("\n".join(plan_text(recipe, plan)), file=sys.stderr)


def plan_text(recipe: Resolved, plan: Plan) -> list[str]:
    """The plan in words."""
    data = recipe.sections["data"]
    name = scrub_text(str(data.get("root") or data.get("name")))
    head = f"plan for {recipe.name} on {name}, each value to be changed by such a word:"
    return [head, *plan.lines()]


def plan_of(recipe: Resolved) -> Plan:
    """What the rules make of the keys that are auto. The processes of one run have the same
    plan."""
    if not recipe.left_to_plan:
        return Plan()
    key = fingerprint(to_yaml(recipe) + str(recipe.init_from))
    if rank() != 0 and HANDED_ON in os.environ:
        of, values, reasons = json.loads(os.environ[HANDED_ON])
        if of == key:
            return Plan(values, reasons)
    plan = _made(recipe)
    if rank() == 0:
        content = [key, plain(dict(plan.values)), dict(plan.reasons)]
        os.environ[HANDED_ON] = json.dumps(content)
    return plan


def with_format(recipe: Resolved) -> Resolved:
    """The recipe with the format of its annotation files, if that is auto: data sets are built
    with it."""
    if FORMAT not in recipe.left_to_plan:
        return recipe
    found = _format(recipe)
    return recipe.with_plan({FORMAT: found.value}, {FORMAT: found.reason})


def _format(recipe: Resolved) -> Choice:
    try:
        return Choice(*recognise(recipe.parts["data"].values))
    except (ValueError, OSError) as error:
        raise RecipeError(recipe.located([f"data: {one_line(error)}"])) from error


def _made(recipe: Resolved) -> Plan:
    left = recipe.left_to_plan
    values: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    if FORMAT in left:
        values[FORMAT], reasons[FORMAT] = _format(recipe)
        recipe = recipe.with_plan(values, reasons)
    if not recipe.init_from and {"network.encoder", "network.weights"}.intersection(left):
        ask_ahead()  # while the data set is listed
    machine = machine_of(recipe.sections["trainer"])
    with keep_parsed():
        data: WeakData = recipe.build("data")
    names = {name: str(node.get("name", "")) for name, node in recipe.sections.items()}
    facts = facts_of(data, machine, names)
    facts = replace(facts, pretrained=recipe.init_from is not None)
    known = {
        f"{section}.{key}": value
        for section, part in recipe.parts.items()
        for key, value in part.values.items()
    }
    classes = max(2, len(data.classes))
    for key in (key for key in KEYS if key in left and key in RULES):
        facts = _with_what_takes_time(facts, key, known, recipe, classes)
        try:
            choice: Choice = RULES[key](facts, known)
        except ValueError as error:
            raise RecipeError(recipe.located([one_line(error)])) from None
        known[key] = values[key] = choice.value
        reasons[key] = choice.reason
    weighing = class_weights(facts.areas, data.classes[0])
    if weighing is not None and _weighs_classes(recipe):
        values[WEIGHTS], reasons[WEIGHTS] = weighing
    return Plan(values, reasons)


def _weighs_classes(recipe: Resolved) -> bool:
    """Whether the strategy can weigh classes by their shares in its targets, and nobody has said
    whether it should. `auto` is a value of this key itself, so a recipe leaves it open by leaving
    it out."""
    part = recipe.parts["strategy"]
    if "class_weights" not in arguments(part.constructor) or "class_weights" in part.values:
        return False
    cls = inspect.unwrap(part.constructor)
    network = inspect.unwrap(recipe.parts["network"].constructor)
    own_losses = callable(getattr(network, "losses", None))
    return isinstance(cls, type) and estimates(cls) and not own_losses


def _with_what_takes_time(
    facts: Facts, key: str, known: Mapping[str, Any], recipe: Resolved, classes: int
) -> Facts:
    """The facts, with those that a rule needs and that are not looked up for nothing."""
    if key == "network.encoder" and known.get("network.weights", "auto") == "auto":
        return replace(facts, at_hand=_at_hand(recipe, known, classes, ENCODERS))
    if key == "network.weights" and not facts.at_hand and not facts.pretrained:
        return replace(
            facts, at_hand=_at_hand(recipe, known, classes, [known.get("network.encoder")])
        )
    if key == "data.batch_size":
        return replace(facts, bytes_per_pixel=_bytes_per_pixel(facts, known, recipe, classes))
    if key == "optimizer.head_multiplier" and facts.names["network"] not in NETWORKS:
        return replace(facts, has_body=encoder_of(_network(recipe, known, classes)) is not None)
    if key == "strategy.together" and pretrained(facts, known):
        network = _network(recipe, known, classes)
        return replace(facts, has_stages=callable(getattr(network, "intermediate_features", None)))
    return facts


def _at_hand(
    recipe: Resolved, known: Mapping[str, Any], classes: int, encoders: Iterable[str | None]
) -> dict[str | None, str]:
    """How the ImageNet weights came here of the first encoder that has any."""
    if recipe.init_from:
        return {}
    for encoder in encoders:
        others = {} if encoder is None else {"network.encoder": encoder}
        wanted = {**known, **others, "network.weights": "imagenet"}
        network = {key: wanted[key] for key in wanted if key.startswith("network.")}
        key = f"{recipe.parts['network'].constructor.__qualname__} {network}"
        if key not in _looked_for:
            _looked_for[key] = how_at_hand(_builder(recipe, wanted, classes))
        if found := _looked_for[key]:
            return {encoder: found}
    return {}


def _builder(
    recipe: Resolved, known: Mapping[str, Any], classes: int
) -> Callable[[], torch.nn.Module]:
    """Builds the network with what is known of it."""
    values = {key.partition(".")[2]: known[key] for key in known if key.startswith("network.")}

    def build() -> torch.nn.Module:
        made = recipe.with_values("network", **values)
        network: torch.nn.Module = made.build("network", classes=classes)
        return network

    return build


def _network(recipe: Resolved, known: Mapping[str, Any], classes: int) -> torch.nn.Module:
    """The network with random weights; no stream of random numbers is touched."""
    random = {"network.weights": None} if "network.weights" in known else {}
    with torch.random.fork_rng([]):
        return _builder(recipe, {**known, **random}, classes)()


def _bytes_per_pixel(
    facts: Facts, known: Mapping[str, Any], recipe: Resolved, classes: int
) -> float:
    """What a pixel of a batch takes, measured where more than enough would not fit."""
    side = known.get("data.crop") or trained_side(facts, known)
    if HEAVIEST * 2 * BATCH * side**2 <= MEMORY * facts.machine.memory:
        return HEAVIEST
    try:
        with torch.random.fork_rng([]):
            strategy = recipe.build("strategy", classes=classes)
        network = _network(recipe, known, classes)
        segmenter = Segmenter(network, strategy, [str(label) for label in range(classes)])
        return measure(segmenter, facts.machine.device).per_pixel
    except Exception:  # a network of somebody's own may need anything; training will say what
        return HEAVIEST
