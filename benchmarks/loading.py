"""How quickly images come, and how long training waits for them, for a data set and several numbers
of loader processes.

    python benchmarks/loading.py                                          the toy set
    python benchmarks/loading.py @benchmarks/animals.txt data.root=VOCdevkit data.evidence=boxes
    python benchmarks/loading.py --workers 0,1,2,4 --steps 40 \\
        data=folder data.root=photos data.format=yolo

"Images per second" is what loaders give when nobody works on the images; from one process, and from
all of them. "Waiting" is the share of the time of real training steps, with the recipe's network,
in which the next batch was not there yet. Turns alternate between the numbers of processes, and
medians are shown. Targets are made before the training steps and read with the images there; images
per second are without.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any

import pytorch_lightning as pl
from sweep import complete, reader, setting
from torch import nn

from weakseg.config.recipe import load, resolve
from weakseg.run import fit
from weakseg.training.metrics_file import read_record


class Idle(pl.LightningModule):
    """Takes batches and does nothing with them."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.nothing = nn.Linear(1, 1)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Nothing."""

    def configure_optimizers(self) -> None:
        """None."""


class Clock(pl.Callback):
    """The time from the first batch to the last: how long the loader processes take to start is not
    its matter."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """A batch has arrived."""
        self.times.append(perf_counter())


def images_per_second(words: Sequence[str], steps: int) -> float:
    """Of loading alone."""
    recipe = resolve(load(words))
    pl.seed_everything(recipe.seed, verbose=False)
    data: Any = recipe.build("data")
    # within an epoch: each starts its processes anew
    steps = min(steps, max(2, len(data.training) // data.batch_size))
    clock = Clock()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = pl.Trainer(
        max_epochs=1,
        limit_train_batches=steps,
        limit_val_batches=0,
        callbacks=[clock],
        accelerator="cpu",
        **quiet,
    )
    trainer.fit(Idle(), datamodule=data)
    return data.batch_size * (len(clock.times) - 1) / (clock.times[-1] - clock.times[0])


def waiting(name: str, words: Sequence[str], steps: int, folder: str) -> float:
    """The share of training with a recipe that is spent waiting for the next batch."""
    own = [
        f"trainer.max_steps={steps}",
        "trainer.log_every_n_steps=1",
        "trainer.limit_val_batches=0",
        f"rounds.folder={folder}/labels",
    ]
    own += [
        f"trainer.default_root_dir={folder}",
        "trainer.enable_checkpointing=false",
        "trainer.enable_progress_bar=false",
    ]
    recipe = resolve(load(complete(name, [*words, *(f"{name}:{word}" for word in own)])))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        rows = [row for row in read_record(fit(recipe) / "metrics.csv") if row.get("time/step")]
    pairs = [(float(row["time/wait"]), float(row["time/step"])) for row in rows[1:]]
    return sum(wait for wait, _ in pairs) / sum(wait + step for wait, step in pairs)


def main() -> None:
    parser = reader(__doc__)
    parser.add_argument("--recipe", default="boxes")
    parser.add_argument("--workers", default="0,1,2", help="numbers of loader processes")
    parser.add_argument("--steps", type=int, default=30, help="of each turn")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_intermixed_args()
    if arguments.steps < 3:
        parser.error(
            f"--steps should be at least 3, but it is {arguments.steps}: the first batches start "
            "the processes"
        )
    name = arguments.recipe
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # Lightning misses what `Idle` does not have
    numbers = [int(number) for number in arguments.workers.split(",")]
    print(f"{setting()}; {' '.join(complete(name, arguments.words))}", flush=True)
    rates = defaultdict[int, list[float]](list)
    waits = defaultdict[int, list[float]](list)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.repeats):
            for number in numbers:
                own = [*arguments.words, f"{name}:data.workers={number}"]
                rates[number].append(images_per_second(complete(name, own), arguments.steps))
                waits[number].append(waiting(name, own, arguments.steps, folder))
    print("\n| loader processes | images per second | per process | waiting |\n|---|---|---|---|")
    for number in numbers:
        rate = median(rates[number])
        print(
            f"| {number or 'none'} | {rate:.0f} | {rate / max(1, number):.0f} | "
            f"{median(waits[number]):.1%} |"
        )


if __name__ == "__main__":
    main()
