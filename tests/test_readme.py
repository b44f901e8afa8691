"""The README's Python, run as printed."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torchvision.io import write_png

from tests.small import Squares
from weakseg.fit import main

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
LOADING = [
    "data.train=4",
    "data.val=2",
    "data.size=48",
    "data.batch_size=2",
    "rounds.workers=0",
    "trainer.max_steps=1",
]


@pytest.fixture(autouse=True)
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder with the README's two files, where a user would work."""
    strategy, photos, script = BLOCKS
    (tmp_path / "my_strategies.py").write_text(strategy)
    (tmp_path / "photos.py").write_text(photos)
    (tmp_path / "train.py").write_text(script)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("my_strategies", "photos"):
        sys.modules.pop(name, None)


def test_the_strategy_trains() -> None:
    run = main(
        [
            "recipe=boxes",
            "strategy=my_strategies.BoxCentres",
            "network=tests.small.TinyNet",
            *LOADING,
        ]
    )
    assert "my_strategies.BoxCentres" in (run / "recipe.yaml").read_text()


def test_the_strategy_has_15_lines() -> None:
    code = BLOCKS[0][BLOCKS[0].index("class ") :]
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 15


def test_the_data_set_has_20_lines() -> None:
    code = BLOCKS[1][BLOCKS[1].index("class ") :]
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 20


def draw_photos() -> None:
    Path("photos").mkdir()
    boxes = {}
    for index in range(4):
        evidence, _ = Squares().sample(index)
        assert evidence.boxes is not None
        assert evidence.box_classes is not None
        write_png(evidence.image, f"photos/{index}.png")
        boxes[f"{index}.png"] = [[*evidence.boxes[0].tolist(), int(evidence.box_classes[0])]]
    Path("photos/boxes.json").write_text(json.dumps(boxes))


def test_python_is_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_photos()
    fitted: list[pl.LightningModule] = []
    fit = pl.Trainer.fit
    monkeypatch.setattr(
        pl.Trainer,
        "fit",
        lambda self, model, *a, **k: (fit(self, model, *a, **k), fitted.append(model)),
    )
    runpy.run_path("train.py", run_name="__main__")
    words = [
        "network.encoder=resnet18",
        "data=photos.Photos",
        "data.folder=photos",
        "data.batch_size=2",
        "optimizer.lr=1e-3",
        "trainer.max_steps=3",
    ]
    run = main(["recipe=boxes", *words])
    python, command = fitted
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, state[name]) for name, value in python.state_dict().items())
    assert all(
        torch.equal(value, python.state_dict()[name])
        for name, value in command.state_dict().items()
    )


def test_the_commands_at_the_top_are_those_of_the_makefile() -> None:
    first = re.search(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert first is not None
    targets = [line.split()[1] for line in first[1].splitlines()]
    assert targets == ["fit", "test"]
    for target in targets:
        done = subprocess.run(
            ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert "weakseg.fit" in done.stdout or "pytest" in done.stdout


def printed_below(command_end: str) -> tuple[list[str], str]:
    """The words of the command of the README that ends so, and what is printed below it."""
    found = re.search(
        rf"python -m weakseg\.fit ([^\n]*{re.escape(command_end)})\n```\n\n```text\n(.*?)```",
        (ROOT / "README.md").read_text(),
        re.DOTALL,
    )
    assert found is not None
    return found[1].split(), found[2]


def test_show_prints_what_the_readme_says(capsys: pytest.CaptureFixture[str]) -> None:
    words, printed = printed_below("--show")
    first, rest = printed.split("...")
    assert first.count("\n") > 5
    assert not rest.strip()
    with pytest.raises(SystemExit) as end:
        main(words)
    assert not end.value.code
    assert capsys.readouterr().out.startswith(first)


def test_mistakes_are_answered_as_the_readme_says(capsys: pytest.CaptureFixture[str]) -> None:
    words, printed = printed_below("trainer.max_step=200")
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert capsys.readouterr().err == printed
