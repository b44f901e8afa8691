"""Every network at full size as a graph: how far it is from the trained one, and how fast.

    python benchmarks/export.py                      all, as .onnx and as .pt2
    python benchmarks/export.py --only unet fcn8s --format onnx

Networks are as their constructors make them, with random weights and 21 classes, so files are as
large and as slow as those of a real training. The comparison is that of `weakseg.export`: logits
and labels at three sizes and two batches, and the time of one image of 256x256 in turns.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn

from weakseg.config.recipe import build
from weakseg.networks import NAMES
from weakseg.trained.exporting import Export, export_model

CLASSES = 21
NO_GRAPH = ("maskrcnn",)
Format = Literal["onnx", "torch"]


def main() -> None:
    """Export the networks and print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME")
    parser.add_argument("--format", nargs="+", choices=get_args(Format), default=get_args(Format))
    options = parser.parse_args()
    torch.manual_seed(0)
    print(
        f"{date.today()}, torch {torch.__version__}, {platform.processor()} {os.cpu_count()} CPUs"
    )
    print("| network | format | MB | difference | equal labels | network, ms | exported, ms |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in options.only or [name for name in NAMES if name not in NO_GRAPH]:
        with tempfile.TemporaryDirectory() as folder:
            run = make_run(Path(folder), name)
            for format in options.format:
                print(row(name, format, export_model(run, format)), flush=True)


def make_run(root: Path, name: str) -> Path:
    """The folder of a run that never trained, with all of a network's layers in use."""
    run = root / "full" / name
    (run / "checkpoints").mkdir(parents=True)
    (run / "recipe.yaml").write_text(f"strategy: full\nnetwork: {name}\ndata: toy\n")
    network: nn.Module = build({"name": name, "classes": CLASSES}, "network", "weakseg.networks")
    for parameter in network.parameters():
        if not parameter.any():  # some layers begin as zero, and would hide all that is before them
            nn.init.normal_(parameter, std=0.1)
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    known: dict[str, Any] = {"classes": [f"class{place}" for place in range(CLASSES)]}
    torch.save(
        {"state_dict": state, "weakseg": known | {"long_side": None}, "global_step": 0},
        run / "checkpoints" / "last.ckpt",
    )
    return run


def row(name: str, format: str, export: Export) -> str:
    """A row of the table."""
    comparison = export.comparison
    assert export.times is not None
    cells = [
        name,
        format,
        f"{export.path.stat().st_size / 1e6:.0f}",
        f"{comparison.difference:.1e}",
        f"{comparison.equal:.3%}",
        f"{1000 * export.times.network:.0f}",
        f"{1000 * export.times.exported:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
