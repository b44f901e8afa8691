"""Loader processes end with the program that has started them, however it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
BEGIN = """
import multiprocessing
import sys
import pytorch_lightning as pl
import weakseg
from tests.small import TinyNet
from weakseg.data.loading_processes import LoadingProcesses
from weakseg.data.toy.dataset import Toy
from weakseg.strategies import TagsEM

data = Toy(train=8, val=2, batch_size=2, workers=2)
segmenter = weakseg.Segmenter(TinyNet(len(data.classes)), TagsEM(), data.classes)
options = dict(accelerator="cpu", logger=False, enable_checkpointing=False, max_steps=4)
options |= dict(enable_progress_bar=False, num_sanity_val_steps=0)
"""
ENDINGS = {
    "a training that ends": "pl.Trainer(**options).fit(segmenter, datamodule=data)",
    "a training that fails": """
class Fails(pl.Callback):
    def on_train_batch_end(self, *_):
        raise ValueError("as expected")
try:
    pl.Trainer(**options, callbacks=[Fails()]).fit(segmenter, datamodule=data)
except ValueError as error:  # whose traceback holds all that the training has begun
    print(error)
    assert not multiprocessing.active_children()
""",
    "batches that are not taken": """
loader = LoadingProcesses(data.validation, 2, list)
batches = loader.load([[0], [1]])
next(batches)
""",
    "an exit in between": """
loader = LoadingProcesses(data.validation, 2, list)
batches = loader.load([[0], [1]])
next(batches)
sys.exit("as expected")
""",
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_the_program_ends(ending: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + ending], cwd=ROOT, capture_output=True, text=True, timeout=90
    )
    expected = "as expected" in ending
    assert ("as expected" in done.stdout + done.stderr) == expected, done.stderr
    assert done.returncode == int("sys.exit" in ending), done.stderr
