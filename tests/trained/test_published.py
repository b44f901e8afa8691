"""A published folder: what stands in it, what reads it, and that nothing in a stranger's is run."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import safetensors.torch
import torch
import yaml

from tests.trained.runs import CLASSES, OWN, SMALL, make_run
from weakseg.config.recipe import RecipeError
from weakseg.fit import main as fit
from weakseg.trained.checkpoint import CheckpointModel
from weakseg.trained.exporting import export_model
from weakseg.trained.loading import load_model
from weakseg.trained.model import TrainedModel, digest
from weakseg.utils.files import DamagedFile

BOXES = ["recipe=boxes", *SMALL]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    return fit([*BOXES, f"trainer.default_root_dir={root}", "seed=5"])


@pytest.fixture(scope="module")
def folder(run: Path) -> Path:
    return export_model(run, "hub", licence="CC-BY-4.0").path


def config_of(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def with_config(folder: Path, **changes: Any) -> Path:
    (folder / "config.json").write_text(json.dumps(config_of(folder) | changes))
    return folder


# what stands in it --------------------------------------------------------------------------------


def test_the_configuration_says_all_that_is_needed(folder: Path, run: Path) -> None:
    config = config_of(folder)
    assert config["architectures"] == ["FCN32s"]
    assert config["network"] == {"name": "fcn32s", "width": 0.05}
    assert config["id2label"]["1"] == config["classes"][1]
    assert config["recipe"] == "boxes"
    assert config["strategy"] == "boxes_crf"
    assert config["evidence"] == "boxes"
    assert config["licence"] == "CC-BY-4.0"
    assert config["weights"] == "random"
    assert config["checkpoint_sha256"] == digest(run / "checkpoints" / "best.ckpt")
    assert config["weights_sha256"] == digest(folder / "model.safetensors")
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    assert sorted(weights) == sorted(weights_of(load_model(run)))


def test_the_card_says_what_a_reader_wants_to_know(folder: Path, run: Path) -> None:
    _, front, text = (folder / "README.md").read_text().split("---\n", 2)
    matter = yaml.safe_load(front)
    assert matter["license"] == "cc-by-4.0"
    assert matter["pipeline_tag"] == "image-segmentation"
    assert "weakly-supervised" in matter["tags"]
    (result,) = matter["model-index"][0]["results"]
    assert result["dataset"]["name"] == "toy"
    (metric,) = result["metrics"]
    known = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["weakseg"]
    assert metric["value"] == pytest.approx(known["validation"]["value"], abs=1e-4)
    rows = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", text, re.MULTILINE))
    assert rows["Evidence"] == "boxes"
    assert rows["Seed"] == "5"
    assert rows["Initial weights"] == "random"
    assert set(known["classes"]) <= rows.keys()
    assert rows["SHA-256 of the checkpoint"].strip("`") == digest(run / "checkpoints" / "best.ckpt")
    assert 'weakseg.load_model("<folder>")' in text


def test_the_ecosystem_reads_the_card(folder: Path) -> None:
    card = huggingface_hub.ModelCard.load(folder / "README.md").data
    assert (card.license, card.library_name) == ("cc-by-4.0", "weakseg")
    (result,) = card.eval_results
    assert (result.task_type, result.dataset_name) == ("image-segmentation", "toy")
    assert (result.metric_type, result.metric_name) == ("mean_iou", "mean IoU")


def test_the_card_of_weights_that_nobody_measured_says_so(tmp_path: Path) -> None:
    text = (export_model(make_run(tmp_path, OWN), "hub").path / "README.md").read_text()
    assert "Its quality was not measured" in text
    assert "model-index" not in text
    assert "license: unknown" in text


def test_nothing_secret_and_no_folder_of_this_machine_gets_out(tmp_path: Path) -> None:
    weights = tmp_path / "private" / "first.pth"
    run = make_run(tmp_path, {**OWN, "weights": str(weights)}, initial_weights=f"file {weights}")
    recipe = run / "recipe.yaml"
    text = recipe.read_text().replace("{name: toy}", f"{{name: folder, root: {tmp_path}/private}}")
    recipe.write_text(f"{text}optimizer: {{name: adamw, token: abc123}}\n")
    folder = export_model(run, "hub").path
    for file in ("README.md", "config.json"):
        published = (folder / file).read_text()
        assert "private" not in published
        assert "abc123" not in published
    assert "first.pth" in (folder / "README.md").read_text()


# who reads it -------------------------------------------------------------------------------------


def test_it_predicts_as_its_run_does(folder: Path, run: Path) -> None:
    model, network = load_model(folder, device="cpu"), load_model(run, device="cpu")
    image = torch.randint(0, 256, (3, 33, 47), dtype=torch.uint8)
    assert torch.equal(model.probabilities(image), network.probabilities(image))
    assert model.origin == network.origin._replace(
        path=str(folder / "model.safetensors"), kind="hub", sha256=model.origin.sha256
    )
    assert model.recipe_section("network")["name"] == "fcn32s"


def test_a_training_starts_from_it_and_from_a_run(folder: Path, run: Path, tmp_path: Path) -> None:
    wanted = weights_of(load_model(folder, device="cpu"))
    words = [*BOXES, f"trainer.default_root_dir={tmp_path}", "optimizer.lr=1e-12"]
    for start in (folder, run):
        begun = fit([*words, f"init_from={start}"])
        found = load_model(begun, "last", device="cpu")
        for name, value in weights_of(found).items():
            torch.testing.assert_close(value, wanted[name], rtol=0, atol=1e-6)
        assert "whose initial weights were: random" in found.origin.weights


def test_a_start_that_is_neither(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for start, wrong in {
        tmp_path / "empty": "with neither a checkpoint of a run nor published weights",
        with_config(Path(shutil.copytree(folder, tmp_path / "other")), classes=["a", "b"]): (
            "know the classes a, b, but the data set has"
        ),
    }.items():
        with pytest.raises(SystemExit) as end:
            fit([*BOXES, f"trainer.default_root_dir={tmp_path}", f"init_from={start}"])
        assert end.value.code == 2
        assert wrong in capsys.readouterr().err


def test_classes_in_another_order_are_matched_by_name(copy: Path, tmp_path: Path) -> None:
    classes = config_of(copy)["classes"]
    # the published weights know the second class by the number of the third
    turned = [classes[0], classes[2], classes[1], *classes[3:]]
    with_config(copy, classes=turned)
    words = [*BOXES, f"trainer.default_root_dir={tmp_path}", "optimizer.lr=1e-12"]
    found = load_model(fit([*words, f"init_from={copy}"]), "last", device="cpu")
    images = torch.randint(0, 256, (1, 3, 33, 47), dtype=torch.uint8)
    logits = load_model(copy, device="cpu").logits(images)
    place = [turned.index(name) for name in found.classes]
    torch.testing.assert_close(found.logits(images), logits[:, place], rtol=0, atol=1e-4)


# a stranger's folder ------------------------------------------------------------------------------

TRAP = """
import pathlib
pathlib.Path(__file__).with_name("sprung").touch()
from torch import nn
class Net(nn.Conv2d):
    def __init__(self, classes: int) -> None:
        super().__init__(3, classes, 1)
