"""Checks and measures everything that a GPU is promised for, in at most eight minutes, and writes
one table. It needs no data, no weights and no internet.

    python benchmarks/gpu.py out                       gpu.md and gpu.json in the folder out
    python benchmarks/gpu.py out --only crf,losses     some parts: crf, losses, step, prediction,
                                                       augmentation
    python benchmarks/gpu.py out --device cpu --quick  whether the script runs; no figure means
                                                       anything

What fails is a row of the table, and the rest goes on; the exit code is 1 then. A part that has
used up its seconds leaves its last rows out. See docs/reference/gpu.md.

The columns: "ms" are per image (crf, prediction, augmentation), per call forward and backward
(losses), or per training step. "Against", also in ms, is for crf the same with lattices known; for
a step of `full` the bare loop, for one of another strategy that of `full`; for a folder the network
alone; for augmentation a loader on one core that does all of it. "Times" is the ratio of both. "Off
by" is how far results are from those of a CPU: marginals (crf), value or gradient as a part of
themselves (losses), logits as a part of the largest (prediction), pixels on average as a part of
255 (augmentation). "Waits" are how often a call or a step waits for the device, by torch's own
count, whoever it is that waits.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from time import perf_counter

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: or its threads spin

import torch

sys.path.insert(0, str(Path(__file__).parent))
from gpu_augmentation import measure_augmentation
from gpu_functions import measure_crf, measure_losses
from gpu_network import measure_prediction, measure_steps
from gpu_sheet import Sheet

# the share of the seconds that each part has at most
PARTS: dict[str, tuple[float, Callable[[Sheet], None]]] = {
    "crf": (0.2, measure_crf),
    "losses": (0.15, measure_losses),
    "step": (0.45, measure_steps),
    "prediction": (0.15, measure_prediction),
    "augmentation": (0.05, measure_augmentation),
}
SECONDS = 440  # of the eight minutes: what is under way when they are over is ended


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder of the table")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--seconds", type=float, default=SECONDS)
    arguments = parser.parse_args()
    wanted = arguments.only.split(",")
    if unknown := [name for name in wanted if name not in PARTS]:
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(PARTS)}")
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU; --device cpu --quick runs the same code on a CPU")
    sheet = Sheet(device, arguments.quick)
    start = perf_counter()
    for name in wanted:
        share, measure = PARTS[name]
        with sheet.part(name, share * arguments.seconds):
            measure(sheet)
        sheet.write(arguments.out, _head(device, arguments.quick, perf_counter() - start))
    failed = [row for row in sheet.rows if row.failed]
    print(f"{len(sheet.rows)} rows, {len(failed)} failed; {arguments.out / 'gpu.md'}")
    return int(bool(failed))


def _head(device: torch.device, quick: bool, seconds: float) -> dict[str, str]:
    """What belongs to the figures."""
    import pytorch_lightning

    import weakseg

    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
    return {
        "date": str(date.today()),
        "device": f"{gpu}{' (quick: no figure means anything)' if quick else ''}",
        "CUDA": str(torch.version.cuda) if device.type == "cuda" else "none",
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "Lightning": pytorch_lightning.__version__,
        "weakseg": weakseg.__version__,
        "seconds": f"{seconds:.0f}",
    }


if __name__ == "__main__":
    sys.exit(main())
