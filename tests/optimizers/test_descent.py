"""Schedules of the learning rate, by hand."""

from math import inf, nan

import pytest
import torch

from weakseg.optimizers import SGD, AdamW


def test_a_schedule_that_there_is_not() -> None:
    with pytest.raises(
        ValueError, match="schedule should be one of poly, step, constant, but it is 'Step'"
    ):
        SGD(schedule="Step")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="drop should be more than 0 and at most 1, but it is 0"):
        SGD(schedule="step", drop=0)
    with pytest.raises(ValueError, match="lr should be more than 0 and finite, but it is -1"):
        SGD(lr=-1)


@pytest.mark.parametrize(
    "options",
    [
        {"lr": inf},
        {"lr": nan},
        {"head_multiplier": inf},
        {"weight_decay": inf},
        {"weight_decay": -1},
        {"power": -1},
    ],
)
def test_options_that_cannot_train_are_refused(options: dict[str, float]) -> None:
    (name,) = options
    for kind in (SGD, AdamW):
        with pytest.raises(ValueError, match=f"{name} should be"):
            kind(**options)


@pytest.mark.parametrize("decay", [-0.1, 1, nan])
def test_decays_are_below_1(decay: float) -> None:
    with pytest.raises(ValueError, match="momentum should be"):
        SGD(momentum=decay)
    with pytest.raises(ValueError, match="each of betas should be"):
        AdamW(betas=(0.9, decay))


def test_rates_fall_in_steps() -> None:
    optimizer = SGD(lr=1.0, schedule="step", drop_every=3, drop=0.5)
    built = optimizer.build([{"params": [torch.nn.Parameter(torch.zeros(1))]}])
    scheduler = optimizer.scheduler(built, lambda: 100)
    rates = []
    for _ in range(7):
        rates += scheduler.get_last_lr()
        built.step()
        scheduler.step()
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