"""


@pytest.mark.parametrize(
    ("network", "wrong"),
    [
        ({"name": "os.system", "command": "true"}, "can only name a class of networks, but os"),
        ({"name": "subprocess.Popen", "args": ["true"]}, "is not a subclass of torch.nn"),
        ({"name": "nowhere_at_all.Net"}, "there is no module nowhere_at_all"),
        ({"name": "fcn33s"}, "there is no fcn33s; did you mean fcn32s"),
        ({"name": "fcn32s", "width": "x"}, "network.width: expected a number"),
        ({"name": "fcn32s", "width": 0.1}, "do not fit FCN32s"),
        ("fcn32s", "does not say which network it is"),
        (None, "does not say which network it is"),
    ],
)
def test_a_configuration_names_nothing_but_networks(
    copy: Path, network: object, wrong: str
) -> None:
    with pytest.raises(ValueError, match=wrong):
        load_model(with_config(copy, network=network), device="cpu")


def test_code_that_came_with_the_folder_is_not_run(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy / "their_network.py").write_text(TRAP)
    (copy / "their_package").mkdir()
    (copy / "their_package" / "__init__.py").write_text(TRAP)
    for name in ("their_network.Net", "their_package.Net", "their_package.deeper.Net"):
        with_config(copy, network={"name": name})
        with pytest.raises(ValueError, match="there is no module their_"):
            load_model(copy, device="cpu")
        # from inside of the folder, where Python would find it
        with monkeypatch.context() as inside:
            inside.chdir(copy)
            inside.syspath_prepend(copy)
            with pytest.raises(ValueError, match="would run code that came with the folder"):
                load_model(Path("."), device="cpu")
    assert not list(copy.rglob("sprung"))


def test_a_network_of_ones_own_is_found_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export_model(make_run(tmp_path, OWN), "hub").path
    assert config_of(folder)["network"] == OWN
    assert load_model(folder, device="cpu").classes == tuple(CLASSES)


def test_initial_weights_of_a_configuration_are_never_read(copy: Path) -> None:
    network = config_of(copy)["network"] | {"weights": "nowhere.pth"}
    assert load_model(with_config(copy, network=network), device="cpu").classes


def test_damage_is_seen(copy: Path) -> None:
    file = copy / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"is damaged, or not the file that config\.json was"):
        load_model(copy, device="cpu")
    (copy / "config.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"config\.json cannot be read"):
        load_model(copy, device="cpu")
    (copy / "config.json").unlink()
    with pytest.raises(RecipeError, match="copy is none of them"):
        load_model(copy, device="cpu")


def test_neither_half_of_a_folder_is_one(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(RecipeError, match="copy is none of them"):
        load_model(copy, device="cpu")
    assert "their_network" not in sys.modules


def weights_of(model: TrainedModel) -> dict[str, torch.Tensor]:
    assert isinstance(model, CheckpointModel)
    return model.segmenter.network.state_dict()
