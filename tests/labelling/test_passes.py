"""Strategies that are fitted to all images together, in parts: each part describes its share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.labelling.conftest import label
from tests.labelling.methods import ESTIMATED, Mean
from tests.small import Squares
from weakseg.config.recipe import RecipeError
from weakseg.evidence import Evidence
from weakseg.label import command
from weakseg.labelling.passes import DESCRIPTIONS, NotDescribed
from weakseg.strategies.base import Context
from weakseg.utils.array_cache import ArrayCache

DESCRIBED: list[str] = []
PARTS = (1, 2, 3)


class TwoMeans(Mean):
    """Fitted twice: the second time to images that the first mean was taken from."""

    iterations = 2

    def describe(self, evidence: Evidence, context: Context) -> dict[str, Tensor]:
        DESCRIBED.append(evidence.id)
        mean = evidence.image.float().mean()
        return {"mean": mean if context.fitted is None else mean - context.fitted / 10}


@pytest.fixture(autouse=True)
def nothing_described() -> None:
    DESCRIBED.clear()


def two_means(out: Path, runs: Path, **given: Any) -> Any:
    return label(out, runs, {"name": "tests.labelling.test_passes.TwoMeans"}, **given)


def test_each_image_is_described_once_and_the_fit_is_that_of_one_process(
    tmp_path: Path,
) -> None:
    two_means(tmp_path / "whole", tmp_path)
    assert len(DESCRIBED) == 2 * 12
    cache = tmp_path / "labels" / "cache"
    cache.rename(tmp_path / "gone")  # or what was fitted would be found there
    DESCRIBED.clear()
    ESTIMATED.clear()
    said = [
        two_means(tmp_path / "parts", tmp_path, parts=3, part=part, describe=True).described
        for _ in range(2)
        for part in PARTS
    ]
    assert len(DESCRIBED) == 2 * 12
    assert said[0] == (
        "part 1 of 3 has described its images; parts 2, 3 have not yet; call each with "
        "describe=true until all is fitted"
    )
    assert said[-1] == "TwoMeans is fitted to all images: go on without describe=true"
    assert not list((tmp_path / "parts").rglob("*.png"))
    done = [two_means(tmp_path / "parts", tmp_path, parts=3, part=part) for part in PARTS]
    assert len(DESCRIBED) == 2 * 12
    assert sum(each.labelled for each in done) == 17
    # the keys, and with them what was fitted, are the same to the last bit
    assert [each.estimated for each in done] == [0, 0, 0]
    for mask in (tmp_path / "whole").rglob("*.png"):
        other = tmp_path / "parts" / mask.relative_to(tmp_path / "whole")
        assert other.read_bytes() == mask.read_bytes()


def test_a_missing_pass_is_named(runs: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"strategy": "Mean", "parts": 3}
    for part in (1, 3):
        label(tmp_path, runs, **given, part=part, describe=True)
    with pytest.raises(NotDescribed, match=r"part 2 of 3 has not described its share .*first"):
        label(tmp_path, runs, **given, part=1)
    with pytest.raises(NotDescribed, match="part 2 of 3 has not described its share"):
        label(tmp_path, runs, **given, part=2)
    label(tmp_path, runs, **given, part=2, describe=True)
    assert label(tmp_path, runs, **given, part=1).labelled == 6


def test_without_a_first_pass_a_part_says_that_it_describes_all(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert label(tmp_path, runs, "Mean", parts=3, part=1).labelled == 6
    assert "this part describes all of them" in capsys.readouterr().err
    label(tmp_path / "alone", runs, "Mean")
    assert "describes all of them" not in capsys.readouterr().err


class Changed(Squares):
    """The same images, one of them with another box."""

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        if index == 4 and evidence.boxes is not None:
            evidence = evidence._replace(boxes=evidence.boxes + 1)
        return evidence, truth


def test_evidence_that_has_changed_since_it_was_described_is_noticed(
    runs: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"strategy": "Mean", "parts": 2}
    for part in (1, 2):
        label(tmp_path, runs, **given, part=part, describe=True)
    changed = {"data": {"name": "tests.labelling.test_passes.Changed"}}
    assert label(tmp_path, runs, **given, **changed, part=2).labelled == 8  # 1, 3, 5 ...
    with pytest.raises(NotDescribed, match=r"part 1 of 2 has not described .* as they are now"):
        label(tmp_path, runs, **given, **changed, part=1)
    label(tmp_path, runs, **given, **changed, part=1, describe=True)
    assert label(tmp_path, runs, **given, **changed, part=1).labelled == 9


def test_a_damaged_file_of_descriptions_is_made_again(runs: Path, tmp_path: Path) -> None:
    label(tmp_path, runs, "Mean", parts=2, part=1, describe=True)
    (file,) = (tmp_path / DESCRIPTIONS).glob("*.npz")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    label(tmp_path, runs, "Mean", parts=2, part=1, describe=True)
    with np.load(file) as arrays:
        assert len(arrays["ids"]) == 6


def test_descriptions_of_any_shape_come_back(tmp_path: Path) -> None:
    from weakseg.labelling.passes import _arrays, _described
    from weakseg.training.joint_fit import Described

    many = [
        Described("b/é", {"x/y": np.float32([[1, 2]]), "z": np.array(3)}),
        Described("a", {}),
    ]
    kept = ArrayCache(tmp_path).put("k", _arrays(many, {"a": "1", "b/é": "2"}))
    found = ArrayCache(tmp_path).get("k")
    assert found is not None
    assert set(found) == set(kept)
    empty, full = _described(found)
    assert (empty.id, empty.description) == ("a", {})
    assert full.id == "b/é"
    assert torch.equal(torch.from_numpy(full.description["x/y"]), torch.tensor([[1.0, 2.0]]))


def test_describe_belongs_to_strategies_that_are_fitted(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="Counting is not fitted to all images together"):
        label(tmp_path, runs, "Counting", parts=2, part=1, describe=True)


def test_the_command_prints_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["recipe=boxes_rect", "strategy=tests.labelling.methods.Mean", "device=cpu"]
    words += ["data=tests.small.Squares", "network=tests.small.TinyNet", "out=out", "parts=2"]
    assert command([*words, "part=1", "describe=true"]) == 0
    assert "part 1 of 2 has described its images; part 2 has not yet" in capsys.readouterr().out
    assert command([*words, "part=1"]) == 1
    assert "call each part with describe=true first" in capsys.readouterr().err
    assert command([*words, "part=2", "describe=true"]) == 0
    assert "Mean is fitted to all images" in capsys.readouterr().out
    assert command([*words, "part=1"]) == 0
    assert "labelled: 9 images" in capsys.readouterr().out
