"""What models of others bring on one data set with masks: targets and trained networks of the
recipes that ask them, beside those that ask none, and beside full masks.

    python benchmarks/foundation.py @benchmarks/animals.txt data.root=VOCdevkit \\
        network.weights=mobilenet_v2.pth
    python benchmarks/foundation.py data=folder data.root=photos data.masks=masks --steps 400 \\
        --sam facebook/sam2.1-hiera-tiny,models/sam2-large --clip openai/clip-vit-base-patch16 \\
        --features timm/vit_small_patch14_dinov2.lvd142m --sam3 models/sam3
    python benchmarks/foundation.py data=folder data.root=photos data.masks=masks --only boxes

Models are folders or ids of the Hugging Face hub, from where each is fetched once; with
HF_HUB_OFFLINE=1 none is. Words go to every run, as on the command line of weakseg.fit; with names
of recipes and a colon in front, to these alone. @file reads words from a file.

All networks start from the same weights and make the same number of steps, as in
label_efficiency.py, whose rules hold here: figures are of the last weights, the masks are looked at
to measure alone, and finished runs are kept in --folder. Published models may have been trained on
images of yours, or on masks of such: what a model has seen stands on its card, not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from label_efficiency import (
    WHOLE,
    Method,
    build,
    initial_weights,
    provenance,
    schedules_of,
    seeds_of,
)
from sweep import Figures, cell, figures_of, finished, reader, run_of, setting

from weakseg.config.recipe import RecipeError, load, resolve
from weakseg.training.metrics_file import read_record
from weakseg.training.used_models import read_models
from weakseg.utils.files import write_whole

PLAIN = (
    Method("full", "masks"),
    Method("boxes", "boxes"),
    Method("points", "points"),
    Method("scribbles", "scribbles"),
    Method("tags", "tags", WHOLE),
    Method("tags_coseg", "tags"),
)
BY_SAM = (
    Method("boxes_sam", "boxes"),
    Method("points_sam", "points"),
    Method("scribbles_sam", "scribbles"),
)
BY_CLIP = (Method("tags_clip", "tags"),)
BY_SAM3 = (Method("tags_clip", "tags", ("strategy.by=sam3",)),)
BY_FEATURES = (
    Method("boxes_coseg", "boxes"),
    Method("points_coseg", "points"),
    Method("tags_coseg", "tags"),
)
EVIDENCE = ("masks", "boxes", "points", "scribbles", "tags")
TABLE = "foundation.md"
COVERAGE = "label/coverage"
ABOUT = """\
Target mIoU is of the pixels that have a label; the column labelled has their share. What a model
does not find is ignored, or background: a high target mIoU of few pixels says little, and the
networks show it."""


class Row(NamedTuple):
    """A line of the table: a recipe, with the model that it asks."""

    method: Method
    model: str
    """as it was named; "" for none"""
    runs: list[list[str]]
    """the words of each run, one per seed"""

    @property
    def name(self) -> str:
        """For whoever watches."""
        return f"{self.method.recipe} {self.model}".strip()


def main() -> None:
    parser = reader(__doc__)
    parser.add_argument(
        "--sam", default="facebook/sam2.1-hiera-tiny", help="SAMs, with commas; '' for none"
    )
    parser.add_argument(
        "--clip", default="openai/clip-vit-base-patch16", help="CLIPs, with commas; '' for none"
    )
    parser.add_argument(
        "--features",
        default="timm/vit_small_patch14_dinov2.lvd142m",
        help="backbones for cosegmentation, with commas; '' for none",
    )
    parser.add_argument("--sam3", default="", help="SAM 3 by words, with commas; none without it")
    parser.add_argument(
        "--only", default=",".join(EVIDENCE), help="these kinds of evidence, such as boxes,tags"
    )
    parser.add_argument("--seeds", default="1", help="how many, or which ones, such as 1,2,5")
    parser.add_argument("--steps", help="of each training; the recipe's plan without it")
    parser.add_argument("--folder", type=Path, default=Path("runs/foundation"))
    parser.add_argument(
        "--provenance",
        help="what the first weights were trained on, where their file does not tell",
    )
    arguments = parser.parse_intermixed_args()
    evidence = arguments.only.split(",")
    if wrong := [kind for kind in evidence if kind not in EVIDENCE]:
        parser.error(f"{wrong[0]} is no kind of evidence; they are {', '.join(EVIDENCE)}")
    try:
        compare(arguments, evidence)
    except RecipeError as error:
        raise SystemExit("\n".join(error.errors)) from None


def compare(arguments: Any, evidence: Sequence[str]) -> None:
    """Train what is not finished, and write the table after every run."""
    arguments.folder.mkdir(parents=True, exist_ok=True)
    seeds = seeds_of(arguments.seeds)
    same: list[list[str]] = []
    for seed in seeds:
        recipe, data, network = build(PLAIN[0].complete(arguments.words, f"seed={seed}"))
        origin = provenance(recipe, network, arguments.provenance, False)
        start = initial_weights(recipe, network, arguments.folder)
        steps = schedules_of(arguments.steps) or [recipe.sections["trainer"].get("max_steps")]
        same.append([f"seed={seed}", f"init_from={start}", f"trainer.max_steps={steps[0]}"])
    if not len(data.validation):
        raise SystemExit(
            "no image is held out to measure on: give the data set a list or a share of them, "
            "such as data.val_share=0.2"
        )
    rows = [
        Row(method, model, [_words(method, model, arguments.words, own) for own in same])
        for method, model in _asked(arguments, evidence)
    ]
    for row in rows:  # before the first of them trains for an hour
        _expect_model(row.runs[0], len(data.classes))
    about = (
        f"{setting()}; {len(data.training)} training images, {len(data.validation)} measured on; "
        f"{steps[0]} steps; seeds {', '.join(map(str, seeds))}; initial weights: {origin}"
    )
    print(about, flush=True)
    for row in rows:
        for seed, words in zip(seeds, row.runs, strict=True):
            figures_of(f"{row.name}, seed {seed}", words, arguments.folder, _coverage)
            text = f"{table(rows, arguments.folder)}\n\n{about}\n\n{ABOUT}\n"
            write_whole(arguments.folder / TABLE, text.encode())
    print(f"\n{text}\ntable: {arguments.folder / TABLE}")


def _asked(arguments: Any, evidence: Sequence[str]) -> list[tuple[Method, str]]:
    """The methods, each with the models that it asks one after the other."""
    models = {
        BY_SAM: arguments.sam,
        BY_CLIP: arguments.clip,
        BY_SAM3: arguments.sam3,
        BY_FEATURES: arguments.features,
    }
    found = [(method, "") for method in PLAIN if method.evidence in evidence]
    for methods, names in models.items():
        found += [
            (method, name)
            for name in filter(None, names.split(","))
            for method in methods
            if method.evidence in evidence
        ]
    return sorted(found, key=lambda each: EVIDENCE.index(each[0].evidence))


def _words(method: Method, model: str, words: Sequence[str], same: Sequence[str]) -> list[str]:
    key = "features" if method in BY_FEATURES else "model"
    asked = [f"strategy.{key}={model}"] if model else []
    return method.complete(words, *same, *asked)


def _expect_model(words: Sequence[str], classes: int) -> None:
    """End with a line if a model cannot be used; one of the hub is fetched."""
    strategy: Any = resolve(load(words)).build("strategy", classes=classes)
    if strategy.wants.encoder is not None:
        try:
            print(strategy.wants.encoder.files.described, flush=True)
        except ValueError as error:
            raise SystemExit(str(error)) from None


def table(rows: Sequence[Row], folder: Path) -> str:
    """Means over the seeds of all that is finished, as markdown."""
    lines = [
        "| recipe | evidence | model | target mIoU | labelled | val mIoU | ratio to full |",
        "|---|---|---|---|---|---|---|",
    ]
    found = {row.name: _finished(row, folder) for row in rows}
    full = [figures["val/miou"] for figures in found.get("full", [])]
    for row in rows:
        figures = found[row.name]
        if not figures:
            continue
        models = [each for words in row.runs for each in _models(words, folder)]
        scores = [each["val/miou"] for each in figures]
        cells = [
            f"`{row.method.recipe}`",
            row.method.evidence,
            models[0] if models else "-",
            cell([each["label/miou"] for each in figures if "label/miou" in each]),
            cell([each[COVERAGE] for each in figures if COVERAGE in each]),
            cell(scores),
            f"{mean(scores) / mean(full):.3f}" if full and mean(full) else "-",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _coverage(run: Path) -> Figures:
    """The share of the pixels that have a label, in the last round."""
    known = [row[COVERAGE] for row in read_record(run / "metrics.csv") if row.get(COVERAGE)]
    return {COVERAGE: float(known[-1])} if known else {}


def _finished(row: Row, folder: Path) -> list[Figures]:
    return [figures for words in row.runs if (figures := finished(words, folder))]


def _models(words: Sequence[str], folder: Path) -> list[str]:
    """The models that a finished run has asked."""
    if finished(words, folder) is None:
        return []
    known = read_models(run_of(words, folder))
    return [f"{each.name}, version {each.version[:12]}, licence {each.licence}" for each in known]


if __name__ == "__main__":
    main()
