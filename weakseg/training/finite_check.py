"""Whether the loss and the gradients of every training step are finite, without waiting for the
device in each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from weakseg.utils.processes import anywhere, gather

NONE = 2**62  # no step: above all that there are
MOST = 1000  # steps that are not looked at, at most
CAUSES = ("the loss", "a gradient")


class Found(NamedTuple):
    """The first step of a rank that was not finite."""

    step: int
    what: str
    """one of CAUSES"""
    images: list[str]


class FiniteCheck:
    """Notes on the device which optimizer step was the first with a loss or a gradient that is no
    number, and raises on all ranks together when it is looked at.

    In between the ids of the images are kept, on the processor. From the first bad step on
    nothing may be made of the network, so look before it is saved, measured or queried.
    """

    def __init__(self) -> None:
        self._first: Tensor | None = None  # twice the step, and one more for a gradient
        self._bad_loss: Tensor | None = None  # since the last optimizer step
        self._recent: list[str] = []  # images since then
        self._images: dict[int, list[str]] = {}  # of each step that has not been looked at

    @property
    def steps(self) -> int:
        """How many have not been looked at."""
        return len(self._images)

    def add_loss(self, loss: Tensor, ids: Sequence[str]) -> None:
        """Note the loss of a batch."""
        bad = ~torch.isfinite(loss.detach())
        self._bad_loss = bad if self._bad_loss is None else self._bad_loss | bad
        self._recent += ids

    def add_step(self, norms: Tensor | None, step: int) -> Tensor:
        """Note the gradients of an optimizer step; whether this one or an earlier one was bad, a
        bool on the device.

        Args:
            norms: of the gradients; None where a scaler sees to these.
            step: how many optimizer steps have been before.
        """
        assert self._bad_loss is not None
        found = torch.where(self._bad_loss, 2 * step, NONE)
        if norms is not None:
            found = torch.where(self._bad_loss | norms.isfinite().all(), found, 2 * step + 1)
        self._first = found if self._first is None else self._first.minimum(found)
        self._images[step] = self._recent
        self._recent = []
        self._bad_loss = None
        return self._first != NONE

    def look(self) -> None:
        """Stop on all ranks together when a step of any was bad, and name the images. All ranks
        must look after the same step."""
        number = NONE if self._first is None else int(self._first)
        if anywhere(number != NONE):
            raise FloatingPointError(_message(self._found(number)))
        self._images = {}

    def _found(self, number: int) -> Found | None:
        if number == NONE:
            return None
        step, cause = divmod(number, 2)
        return Found(step, CAUSES[cause], self._images[step])


def _message(found: Found | None) -> str:
    """Which images it was, of all ranks; every rank has to ask, those without a bad number too."""
    reports = [report for report in gather(found) if report is not None]
    first = min(report.step for report in reports)
    reports = [report for report in reports if report.step == first]
    # behind an all-reduce every rank has a bad gradient; the ranks with a bad loss caused it
    causes = [report for report in reports if report.what == CAUSES[0]] or reports
    images = ", ".join(image for report in causes for image in report.images)
    return (
        f"{causes[0].what} of step {first} is not finite, on the images {images}; lower "
        "optimizer.lr, set trainer.gradient_clip_val, or look at these images"
    )
