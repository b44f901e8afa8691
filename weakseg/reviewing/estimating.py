"""Targets while a person looks: estimated for one image at a time, by the same code as rounds."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from threading import RLock
from typing import NamedTuple

from torch import Tensor

from weakseg.config.recipe import build_section
from weakseg.evidence import Evidence, Prediction
from weakseg.reviewing.material import Material
from weakseg.reviewing.refusals import StrategyFailed
from weakseg.strategies import NAMES
from weakseg.strategies.base import Context, Strategy, estimates
from weakseg.training.estimation import failure
from weakseg.training.label_quality import harden
from weakseg.training.queries import network_fingerprint, query_untrained
from weakseg.training.round_targets import cache_folder
from weakseg.training.segmenter import Segmenter
from weakseg.training.targets import target_of
from weakseg.utils.array_cache import ArrayCache
from weakseg.utils.messages import one_line

NOTHING = "Estimates nothing, so it shows the network's predictions, with strokes in them"
LONGEST_TITLE = 90  # characters


class Choice(NamedTuple):
    """A strategy that a person may choose."""

    name: str
    title: str
    needs: tuple[str, ...]
    """fields of evidence"""


class Estimator:
    """Estimates targets and predictions of single images; one at a time, whatever the number of
    threads.

    Args:
        material: what is reviewed.
        classes: names of the classes.
    """

    def __init__(self, material: Material, classes: Sequence[str]) -> None:
        self.material = material
        self.classes = tuple(classes)
        self.own = material.strategy_name
        self._strategies: dict[str, Strategy] = {self.own: material.strategy}
        self._segmenters: dict[str, Segmenter] = {}
        self.alone = RLock()
        """held by whoever lets strategy or network work"""
        self.choices = [self._choice(name) for name in self._names()]

    def _names(self) -> list[str]:
        """The strategy of the recipe first, and all others that can be built without one."""
        return [self.own, *(name for name in NAMES if name != self.own and self._is_able(name))]

    def _is_able(self, name: str) -> bool:
        """Whether a strategy estimates, and the network, if any, has what it wants."""
        try:
            strategy = self.strategy(name)
            if not estimates(strategy):
                return False
            encoder = strategy.wants.encoder
            if encoder is not None and not encoder.is_here:
                return False  # nobody has asked to fetch it
            if strategy.wants.intermediate:
                self._segmenter(name)
        except (ValueError, TypeError, StrategyFailed):
            return False
        return True

    def _choice(self, name: str) -> Choice:
        strategy = self.strategy(name)
        if not estimates(strategy):
            return Choice(name, NOTHING, ())
        text = " ".join((inspect.getdoc(type(strategy)) or name).partition("\n\n")[0].split())
        title = re.split(r"[.:;(]", text)[0].strip()
        return Choice(name, title[:LONGEST_TITLE], tuple(strategy.needs))

    def strategy(self, name: str) -> Strategy:
        """The strategy of a name."""
        if name not in self._strategies:
            strategy = build_section("strategy", {"name": name}, {}, classes=self._count)
            self._strategies[name] = strategy
        return self._strategies[name]

    @property
    def _count(self) -> int:
        return max(2, len(self.classes))

    def knows(self, name: str) -> bool:
        """Whether it is the name of a strategy that may be chosen."""
        return any(choice.name == name for choice in self.choices)

    def estimates(self, name: str) -> bool:
        """Whether a strategy makes targets, and not a loss alone."""
        return estimates(self.strategy(name))

    def lacks(self, name: str, evidence: Evidence) -> str:
        """What is missing of an image's evidence for a strategy, as one line; empty if nothing
        is."""
        try:
            evidence.need(*self.strategy(name).needs)
            self.strategy(name).check(evidence, self.classes)
        except ValueError as error:
            return f"{name} cannot estimate a target: {one_line(error)}"
        return ""

    def target(self, name: str, evidence: Evidence, fitted: Tensor | None = None) -> Tensor:
        """The target of an image as hard labels, uint8 [H,W], 255 = none; StrategyFailed with the
        reason if there can be none.

        Args:
            name: of the strategy.
            evidence: of the image.
            fitted: by a joint strategy, to all images together.
        """
        strategy = self.strategy(name)
        if missing := self.lacks(name, evidence):
            raise StrategyFailed(missing)
        try:
            with self.alone:
                context = self.context(name, evidence, fitted)
                target = target_of(strategy, evidence, context, self._count).labels
        except Exception as error:  # the user's code may raise anything
            reason = failure(evidence.id, error).reason
            raise StrategyFailed(f"{name} failed on {evidence.id}: {one_line(reason)}") from error
        return harden(target, evidence.box_classes)

    def probabilities(self, evidence: Evidence) -> Tensor | None:
        """What the trained network finds, float [C,H,W]; None without one."""
        segmenter = self.material.segmenter
        if segmenter is None or not self.material.trained:
            return None
        try:
            with self.alone:
                return segmenter.predict(evidence.image).probs
        except Exception as error:
            reason = one_line(failure(evidence.id, error).reason)
            raise StrategyFailed(f"the network failed on {evidence.id}: {reason}") from error

    def context(self, name: str, evidence: Evidence, fitted: Tensor | None = None) -> Context:
        """What a strategy is given beside the evidence of an image."""
        strategy = self.strategy(name)
        prediction = self._query(name, evidence)
        return Context(prediction, fitted, self._cache(strategy), self.classes)

    def _cache(self, strategy: Strategy) -> ArrayCache:
        return ArrayCache(cache_folder(self.material.store, strategy))

    def _query(self, name: str, evidence: Evidence) -> Prediction | None:
        """What a strategy is told of the network: that of the run as in its next round; others as
        in their first."""
        strategy = self.strategy(name)
        later = name == self.own and self.material.number > 0
        if not later and not strategy.wants.intermediate:
            return None
        segmenter = self._segmenter(name)
        if later:
            return segmenter.predict(evidence.image, plain=True)
        network = network_fingerprint(segmenter)
        return query_untrained(segmenter, evidence.image, network, self._cache(strategy))

    def _segmenter(self, name: str) -> Segmenter:
        """The network with a strategy."""
        segmenter = self.material.segmenter
        if segmenter is None:
            raise StrategyFailed(f"{name} queries a network, but there is none")
        if name == self.own:
            return segmenter
        if name not in self._segmenters:
            other = Segmenter(segmenter.network, self.strategy(name), self.classes)
            other.long_side = segmenter.long_side
            self._segmenters[name] = other.to(segmenter.device).eval()
        return self._segmenters[name]
