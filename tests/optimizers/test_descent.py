"""Schedules of the learning rate, by hand."""

import pytest
import torch

from weakseg.optimizers import SGD


def test_a_schedule_that_there_is_not() -> None:
    with pytest.raises(
        ValueError, match="schedule should be one of poly, step, constant, but it is 'Step'"
    ):
        SGD(schedule="Step")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="drop should be more than 0 and at most 1, but it is 0"):
        SGD(schedule="step", drop=0)
    with pytest.raises(ValueError, match="lr should be more than 0, but it is -1"):
        SGD(lr=-1)


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
