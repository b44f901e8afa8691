"""load_model: which network it is, and what is said of a place that holds none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.trained.runs import SMALL
from weakseg.config.recipe import RecipeError
from weakseg.fit import main as fit
from weakseg.inference.multiscale import Inference
from weakseg.run import load
from weakseg.trained.loading import choose_device, load_model
from weakseg.trained.model import digest


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    return fit(["recipe=full", *SMALL, f"trainer.default_root_dir={root}", "predict.flip=true"])


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randint(0, 256, (3, 33, 47), generator=torch.manual_seed(0)).byte()


def test_the_network_of_a_run_predicts_as_its_segmenter_does(
    run: Path, image: torch.Tensor
) -> None:
    model = load_model(run, device="cpu")
    wanted = load(run, "best.ckpt").predict(image).probs
    assert torch.equal(model.probabilities(image), wanted)
    assert model.logits(image[None]).shape == (1, 5, 33, 47)
    assert model.objects(image) is None


def test_it_says_where_it_comes_from(run: Path) -> None:
    origin = load_model(run, device="cpu").origin
    file = run / "checkpoints" / "best.ckpt"
    assert origin == (str(file), "checkpoint", digest(file), "full", 2, "random")


def test_a_run_without_a_best_checkpoint_gives_its_last(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "full" / "copy"
    shutil.copytree(run, folder)
    (folder / "checkpoints" / "best.ckpt").unlink()
    assert load_model(folder, device="cpu").origin.path.endswith("last.ckpt")


def test_a_checkpoint_by_name_by_file_and_in_the_place_of_the_run(run: Path) -> None:
    file = run / "checkpoints" / "last.ckpt"
    for model in (
        load_model(run, "last", device="cpu"),
        load_model(run, str(file), device="cpu"),
        load_model(file, device="cpu"),
    ):
        assert model.origin.path == str(file)


def test_the_section_predict_is_the_runs_own_but_for_what_is_given(run: Path) -> None:
    assert load_model(run, device="cpu").inference == Inference(flip=True)
    given = load_model(run, device="cpu", predict={"scales": "0.5,1"}).inference
    assert given == Inference(scales=(0.5, 1.0), flip=True)
    assert load_model(run, device="cpu", predict=Inference()).inference == Inference()
    with pytest.raises(RecipeError, match=r"predict\.scale: no such key; did you mean scales"):
        load_model(run, device="cpu", predict={"scale": "1"})


def test_what_holds_no_network_is_refused_in_a_line(run: Path, tmp_path: Path) -> None:
    empty = tmp_path / "full" / "empty"
    shutil.copytree(run, empty, ignore=shutil.ignore_patterns("*.ckpt"))
    alone = tmp_path / "alone.ckpt"
    shutil.copy(run / "checkpoints" / "last.ckpt", alone)
    for place, wrong in {
        tmp_path / "nothing": "run: there is no ",
        run.parent.parent: f"did you mean {run}?",
        empty: "has no best.ckpt nor any other checkpoint: it stopped before its first one",
        alone: "alone.ckpt stands in no run folder",
    }.items():
        with pytest.raises(RecipeError) as error:
            load_model(place, device="cpu")
        assert wrong in str(error.value)
        assert len(error.value.errors) == 1
    with pytest.raises(RecipeError, match="expected best, last or a file, but there is no bst"):
        load_model(run, "bst", device="cpu")


def test_a_checkpoint_of_other_classes_is_refused(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "full" / "other"
    shutil.copytree(run, folder)
    file = folder / "checkpoints" / "last.ckpt"
    content = torch.load(file, weights_only=True)
    content["weakseg"]["classes"] = ["background", "cat"]
    torch.save(content, file)
    with pytest.raises(ValueError, match="do not fit Segmenter"):
        load_model(folder, "last", device="cpu")


def test_a_device_that_is_not_there_is_refused() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(RecipeError, match="device: gpu cannot be used here"):
        choose_device("gpu")


def test_the_latest_run_has_a_link(run: Path) -> None:
    model = load_model(run.parent / "latest", device="cpu")
    assert model.origin.path == str(run / "checkpoints" / "best.ckpt")
