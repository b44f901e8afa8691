"""The command, in process, on the toy set: from words to a folder that tells all of it."""

from __future__ import annotations

import csv
import itertools
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

import weakseg
from tests.small import TinyNet
from weakseg.config.recipe import list_recipes, resolve
from weakseg.config.recipe import load as load_recipe
from weakseg.data.toy.dataset import Toy
from weakseg.evidence import Batch
from weakseg.fit import main
from weakseg.functional.crf import DenseCRF
from weakseg.inference.multiscale import Inference
from weakseg.networks import DeepLabV3
from weakseg.run import _look_at_dilation, load
from weakseg.strategies import BoxesCRF
from weakseg.utils.files import only_user

SMALL = [
    "data.train=6",
    "data.val=3",
    "data.size=32",
    "data.batch_size=2",
    "rounds.workers=0",
    "trainer.enable_progress_bar=false",
]
TINY = ["network=tests.small.TinyNet", "network.classes=5"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def record(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def column(run: Path, name: str) -> list[float]:
    return [float(row[name]) for row in record(run) if row.get(name)]


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(
        run / "checkpoints" / "last.ckpt", weights_only=True
    )["state_dict"]
    return state


TOY = [recipe for recipe in list_recipes() if not recipe.startswith("voc_")]


@pytest.mark.parametrize("recipe", TOY)
def test_every_recipe_trains_and_tells(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = main(
        [
            f"recipe={recipe}",
            "network=tests.small.TinyNet",
            "network.classes=5",
            *SMALL,
            "trainer.max_steps=4",
            "trainer.log_every_n_steps=1",
        ]
    )
    assert run.parent == Path("runs") / recipe
    assert {file.name for file in run.iterdir()} >= {
        "recipe.yaml",
        "metrics.csv",
        "checkpoints",
        "report.html",
    }
    printed = capsys.readouterr().out
    assert "background" in printed
    assert str(run / "report.html") in printed.replace("\n", "")
    rows = record(run)
    for figure in ("val/miou", "val/iou/background", "loss/total", "time/step", "time/wait"):
        assert any(row[figure] for row in rows), figure
    assert len(column(run, "loss/total")) == 4
    assert all(math.isfinite(value) for value in column(run, "loss/total"))


def test_label_figures_are_logged() -> None:
    run = main(["recipe=boxes", *TINY, *SMALL, "trainer.max_steps=1"])
    for figure in (
        "label/miou",
        "label/coverage",
        "evidence/miou",
        "evidence/coverage",
        "label/iou/background",
    ):
        assert len(column(run, figure)) == 1, figure
    assert column(run, "label/miou")[0] > column(run, "evidence/miou")[0]


def test_the_run_folder_is_itself_a_recipe() -> None:
    first = main(["recipe=boxes_rect", *TINY, *SMALL, "trainer.max_steps=3", "seed=11"])
    second = main([f"recipe={first}/recipe.yaml"])
    assert first != second
    assert all(torch.equal(value, weights(second)[name]) for name, value in weights(first).items())


def test_another_seed_gives_other_weights() -> None:
    runs = [
        main(["recipe=full", *TINY, *SMALL, "trainer.max_steps=1", f"seed={seed}"])
        for seed in (1, 2)
    ]
    assert not torch.equal(*(weights(run)["network.head.weight"] for run in runs))


def test_python_gives_the_same_run_as_the_command() -> None:
    run = main(
        [
            "recipe=boxes",
            "network=tests.small.TinyNet",
            *SMALL,
            "optimizer=sgd",
            "optimizer.lr=0.1",
            "trainer.max_steps=5",
            "seed=4",
        ]
    )

    from tests.small import TinyNet
    from weakseg.optimizers import SGD

    pl.seed_everything(4)
    data = Toy(train=6, val=3, size=32, batch_size=2, **loading(run))
    crf = DenseCRF(bilateral_xy=67)  # which suits the toy set
    segmenter = weakseg.Segmenter(TinyNet(5), BoxesCRF(crf=crf), data.classes, SGD(lr=0.1))
    pl.Trainer(
        max_steps=5, callbacks=[weakseg.Rounds(workers=0)], logger=False, accelerator="cpu"
    ).fit(segmenter, data)
    ours = weights(run)
    assert all(torch.equal(value, ours[name]) for name, value in segmenter.state_dict().items())


def loading(run: Path) -> dict[str, Any]:
    """What the recipe says of loading beyond what the test overrides."""
    import yaml

    data = yaml.safe_load((run / "recipe.yaml").read_text())["data"]
    return {
        key: value
        for key, value in data.items()
        if key not in ("name", "train", "val", "size", "batch_size")
    }


CLOCK = ["trainer.max_steps=null", "trainer.max_time=00:00:00:20", "trainer.log_every_n_steps=1"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second passes with every look at the clock."""
    seconds = itertools.count()
    monkeypatch.setattr(
        "pytorch_lightning.callbacks.timer.time",
        SimpleNamespace(monotonic=lambda: float(next(seconds))),
    )


def test_the_clock_alone_ends_a_run_and_a_resumed_one(clock: None) -> None:
    with pytest.warns(
        UserWarning,
        match=r"the learning rate stays at 0\.001: schedule=poly .* only the clock ends",
    ):
        run = main(["recipe=boxes", *TINY, *SMALL, *CLOCK, "optimizer.lr=1e-3"])
    steps = len(column(run, "loss/total"))
    assert steps > 3
    assert "max_steps: -1" in (run / "recipe.yaml").read_text()
    assert (run / "report.html").is_file()
    with pytest.warns(UserWarning, match="the learning rate stays"):
        main([f"resume={run}", "trainer.max_time=00:00:00:40"])
    assert len(column(run, "loss/total")) > steps


def test_the_clock_alone_ends_rounds_that_begin_anew(clock: None) -> None:
    words = [
        "rounds.when=epochs",
        "rounds.every=1",
        "rounds.count=2",
        "rounds.restart_network=true",
        "optimizer.schedule=constant",
    ]
    run = main(["recipe=scribbles", *TINY, *SMALL, *CLOCK, *words])
    assert column(run, "round")[-1] == 1
    assert (
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["weakseg"]["span"][1]
        == math.inf
    )


def test_resume_goes_on_in_the_same_folder() -> None:
    words = ["recipe=boxes", *TINY, *SMALL, "trainer.log_every_n_steps=1"]
    whole = main([*words, "trainer.max_steps=8"])
    part = main([*words, "trainer.max_steps=3", "optimizer.schedule=constant"])
    same = main([f"resume={part}", "trainer.max_steps=8"])
    assert same == part
    assert len(column(part, "loss/total")) == 8
    assert [row["step"] for row in record(part) if row["loss/total"]] == [
        str(step) for step in range(8)
    ]
    assert [row["epoch"] for row in record(whole) if row["loss/total"]] == ["0"] * 3 + ["1"] * 3 + [
        "2"
    ] * 2


def test_a_trained_network_predicts_again() -> None:
    run = main(["recipe=full", *TINY, *SMALL, "trainer.max_steps=2"])
    segmenter = load(run)
    image = Toy(train=6, val=3, size=32).sample(7)[0].image
    assert segmenter.predict(image).probs.shape == (5, 32, 32)
    assert all(
        torch.equal(value, weights(run)[name]) for name, value in segmenter.state_dict().items()
    )


@pytest.mark.filterwarnings("ignore:with images of")
def test_a_trained_network_needs_neither_its_data_nor_its_first_weights(tmp_path: Path) -> None:
    first = tmp_path / "resnet18.pth"
    torch.save(DeepLabV3(5, "resnet18").encoder.state_dict(), first)
    network = [
        "network=deeplabv3",
        "network.encoder=resnet18",
        f"network.weights={first}",
        "network.rates=[1,1,1]",
    ]
    run = main(["recipe=full", *network, *SMALL, "trainer.max_steps=1"])
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("name: toy", "name: photos_that.are_gone"))
    first.unlink()
    assert load(run).predict(torch.zeros(3, 32, 32, dtype=torch.uint8)).probs.shape == (5, 32, 32)


def test_how_a_trained_network_is_asked_is_in_its_recipe() -> None:
    run = main(
        [
            "recipe=full",
            *TINY,
            *SMALL,
            "trainer.max_steps=1",
            "predict.flip=true",
            "predict.window=16",
            "predict.validation=true",
        ]
    )
    image = torch.randint(0, 256, (3, 24, 40), dtype=torch.uint8)
    segmenter = load(run)
    assert segmenter.inference == Inference(flip=True, window=16, validation=True)
    asked = load(run, inference=Inference(scales=(0.5, 1)))
    assert torch.equal(
        asked.predict(image, plain=True).probs, segmenter.predict(image, plain=True).probs
    )
    assert not torch.equal(asked.predict(image).probs, segmenter.predict(image).probs)


class Dilated(TinyNet):
    """With a convolution that reaches 30 pixels far."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__(classes)
        self.encoder.append(torch.nn.Conv2d(8, 8, 3, padding=30, dilation=30))


@pytest.mark.parametrize(
    ("words", "size"),
    [([], None), (["data.crop=24"], "24x24"), (["data.crop=96"], None)],
)
def test_dilation_beyond_crops_of_larger_images_is_warned_of_and_beyond_images_noted(
    words: list[str], size: str | None
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = main(
            ["recipe=full", *SMALL, f"network={__name__}.Dilated", "trainer.max_steps=1", *words]
        )
    found = [
        str(warning.message) for warning in caught if "dilation is too much" in str(warning.message)
    ]
    assert len(found) == (size is not None)
    assert all(
        f"with crops of {size} dilation is too much for 1 layers, whose outer weights hardly "
        "learn; encoder.4: of its 3x3" in text
        for text in found
    )
    assert (
        "1 layers work as smaller kernels, since their dilation reaches beyond images of 32x32"
        in (run / "report.html").read_text()
    )


@pytest.mark.parametrize("recipe", TOY)
def test_the_first_run_of_a_recipe_warns_of_nothing(recipe: str) -> None:
    """Before any step: the network of the recipe, on images of the recipe's size."""
    built = resolve(load_recipe([f"recipe={recipe}", "data.train=1", "data.val=1"]))
    data = built.build("data")
    network = built.build("network", classes=len(data.classes))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _look_at_dilation(network, data)


def test_batch_norms_that_are_frozen_as_asked_are_nothing_to_warn_of() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        main(
            ["recipe=full", *TINY, *SMALL, "trainer.max_steps=1", "optimizer.freeze_batchnorm=true"]
        )
    assert [str(one.message) for one in caught if "eval mode" in str(one.message)] == []


def test_a_run_ends_with_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    run = main(["recipe=full", *TINY, *SMALL, "trainer.max_steps=1"])
    report, step = capsys.readouterr().out.splitlines()[-2:]
    assert report == f"report: {run}/report.html"
    words = step.partition("python -m weakseg.check ")[2].replace("<folder>", "photos").split()
    assert load_recipe(["recipe=full", *words]).sections["data"]["root"] == "photos"
    main(
        [
            "recipe=boxes",
            "data=tests.small.Squares",
            "network=tests.small.TinyNet",
            "rounds.workers=0",
            "trainer.max_steps=1",
        ]
    )
    code = capsys.readouterr().out.splitlines()[-1].partition("in Python: ")[2]
    exec(code, {"image": torch.zeros(3, 24, 24, dtype=torch.uint8)})


def test_init_from_starts_a_new_run_from_weights() -> None:
    first = main(["recipe=full", *TINY, *SMALL, "trainer.max_steps=2"])
    second = main(
        [
            "recipe=full",
            *TINY,
            *SMALL,
            "trainer.max_steps=1",
            "optimizer.lr=1e-12",
            f"init_from={first}/checkpoints/last.ckpt",
        ]
    )
    assert torch.allclose(
        weights(first)["network.head.weight"], weights(second)["network.head.weight"], atol=1e-6
    )
    with pytest.raises(SystemExit) as caught:
        main(
            [
                "recipe=full",
                "network.encoder=resnet18",
                *SMALL,
                "trainer.max_steps=1",
                f"init_from={first}/checkpoints/last.ckpt",
            ]
        )
    assert caught.value.code == 2


class Own(weakseg.Strategy):
    """A strategy outside of the package."""

    def loss(self, logits: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        return {"flat": logits.square().mean()}


def test_a_run_on_a_cpu_keeps_memory_between_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr("weakseg.run.keep_freed", lambda: called.append("keep_freed"))
    main(["recipe=boxes_rect", *SMALL, "trainer.max_steps=1"])
    assert called == ["keep_freed"]


def test_a_strategy_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch, weakseg\n"
        "\n"
        "\n"
        "class Dark(weakseg.Strategy):\n"
        "    def __init__(self, level: int = 60):\n"
        "        super().__init__()\n"
        "        self.level = level\n"
        "\n"
        "    def estimate(self, evidence, context):\n"
        "        return (evidence.image.float().mean(0) < self.level).to(torch.uint8)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = main(
        [
            "recipe=boxes",
            "strategy=mine.Dark",
            "strategy.level=90",
            *TINY,
            *SMALL,
            "trainer.max_steps=1",
        ]
    )
    assert "level: 90" in (run / "recipe.yaml").read_text()


@pytest.mark.parametrize("words", [[], ["--help"], ["--list"], ["recipe=boxes", "--show"]], ids=str)
def test_asking_costs_nothing(
    words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert "boxes" in printed
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_listed_with_code_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(
            [
                "recipe=boxes",
                "strategy.crf.bilateral_rbg=5",
                "trainer.max_step=7",
                "optimizer.lr=fast",
            ]
        )
    assert caught.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert any("strategy.crf.bilateral_rbg" in line and "bilateral_rgb" in line for line in lines)
    assert any("trainer.max_step" in line and "max_steps" in line for line in lines)
    assert any("optimizer.lr" in line and "fast" in line for line in lines)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("chosen", [None, "ACTIVE"])
def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(
    chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # so that what main sets is undone
        monkeypatch.delenv(name)
    if chosen:
        monkeypatch.setenv("OMP_WAIT_POLICY", chosen)
    policies: list[str | None] = []
    monkeypatch.setattr(
        "weakseg.fit.load_torch", lambda: policies.append(os.environ.get("OMP_WAIT_POLICY"))
    )
    with pytest.raises(SystemExit):
        main(["recipe=boxes", *SMALL, "trainer.max_steps=-7"])
    assert policies == [chosen or "PASSIVE"]
    assert os.environ.get("OMP_WAIT_POLICY") == chosen


def test_a_network_that_does_not_fit_is_told_before_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ValueError, match="TinyNet returns 4 classes, but the data set has 5"):
        main(["recipe=full", "network=tests.small.TinyNet", "network.classes=4", *SMALL])


@pytest.mark.parametrize(
    "word",
    [
        "trainer.devices=99",
        "trainer.max_steps=-5",
        "data.drawing_seed=-1",
        "rounds.every=0",
        "network.width=3",
    ],
)
def test_what_constructors_refuse_is_told_before_there_is_a_folder(
    word: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["recipe=boxes", *TINY, *SMALL, "trainer.accelerator=cpu", word])
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_two_runs_in_one_folder_are_refused() -> None:
    run = main(["recipe=full", *TINY, *SMALL, "trainer.max_steps=1"])
    hold = (
        "import pathlib, weakseg.utils.files as f\n"
        f"with f.only_user(pathlib.Path({str(run)!r})): print('held', flush=True); input()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match="another process is working in"):
            main([f"resume={run}"])
        other.kill()
    assert main([f"resume={run}"]) == run  # a kill lets go of it


def test_forked_processes_do_not_hold_a_folder(tmp_path: Path) -> None:
    hold = (
        "import os, pathlib, time, weakseg.utils.files as f\nwith f.only_user(pathlib.Path('.')):\n"
    )
    hold += "  if os.fork() == 0: time.sleep(20)\n  os._exit(0)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run(
        [sys.executable, "-c", hold],
        check=True,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    with only_user(tmp_path):  # although a child of the process that held it still runs
        pass


def test_a_run_may_do_without_checkpoints() -> None:
    run = main(
        ["recipe=full", *TINY, *SMALL, "trainer.max_steps=2", "trainer.enable_checkpointing=false"]
    )
    assert not list(run.rglob("*.ckpt"))
    assert (run / "report.html").is_file()
