"""What the pages of the docs and the README print is true: commands, code, lists."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import Dataset

from tests.remote_places import as_stores
from tests.small import Squares
from weakseg.config.recipe import RecipeError, check_spelling, list_recipes, load
from weakseg.data.files.folder import Format
from weakseg.fit import main
from weakseg.networks import base
from weakseg.strategies import NAMES
from weakseg.training.metrics_file import read_record

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
GRAMMAR = PAGES["docs/reference/grammar.md"]


@pytest.fixture(autouse=True)
def stores() -> Iterator[None]:
    """Pages show URLs whose packages need not be here."""
    with as_stores("s3", "hf"):
        yield


def printed_commands(text: str) -> list[list[str]]:
    """The words of each `python -m weakseg.fit` or `.check` that a page prints."""
    blocks = "\n".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    lines = [line.strip() for line in blocks.splitlines()]
    return [
        shlex.split(line, comments=True)
        for line in lines
        if re.search(r"python -m weakseg\.(fit|check)\b", line)
    ]


def wrong_words(command: list[str]) -> list[str]:
    """What is mistyped in a command; files that a reader would have need not be here."""
    start = command.index("-m")
    words = [
        word
        for word in command[start + 2 :]
        if word not in ("--show", "--list", "--help")
        and not word.startswith(("sheet=", "workers=", "tags_by="))
    ]
    words = words[: words.index("|")] if "|" in words else words
    checks = command[start + 1] == "weakseg.check" and not any(
        word.startswith(("recipe=", "resume=")) for word in words
    )
    if not words or any(word.startswith("resume=") for word in words):
        return []
    try:
        check_spelling(load(["recipe=full", *words] if checks else words))
    except RecipeError as error:
        return [line for line in error.errors if "there is no file" not in line]
    return []


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if printed_commands(text)])
def test_every_printed_command_has_right_words(page: str) -> None:
    # what pages print to show the answer
    shown_as_wrong = ("strategy.crf.iteratons=5", "callbacks.early_stoping.patience=3")
    commands = [
        command
        for command in printed_commands(PAGES[page])
        if not set(command) & set(shown_as_wrong)
    ]
    assert [
        f"{shlex.join(command)}: {line}" for command in commands for line in wrong_words(command)
    ] == []


def test_a_wrong_command_would_be_seen() -> None:
    (command,) = printed_commands(
        "```console\npython -m weakseg.fit recipe=boxes strategy.shre=1\n```"
    )
    assert wrong_words(command) == ["strategy.shre: no such key; did you mean share?"]


def test_the_grammar_lists_every_recipe_with_what_it_says_of_itself() -> None:
    rows = dict(re.findall(r"^\| `recipe=(\w+)` \| (.*) \|$", GRAMMAR, re.MULTILINE))
    assert rows == list_recipes()


def test_the_grammar_knows_every_section_and_flag() -> None:
    from weakseg.config.recipe import SECTIONS
    from weakseg.config.words import FLAGS, OTHERS

    assert [name for name in (*SECTIONS, "seed") if f"| `{name}` |" not in GRAMMAR] == []
    assert [word for word in OTHERS if f"| `{word}=" not in GRAMMAR] == []
    assert [flag for flag in FLAGS if f"| `{flag}` |" not in GRAMMAR] == []


OWN_NETWORK = PAGES["docs/how-to/bring-your-own-network.md"]


def python_blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


@pytest.fixture
def my_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module that the page on networks of one's own writes class by class."""
    parts = [
        block
        for block in python_blocks(OWN_NETWORK)
        if block.startswith(("# my_networks.py", "class "))
    ]
    (tmp_path / "my_networks.py").write_text("\n\n".join(parts))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("my_networks")
    del sys.modules["my_networks"]


@pytest.mark.parametrize("command", printed_commands(OWN_NETWORK), ids=shlex.join)
def test_the_networks_of_the_page_train_as_it_says(my_networks: Any, command: list[str]) -> None:
    small = ["data.train=6", "data.val=2", "data.size=48", "data.batch_size=2"]
    words = command[command.index("weakseg.fit") + 1 :]
    steps = ["trainer.max_steps=3", "trainer.log_every_n_steps=1"]
    run = main([*words, *small, *steps, "rounds.workers=0"])
    (metrics,) = (run / "metrics.csv").read_text().splitlines()[:1]
    assert "val/miou" in metrics
    assert ("auxiliary1" in metrics) == ("network=my_networks.Everything" in command)
    assert ("val/mask_ap" in metrics) == ("network=my_networks.OneOfEach" in command)


