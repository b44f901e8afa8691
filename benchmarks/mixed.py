"""What more masks give: val/miou of recipe=mixed over the share of images that have a mask, beside boxes and beside tags.

    python benchmarks/mixed.py                              two curves of six shares, three seeds each
    python benchmarks/mixed.py --evidence boxes --seeds 1   a quick look at one of them
    python benchmarks/mixed.py data.shares.masks=0.5        words after the options go to every run, as on the command line of weakseg.fit

Writes mixed.svg and prints a table. Masks of a small share are also among those of a larger one, so along a curve annotation only grows:
where a point lies lower than one before it, by more than the seeds of the two differ, more annotation has hurt.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from pathlib import Path
from statistics import mean
from time import perf_counter

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch, as weakseg.fit does

import torch

from weakseg.curves import HEIGHT, WIDTH, line_chart
from weakseg.loggers.record import read_record
from weakseg.recipe import check, load
from weakseg.run import fit

SHARES = "0,0.05,0.1,0.25,0.5,1"
KINDS = "boxes,tags"
COLOURS = ("#2563eb", "#dc2626", "#16a34a", "#9333ea")
STYLE = "text {font: 11px sans-serif; fill: #444} .grid {stroke: #ddd} polyline {fill: none; stroke-width: 2} " + " ".join(
    f"polyline.series-{i} {{stroke: {c}}} :not(polyline).series-{i} {{fill: {c}}}" for i, c in enumerate(COLOURS)
)
Scores = Mapping[float, Sequence[float]]
"""val/miou of each seed, by the share of masks"""


def score(kind: str, share: float, seed: int, steps: int, words: Sequence[str], folder: Path) -> float:
    """val/miou at the end of one run."""
    recipe = load(
        [
            "recipe=mixed",
            f"seed={seed}",
            f"data.evidence={kind}",
            f"data.masks={share}",
            f"rounds.folder={folder / 'labels'}",  # seeds share their targets
            f"trainer.max_steps={steps}",
            "trainer.check_val_every_n_epoch=100000",  # the end is measured anyway
            f"trainer.default_root_dir={folder / 'runs'}",
            "trainer.enable_checkpointing=false",
            "trainer.enable_progress_bar=false",
            *words,
        ]
    )
    check(recipe)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run = fit(recipe)
    return float([row["val/miou"] for row in read_record(run / "metrics.csv") if row.get("val/miou")][-1])


def table(curves: Mapping[str, Scores], shares: Sequence[float]) -> str:
    """Means over the seeds, with half the distance of the best from the worst."""
    lines = ["| masks on | " + " | ".join(f"{share:.0%}" for share in shares) + " |", "|---" * (len(shares) + 1) + "|"]
    for kind, scores in curves.items():
        cells = [f"{mean(scores[share]):.3f} ± {(max(scores[share]) - min(scores[share])) / 2:.3f}" for share in shares]
        lines.append(f"| {kind} on the others | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def losses(scores: Scores, shares: Sequence[float]) -> list[str]:
    """One line for every share with a lower mean than some smaller share, and how much the seeds of these two differ."""
    lines = []
    for place, share in enumerate(shares[1:], 1):
        best = max(shares[:place], key=lambda less: mean(scores[less]))
        lost = mean(scores[best]) - mean(scores[share])
        if lost > 0:
            noise = max(max(scores[each]) - min(scores[each]) for each in (best, share))
            verdict = "within the noise" if lost <= noise else "MORE ANNOTATION HURTS"
            lines.append(f"{share:.0%} is {lost:.3f} below {best:.0%}, seeds differ by {noise:.3f}: {verdict}")
    return lines


def picture(curves: Mapping[str, Scores], shares: Sequence[float]) -> str:
    """The curves as an SVG file that needs no page around it."""
    points = {f"{kind} on the others": [(share * 100, mean(scores[share])) for share in shares] for kind, scores in curves.items()}
    chart = line_chart(points, "images with a mask, in percent; val/miou upwards", low=0, high=1)
    inside = chart[chart.index(">", chart.index("<svg")) + 1 : chart.index("</svg>")]
    legend = [
        f'<rect class="series-{number}" x="{WIDTH - 160}" y="{HEIGHT - 90 + 16 * number}" width="10" height="10"/>'
        f'<text x="{WIDTH - 144}" y="{HEIGHT - 81 + 16 * number}">{escape(name)}</text>'
        for number, name in enumerate(points)
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{2 * WIDTH}"><style>{STYLE}</style>'
    return f'{head}<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>{inside}{"".join(legend)}</svg>\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--shares", default=SHARES, help="of images with a mask, such as 0,0.1,1")
    parser.add_argument("--evidence", default=KINDS, help="of the other images, such as boxes,tags")
    parser.add_argument("--svg", type=Path, default=Path("mixed.svg"))
    arguments = parser.parse_intermixed_args()
    shares = sorted(map(float, arguments.shares.split(",")))
    print(f"{date.today()}, {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}; {arguments.steps} steps")
    curves: dict[str, dict[float, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.evidence.split(","):
            curves[kind] = {share: [] for share in shares}
            for share in shares:
                for seed in range(arguments.seeds):
                    start = perf_counter()
                    curves[kind][share].append(score(kind, share, seed, arguments.steps, arguments.words, Path(folder)))
                    print(
                        f"{kind}, masks {share:g}, seed {seed}: {curves[kind][share][-1]:.4f} in {perf_counter() - start:.0f} s", flush=True
                    )
    print(f"\n{table(curves, shares)}\n")
    for kind in curves:
        print("\n".join(f"{kind}: {line}" for line in losses(curves[kind], shares)) or f"{kind}: more masks never scored lower")
    arguments.svg.write_text(picture(curves, shares))
    print(f"curves: {arguments.svg}")


if __name__ == "__main__":
    main()
