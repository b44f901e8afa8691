"""Targets from a model of others through the whole of weakseg: rounds, resuming, `label`, the
review page, and the way of a GPU; and what a run says of the model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.foundation.colour_sam import ColourSam, drawn_picture, stub_folder
from tests.reviewing.sessions import material
from tests.small import TinyNet, trainer
from weakseg.data.base import WeakData
from weakseg.evidence import Evidence
from weakseg.fit import command as fit_command
from weakseg.fit import main
from weakseg.foundation.encodings import LIMIT, Encodings
from weakseg.foundation.frozen_encoder import FrozenEncoder
from weakseg.foundation.model_files import find_model
from weakseg.label import command as label_command
from weakseg.labelling.dataset import label_dataset
from weakseg.prediction.images import predict_images
from weakseg.reviewing.estimating import Estimator
from weakseg.strategies.prompted_masks import PromptedMasks
from weakseg.trained.loading import load_model
from weakseg.training.image_work import Job
from weakseg.training.queries import encoded_jobs
from weakseg.training.round_targets import RoundTargets
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter
from weakseg.training.used_models import FILE, UsedModel, note_models, read_models
from weakseg.utils.array_cache import Arrays

HUB = "facebook/sam2.1-hiera-tiny"  # a tiny one, in tests
SMALL = [
    "network=tests.small.TinyNet",
    "network.classes=5",
    "data.train=4",
    "data.val=2",
    "data.size=48",
    "data.batch_size=2",
    "data.workers=0",
    "rounds.workers=0",
    "trainer.log_every_n_steps=1",
    "trainer.accelerator=cpu",
]


class Pictures(WeakData):
    """Drawn pictures of unequal sizes with boxes."""

    classes = ("background", "bright", "dark", "other")

    def __init__(self, **loading: Any) -> None:
        super().__init__(**{"batch_size": 2, "workers": 0, **loading})
        self.validation = range(6, 7)

    def __len__(self) -> int:
        return 7

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        return drawn_picture(40 + 3 * index, 71 - 4 * index, index)


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAKSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(LIMIT)


@pytest.fixture
def strategy(tmp_path: Path) -> PromptedMasks:
    model = str(stub_folder(tmp_path / "model"))
    found = PromptedMasks(model)
    found.encoder = ColourSam(model)
    return found


# what a run says ----------------------------------------------------------------------------------


def test_a_run_says_which_model_it_asked(capsys: pytest.CaptureFixture[str]) -> None:
    run = main(["recipe=boxes_sam", *SMALL, "trainer.max_steps=2"])
    (model,) = read_models(run)
    assert model.name == HUB
    assert len(model.version) == 40
    assert model.licence == "mit"
    assert capsys.readouterr().err.count(model.described) == 1
    assert model.described in (run / "report.html").read_text()
    # going on finds the same model, and targets that are there
    resumed = main([f"resume={run}", "trainer.max_steps=4"])
    assert resumed == run
    assert read_models(run) == [model]
    capsys.readouterr()
    done = label_dataset(run=str(run), out="labels")
    assert capsys.readouterr().err.count(model.described) == 1
    assert done.estimated == 2  # the validation images
    assert json.loads(done.summary.read_text())["models"] == [model._asdict()]
    # a strategy that asks none says nothing
    other = main(["recipe=boxes_rect", *SMALL, "trainer.max_steps=1"])
    assert read_models(other) == []
    assert not (other / FILE).exists()
    assert "model behind the targets" not in (other / "report.html").read_text()


def test_another_version_is_added(tmp_path: Path, strategy: PromptedMasks) -> None:
    note_models(strategy, tmp_path)
    (tmp_path / "model" / "model.safetensors").write_bytes(b"other weights")
    other = PromptedMasks(str(tmp_path / "model"))
    for _ in range(2):
        note_models(other, tmp_path)
    first, second = read_models(tmp_path)
    assert first.name == second.name
    assert first.version != second.version
    (tmp_path / FILE).write_text("{")
    assert read_models(tmp_path) == []
    (tmp_path / FILE).write_text('[{"name": "a"}]')
    assert read_models(tmp_path) == []
    assert UsedModel("a", "b", "c").described.endswith("a, version b, licence c")


def test_what_is_wrong_with_a_model_is_said_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for model, said in {
        "nosuch/model": "model nosuch/model is not on this machine",
        str(stub_folder(tmp_path / "clip", "clip")): "should be a SAM model, of type sam or",
    }.items():
        with pytest.raises(SystemExit) as ended:
            main(["recipe=boxes_sam", f"strategy.model={model}", *SMALL, "trainer.max_steps=1"])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err
    assert not Path("runs").exists()


def test_weights_that_do_not_fit_are_said_once_before_any_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(find_model(HUB).folder, tmp_path / "sam2")
    with (folder / "model.safetensors").open("r+b") as weights:
        weights.truncate(1000)
    words = ["recipe=boxes_sam", f"strategy.model={folder}", *SMALL]
    labelled = ["recipe=boxes_sam", f"strategy.model={folder}", *SMALL[:-2], "out=labels"]
    for command, given in ((fit_command, words), (label_command, labelled)):
        assert command(given) == 2
        told = [line for line in capsys.readouterr().err.splitlines() if "cannot be read" in line]
        assert len(told) == 1
        assert told[0].startswith(f"strategy: model {folder} cannot be read from")
    assert not Path("runs").exists()
    assert not list(Path("labels").rglob("*.png"))


def test_check_looks_at_the_model_and_fetches_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from weakseg.check import main as check

    words = ["recipe=boxes_sam", *SMALL[2:]]
    wrong = stub_folder(tmp_path / "clip", "clip")
    assert check([*words, f"strategy.model={wrong}"]) == 1
    assert "the strategy: its model should be one that can be used, but it is model" in (
        capsys.readouterr().out
    )
    assert check([*words, "strategy.model=nosuch/model"]) == 0
    assert "warning: the strategy: its model should be on this machine" in capsys.readouterr().out
    assert check(words) == 0
    assert "its model" not in capsys.readouterr().out


def test_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("weakseg.foundation.model_files.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        main(["recipe=points_sam", *SMALL, "trainer.max_steps=1"])
    assert "needs the package transformers: pip install 'weakseg[foundation]'\n" in (
        capsys.readouterr().err
    )


def test_a_trained_network_needs_the_model_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shutil.copytree(find_model(HUB).folder, tmp_path / "model")
    words = ["recipe=boxes_sam", f"strategy.model={model}", *SMALL, "trainer.max_steps=1"]
    run = main(words)
    shutil.rmtree(model)
    trained = load_model(run)
    image = drawn_picture(30, 40, 1)[0].image
    assert trained.probabilities(image).shape == (5, 30, 40)
    (tmp_path / "images").mkdir()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / "images" / "a.png")
    done = predict_images(run, tmp_path / "images", "masks")
    assert done.predicted == 1
    # to train on, it is needed
    with pytest.raises(SystemExit):
        main([f"resume={run}", "trainer.max_steps=3"])
    assert "is no folder here, and no id of the hub either" in capsys.readouterr().err


# rounds -------------------------------------------------------------------------------------------


def test_images_are_encoded_once_for_two_rounds(
    tmp_path: Path, strategy: PromptedMasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    whole = ColourSam.encode

    def counted(self: ColourSam, images: Sequence[Tensor]) -> list[Arrays]:
        seen.append(len(images))
        return whole(self, images)

    monkeypatch.setattr(ColourSam, "encode", counted)
    data = Pictures()
    segmenter = Segmenter(TinyNet(4), strategy, data.classes)
    rounds = Rounds(when="epochs", count=2, workers=0)
    trainer(tmp_path / "run", 6, callbacks=[rounds]).fit(segmenter, datamodule=data)
    assert seen == [1] * 6
    assert rounds.figures["label/miou"] >= 0.98
    files = {file.name.rpartition("-")[0] for file in (tmp_path / "run").rglob("*.png")}
    assert len(files) == 6
    # the same files in another place
    moved = shutil.copytree(tmp_path / "model", tmp_path / "moved")
    encoder = ColourSam(str(moved))
    encoder.encode_ahead([data.sample(index)[0].image for index in range(7)])
    assert seen == [1] * 7  # the image that was held out


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The asking process encodes, as where the network is on a GPU; and how many images at
    once."""
    together: list[int] = []
    ahead = FrozenEncoder.encode_ahead

    moved: list[torch.device] = []

    def counted(self: FrozenEncoder, images: Sequence[Tensor]) -> None:
        assert moved, "it was not told where to encode"
        together.append(len(images))
        ahead(self, images)

    encoder = property(lambda self: self.strategy.wants.encoder)
    monkeypatch.setattr(RoundTargets, "_encoder", encoder)
    monkeypatch.setattr(FrozenEncoder, "encode_ahead", counted)
    monkeypatch.setattr(FrozenEncoder, "use", lambda self, device: moved.append(device))
    return together


