"""What images without any annotation give: val/miou of a network that is trained on a few masks,
and of one that is trained on these and on what the first one predicts on many other images.

    python benchmarks/semi_supervised.py                          10 masks, 200 other images
    python benchmarks/semi_supervised.py --masks 20 --seeds 1     a quick look
    python benchmarks/semi_supervised.py trainer.max_steps=500    words go to every run

Prints a table. All networks train for as many steps, on batches of the same size, and are measured
on the same images. The last row has the true masks in place of the predicted ones: what could be
gained at most. Finished runs are kept in a folder, so that a second call goes on where the first
was stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from PIL import Image
from sweep import cell, setting

from weakseg.data.formats.writing.png import write_png
from weakseg.data.toy.dataset import Toy
from weakseg.fit import main as fit
from weakseg.prediction.images import predict_images
from weakseg.training.metrics_file import read_record
from weakseg.utils.files import write_whole

OTHER_IMAGES = 1  # the drawing seed of the images without annotation
ROWS = {
    "the masks alone": [],
    "and all predictions": ["data.pseudo_confidence=0"],
    "and predictions of 0.9 or surer": ["data.pseudo_confidence=0.9"],
    "and the true masks of these images": ["data.pseudo_confidence=0"],
}


def write_images(folder: Path, count: int) -> None:
    """Other toy images as files in `photos`, and their true masks as labels in `truth`."""
    if (folder / "truth" / "summary.json").is_file():
        return
    toy = Toy(count, 0, evidence="masks", drawing_seed=OTHER_IMAGES)
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    names = []
    for index in range(count):
        evidence, truth = toy.sample(index)
        names.append(f"{evidence.id}.png")
        picture = evidence.image.permute(1, 2, 0).contiguous().numpy()
        Image.fromarray(picture).save(folder / "photos" / names[-1])
        write_png(folder / "truth" / names[-1], truth.numpy(), toy.classes)
    images = [{"name": name} for name in names]
    summary = {"classes": toy.classes, "images_folder": "../photos", "images": images}
    write_whole(folder / "truth" / "summary.json", json.dumps(summary).encode())


def score(name: str, words: Sequence[str], folder: Path) -> dict[str, Any]:
    """val/miou at the end of a run, and where the run is; one that is finished is not trained
    again."""
    kept = folder / f"{name.replace(' ', '_')}.json"
    if not kept.is_file():
        more = [
            "trainer.enable_progress_bar=false",
            "trainer.check_val_every_n_epoch=100000",  # the end is measured anyway
            f"trainer.default_root_dir={folder / 'runs'}",
        ]
        run = fit(["recipe=distil", *words, *more])
        rows = [row for row in read_record(run / "metrics.csv") if row.get("val/miou")]
        found = {"val/miou": float(rows[-1]["val/miou"]), "run": str(run)}
        write_whole(kept, json.dumps(found).encode())
    content: dict[str, Any] = json.loads(kept.read_text())
    return content


def scores(seed: int, masks: int, words: Sequence[str], folder: Path) -> dict[str, float]:
    """val/miou of each row, for one seed."""
    own = [f"seed={seed}", f"data.train={masks}", *words]
    first = score(f"{masks} masks seed {seed}", own, folder)
    predicted = folder / f"predicted-{masks}-{seed}"
    predict_images(first["run"], folder / "photos", predicted, checkpoint="last", confidence=True)
    found = {}
    for row, more in ROWS.items():
        labels = folder / "truth" if "true" in row else predicted
        pseudo = [] if row == "the masks alone" else [f"data.pseudo={labels}", *more]
        name = f"{masks} masks {row} seed {seed}" if pseudo else f"{masks} masks seed {seed}"
        found[row] = score(name, [*own, *pseudo], folder)["val/miou"]
        print(f"seed {seed}, {masks} masks, {row}: {found[row]:.3f}", flush=True)
    return found


def table(masks: int, others: int, found: Sequence[dict[str, float]]) -> str:
    """Means over the seeds, with half the distance of the best from the worst, and what is gained
    over the masks alone."""
    lines = [
        f"| {masks} images with masks, {others} without | val/miou | gained in each seed |",
        "|---|---|---|",
    ]
    for row in ROWS:
        values = [each[row] for each in found]
        gained = ", ".join(f"{each[row] - each['the masks alone']:+.3f}" for each in found)
        lines.append(f"| {row} | {cell(values)} | {gained if mean(values) else ''} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", metavar="key=value")
    parser.add_argument("--masks", type=int, default=10, help="images that have a mask")
    parser.add_argument("--others", type=int, default=200, help="images that have nothing")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("runs/semi_supervised"),
        help="for finished runs; take a new one after a change of the code",
    )
    arguments = parser.parse_intermixed_args()
    print(setting())
    write_images(arguments.folder, arguments.others)
    found = [
        scores(seed, arguments.masks, arguments.words, arguments.folder)
        for seed in range(arguments.seeds)
    ]
    print(f"\n{table(arguments.masks, arguments.others, found)}")


if __name__ == "__main__":
    main()
