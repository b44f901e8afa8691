"""The trainer's numbers of batches, checked before the targets are estimated: Lightning looks at
them only afterwards."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Trainer

from weakseg.data.base import WeakData


def check_batches(trainer: Trainer, data: WeakData) -> None:
    """Raise a ValueError if an epoch, or a validation, has too few batches for what the trainer was
    given."""
    made: Any = trainer
    training = len(data.train_dataloader())
    # of the first rank, which has the most
    validation = -(-len(data.validation) // (data.batch_size * trainer.world_size))
    overfits = made.overfit_batches
    pairs = [
        ("overfit_batches" if overfits else "limit_train_batches", training, "an epoch"),
        ("overfit_batches" if overfits else "limit_val_batches", validation, "a validation"),
    ]
    errors = [_too_small(name, getattr(made, name), count, of) for name, count, of in pairs]
    limit = made.limit_train_batches
    trained = min(training, limit) if isinstance(limit, int) else int(training * limit)
    every = made.val_check_interval
    within_an_epoch = made.check_val_every_n_epoch is not None
    if within_an_epoch and isinstance(every, int) and 0 < trained < every:
        errors.append(
            f"trainer.val_check_interval: an epoch has {_batches(trained)}, so that there "
            f"is no validation after {every} of it; set trainer.check_val_every_n_epoch=null to "
            "count over all epochs"
        )
    if found := [error for error in errors if error]:
        raise ValueError("\n".join(found))


def _too_small(name: str, share: float, count: int, of: str) -> str:
    """What is wrong with a share of batches that is less than one."""
    if not isinstance(share, float) or not count or share == 0 or int(count * share) >= 1:
        return ""
    return (
        f"trainer.{name}: {of} has {_batches(count)}, of which {share:g} is less than one; "
        f"set it to {1 / count:.3g} or more, or to a number of batches"
    )


def _batches(count: int) -> str:
    return f"{count} batch{'es' * (count != 1)}"
