"""Whether two checkouts train alike: every toy recipe in both, and what they logged, stored and
learned compared to the last bit.

    git worktree add ../before <commit>
    python benchmarks/same_results.py ../before .                    all toy recipes, 20 steps
    python benchmarks/same_results.py ../before . --recipes boxes,tags
    python benchmarks/same_results.py ../before . trainer.max_steps=60 data.train=60

A change that should not alter results shows no difference here. The first step of each recipe is
run once before, in both, so that no run compiles. Figures that only one of the checkouts logs, and
times, are not compared. Exit code 1 where something differs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from PIL import Image

SMALL = [
    "data.train=24",
    "data.val=4",
    "data.size=64",
    "data.batch_size=4",
    "rounds.workers=0",
    "trainer.max_steps=20",
]
QUIET = [
    "trainer.log_every_n_steps=1",
    "trainer.enable_progress_bar=false",
    "trainer.accelerator=cpu",
]


class Results(NamedTuple):
    """What a run left behind."""

    figures: list[dict[str, str]]
    targets: Counter[tuple[str, bytes]]
    weights: dict[str, torch.Tensor]


def main() -> None:
    """Compare two checkouts and print a line per recipe."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument(
        "--recipes", help="names with commas between them; all of the toy set if left out"
    )
    parser.add_argument("words", nargs="*", help="key=value, on top of the small settings")
    options = parser.parse_intermixed_args()
    recipes = options.recipes.split(",") if options.recipes else toy_recipes(options.before)
    different = []
    for recipe in recipes:
        for checkout in (options.before, options.after):
            run(checkout, recipe, [*options.words, "trainer.max_steps=1"])
        before, after = (
            run(checkout, recipe, options.words) for checkout in (options.before, options.after)
        )
        found = differences(before, after)
        different += [recipe] if found else []
        print(f"{recipe:18} {'; '.join(found) or 'the same'}", flush=True)
    print(f"{len(recipes) - len(different)} of {len(recipes)} recipes give the same results")
    sys.exit(bool(different))


def toy_recipes(checkout: Path) -> list[str]:
    """The recipes that train on the toy set, by name."""
    files = sorted([*checkout.glob("recipes/*.yaml"), *checkout.glob("weakseg/recipes/*.yaml")])
    return [
        file.stem for file in files if yaml.safe_load(file.read_text())["data"]["name"] == "toy"
    ]


def run(checkout: Path, recipe: str, words: list[str]) -> Results:
    """Train in a folder of its own with the code of a checkout."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "weakseg.fit",
            f"recipe={recipe}",
            f"trainer.default_root_dir={folder}",
        ]
        command += merged([*SMALL, *QUIET, *words])
        paths = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
        done = subprocess.run(
            command, cwd=folder, env=paths, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{checkout}: {recipe} ended with {done.returncode}\n{done.stderr[-2000:]}")
        own = next(Path(folder).glob(f"{recipe}/*/metrics.csv")).parent
        return Results(
            read_figures(own / "metrics.csv"),
            read_targets(Path(folder) / "labels"),
            read_weights(own),
        )


def merged(words: list[str]) -> list[str]:
    """The words, of each key the last one."""
    return list({word.partition("=")[0]: word for word in words}.values())


def read_figures(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics.csv without empty cells and times."""
    head, *lines = (line.split(",") for line in path.read_text().splitlines())
    rows = [dict(zip(head, line, strict=True)) for line in lines]
    return [
        {name: value for name, value in row.items() if value and not name.startswith("time/")}
        for row in rows
    ]


def read_targets(folder: Path) -> Counter[tuple[str, bytes]]:
    """How often each target stands there, as the image's id and the bytes of its values."""
    targets: Counter[tuple[str, bytes]] = Counter()
    for file in folder.glob("??/*-*"):
        if file.suffix == ".png":
            values = np.array(Image.open(file)).tobytes()
        else:
            with np.load(file, allow_pickle=False) as stored:
                values = stored["values"].tobytes()
        targets[file.stem.rsplit("-", 1)[0], values] += 1
    return targets


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights at the end of a run."""
    content: Any = torch.load(
        folder / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True
    )
    return dict(content["state_dict"])


def differences(before: Results, after: Results) -> list[str]:
    """What differs, in words."""
    found = []
    if len(before.figures) != len(after.figures):
        found.append(f"{len(before.figures)} rows of figures, then {len(after.figures)}")
    for old, new in zip(before.figures, after.figures, strict=False):
        names = [name for name in old if name in new and old[name] != new[name]]
        if names:
            found.append(
                f"{names[0]} at step {old.get('step', '?')}: {old[names[0]]}, then {new[names[0]]}"
            )
            break
    if before.targets != after.targets:
        changed = (before.targets - after.targets).total()
        found.append(
            f"{changed} of {before.targets.total()} targets differ or are gone; there are "
            f"{after.targets.total()} now"
        )
    unequal = [
        name
        for name, value in before.weights.items()
        if name not in after.weights or not value.equal(after.weights[name])
    ]
    if unequal:
        found.append(f"{len(unequal)} of {len(before.weights)} tensors of weights")
    return found


if __name__ == "__main__":
    main()
