"""What more masks give: val/miou of recipe=mixed over the share of images that have a mask, beside
boxes and beside tags.

    python benchmarks/mixed.py                          two curves of six shares, three seeds each
    python benchmarks/mixed.py --evidence boxes --seeds 1   a quick look at one of them
    python benchmarks/mixed.py data.shares.masks=0.5    words after the options go to every run

Writes mixed.svg and prints a table. Finished runs are kept in a folder, so that a second call goes
on where the first was stopped. Masks of a small share are also among those of a larger one, so
along a curve annotation only grows: where a point lies lower than one before it, by more than the
seeds of the two differ, more annotation has hurt.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from sweep import Panel, cell, figures_of, picture, setting

SHARES = "0,0.05,0.1,0.25,0.5,1"
KINDS = "boxes,tags"
Scores = Mapping[float, Sequence[float]]
"""val/miou of each seed, by the share of masks"""


def score(
    kind: str, share: float, seed: int, steps: int, words: Sequence[str], folder: Path
) -> float:
    """val/miou at the end of one run."""
    own = [
        "recipe=mixed",
        f"seed={seed}",
        f"data.evidence={kind}",
        f"data.mask_share={share}",
        f"trainer.max_steps={steps}",
    ]
    return figures_of(f"{kind}, masks {share:g}, seed {seed}", [*own, *words], folder)["val/miou"]


def table(curves: Mapping[str, Scores], shares: Sequence[float]) -> str:
    """Means over the seeds, with half the distance of the best from the worst."""
    lines = [
        "| masks on | " + " | ".join(f"{share:.0%}" for share in shares) + " |",
        "|---" * (len(shares) + 1) + "|",
    ]
    lines += [
        f"| {kind} on the others | " + " | ".join(cell(scores[share]) for share in shares) + " |"
        for kind, scores in curves.items()
    ]
    return "\n".join(lines)


def losses(scores: Scores, shares: Sequence[float]) -> list[str]:
    """One line for every share with a lower mean than some smaller share, and how much the seeds of
    these two differ."""
    lines = []
    for place, share in enumerate(shares[1:], 1):
        best = max(shares[:place], key=lambda less: mean(scores[less]))
        lost = mean(scores[best]) - mean(scores[share])
        if lost > 0:
            noise = max(max(scores[each]) - min(scores[each]) for each in (best, share))
            verdict = "within the noise" if lost <= noise else "MORE ANNOTATION HURTS"
            lines.append(
                f"{share:.0%} is {lost:.3f} below {best:.0%}, seeds differ by {noise:.3f}: "
                f"{verdict}"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--shares", default=SHARES, help="of images with a mask, such as 0,0.1,1")
    parser.add_argument("--evidence", default=KINDS, help="of the other images, such as boxes,tags")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("runs/mixed"),
        help="for finished runs; take a new one after a change of the code",
    )
    parser.add_argument("--svg", type=Path, default=Path("mixed.svg"))
    arguments = parser.parse_intermixed_args()
    shares = sorted(map(float, arguments.shares.split(",")))
    seeds = range(arguments.seeds)
    print(f"{setting()}; {arguments.steps} steps")
    curves = {
        kind: {
            share: [
                score(kind, share, seed, arguments.steps, arguments.words, arguments.folder)
                for seed in seeds
            ]
            for share in shares
        }
        for kind in arguments.evidence.split(",")
    }
    print(f"\n{table(curves, shares)}\n")
    for kind in curves:
        print(
            "\n".join(f"{kind}: {line}" for line in losses(curves[kind], shares))
            or f"{kind}: more masks never scored lower"
        )
    points = {
        f"{kind} on the others": [(share * 100, mean(scores[share])) for share in shares]
        for kind, scores in curves.items()
    }
    arguments.svg.write_text(
        picture([Panel("recipe=mixed", "images with a mask, in percent; val/miou upwards", points)])
    )
    print(f"curves: {arguments.svg}")


if __name__ == "__main__":
    main()
