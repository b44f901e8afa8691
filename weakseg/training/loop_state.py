"""The state of Lightning's loops in a checkpoint, set right for a run that goes on from it."""

from __future__ import annotations

from typing import Any


def go_on_between_batches(loop: dict[str, Any]) -> None:
    """Change the state of Lightning's loops in a checkpoint so that a run which goes on from it
    does nothing twice.

    Lightning takes a batch that had only been announced for one that has been seen. And it ends an
    epoch again if the checkpoint was written by the last callback that heard of its end: with
    `max_steps` all callbacks would hear of it twice, and a round be made twice.
    """
    epochs = loop["epoch_progress"]
    batches = loop["epoch_loop.batch_progress"]
    for counts in (batches["total"], batches["current"]):
        if counts["started"] == counts["completed"] < counts["ready"]:
            counts["ready"] = counts["started"]
            batches["is_last_batch"] = False
    total = epochs["total"]
    if total["ready"] == total["started"] == total["processed"]:
        for counts in (epochs["total"], epochs["current"]):
            counts["completed"] = counts["processed"]
        optimizer = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
        begun = [
            batches,
            loop["epoch_loop.scheduler_progress"],
            optimizer["step"],
            optimizer["zero_grad"],
        ]
        for counts in (progress["current"] for progress in begun):
            counts.update(dict.fromkeys(counts, 0))
        loop["epoch_loop.val_loop.batch_progress"]["total"] = dict.fromkeys(
            loop["epoch_loop.val_loop.batch_progress"]["total"], 0
        )
        batches["is_last_batch"] = False
