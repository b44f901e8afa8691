"""The labels that a session shows: targets, estimated anew where the evidence has changed, and
predictions; those that were made lately are kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from weakseg.data.corrections.events import EDITS, Event
from weakseg.data.corrections.history import History
from weakseg.reviewing.background import Background
from weakseg.reviewing.estimating import Choice, Estimator
from weakseg.reviewing.fitting import Fits
from weakseg.reviewing.images import ReviewedImages, State
from weakseg.reviewing.material import Material
from weakseg.reviewing.ranking import suspicion_of
from weakseg.reviewing.recent import Recent
from weakseg.reviewing.refusals import StrategyFailed, WrongRequest
from weakseg.suspicion.queue import Suspicion
from weakseg.training.targets import correct_target

MEMORY = 2**28  # bytes of labels that are kept, about
PROPOSED = 3  # strategies that a message names


class SessionTargets:
    """Targets and predictions of the images of a session.

    Args:
        material: what is reviewed.
        images: of the session.
        background: fits joint strategies.
        training: the images that these are fitted to.
    """

    def __init__(
        self,
        material: Material,
        images: ReviewedImages,
        background: Background,
        training: Sequence[int],
    ) -> None:
        self._own = material.strategy_name
        self._trained = material.trained
        self._classes = material.classes
        self._images = images
        self._labels = Recent[Tensor](MEMORY, lambda labels: labels.nbytes)
        self._estimator = Estimator(material, material.classes)
        self._fits = Fits(self._estimator, background, images.evidence, training)
        if material.fitted is not None:
            self._fits.take(self._own, material.fitted)

    @property
    def choices(self) -> list[Choice]:
        """The strategies that a person may choose, that of the recipe first."""
        return self._estimator.choices

    def target(self, number: int, strategy: str) -> tuple[Tensor, State]:
        """The target of an image, uint8 [H,W], and the state that it belongs to."""
        with self._estimator.alone:
            # only now: of several requests in a row, those that were overtaken find the target of
            # the last one
            state = self._images.state(number)
            return self._target(number, strategy, state), state

    def prediction(self, number: int) -> Tensor | None:
        """The classes that the trained network predicts, uint8 [H,W]; None without one."""
        sample = self._images.sample(number)
        key = ("prediction", number, sample.stamp)
        kept = self._labels.get(key)
        if kept is None:
            found = self._estimator.probabilities(sample.evidence)
            kept = None if found is None else self._labels.put(key, _likeliest(found))
        return kept

    def suspicion(self, number: int) -> Suspicion | None:
        """How suspicious an image is; None if neither strategy nor network makes labels of it."""
        state = self._images.state(number)
        probs = self._estimator.probabilities(state.evidence)
        if self._estimator.estimates(self._own):
            labels = self._target(number, self._own, state)
        elif probs is not None:
            labels = correct_target(_likeliest(probs), state.evidence)
        else:
            return None
        return suspicion_of(labels, state.evidence, self._classes, probs)

    def why_none(self, state: State) -> str:
        """Why no target of an image is shown unless another strategy is chosen, and which; empty if
        one is."""
        if self._trained or self._estimator.estimates(self._own):
            return ""
        able = [
            choice.name
            for choice in self.choices
            if self._estimator.estimates(choice.name)
            and not self._estimator.lacks(choice.name, state.evidence)
        ]
        hint = f"; choose {' or '.join(able[:PROPOSED])} to see one" if able else ""
        return f"{self._own} estimates no target, and no network is trained{hint}"

    def _target(self, number: int, strategy: str, state: State) -> Tensor:
        """The target, or, of strategies that estimate nothing, the prediction with what a person
        has drawn in it."""
        if not self._estimator.knows(strategy):
            raise WrongRequest(f"there is no strategy {strategy!r:.60} in this session")
        if not self._estimator.estimates(strategy):
            predicted = self.prediction(number)
            if predicted is None:
                raise StrategyFailed(self.why_none(state))
            return correct_target(predicted, state.evidence)
        key = ("target", number, state.sample.stamp, strategy, _edits_of(state.history))
        kept = self._labels.get(key)
        if kept is None:
            fitted = self._fits.get(strategy)
            target = self._estimator.target(strategy, state.evidence, fitted)
            kept = self._labels.put(key, target)
        return kept


def _likeliest(probs: Tensor) -> Tensor:
    """The likeliest class of each pixel, uint8 [H,W]."""
    return probs.argmax(0).to(torch.uint8)


def _edits_of(history: History) -> tuple[Event, ...]:
    """All of the corrections that targets depend on."""
    return tuple(event for event in history.applied if event.action in EDITS)
