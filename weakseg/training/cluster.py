"""Where the processes of a training come from, if something else than Lightning starts them: what
its Trainer is given then."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from weakseg.utils.job import ray_workers


def trainer_arguments() -> dict[str, Any]:
    """Arguments of Lightning's Trainer for the processes of SLURM or Ray Train; its own choice is
    right for all others. `plugins` is a list that more may be added to."""
    if (workers := ray_workers()) is not None:
        nodes = max(1, workers.get_world_size() // max(1, workers.get_local_world_size()))
        lightning: Any = import_module("ray.train.lightning")
        return {
            "plugins": [lightning.RayLightningEnvironment()],
            "strategy": lightning.RayDDPStrategy(),
            "devices": workers.get_local_world_size(),
            "num_nodes": nodes,
        }
    if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():
        # Lightning would write checkpoints of its own, which a run does not go on from exactly
        return {"plugins": [SLURMEnvironment(auto_requeue=False)]}
    return {"plugins": []}
