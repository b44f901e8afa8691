"""label_dataset: which labels, of which images, and nothing estimated twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.labelling.conftest import label, trained
from tests.labelling.methods import ESTIMATED
from tests.small import Squares
from weakseg.config.recipe import RecipeError
from weakseg.data.formats.images import read_mask
from weakseg.labelling.dataset import label_dataset
from weakseg.run import load
from weakseg.strategies import NAMES
from weakseg.strategies.base import Context
from weakseg.strategies.boxes_rect import BoxesRect

TRAINING, ALL = 12, 17


def summary(out: Path, name: str = "summary.json") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / name).read_text())
    return content


def masks(out: Path) -> dict[str, np.ndarray]:
    return {
        path.relative_to(out).as_posix(): read_mask(path).numpy() for path in out.rglob("*.png")
    }


class TestNothingIsEstimatedTwice:
    def test_what_a_run_has_estimated(self, once: Path, runs: Path, tmp_path: Path) -> None:
        done = label(tmp_path / "out", runs, subset="training")
        assert ESTIMATED == []
        assert (done.labelled, done.estimated) == (TRAINING, 0)

    def test_only_images_that_no_run_has_seen(self, once: Path, runs: Path, tmp_path: Path) -> None:
        store = runs / "of_validation"
        label(tmp_path / "first", runs, subset="training", rounds=rounds(store))
        ESTIMATED.clear()
        done = label(tmp_path / "out", runs, rounds=rounds(store))
        assert sorted(ESTIMATED) == sorted(f"disc/{index}" for index in range(TRAINING, ALL))
        assert (done.labelled, done.estimated) == (ALL, ALL - TRAINING)

    def test_a_run_that_needs_no_network_to_estimate(self, once: Path, tmp_path: Path) -> None:
        done = label_dataset(run=str(once), out=tmp_path, subset="training", device="cpu")
        assert ESTIMATED == []
        assert "round 0" in done.method
        assert summary(tmp_path)["images"][0]["agreement"]["network"] > 0

    def test_a_network_of_a_run(self, again: Path, tmp_path: Path) -> None:
        first = label_dataset(run=str(again), out=tmp_path / "a", subset="training", device="cpu")
        assert len(ESTIMATED) == first.estimated == TRAINING
        ESTIMATED.clear()
        second = label_dataset(run=str(again), out=tmp_path / "b", subset="training", device="cpu")
        assert ESTIMATED == []
        assert second.labelled == TRAINING
        assert_same(masks(tmp_path / "a"), masks(tmp_path / "b"))

    @pytest.mark.parametrize(
        "strategy",
        [
            {"name": "cosegmentation", "long_side": "32", "iterations": "2"},
            {"name": "boxes_crf", "long_side": "32", "together": "true"},
            {"name": "mixed", "long_side": "32", "together": "true"},
        ],
        ids=lambda strategy: strategy["name"],
    )
    def test_features_of_first_weights(
        self, runs: Path, tmp_path: Path, strategy: dict[str, str]
    ) -> None:
        words = [f"strategy.{key}={value}" for key, value in strategy.items() if key != "name"]
        trained(runs, NAMES[strategy["name"]], *words)
        done = label(tmp_path, runs, subset="training", strategy=strategy)
        assert done.estimated == 0

    def test_a_strategy_that_is_fitted_to_all_images(self, runs: Path, tmp_path: Path) -> None:
        trained(runs, "Mean")
        ESTIMATED.clear()
        label(tmp_path / "training", runs, "Mean", subset="training")
        assert ESTIMATED == []
        label(tmp_path / "all", runs, "Mean")
        assert len(ESTIMATED) == ALL - TRAINING

    def test_damaged_targets_are_estimated_again(self, runs: Path, tmp_path: Path) -> None:
        store = tmp_path / "store"
        label(tmp_path / "a", runs, rounds=rounds(store))
        ESTIMATED.clear()
        lost = sorted(store.rglob("*.png"))[:2]
        for file in lost:
            file.write_bytes(file.read_bytes()[:-30])
        done = label(tmp_path / "b", runs, rounds=rounds(store))
        assert len(ESTIMATED) == done.estimated == 2
        assert_same(masks(tmp_path / "a"), masks(tmp_path / "b"))


def rounds(store: Path) -> dict[str, str]:
    return {"workers": "0", "folder": str(store)}


def assert_same(these: dict[str, np.ndarray], those: dict[str, np.ndarray]) -> None:
    assert these.keys() == those.keys()
    for name, mask in these.items():
        np.testing.assert_array_equal(mask, those[name])


class TestLabels:
    def test_they_are_the_targets(self, runs: Path, tmp_path: Path) -> None:
        label(tmp_path, runs)
        found = masks(tmp_path)
        assert len(found) == ALL
        for index in range(ALL):
            evidence, _ = Squares().sample(index)
            target = BoxesRect().estimate(evidence, Context()).numpy()
            np.testing.assert_array_equal(found[f"{evidence.id}.png"], target)
        with Image.open(tmp_path / "disc" / "0.png") as image:
            assert image.mode == "P"

    def test_of_a_strategy_without_any_the_predictions(self, by_loss: Path, tmp_path: Path) -> None:
        done = label_dataset(run=str(by_loss), out=tmp_path, device="cpu", checkpoint="last")
        assert "predictions" in done.method
        segmenter = load(by_loss)
        evidence, _ = Squares().sample(3)
        probs = segmenter.predict(evidence.image).probs
        np.testing.assert_array_equal(masks(tmp_path)["disc/3.png"], probs.argmax(0).numpy())
        (entry,) = (each for each in summary(tmp_path)["images"] if each["name"] == "disc/3")
        assert entry["confidence"] == pytest.approx(float(probs.max(0).values.mean()), abs=1e-5)

    def test_a_later_round_is_given_the_prediction(self, again: Path, tmp_path: Path) -> None:
        label_dataset(run=str(again), out=tmp_path, device="cpu", checkpoint="last")
        from tests.small import Refine

        segmenter = load(again)
        evidence, _ = Squares().sample(2)
        context = Context(segmenter.predict(evidence.image, plain=True))
        expected = Refine().estimate(evidence, context).numpy()
        np.testing.assert_array_equal(masks(tmp_path)["disc/2.png"], expected)

    def test_soft_ones(self, runs: Path, tmp_path: Path) -> None:
        label(tmp_path, runs, "Soft", confidence=True, probabilities=True)
        hard = read_mask(tmp_path / "disc" / "0.png")
        sure = read_mask(tmp_path / "confidence" / "disc" / "0.png")
        assert torch.unique(sure).tolist() == [191]  # three quarters of 255
        with np.load(tmp_path / "probabilities" / "disc" / "0.npz") as file:
            np.testing.assert_array_equal(file["probabilities"].argmax(0), hard.numpy())
        assert summary(tmp_path)["images"][0]["confidence"] == 0.75

    def test_hard_ones_have_no_confidence(self, runs: Path, tmp_path: Path) -> None:
        label(tmp_path, runs, confidence=True)
        assert not (tmp_path / "confidence").exists()
        assert "confidence" not in summary(tmp_path)["images"][0]


class TestImages:
    def test_a_part_of_the_data_set(self, runs: Path, tmp_path: Path) -> None:
        assert label(tmp_path / "a", runs, subset="validation").labelled == ALL - TRAINING
        none = {"name": "tests.small.Squares", "val": "0"}
        with pytest.raises(RecipeError, match="no validation images, but 12 others; subset=all"):
            label(tmp_path / "b", runs, subset="validation", data=none)

    def test_broken_ones_and_those_without_evidence(self, runs: Path, tmp_path: Path) -> None:
        done = label(tmp_path, runs, data={"name": "tests.labelling.methods.Broken"})
        assert [failure.id for failure in done.broken] == ["number 3"]
        assert [failure.id for failure in done.without] == ["disc/5"]
        assert done.labelled == ALL - 2
        content = summary(tmp_path)
        assert content["broken"][0]["reason"] == "image disc/3: its file is cut off"
        assert content["without_evidence"] == [
            {
                "name": "disc/5",
                "reason": "has no boxes and no box_classes; it has no evidence at all",
            }
        ]

    def test_none_with_evidence(self, runs: Path, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"no image with the evidence.*has no boxes.*16 more"):
            label(tmp_path, runs, data={"name": "tests.labelling.methods.Tagged"})

    def test_one_that_the_strategy_fails_on(self, runs: Path, tmp_path: Path) -> None:
        done = label(tmp_path, runs, "Bad")
        (failure,) = done.broken
        assert failure.id == "disc/2"
        assert "this image is too hard" in failure.reason
        assert done.labelled == ALL - 1
        assert not (tmp_path / "disc" / "2.png").exists()

    def test_classes_are_matched_by_their_names(self, once: Path, tmp_path: Path) -> None:
        data = {"name": "tests.labelling.methods.Reordered"}
        done = label_dataset(run=str(once), out=tmp_path, data=data, device="cpu")
        assert done.labelled == ALL
        assert summary(tmp_path)["classes"] == ["background", "bright", "dark"]
        assert {int(label) for mask in masks(tmp_path).values() for label in np.unique(mask)} == {
            0,
            2,
        }


class TestAnotherCall:
    def test_skips_what_is_there(self, runs: Path, tmp_path: Path) -> None:
        label(tmp_path, runs)
        (tmp_path / "disc" / "4.png").unlink()
        done = label(tmp_path, runs)
        assert (done.labelled, done.skipped) == (1, ALL - 1)
        assert (tmp_path / "disc" / "4.png").is_file()
        assert label(tmp_path, runs, overwrite=True).labelled == ALL

    def test_goes_on_after_a_kill(
        self, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from weakseg.labelling.writing import Writer

        write = Writer.write

        def killed(self: Writer, index: int) -> Any:
            if index == 5:
                raise KeyboardInterrupt
            return write(self, index)

        monkeypatch.setattr(Writer, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            label(tmp_path, runs)
        monkeypatch.undo()
        assert len(masks(tmp_path)) == 5
        done = label(tmp_path, runs)
        assert (done.labelled, done.skipped) == (ALL - 5, 5)

    def test_with_another_method_says_so(self, runs: Path, tmp_path: Path) -> None:
        label(tmp_path, runs)
        with pytest.raises(ValueError, match=r"made in another way.*Counting there and Soft now"):
            label(tmp_path, runs, "Soft")
        label(tmp_path, runs, "Soft", overwrite=True)
        assert summary(tmp_path)["made_by"]["strategy"] == "Soft"

    def test_with_another_way_to_predict_says_so(self, by_loss: Path, tmp_path: Path) -> None:
        given: dict[str, Any] = {"run": str(by_loss), "out": tmp_path, "device": "cpu"}
        label_dataset(**given)
        with pytest.raises(ValueError, match=r"made in another way.*flip=False.*flip=True"):
            label_dataset(**given, predict={"flip": "true"})


class TestParts:
    @pytest.mark.parametrize("strategy", ["Counting", "Mean"])
    def test_together_they_are_the_whole(self, strategy: str, runs: Path, tmp_path: Path) -> None:
        label(tmp_path / "whole", runs, strategy)
        for part in (1, 2, 3):
            label(tmp_path / "parts", runs, strategy, parts=3, part=part)
        assert_same(masks(tmp_path / "whole"), masks(tmp_path / "parts"))
        names = [
            entry["name"]
            for part in (1, 2, 3)
            for entry in summary(tmp_path / "parts", f"summary-{part}-of-3.json")["images"]
        ]
        assert sorted(names) == sorted(f"disc/{index}" for index in range(ALL))

    def test_a_broken_image_is_named_in_its_own_part(self, runs: Path, tmp_path: Path) -> None:
        data = {"name": "tests.labelling.methods.Broken"}
        found = [
            [failure.id for failure in (*done.broken, *done.without)]
            for part in (1, 2)
            for done in [label(tmp_path, runs, "Mean", data=data, parts=2, part=part)]
        ]
        assert found == [[], ["number 3", "disc/5"]]

    def test_a_part_without_images_has_nothing_to_do(self, runs: Path, tmp_path: Path) -> None:
        assert label(tmp_path, runs, parts=20, part=20).labelled == 0
        assert summary(tmp_path, "summary-20-of-20.json")["images"] == []


class TestWords:
    def test_one_of_recipe_and_run(self, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match=r"one of the two.*neither came"):
            label_dataset(out=tmp_path)
        with pytest.raises(RecipeError, match=r"one of the two.*both came"):
            label_dataset("boxes", "runs/boxes/1", out=tmp_path)

    def test_a_strategy_that_estimates_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match=r"ScribblesGated estimates no.*write run="):
            label_dataset("scribbles_gated", out=tmp_path, network={"name": "unet"})

    def test_a_run_has_a_strategy_and_classes_of_its_own(self, once: Path, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match="strategy: run= has a strategy of its own"):
            label_dataset(run=str(once), out=tmp_path, strategy={"name": "boxes_crf"})
        with pytest.raises(RecipeError, match=r"cannot label this data set: leaf.* are none of"):
            label_dataset(run=str(once), out=tmp_path, data={"name": "toy"})
        with pytest.raises(RecipeError, match="seed: belongs to recipe="):
            label_dataset(run=str(once), out=tmp_path, seed=1)
