"""The other side of cosegmentation.py: runs cosegmentation on images in a file, a turn for each
line that comes in. It runs with the code of old checkouts, and so uses little of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import process_time
from typing import Any

import torch

from weakseg.evidence import Evidence, Prediction
from weakseg.strategies.base import Context
from weakseg.strategies.cosegmentation import Cosegmentation

Image = tuple[dict[str, Any], dict[str, Any]]
"""the fields of an evidence and of a prediction"""


def turn(images: list[tuple[Evidence, Prediction]], strategy: Cosegmentation) -> dict[str, float]:
    """Describe, fit and estimate all images: the seconds of both parts."""
    began = process_time()
    fitted = None
    for _ in range(strategy.iterations):
        described = [
            strategy.describe(evidence, Context(prediction, fitted))
            for evidence, prediction in images
        ]
        found = strategy.fit(described)
        continued = getattr(strategy, "continue_fit", None)  # older code has none
        fitted = found if continued is None else continued(fitted, found)
    iterated = process_time()
    for evidence, prediction in images:
        strategy.estimate(evidence, Context(prediction, fitted))
    return {"iterations": iterated - began, "estimates": process_time() - iterated}


def known(cls: Any, fields: dict[str, Any]) -> Any:
    """A named tuple of those fields that this checkout has."""
    return cls(**{name: value for name, value in fields.items() if name in cls._fields})


def main(file: Path) -> None:
    images = [
        (known(Evidence, evidence), known(Prediction, prediction))
        for evidence, prediction in torch.load(file, weights_only=True)
    ]
    strategy = Cosegmentation()
    for _ in sys.stdin:
        with torch.no_grad():
            print(json.dumps(turn(images, strategy)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
