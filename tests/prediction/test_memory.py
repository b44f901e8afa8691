"""Memory: bounded for many images, and for a large one of many classes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import os
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image

from tests.prediction.fakes import ORIGIN
from weakseg.inference.multiscale import Inference
from weakseg.prediction import images as module
from weakseg.trained.model import TrainedModel

CLASSES = tuple(str(number) for number in range(21))


class Coarse(TrainedModel):
    # one score per 16 pixels, so that nearly all memory is that of the prediction
    @torch.no_grad()
    def logits(self, images):
        few = F.avg_pool2d(images.float(), 16, ceil_mode=True).mean(1, keepdim=True)
        return F.interpolate(few * torch.linspace(0, 1, 21)[:, None, None], images.shape[-2:])


def most(reset=False):
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


def peak(name, long_side=None, window=None):
    model = Coarse(CLASSES, long_side, Inference(window=window), ORIGIN, {})
    module.load_model = lambda *_, **__: model
    before = most(reset=True)
    out = root / f"out-{name}-{long_side}-{window}"
    done = module.predict_images("", root / name, out, workers=2)
    assert not done.broken
    return most() - before


root = Path(sys.argv[1])
for name, size, count in (("warm", (90, 60), 20), ("large", (4000, 3000), 1), ("many", 0, 2000)):
    (root / name).mkdir()
    for number in range(count):
        if number < 40:
            wide = size or (300 + number, 200)
            Image.new("RGB", wide, (number, 200, 90)).save(root / name / f"{number}.jpg")
        else:
            os.link(root / name / f"{number % 40}.jpg", root / name / f"{number}.jpg")
peak("warm")
print(peak("large", long_side=512), peak("large", window=513), peak("many"))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_is_bounded(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    shrunk, windows, many = (int(figure) / 2**20 for figure in done.stdout.split())
    whole = 21 * 3000 * 4000 * 4 / 2**20  # the probabilities of all pixels, 961 MB
    assert shrunk < 0.3 * whole
    assert 0.8 * whole < windows < 1.5 * whole
    # all images are 380 MB as pixels, and 10 GB as probabilities
    assert many < 600
