"""All processes of a run train by one plan, whatever has started them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from weakseg.planning.plan import Plan, word
from weakseg.utils.processes import gather


class OnePlan(Callback):
    """Refuses a training whose processes have planned differently: of torchrun or a scheduler, each
    looks at its own machine."""

    def __init__(self, plan: Plan) -> None:
        self.values = dict(plan.values)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Compare, as soon as the processes know each other."""
        if different := differences(gather(self.values)):
            raise ValueError(
                f"the processes of this run have planned differently: {'; '.join(different)}; give "
                "these keys on the command line"
            )


def differences(plans: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys whose values differ among the plans of several processes, with the values.

    >>> differences([{"data.batch_size": 8}, {"data.batch_size": 4}])
    ['data.batch_size is 8, 4']
    """
    found = []
    for key in dict.fromkeys(key for plan in plans for key in plan):
        values = list(dict.fromkeys(word(plan.get(key)) for plan in plans))
        if len(values) > 1:
            found.append(f"{key} is {', '.join(values)}")
    return found
