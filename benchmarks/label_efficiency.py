"""How much accuracy cheap annotation costs: every kind of it on one data set, beside full masks.
One table and one picture.

    python benchmarks/label_efficiency.py                                   the toy set, three seeds
    python benchmarks/label_efficiency.py --only full,boxes --seeds 1    two of METHODS, quickly
    python benchmarks/label_efficiency.py @benchmarks/animals.txt data.root=VOCdevkit \\
        network.weights=mobilenet_v2.pth
    python benchmarks/label_efficiency.py data=folder data.masks=masks \\
        scribbles,points:data.simulated=true
    python benchmarks/label_efficiency.py --only boxes,scribbles --corrections corrections
    python benchmarks/label_efficiency.py --steps 150,400 --chosen-on "the toy set"

With --corrections, every method is trained once more with what a person has corrected with
weakseg.review, and the hours that the page has measured are added to those of the annotation. With
--measured, hours are those of the person who has annotated a folder of photographs with it, for the
kinds of evidence that came up, in place of published means.

Words go to every run, as on the command line of weakseg.fit; with names of methods and a colon in
front, to these alone. @file reads words from a file, one per line, and passes over lines that begin
with #. The data set must have masks: `full` learns them, and all are measured on those of the
images held out.

All methods start from the same weights (one file per seed) and make the same number of steps; what
they are told differs by the recipe, the evidence and these words, nothing else. Nothing here looks
at a mask to choose anything: figures are of the last weights of each run, and target quality is
measured after the fact. Weights that were trained on masks would make the comparison pointless and
are refused.

A table is about a length of training, so --steps trains for several: what a short one shows may not
hold in a long one. Beside each table stands one by the size of the objects. A figure is blind only
where no setting was chosen by looking at the data set: --chosen-on says where that was done, and
stands below the tables.

Finished runs are kept: a second call goes on where the first was stopped, and two at once in one
folder share the work with --only. Runs are told apart by their words, not by the code: after a
change of that, take another folder.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from by_size import figures_by_size, size_table
from efficiency_chart import Dot, efficiency_chart
from sweep import Figures, cell, complete, figures_of, finished, reader, setting

from weakseg.config.recipe import Recipe, RecipeError, Resolved, load, resolve
from weakseg.data.corrections.counts import CorrectionCounts
from weakseg.data.corrections.folder import CorrectionsFolder
from weakseg.evaluation.annotation_cost import SECONDS, SOURCES, MeasuredSeconds, measured_seconds
from weakseg.networks.parts.weights import read_weights
from weakseg.utils.files import write_whole
from weakseg.utils.fingerprint import fingerprint
from weakseg.utils.messages import counted

ABOUT = f"""\
{SOURCES} Change them with --seconds or --measured. Hours of
corrections are not published means, but measured by weakseg.review. Target mIoU is measured where
targets have a label, which is on a part of the pixels with points."""


class Method(NamedTuple):
    """A recipe, what is annotated for it, and the words it needs beyond those of all."""

    recipe: str
    evidence: str
    words: tuple[str, ...] = ()
    masks: float = 0.0
    """on which share of the images masks are drawn instead"""
    corrections: CorrectionCounts | None = None
    """of a person, which are laid over what is annotated"""

    @property
    def name(self) -> str:
        """What it is called in table and picture."""
        return self.recipe if self.corrections is None else f"{self.recipe}, corrected"

    def seconds(self, costs: Mapping[str, float]) -> float:
        """Of annotation, per image, corrections apart."""
        return self.masks * costs["masks"] + (1 - self.masks) * costs[self.evidence]

    def hours(self, costs: Mapping[str, float], images: int) -> float:
        """Of the annotation of so many images, with their corrections."""
        measured = 0.0 if self.corrections is None else self.corrections.seconds
        return (self.seconds(costs) * images + measured) / 3600

    def corrected(self, folder: Path) -> Method:
        """The same with the corrections in a folder."""
        counts = CorrectionsFolder(folder).counts()
        words = (*self.words, f"data.corrections={folder}")
        return self._replace(words=words, corrections=counts)

    def complete(self, words: Sequence[str], *same: str) -> list[str]:
        """The words of one run. What the method needs, and what is the same for all, counts more
        than what was said."""
        own = (f"data.evidence={self.evidence}", *self.words, *same)
        return complete(self.recipe, [*words, *(f"{self.recipe}:{word}" for word in own)])


WHOLE = ("data.crop=null",)  # tags say nothing of a part of an image
METHODS = (
    Method("full", "masks"),
    Method("boxes_rect", "boxes"),
    Method("boxes", "boxes"),
    Method("boxes_em", "boxes"),
    Method("scribbles", "scribbles"),
    Method("scribbles_crf", "scribbles"),
    Method("points", "points"),
    Method("tags", "tags", WHOLE),
    Method("tags_em", "tags", WHOLE),
    Method("tags_ccnn", "tags", WHOLE),
    Method("mixed", "boxes", ("data.mask_share=0.1",), masks=0.1),
    Method("tags_coseg", "tags"),
    Method("points_coseg", "points"),
    Method("boxes_coseg", "boxes"),
    Method("mixed_coseg", "boxes", ("data.mask_share=0.1",), masks=0.1),
    Method("points_agmm", "points"),
)
NAMES = [method.recipe for method in METHODS]


def build(words: Sequence[str]) -> tuple[Resolved, Any, torch.nn.Module]:
    """A recipe, its data set and its network."""
    recipe = resolve(load(words))
    pl.seed_everything(recipe.seed, verbose=False)
    data: Any = recipe.build("data")
    network: Any = recipe.build("network", classes=len(data.classes))
    return recipe, data, network


def provenance(recipe: Recipe, network: torch.nn.Module, told: str | None, from_masks: bool) -> str:
    """Where the weights come from that training starts with. Weights that have seen masks, or may
    have, stop everything."""
    if recipe.init_from:
        if not from_masks:
            raise SystemExit(
                f"init_from={recipe.init_from} is a segmentation network: it has been trained on "
                "masks or on something made of them, and every figure would profit; leave it "
                "out, or say --weights-from-masks"
            )
        return (
            f"a segmentation network, {recipe.init_from}: the figures do not show what annotation "
            "is worth"
        )
    weights = recipe.sections.get("network", {}).get("weights")
    if type(network).__module__.partition(".")[0] != "weakseg":
        return told or _unknown(f"{type(network).__name__} makes its own first weights")
    if weights is None:
        return "random"
    if str(weights) == "imagenet":
        return "ImageNet classification, as the library of the encoder has them"
    path = Path(weights)
    state = read_weights(path)
    state = state.get("state_dict", state)
    name = f"{path.name} (sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:12]})"
    classifier = [
        tensor
        for name, tensor in state.items()
        if name.startswith(("fc.", "classifier.")) and tensor.ndim == 2
    ]
    if classifier:
        return f"{name}: an image classifier of {classifier[-1].shape[0]} classes"
    return f"{name}: {told or _unknown(f'{path} has no classifier')}"


def _unknown(why: str) -> str:
    raise SystemExit(
        f"{why}: nobody can tell from it what it was trained on; say so with --provenance 'photos "
        "without labels, ...'"
    )


def initial_weights(recipe: Recipe, network: torch.nn.Module, folder: Path) -> Path:
    """The network as it is before training, in a file that every method starts from."""
    path = folder / f"initial-{recipe.seed}.pt"
    state = recipe.init_from and read_weights(Path(recipe.init_from))["state_dict"]
    state = state or {f"network.{name}": value for name, value in network.state_dict().items()}
    if path.is_file():
        kept = read_weights(path)["state_dict"]
        if kept.keys() != state.keys() or not all(
            torch.equal(kept[name], state[name]) for name in state
        ):
            raise SystemExit(
                f"{path} belongs to another network, other weights or another version; take "
                "another --folder"
            )
        return path
    content = io.BytesIO()
    torch.save({"state_dict": state}, content)
    write_whole(path, content.getvalue())
    return path


def table(
    results: Mapping[Method, Sequence[Figures]], images: int, costs: Mapping[str, float]
) -> str:
    """Means over the seeds, with half the distance of the best from the worst, as markdown."""
    full = next(
        (
            mean(each["val/miou"] for each in figures)
            for method, figures in results.items()
            if method.recipe == "full"
        ),
        None,
    )
    head = [
        "recipe",
        "annotation",
        "val mIoU",
        "ratio to full",
        "target mIoU",
        "seconds per image",
        f"hours for {images} images",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for method, figures in results.items():
        scores = [each["val/miou"] for each in figures]
        kind = (
            f"{method.evidence}, masks on {method.masks:.0%}" if method.masks else method.evidence
        )
        seconds = method.seconds(costs)
        cells = [
            f"`{method.recipe}`" if method.corrections is None else f"`{method.recipe}`, corrected",
            kind if method.corrections is None else f"{kind}; {method.corrections}",
            cell(scores),
            "-" if full is None else f"{mean(scores) / full:.3f}",
            cell([each["label/miou"] for each in figures if "label/miou" in each]),
            f"{seconds:.1f}",
            f"{method.hours(costs, images):.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


Measured = Mapping[str, MeasuredSeconds]


def measured_in(folder: Path | None) -> Measured:
    """What weakseg.review has measured in a folder, by kind of annotation; nothing for None."""
    if folder is None:
        return {}
    expect_corrections("--measured", folder)
    found = measured_seconds(CorrectionsFolder(folder).read_all().values())
    return {kind: each for kind, each in found.items() if each.seconds > 0}


def measured_text(measured: Measured) -> str:
    """The same in words.

    >>> measured_text({"boxes": MeasuredSeconds(12.34, 5)})
    '; measured by weakseg.review: boxes 12.3 s per image, on 5 images'
    """
    each = (
        f"{kind} {one.seconds:.1f} s per image, on {counted(one.images, 'image')}"
        for kind, one in measured.items()
    )
    return f"; measured by weakseg.review: {', '.join(each)}" if measured else ""


def costs_of(text: str, measured: Measured | None = None) -> dict[str, float]:
    """Seconds by kind of annotation, with what the page has measured, and what the user has:
    boxes=12,tags=3."""
    costs = {**SECONDS, **{kind: each.seconds for kind, each in (measured or {}).items()}}
    for pair in filter(None, text.split(",")):
        kind, _, seconds = pair.partition("=")
        if kind not in costs or not seconds.replace(".", "", 1).isdigit() or not float(seconds) > 0:
            raise SystemExit(
                f"--seconds should be numbers above 0 for {', '.join(SECONDS)}, such as "
                f"boxes=12,tags=3, but it has {pair!r}"
            )
        costs[kind] = float(seconds)
    return costs


def expect_corrections(option: str, folder: Path) -> None:
    """End with a line if a folder holds no corrections."""
    if not CorrectionsFolder(folder).files():
        raise SystemExit(
            f"{option} should be a folder of corrections, as weakseg.review keeps them, but there "
            f"are none in {folder}"
        )


def kept_corrections(source: Path, folder: Path) -> Path:
    """A copy of corrections, as runs are told apart by their words and not by what is in a
    folder."""
    expect_corrections("--corrections", source)
    own = fingerprint([file.read_bytes() for file in CorrectionsFolder(source).files()])[:12]
    copy = folder / f"corrections-{own}"
    if not copy.is_dir():
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns(".*"))
    return copy


def seeds_of(text: str) -> list[int]:
    """How many seeds, or which ones.

    >>> seeds_of("3"), seeds_of("7,")
    ([0, 1, 2], [7])
    """
    numbers = [part for part in text.split(",") if part]
    if not numbers or not all(part.isdigit() for part in numbers) or text == "0":
        raise SystemExit(
            "--seeds should be how many, at least 1, or which ones, such as 1,5 or 5, (with a "
            f"comma), but it is {text!r}"
        )
    return [int(part) for part in numbers] if "," in text else list(range(int(text)))


def schedules_of(text: str | None) -> list[int]:
    """How many steps each training makes, several numbers for several schedules; none for what the
    words say.

    >>> schedules_of("150,400"), schedules_of(None)
    ([150, 400], [])
    """
    parts = [] if text is None else text.split(",")
    if not all(part.isdigit() and int(part) for part in parts):
        raise SystemExit(f"--steps should be numbers above 0, such as 150,400, but it is {text!r}")
    return [int(part) for part in parts]


def choices(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> list[str]:
    """The methods that are asked for, if everything that is named is one."""
    prefixes = [
        word.partition(":")[0].split(",")
        for word in arguments.words
        if "=" not in word.partition(":")[0]
    ]
    for name in [*arguments.only.split(","), *(name for names in prefixes for name in names)]:
        if name not in NAMES:
            parser.error(f"{name} is no method; they are {', '.join(NAMES)}")
    return list(arguments.only.split(","))


def main() -> None:
    parser = reader(__doc__)
    parser.add_argument("--seeds", default="3", help="how many, or which ones, such as 1,2,5")
    parser.add_argument(
        "--only",
        default=",".join(NAMES),
        help="train these methods, such as full,boxes; the table has whatever is finished",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("runs/efficiency"),
        help="for everything; take a new one after a change of the code",
    )
    parser.add_argument(
        "--seconds", default="", help="of annotation per image, such as boxes=12,tags=3"
    )
    parser.add_argument(
        "--measured",
        type=Path,
        metavar="FOLDER",
        help="corrections of images that were not annotated before: the seconds are those",
    )
    parser.add_argument(
        "--corrections",
        type=Path,
        metavar="FOLDER",
        help="train each method with these corrections, too",
    )
    parser.add_argument(
        "--provenance",
        help="what the first weights were trained on, where their file does not tell",
    )
    parser.add_argument("--steps", help="of each training, such as 150,400 for two schedules")
    parser.add_argument(
        "--chosen-on",
        metavar="TEXT",
        default="(not said)",
        help="the data that anybody has looked at to choose settings, these or others",
    )
    parser.add_argument(
        "--weights-from-masks",
        action="store_true",
        help="start from a network that was trained on masks all the same",
    )
    arguments = parser.parse_intermixed_args()
    measured = measured_in(arguments.measured)
    try:
        compare(
            arguments,
            choices(parser, arguments),
            seeds_of(arguments.seeds),
            costs_of(arguments.seconds, measured),
            measured_text(measured),
        )
    except RecipeError as error:
        raise SystemExit("\n".join(error.errors)) from None


class Compared(NamedTuple):
    """What all runs have in common, to be said beside their figures."""

    folder: Path
    images: int
    """that are trained on"""
    costs: Mapping[str, float]
    about: str
    chosen_on: str


Runs = Mapping[int, Mapping[Method, Sequence[Sequence[str]]]]
"""the words of each run: by number of steps, by method, one per seed"""


def compare(
    arguments: argparse.Namespace,
    chosen: Sequence[str],
    seeds: Sequence[int],
    costs: Mapping[str, float],
    measured: str = "",
) -> None:
    """Train what is not finished, and write tables and pictures after every run."""
    arguments.folder.mkdir(parents=True, exist_ok=True)
    starts = {}
    for seed in seeds:
        recipe, data, network = build(METHODS[0].complete(arguments.words, f"seed={seed}"))
        origin = provenance(recipe, network, arguments.provenance, arguments.weights_from_masks)
        starts[seed] = initial_weights(recipe, network, arguments.folder)
    schedules = schedules_of(arguments.steps) or [recipe.sections["trainer"].get("max_steps")]
    if not len(data.validation):
        raise SystemExit(
            "no image is held out to measure on: give the data set a list or a share of them, "
            "such as data.val_share=0.2"
        )
    methods = [*METHODS]
    if arguments.corrections is not None:
        own = kept_corrections(arguments.corrections, arguments.folder)
        methods = [each for method in METHODS for each in (method, method.corrected(own))]
    runs = {
        steps: {
            method: [
                method.complete(
                    arguments.words,
                    f"trainer.max_steps={steps}",
                    f"seed={seed}",
                    f"init_from={start}",
                    "trainer.enable_checkpointing=true",  # for the figures by size
                )
                for seed, start in starts.items()
            ]
            for method in methods
        }
        for steps in schedules
    }
    todo = [
        (f"{method.name}, {steps} steps, seed {seed}", words)
        for steps, of_method in runs.items()
        for method, many in of_method.items()
        if method.recipe in chosen
        for seed, words in zip(seeds, many, strict=True)
    ]
    for _, words in todo:
        resolve(load(words))  # before the first of them trains for an hour
    about = (
        f"{setting()}; {len(data.training)} training images, {len(data.validation)} measured on; "
        f"seeds {', '.join(map(str, seeds))}; initial weights: {origin}{measured}"
    )
    print(about, flush=True)
    common = Compared(
        arguments.folder, len(data.training), costs, about, arguments.chosen_on.rstrip(".")
    )
    for name, words in todo:
        figures_of(name, words, arguments.folder, figures_by_size)
        write(runs, common)
    print(f"\n{write(runs, common)}\ntables and pictures: {arguments.folder}")


def write(runs: Runs, common: Compared) -> str:
    """Tables and pictures of all runs that are finished, whoever has trained them; returns the
    tables."""
    parts = []
    for steps, of_method in runs.items():
        found = {
            method: [figures for words in many if (figures := finished(words, common.folder))]
            for method, many in of_method.items()
        }
        results = {method: figures for method, figures in found.items() if figures}
        if not results:
            continue
        by_name = {method.name: figures for method, figures in results.items()}
        parts += [
            f"{steps} steps:",
            table(results, common.images, common.costs),
            "Mean IoU over the validation images of each size: of all classes but background "
            "together, by the share of the image that they cover. In brackets: ratio to full.",
            size_table(by_name),
        ]
        name = "label_efficiency.svg" if len(runs) == 1 else f"label_efficiency-{steps}.svg"
        dots = [
            Dot(
                method.name,
                method.hours(common.costs, common.images),
                [figures["val/miou"] for figures in own],
            )
            for method, own in results.items()
        ]
        write_whole(common.folder / name, efficiency_chart(dots).encode())
    chosen = f"Settings were chosen by looking at: {common.chosen_on}."
    text = "\n\n".join([*parts, common.about, chosen, ABOUT]) + "\n"
    write_whole(common.folder / "label_efficiency.md", text.encode())
    return text


if __name__ == "__main__":
    main()
