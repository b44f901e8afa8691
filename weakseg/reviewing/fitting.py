"""What joint strategies fit to all training images together, before they estimate any: done in the
background, since it reads all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Lock

import torch
from torch import Tensor

from weakseg.evidence import Evidence
from weakseg.reviewing.background import Background
from weakseg.reviewing.estimating import Estimator
from weakseg.reviewing.refusals import Refusal, StillWorking, StrategyFailed
from weakseg.strategies.base import JointStrategy, fits_together
from weakseg.training.estimation import Failure
from weakseg.training.image_work import Job, Reading
from weakseg.training.joint_fit import describe_one
from weakseg.utils.messages import one_line


class Fits:
    """What joint strategies have fitted, by their names.

    Args:
        estimator: of the session.
        background: does the work.
        evidence: of a training image by its number, with corrections; a Refusal if it is broken.
        training: the numbers of these images.
    """

    def __init__(
        self,
        estimator: Estimator,
        background: Background,
        evidence: Callable[[int], Evidence],
        training: Sequence[int],
    ) -> None:
        self._estimator = estimator
        self._background = background
        self._evidence = evidence
        self._training = training
        self._found: dict[str, Tensor | None] = {}
        self._failed: dict[str, str] = {}
        self._lock = Lock()

    def take(self, name: str, fitted: Tensor) -> None:
        """Use what a run has fitted."""
        self._found[name] = fitted

    def get(self, name: str) -> Tensor | None:
        """What a strategy has fitted, None for one that fits nothing; StillWorking until it has,
        and StrategyFailed if it could not."""
        strategy = self._estimator.strategy(name)
        if not fits_together(strategy):
            return None
        with self._lock:
            if name in self._found:
                return self._found[name]
            if name in self._failed:
                raise StrategyFailed(self._failed[name])
        self._background.add(f"fit {name}", self._steps(name, strategy))
        doing = self._background.doing
        raise StillWorking(doing or f"{name} is being fitted to all images, which takes a while")

    def _steps(self, name: str, strategy: JointStrategy) -> Iterator[str]:
        try:
            fitted: Tensor | None = None
            for iteration in range(strategy.iterations):
                described = []
                turn = f", {iteration + 1} of {strategy.iterations}" * (strategy.iterations > 1)
                for place, number in enumerate(self._training):
                    yield (
                        f"{name} is being fitted to all images{turn}: {place} of "
                        f"{len(self._training)}"
                    )
                    found = self._described(name, strategy, number, fitted)
                    described += [] if found is None else [found]
                with self._estimator.alone, torch.no_grad():
                    descriptions = [own for _, own in sorted(described, key=_first)]
                    fitted = strategy.continue_fit(fitted, strategy.fit(descriptions))
            self._found[name] = fitted
        except Exception as error:  # the user's code may raise anything
            self._failed[name] = f"{name} could not be fitted to the images: {one_line(error)}"

    def _described(
        self, name: str, strategy: JointStrategy, number: int, fitted: Tensor | None
    ) -> tuple[str, dict[str, Tensor]] | None:
        """The id of an image and what the strategy has to know of it; None if that cannot be
        had."""
        try:
            evidence = self._evidence(number)
        except Refusal:
            return None
        if self._estimator.lacks(name, evidence):
            return None
        with self._estimator.alone:
            context = self._estimator.context(name, evidence, fitted)
            job = Job(number, evidence=evidence, prediction=context.prediction)
            found = describe_one(strategy, context, Reading(None), job)
        if isinstance(found, Failure):
            raise ValueError(f"image {found.id}: {found.reason}")
        return found.id, {key: torch.from_numpy(value) for key, value in found.description.items()}


def _first(pair: tuple[str, dict[str, Tensor]]) -> str:
    return pair[0]