def test_the_page_on_networks_shows_each_optional_part(my_networks: Any) -> None:
    network = my_networks.OneOfEach(classes=3)
    parts = re.findall(r"^\| `(\w+)(?:\(.*?\))?`", OWN_NETWORK, re.MULTILINE)
    assert len(parts) == 8
    assert [part for part in parts if not hasattr(network, part)] == []
    protocols = [value for name, value in vars(base).items() if name.startswith("With")]
    declared = {name for each in protocols for name in vars(each) if not name.startswith("_")}
    assert set(parts) == declared


def test_the_other_lines_of_the_page_on_networks_run(my_networks: Any) -> None:
    for block in python_blocks(OWN_NETWORK):
        if block.startswith("from "):
            exec(block, vars(my_networks).copy())


def test_the_logger_of_the_page_writes_what_metrics_csv_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = python_blocks(PAGES["docs/how-to/wandb.md"])
    (tmp_path / "json_lines.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    command = printed_commands(PAGES["docs/how-to/wandb.md"])[-1]
    words = command[command.index("weakseg.fit") + 1 :]
    small = ["data.train=6", "data.val=2", "data.size=48", "data.batch_size=2", "rounds.workers=0"]
    run = main([*words, *small, "trainer.max_steps=2", "trainer.log_every_n_steps=1"])
    rows = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
    recorded = read_record(run / "metrics.csv")
    names = {name for row in recorded for name, value in row.items() if value}
    assert {name for row in rows for name in row} == names
    losses = [float(row["loss/total"]) for row in recorded if row.get("loss/total")]
    assert [row["loss/total"] for row in rows if "loss/total" in row] == losses
    del sys.modules["json_lines"]


LIGHTNING = PAGES["docs/how-to/lightning.md"]


def test_the_callback_of_the_page_on_lightning_logs_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = (block for block in python_blocks(LIGHTNING) if block.startswith("# slow_steps.py"))
    (tmp_path / "slow_steps.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (command,) = (
        each for each in printed_commands(LIGHTNING) if "callbacks.slow.limit=0.2" in each
    )
    words = command[command.index("weakseg.fit") + 1 :]
    small = ["data.train=4", "data.val=1", "data.size=32", "data.batch_size=2", "rounds.workers=0"]
    tiny = ["network=tests.small.TinyNet", "network.classes=5", "trainer.max_steps=4"]
    run = main([*words, *small, *tiny])
    assert len([row for row in read_record(run / "metrics.csv") if row["time/slow"]]) == 2
    for recipe in re.findall(r"```yaml\n(callbacks:.*?)```", LIGHTNING, re.DOTALL):
        whole = f"{(run / 'recipe.yaml').read_text().partition('callbacks:')[0]}{recipe}"
        (tmp_path / "mine.yaml").write_text(whole)
        named = load(["recipe=mine.yaml"]).sections["callbacks"].values()
        assert [node["name"] for node in named] == ["early_stopping", "slow_steps.SlowSteps"]
    del sys.modules["slow_steps"]


def test_the_lines_of_the_page_on_lightning_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = (block for block in python_blocks(LIGHTNING) if block.startswith("import "))
    names: dict[str, Any] = {}
    exec(code.replace("max_steps=40", "max_steps=4"), names)
    assert names["trainer"].global_step == 4
    assert (tmp_path / "checkpoints" / "best.ckpt").is_file()


def test_the_page_on_lightning_refuses_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```console\n(\$ .*?)```", LIGHTNING, re.DOTALL)
    shown = block.replace("$ ", "").splitlines()
    for command, answer in zip(shown[::2], shown[1::2], strict=True):
        with pytest.raises(SystemExit):
            main([*shlex.split(command)[3:], "data.train=1", "data.val=1"])
        assert capsys.readouterr().err.splitlines()[-1] == answer


def test_the_page_on_loggers_prints_the_sweep_file() -> None:
    (printed,) = re.findall(r"```yaml\n(.*?)```", PAGES["docs/how-to/wandb.md"], re.DOTALL)
    assert printed == (ROOT / "docs" / "sweep.yaml").read_text()


STRATEGY_PAGE = PAGES["docs/how-to/write-a-strategy.md"]
STRATEGIES = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", STRATEGY_PAGE, re.DOTALL))
FIGURES = {
    "box_centres": {"label/miou", "loss/cross_entropy"},
    "refined_boxes": {"estimate/removed"},
    "self_training": {"loss/marks", "estimate/share/background", "estimate/confidence"},
    "bright_parts": {"label/miou", "loss/cross_entropy"},
}


def test_the_page_on_strategies_has_one_of_each_kind() -> None:
    assert list(STRATEGIES) == list(FIGURES)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.filterwarnings("ignore:in epoch")  # so small a network finds little
def test_the_strategies_of_the_page_train_as_printed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{name}.py").write_text(STRATEGIES[name])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    commands = printed_commands(STRATEGY_PAGE)
    (command,) = (each for each in commands if f"strategy={name}." in " ".join(each))
    words = [
        *command[command.index("weakseg.fit") + 1 :],
        "network=tests.small.TinyNet",
        "network.classes=5",
        "data.train=4",
        "data.val=1",
        "data.size=48",
        "data.batch_size=2",
        "rounds.workers=0",
        "trainer.max_steps=6",
        "trainer.log_every_n_steps=1",
        "trainer.accelerator=cpu",
    ]
    run = main(words)
    rows = read_record(run / "metrics.csv")
    assert FIGURES[name] <= {figure for row in rows for figure, value in row.items() if value}


class Discs(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Images with boxes, as somebody has them who does not know weakseg."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        evidence, _ = Squares().sample(index)
        assert evidence.boxes is not None
        assert evidence.box_classes is not None
        return evidence.image, evidence.boxes, evidence.box_classes


class MyDataModule(LightningDataModule):
    """One that exists already."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder

    def setup(self, stage: str) -> None:
        self.train_set, self.val_set = Discs(4), Discs(2)


def test_a_data_module_of_ones_own_is_wrapped_in_the_lines_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = PAGES["docs/how-to/your-own-data.md"]
    code = re.search(r"```python\n(# wrapped\.py\n.*?)```", page, re.DOTALL)
    assert code is not None
    (tmp_path / "wrapped.py").write_text(code[1])
    (tmp_path / "my_module.py").write_text(f"from {__name__} import MyDataModule\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    command = next(
        command for command in printed_commands(page) if "data=wrapped.Wrapped" in command
    )
    words = command[command.index("weakseg.fit") + 1 :]
    run = main(
        [
            *words,
            "network=tests.small.TinyNet",
            "data.batch_size=2",
            "rounds.workers=0",
            "trainer.max_steps=2",
        ]
    )
    assert (run / "report.html").is_file()
    assert len(code[1][code[1].index("class ") :].split("\n\n    def ")) == 4


def imports_of(text: str) -> list[str]:
    """The lines of a page that import from weakseg, each as one line."""
    found = re.findall(r"^from (weakseg[\w.]*) import (\([^)]*\)|[^\n#]*)", text, re.MULTILINE)
    names = ((module, " ".join(what.strip("()").split())) for module, what in found)
    return [f"from {module} import {what.rstrip(', ')}" for module, what in names]


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if imports_of(text)])
def test_every_import_that_a_page_prints_works(page: str) -> None:
    for line in imports_of(PAGES[page]):
        exec(line, {})


def test_every_strategy_is_in_the_navigation_the_index_and_the_types() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    index = PAGES["docs/strategies/index.md"]
    types = (ROOT / "weakseg" / "strategies" / "__init__.py").read_text()
    for name, home in NAMES.items():
        assert f"strategies/{name}.md" in navigation
        assert f"]({name}.md)" in index
        module, _, kind = home.rpartition(".")
        assert f"from {module} import {kind} as {kind}" in types
        assert (ROOT / "tests" / "strategies" / f"test_{name}.py").is_file()


def test_contributing_names_what_there_is() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:[\w.]+/)+[\w.]*|\w+\.(?:py|cfg|txt|md|yml))`", text))
    named |= set(re.findall(r"\]\(([^)]+)\)", text))
    assert len(named) > 30
    stem = {path.name for path in [*ROOT.rglob("weakseg/**/*.py"), *ROOT.rglob("docs/*.py")]}
    assert sorted(path for path in named if not (ROOT / path).exists() and path not in stem) == []
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    words = " ".join(re.findall(r"`make ([a-z ]+)`", text)).split()
    assert set(words) == targets - {"help", "fit", "clean"}


def test_the_page_of_formats_has_a_row_for_each() -> None:
    rows = re.findall(r"^\| `(.*?)` \|", PAGES["docs/reference/formats.md"], re.MULTILINE)
    assert [format for format in get_args(Format) if format not in rows] == []