def targets_of(folder: Path, workers: int, model: str) -> dict[str, bytes]:
    """The files of the targets of a run of two rounds."""
    strategy = PromptedMasks(model)
    strategy.encoder = ColourSam(model)
    data = Pictures()
    segmenter = Segmenter(TinyNet(4), strategy, data.classes)
    rounds = Rounds(when="epochs", count=2, workers=workers, folder=str(folder / "labels"))
    trainer(folder, 6, callbacks=[rounds]).fit(segmenter, datamodule=data)
    assert rounds.figures["label/miou"] >= 0.98
    files = sorted((folder / "labels").rglob("*.png"))
    return {file.name: file.read_bytes() for file in files}


def test_the_way_of_a_gpu_gives_the_targets_of_a_cpu(
    tmp_path: Path, as_on_a_gpu: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(stub_folder(tmp_path / "model"))
    there = targets_of(tmp_path / "there", 2, model)
    assert as_on_a_gpu == [4, 2, 4, 2]  # six images in two rounds
    kept = Encodings()
    assert len(list(kept.folder.glob("*.npz"))) == 6
    monkeypatch.setattr(RoundTargets, "_encoder", None)
    shutil.rmtree(kept.folder)
    here = targets_of(tmp_path / "here", 0, model)
    assert len(as_on_a_gpu) == 4
    assert len(here) >= 12
    # later rounds have the state of the network in their keys, and what they train on is random
    same = here.keys() & there.keys()
    assert len(same) == 6
    assert all(here[name] == there[name] for name in same)
    assert pixels(here) == pixels(there)


def pixels(files: dict[str, bytes]) -> dict[str, set[bytes]]:
    """Those of the targets of each image, which are the same in both rounds."""
    found: dict[str, set[bytes]] = {}
    for name, file in files.items():
        labels = np.asarray(Image.open(BytesIO(file)))
        found.setdefault(name.rpartition("-")[0], set()).add(labels.tobytes())
    assert all(len(each) == 1 for each in found.values())
    return found


def test_the_way_of_a_gpu_without_a_place_for_encodings(
    tmp_path: Path, as_on_a_gpu: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers then encode themselves."""
    monkeypatch.setenv(LIMIT, "0")
    model = str(stub_folder(tmp_path / "model"))
    assert len(targets_of(tmp_path / "there", 0, model)) >= 12
    assert as_on_a_gpu


def test_the_gpu_is_left_to_the_training(
    strategy: PromptedMasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = strategy.encoder
    # of a device that is none nothing can be read
    nothing = {"level0": np.zeros(1, np.float16)}
    monkeypatch.setattr(ColourSam, "encode", lambda self, images: [nothing for _ in images])
    there = torch.device("meta")
    encoder.use(there)
    jobs = [Job(index) for index in range(6)]
    seen = []
    for job in encoded_jobs(Pictures(), jobs, encoder):
        assert job.evidence is not None
        seen.append(job.number)
        assert encoder.device == there
        assert encoder.module is not None
    assert sorted(seen) == list(range(6))
    assert encoder.device.type == "cpu"
    assert "module" not in vars(encoder)


@pytest.mark.parametrize(
    ("device", "limit", "here"), [("cpu", 9, 0), ("meta", 9, 1), ("meta", 0, 0)]
)
def test_who_encodes(strategy: PromptedMasks, device: str, limit: int, here: int) -> None:
    strategy.encoder.encodings.limit = limit
    targets: Any = SimpleNamespace(
        strategy=strategy, segmenter=SimpleNamespace(device=torch.device(device))
    )
    found = RoundTargets._encoder.__get__(targets)
    assert (found is strategy.encoder) == bool(here)


# the review page ----------------------------------------------------------------------------------


def test_the_review_page_estimates_while_one_draws(tmp_path: Path, strategy: PromptedMasks) -> None:
    data = Pictures()
    reviewed = material(tmp_path, strategy, data, strategy_name="prompted_masks")
    estimator = Estimator(reviewed, data.classes)
    evidence, truth = data.sample(2)
    assert truth is not None
    assert evidence.boxes is not None
    assert evidence.box_classes is not None
    target = estimator.target("prompted_masks", evidence)
    assert (target == truth).float().mean() > 0.98
    # without one of the boxes, its object is background or what is below it
    fewer = evidence._replace(
        boxes=evidence.boxes[:2], box_classes=evidence.box_classes[:2], marks=None
    )
    target = estimator.target("prompted_masks", fewer)
    assert not (target == 3).any()
    bare = evidence._replace(boxes=None, box_classes=None, marks=None)
    assert "nothing to show the model" in estimator.lacks("prompted_masks", bare)


def test_the_review_page_offers_only_models_that_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Estimator(material(tmp_path), Pictures.classes)
    assert here.knows("prompted_masks")
    monkeypatch.setattr("weakseg.foundation.model_files._fetched_before", lambda *_: None)
    elsewhere = Estimator(material(tmp_path), Pictures.classes)
    assert not elsewhere.knows("prompted_masks")
    assert elsewhere.knows("boxes_crf")
