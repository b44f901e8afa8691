"""Tags that CLIP doubts, with a stand-in that sees which colour an image has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.small import Squares
from weakseg.check import command, main
from weakseg.evidence import Evidence
from weakseg.foundation.clip import ClipEncoder
from weakseg.suspicion.queue import rank
from weakseg.suspicion.review_file import read_queue
from weakseg.suspicion.tag_words import doubts_of_tags, readable, signals_of_tags
from weakseg.utils.array_cache import Arrays

CLIP = "openai/clip-vit-base-patch16"


class Swapped(Squares):
    """One dark disc is tagged as a bright one; the last image cannot be read."""

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        if index == len(self) - 1:
            raise OSError("gone")
        assert evidence.box_classes is not None
        label = 1 if index == 5 else int(evidence.box_classes[0])
        tags = torch.tensor([True, label == 1, label == 2])
        return Evidence(evidence.id, evidence.image, tags=tags), truth


class Brightness(ClipEncoder):
    """The first word is for what is bright, the second for what is dark."""

    @property
    def fingerprint_of(self) -> str:
        """It has no files."""
        return "brightness"

    def encode(self, images: Sequence[Tensor]) -> list[Arrays]:
        means = [float(image.float().mean() / 255 - 0.45) for image in images]
        return [{"image": np.array([1, 5 * mean, 0], np.float32)} for mean in means]

    def words(self, words: Sequence[str]) -> Tensor:
        assert words[:2] == ["bright", "dark"]
        features = torch.zeros(len(words), 3)
        features[:, 2] = 1
        features[0] = torch.tensor([1.0, 1, 0])
        features[1] = torch.tensor([1.0, -1, 0])
        return features


def test_the_tag_that_was_swapped_comes_first() -> None:
    data = Swapped(train=24, val=2)
    data.prepare_data()
    doubts = doubts_of_tags(readable(data), data.classes, Brightness(CLIP))
    assert len(doubts) == 2 * 24
    queue = rank(signals_of_tags(doubts))
    assert queue[0].image == "disc/5"
    assert set(queue[0].reasons) == {
        "bright is annotated, but images without it look more like it",
        "it looks as much like dark as images that are annotated so",
    }
    assert queue[0].score > 0.9 > queue[1].score


def test_boxes_name_classes_too_and_what_names_none_is_passed_over() -> None:
    boxed = [Squares().sample(index)[0] for index in range(12)]
    silent = [each._replace(boxes=None, box_classes=None, id="silent") for each in boxed]
    doubts = doubts_of_tags([*boxed, *silent], Squares.classes, Brightness(CLIP))
    assert {doubt.image for doubt in doubts} == {each.id for each in boxed}
    assert max(doubt.doubt for doubt in doubts) < 0.3
    assert doubts_of_tags(silent, Squares.classes, Brightness(CLIP)) == []


def test_the_check_tells_and_writes_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("weakseg.foundation.clip.ClipEncoder", Brightness)
    words = ["data=tests.suspicion.test_tag_words.Swapped", "data.train=24", "data.val=2"]
    errors = main([*words, f"out={tmp_path}", "cost=false", "sheet=null", f"tags_by={CLIP}"])
    assert errors == 1  # the image that is gone
    out = " ".join(capsys.readouterr().out.split())
    assert f"tags are compared by {CLIP}, version" in out
    assert "warning: image disc/5: the tag bright should be of an image that looks like it" in out
    assert read_queue(tmp_path / "review.csv")[0].image == "disc/5"


def test_a_real_model_that_knows_nothing(tmp_path: Path) -> None:
    data = Squares(train=12, val=1)
    doubts = doubts_of_tags(readable(data), data.classes, ClipEncoder())
    assert len(doubts) == 24
    assert all(0 <= doubt.doubt <= 1 and not math.isnan(doubt.doubt) for doubt in doubts)


def test_what_is_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data=tests.small.Everything", "out=null", "cost=false", "tags_by=no/such/model"]
    assert command(words) == 2
    assert "tags_by: model no/such/model is no folder here" in capsys.readouterr().err
