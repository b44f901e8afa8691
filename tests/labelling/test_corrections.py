"""Corrections in labels that are predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.corrections.events import correct, outline, stroke
from weakseg.data.formats.images import read_mask
from weakseg.labelling.dataset import label_dataset

IMAGE = "disc/3"


@pytest.mark.filterwarnings("ignore:in epoch")
def test_predictions_have_the_corrections_in_them(by_loss: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corrections"
    words: dict[str, Any] = {"run": by_loss, "data": {"corrections": str(folder)}}
    correct(folder, "disc/4", outline("dark", (0, 0), (4, 0), (4, 4), (0, 4)), size=(24, 24))
    before = label_dataset(**words, out=tmp_path / "out", probabilities=True)
    assert before.labelled == 17
    plain = np.asarray(read_mask(before.folder / f"{IMAGE}.png"))
    correct(
        folder,
        IMAGE,
        outline("bright", (0, 0), (6, 0), (6, 6), (0, 6)),
        stroke("dark", (12, 20), (20, 20), width=2),
        size=(24, 24),
    )
    after = label_dataset(**words, out=tmp_path / "out", probabilities=True)
    assert after.labelled == 1  # nothing else has changed
    labels = np.asarray(read_mask(after.folder / f"{IMAGE}.png"))
    assert (labels[:6, :6] == 1).all()
    assert (labels[19:21, 13:19] == 2).all()
    assert set(np.unique(labels[plain != labels])) <= {1, 2}
    probabilities = np.load(after.folder / "probabilities" / f"{IMAGE}.npz")["probabilities"]
    assert (probabilities[:, :6, :6] == np.array([0, 1, 0])[:, None, None]).all()
    assert (probabilities[2, 19:21, 13:19] == 1).all()
