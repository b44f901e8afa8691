"""Does the queue of a run find wrong annotations? Faults are planted in about a tenth of the
images, one cause at a time, and the first tenth of review.csv is compared with chance.

    python benchmarks/planted.py                                  all causes, seeds 21 and 22
    python benchmarks/planted.py --only boxes:box_moved --seeds 21
    python benchmarks/planted.py --folder runs/planted data.size=80 data.train=200
    python benchmarks/planted.py @benchmarks/animals.txt data.root=... data.simulated=true

Words are those of `weakseg.fit`, for every run. Prints, for the queue of the run, for the labels
that `weakseg.label` writes with the trained network and before any training, and for every signal
alone, how many times as many of the planted faults are in the first tenth as by chance; the highest
that is possible is 10, or less where more than a tenth is wrong. Finished runs are kept in the
folder, so that a second call goes on where the first one was stopped.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch
from sweep import complete, reader, setting

from weakseg.config.recipe import load, resolve
from weakseg.evidence import Evidence
from weakseg.labelling.dataset import label_dataset
from weakseg.run import fit
from weakseg.strategies.base import estimates
from weakseg.suspicion.review_file import NAME
from weakseg.utils.files import write_whole

FIELDS = ("tags", "boxes", "box_classes", "marks", "large")
QUEUE, TRAINED, UNTRAINED = "review.csv", "label run=", "label recipe="


class Cause(NamedTuple):
    """A fault of the annotator that is planted, and what is trained on it."""

    recipe: str
    fault: str
    """a field of the annotator"""
    probability: float
    """of a single box or class, so that about a tenth of the images of the toy set are wrong"""


CAUSES = (
    Cause("boxes", "box_moved", 0.05),
    Cause("boxes", "box_missing", 0.05),
    Cause("boxes", "class_swapped", 0.06),
    Cause("tags", "tag_swapped", 0.06),
    Cause("tags", "tag_missing", 0.06),
    Cause("points", "class_swapped", 0.06),
    Cause("scribbles", "class_swapped", 0.06),
)


class Found(NamedTuple):
    """What one run has found."""

    planted: int
    images: int
    times: dict[str, float]
    """as many faults in the first tenth as by chance, by what has made the order"""


def times_chance(order: Sequence[str], planted: set[str]) -> float:
    """How many times as many of the planted faults are in the first tenth as by chance.

    >>> times_chance([f"image {number}" for number in range(20)], {"image 1", "image 19"})
    5.0
    """
    first = order[: max(1, len(order) // 10)]
    share = sum(image in planted for image in first) / len(first)
    return share / (len(planted) / len(order))


def planted_in(words: Sequence[str], fault: str) -> set[str]:
    """Ids of the training images whose annotation is not what somebody careful gives."""
    careful = [word for word in words if not word.startswith(f"data.annotator.{fault}=")]
    given, right = (resolve(load(each)).build("data") for each in (list(words), careful))
    for data in (given, right):
        data.prepare_data()
        data.setup("fit")
    return {
        given.id_of(index)
        for index in given.training
        if not _alike(given.sample(index)[0], right.sample(index)[0])
    }


def _alike(one: Evidence, other: Evidence) -> bool:
    """Whether two annotations of an image are the same."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in FIELDS]
    return all(a is b or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)


def trained(words: Sequence[str], folder: Path) -> Path:
    """The run folder of these words: trained now, or before."""
    latest = folder / "run.txt"
    if not latest.is_file():
        run = fit(resolve(load([*words, f"trainer.default_root_dir={folder}"])))
        write_whole(latest, str(run.relative_to(folder)).encode())
    return folder / latest.read_text()


def orders_of(run: Path, words: Sequence[str], recipe: str) -> dict[str, list[str]]:
    """The images of a run in the order of its queue, of the scores of its labels, and of each
    signal alone."""
    with (run / NAME).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    orders = {QUEUE: [row["image"] for row in rows]}
    sections: dict[str, Any] = {"subset": "training", "overwrite": True}
    done = label_dataset(run=run, out=run / "labelled", **sections)
    orders[TRAINED] = _order(done.summary)
    written = resolve(load(list(words)))
    if estimates(written.build("strategy")):
        data = {
            "data": written.sections["data"],
            "rounds": {"folder": str(run.parents[1] / "labels")},
        }
        done = label_dataset(recipe, out=run / "untrained", **data, **sections)
        orders[UNTRAINED] = _order(done.summary)
    for name in [key for key in rows[0] if key not in ("image", "score", "reason")]:
        known = sorted(rows, key=lambda row: (-float(row[name] or 0), row["image"]))
        orders[name] = [row["image"] for row in known]
    return orders


def _order(summary: Path) -> list[str]:
    return [entry["name"] for entry in json.loads(summary.read_text())["images"]]


def found_by(cause: Cause, seed: int, words: Sequence[str], folder: Path) -> Found:
    """What one run finds of one cause; kept in the folder."""
    kept = folder / f"{cause.recipe}-{cause.fault}-{seed}"
    result = kept / "found.json"
    if not result.is_file():
        own = [f"seed={seed}", f"data.annotator.{cause.fault}={cause.probability}"]
        complete_words = [*complete(cause.recipe, words), *own]
        if not any(word.startswith("data=") for word in words):
            complete_words.append(f"data.drawing_seed={seed}")
        run = trained(complete_words, kept)
        planted = planted_in(complete_words, cause.fault)
        orders = orders_of(run, complete_words, cause.recipe)
        times = {name: times_chance(order, planted) for name, order in orders.items()}
        found = Found(len(planted), len(orders[QUEUE]), times)
        write_whole(result, json.dumps(found._asdict()).encode())
    return Found(**json.loads(result.read_text()))


def table(results: Mapping[Cause, Sequence[Found]]) -> str:
    """A line per cause: means over the seeds."""
    names = list(dict.fromkeys(name for each in results.values() for f in each for name in f.times))
    head = ["recipe", "fault", "planted", *names]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for cause, found in results.items():
        planted = ", ".join(f"{each.planted} of {each.images}" for each in found)
        cells = [
            f"{mean(values):.1f}"
            if (values := [each.times[name] for each in found if name in each.times])
            else "-"
            for name in names
        ]
        lines.append("| " + " | ".join([cause.recipe, cause.fault, planted, *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = reader(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22])
    parser.add_argument("--only", nargs="+", default=[], metavar="recipe:fault")
    parser.add_argument("--folder", type=Path, default=Path("runs/planted"))
    options = parser.parse_args()
    causes = [
        cause
        for cause in CAUSES
        if not options.only or f"{cause.recipe}:{cause.fault}" in options.only
    ]
    results: dict[Cause, list[Found]] = {}
    for cause in causes:
        for seed in options.seeds:
            found = found_by(cause, seed, options.words, options.folder)
            results.setdefault(cause, []).append(found)
            print(
                f"{cause.recipe}, {cause.fault}, seed {seed}: {found.times[QUEUE]:.1f}", flush=True
            )
    print(f"\n{setting()}; seeds {options.seeds}; {' '.join(options.words)}\n")
    print(table(results))


if __name__ == "__main__":
    main()
