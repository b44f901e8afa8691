"""What images without annotation are worth: val/miou over the share of the images that is
annotated, with and without self-training on the others.

    python benchmarks/unlabelled.py                                      masks, three seeds
    python benchmarks/unlabelled.py --seeds 1 --shares 0.1,0.5           a quick look
    python benchmarks/unlabelled.py strategy.name=boxes_crf data.evidence=boxes
    python benchmarks/unlabelled.py data=voc data.root=VOCdevkit ...     words go to every run

Writes unlabelled.md (a table) and unlabelled.svg (the curves) into a folder, where finished runs
are kept, too: a second call goes on where the first was stopped. All networks begin with the same
weights, make the same number of steps with batches of the same size, and are measured on the same
images; images of a small share are also among those of a larger one.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from sweep import Panel, cell, complete, figures_of, picture, setting

SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
ALONE = "the annotated images alone"
WITH = "and self-training on the others"
WORDS = {
    ALONE: ("data.unlabelled=null", "rounds.when=once", "rounds.count=1"),
    WITH: (),
}
Results = Mapping[float, Mapping[str, Sequence[float]]]
"""val/miou of each seed, by share and by how the network was trained"""


def measure(share: float, seeds: int, words: Sequence[str], folder: Path) -> dict[str, list[float]]:
    """The runs of one share; where all images are annotated there are no others."""
    found: dict[str, list[float]] = {}
    for way, own in WORDS.items():
        if way == WITH and share == 1:
            continue
        for seed in range(seeds):
            same = [f"self_training:{word}" for word in (*own, f"data.annotated={share:g}")]
            run = complete("self_training", [*words, f"seed={seed}", *same])
            name = f"{share:.0%} annotated, {way}, seed {seed}"
            found.setdefault(way, []).append(figures_of(name, run, folder)["val/miou"])
    return found


def table(results: Results) -> str:
    """Means over the seeds, with half the distance of the best from the worst, and what is gained
    in each seed."""
    lines = [f"| annotated | {ALONE} | {WITH} | gained in each seed |", "|---|---|---|---|"]
    for share, ways in results.items():
        pairs = zip(ways.get(WITH, ()), ways[ALONE], strict=False)
        gained = ", ".join(f"{more - less:+.3f}" for more, less in pairs)
        cells = " | ".join(cell(ways.get(way, ())) for way in WORDS)
        lines.append(f"| {share:.0%} | {cells} | {gained} |")
    return "\n".join(lines)


def chart(results: Results) -> str:
    """Both curves."""
    curves = {
        way: [(100 * share, mean(ways[way])) for share, ways in results.items() if way in ways]
        for way in WORDS
    }
    # both end where everything is annotated
    if results.get(1):
        curves[WITH].append((100, mean(results[1][ALONE])))
    return picture([Panel("recipe=self_training", "images with annotation, in percent", curves)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--shares", default=",".join(map(str, SHARES)), help="from 0 to 1")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("runs/unlabelled"),
        help="for everything; take a new one after a change of the code",
    )
    arguments = parser.parse_intermixed_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print(setting())
    results: dict[float, dict[str, list[float]]] = {}
    for share in map(float, arguments.shares.split(",")):
        results[share] = measure(share, arguments.seeds, arguments.words, arguments.folder)
        (arguments.folder / "unlabelled.md").write_text(table(results) + "\n")
        (arguments.folder / "unlabelled.svg").write_text(chart(results))
    print(f"\n{table(results)}\n\ntable and curves: {arguments.folder}")


if __name__ == "__main__":
    main()
