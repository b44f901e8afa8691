"""The model card of a published network: what it was trained on and how, how good it is, and how to
load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml
from torch import Tensor

from weakseg.functional.confusion import iou
from weakseg.trained.description import UNKNOWN, Description
from weakseg.utils.secrets import scrub

FIGURES = {
    "val/miou": "mean IoU on validation images, from one confusion matrix over all of them",
    "val/box_extent_iou": "agreement with the extents of validation images' boxes",
    "val/marks_accuracy": "accuracy at the marked pixels of validation images",
    "val/tags_f1": "F1 of the tags of validation images",
}
SHOWN = ("strategy", "network", "optimizer", "rounds", "predict")
"""sections of the recipe that say how it was trained; the others name places on a machine"""

USE = """## Use

```python
import weakseg
from torchvision.io import read_image

# this folder; one on a hub comes from huggingface_hub.snapshot_download("<name>/<of it>")
model = weakseg.load_model("<folder>")
probabilities = model.probabilities(read_image("photo.jpg", "RGB"))  # [classes, height, width]
labels = probabilities.argmax(0)  # numbers of model.classes
```

or `python -m weakseg.predict run=<folder> images=<folder> out=<folder>`."""


class Measured(NamedTuple):
    """How good the weights of a checkpoint are."""

    figure: str
    value: float
    step: int
    confusion: Tensor | None
    """None where there was no truth to measure with"""


def measured_in(checkpoint: Mapping[str, Any]) -> Measured | None:
    """What a checkpoint knows of how good its weights are; None if no validation measured these."""
    known = checkpoint.get("weakseg", {})
    validation = known.get("validation")
    if validation is None:
        return None
    confusion = known.get("confusion")
    counted = confusion is not None and bool(confusion.any())
    return Measured(
        validation["figure"],
        validation["value"],
        validation["step"],
        confusion if counted else None,
    )


def write_card(
    description: Description,
    sections: Mapping[str, Mapping[str, Any]],
    seed: int,
    measured: Measured | None,
) -> str:
    """The text of the card. Nothing in it is secret, or names a folder of the machine that wrote
    it."""
    name = f"{description.recipe or 'weakseg'}-{description.network.lower()}"
    front = _front_matter(name, description, sections, measured)
    parts = [
        f"---\n{front}---",
        f"# {name}",
        f"A network for semantic segmentation, trained with weakseg {description.weakseg}.",
        _facts(description, sections, seed),
        _figures(description, measured),
        USE,
        _training(sections),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(
    name: str,
    description: Description,
    sections: Mapping[str, Mapping[str, Any]],
    measured: Measured | None,
) -> str:
    masks = sections.get("strategy", {}).get("name") == "full"
    matter: dict[str, Any] = {
        "license": description.licence.lower(),
        "library_name": "weakseg",
        "pipeline_tag": "image-segmentation",
        "tags": [
            "weakseg",
            "semantic-segmentation",
            *([] if masks else ["weakly-supervised"]),
            "pytorch",
        ],
    }
    if measured is not None and measured.figure == "val/miou":
        data = _text(sections.get("data", {}).get("name")) or UNKNOWN
        metric = {"type": "mean_iou", "name": "mean IoU", "value": round(measured.value, 4)}
        matter["model-index"] = [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": "image-segmentation", "name": "Semantic segmentation"},
                        "dataset": {"type": data, "name": data, "split": "validation"},
                        "metrics": [metric],
                    }
                ],
            }
        ]
    return yaml.safe_dump(matter, sort_keys=False, allow_unicode=True)


def _facts(description: Description, sections: Mapping[str, Mapping[str, Any]], seed: int) -> str:
    data = sections.get("data", {})
    side = description.long_side
    rows = {
        "Classes": ", ".join(description.classes),
        "Data set": _text(data.get("name")) or UNKNOWN,
        "Evidence": _text(data.get("evidence")) or "the data set's own kind",
        "Strategy": _text(sections.get("strategy", {}).get("name")) or UNKNOWN,
        "Recipe": description.recipe or UNKNOWN,
        "Seed": str(seed),
        "Steps": UNKNOWN if description.step is None else str(description.step),
        "Initial weights": description.weights,
        "Licence of these weights": description.licence,
        "Images": "at their own size" if side is None else f"long side of at most {side} pixels",
        "SHA-256 of the checkpoint": f"`{description.checkpoint_sha256}`",
    }
    return _table(("", ""), [(name, _cell(value)) for name, value in rows.items()])


def _figures(description: Description, measured: Measured | None) -> str:
    if measured is None:
        return "Its quality was not measured: there was no validation of these weights."
    meaning = FIGURES.get(measured.figure, "on validation images")
    text = f"`{measured.figure}` **{measured.value:.3f}** after step {measured.step}: {meaning}."
    if measured.confusion is None:
        return text
    values = iou(measured.confusion).tolist()
    rows = [
        (_cell(name), "-" if value != value else f"{value:.3f}")
        for name, value in zip(description.classes, values, strict=True)
    ]
    return f"{text}\n\n{_table(('Class', 'IoU'), rows)}"


def _training(sections: Mapping[str, Mapping[str, Any]]) -> str:
    shown = {name: _shown(sections[name]) for name in SHOWN if sections.get(name)}
    if not shown:
        return ""
    text = yaml.safe_dump(scrub(shown), sort_keys=False, allow_unicode=True)
    return f"## Training\n\n```yaml\n{text}```"


def _shown(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section without what may name a folder."""
    return {
        key: value
        for key, value in section.items()
        if not (isinstance(value, str) and ("/" in value or "\\" in value))
    }


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Text that cannot end a cell of a table."""
    return " ".join(text.replace("|", "\\|").split())


def _text(value: object) -> str:
    """The values of a key in words; nothing for none."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
