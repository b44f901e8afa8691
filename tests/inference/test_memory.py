"""A large image in windows: only the result is as large as the image."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import torch
from torch import nn
from tests.small import Refine
from weakseg.inference.multiscale import Inference
from weakseg.training.segmenter import Segmenter


class Tiny(nn.Module):
    stride = 16

    def __init__(self):
        super().__init__()
        pool = nn.MaxPool2d(16, ceil_mode=True)
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), pool)
        self.head = nn.Conv2d(8, 21, 1)

    def forward(self, image):
        return self.head(self.encoder(image))


def most():
    # not ru_maxrss, which begins with the memory of the process that started this one
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


classes = [str(number) for number in range(21)]
segmenter = Segmenter(Tiny(), Refine(), classes, inference=Inference(window=513))
image = torch.randint(0, 256, (3, 3000, 4000), dtype=torch.uint8)
segmenter.predict(image[:, :600, :600])
before = most()
probs = segmenter.predict(image).probs
assert (probs.sum(0) - 1).abs().max() < 1e-5
print((most() - before) / (probs.numel() * probs.itemsize))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_only_the_result_is_as_large_as_a_large_image() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True
    )
    # sizes of the result, which is 1 GB; the whole image at once takes several
    assert 0.5 < float(done.stdout) < 1.3
