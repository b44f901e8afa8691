"""Fingerprints: equal for equal values, different for any change of value or type."""

import dataclasses
import enum
import importlib
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import weakseg.strategies
import weakseg.utils.fingerprint as fingerprints
from tests.test_architecture import ROOT, graph, package
from weakseg.strategies import NAMES
from weakseg.utils.fingerprint import (
    _reached,
    code_fingerprint,
    edited_code,
    fingerprint,
    module_fingerprint,
)


@dataclasses.dataclass(frozen=True)
class Pair:
    left: int = 1
    right: float = 2.0


class Colour(enum.Enum):
    RED = 1


DIFFERENT = [
    None,
    True,
    1,
    1.0,
    "1",
    b"1",
    [],
    [1],
    (1,),
    [[1], 2],
    [[1, 2]],
    {"a": 1},
    {"a": 1, "b": 2},
    {1},
    torch.tensor(1),
    torch.tensor(1.0),
    torch.tensor([1]),
    torch.zeros(2, 3),
    torch.zeros(3, 2),
    torch.zeros(2, 3, dtype=torch.bfloat16),
    np.zeros((2, 3)),
    np.zeros((2, 3), np.float32),
    np.float32(1),
    Path("1"),
    Pair(),
    Pair(left=2),
    Colour.RED,
    Pair,
]


def test_each_value_has_its_own() -> None:
    prints = [fingerprint(value) for value in DIFFERENT]
    assert len(set(prints)) == len(prints)


@pytest.mark.parametrize("value", DIFFERENT, ids=lambda value: type(value).__name__)
def test_same_value_same_print(value: object) -> None:
    assert fingerprint(value) == fingerprint(value)


def test_order_of_dictionaries_and_strides_do_not_matter() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    square = torch.arange(6).view(2, 3)
    assert fingerprint(square.t()) == fingerprint(square.t().contiguous())
    for part in (
        square[:1, 2:],
        square[:, 1],
        square[:0],
        square[1, 1],
        torch.ones(1, 5)[:, 4:].long(),
    ):
        assert fingerprint(part) == fingerprint(part.clone(memory_format=torch.contiguous_format))


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(TypeError, match="not_in_key"):
        fingerprint(lambda: 0)


class Net(nn.Module):
    not_in_key = ("_cache", "layer.hits")

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.width = width
        self.layer = nn.Linear(1, 1)
        self.layer.hits = 0
        self._depth = 1
        self._cache = lambda: 0


def test_modules_differ_by_parameters_and_weights() -> None:
    net = Net()
    before = module_fingerprint(net)
    assert module_fingerprint(net) == before
    net.width = 4
    assert module_fingerprint(net) != before
    net.width = 3
    assert module_fingerprint(net) == before
    with torch.no_grad():
        net.layer.weight += 1
    assert module_fingerprint(net) != before


def test_an_attribute_counts_whatever_its_name_unless_its_class_names_it_as_a_cache() -> None:
    net = Net()
    before = module_fingerprint(net)
    net._cache, net.layer.hits = (lambda: 1), 7
    assert module_fingerprint(net) == before
    net._depth = 2
    assert module_fingerprint(net) != before
    net._depth, net.layer.misses = 1, 0
    assert module_fingerprint(net) != before


def test_what_cannot_be_told_of_an_attribute_is_said_with_its_class() -> None:
    net = Net()
    net._other = lambda: 0
    with pytest.raises(TypeError, match=r"test_fingerprint.Net has an attribute .* `not_in_key`"):
        module_fingerprint(net)


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        file = folder.joinpath(*name.split("__")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


MINE = {
    "mine": (
        "from torch import nn\n"
        "import os, beside as b\n"
        "from weakseg.functional.boxes import fill_boxes\n"
        "class Mine(nn.Module):\n"
        "    def forward(self):\n"
        "        from pack.inner import (\n"
        "            one,\n"
        "        )\n"
        "        return one\n"
    ),
    "beside": "x = 1\n",
    "pack____init__": "",
    "pack__inner": "from . import deep\nfrom .deep import two\none = 1\n",
    "pack__deep": "two = 2\n",
    "stranger": "three = 3\n",
}


@pytest.mark.parametrize(
    ("edited", "counts"),
    [
        ("mine", True),
        ("beside", True),
        ("pack__inner", True),
        ("pack__deep", True),
        ("stranger", False),
    ],
)
def test_an_edit_of_a_users_file_counts_where_the_class_imports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edited: str, counts: bool
) -> None:
    prints = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        write(folder, **MINE)
        if number == 2:
            write(folder, **{edited: MINE[edited] + "# another line\n"})
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            for name in [
                name
                for name in sys.modules
                if name.partition(".")[0] in ("mine", "beside", "pack", "stranger")
            ]:
                patch.delitem(sys.modules, name)
            prints.append(module_fingerprint(importlib.import_module("mine").Mine()))
            del sys.modules["mine"], sys.modules["beside"]
    assert (prints[0] != prints[1]) == counts


@cache
def edges() -> dict[str, list[str]]:
    """Which module of weakseg imports which, as Python itself reads their text."""
    return graph(package())


@pytest.mark.parametrize("strategy", sorted(NAMES))
def test_the_key_of_a_strategy_covers_every_module_that_it_imports(strategy: str) -> None:
    home = NAMES[strategy].rpartition(".")[0]
    importlib.import_module(home)
    imported: set[str] = set()
    waiting = [home]
    while waiting:
        name = waiting.pop()
        if name not in imported:
            imported.add(name)
            waiting += edges()[name]
    assert len(imported) > 5
    reached = set(_reached([home]))
    assert imported <= reached
    # which packages hand their names on with
    more = reached - imported - {"weakseg.utils.late_imports"}
    assert all(any(name.startswith(f"{package}.") for name in imported) for package in more)


def test_an_edit_of_weakseg_counts_for_the_strategies_that_use_it_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crf, full = (
        module_fingerprint(getattr(weakseg.strategies, name)()) for name in ("BoxesCRF", "Full")
    )
    edit = ROOT / "weakseg" / "functional" / "crf" / "dense.py"
    read = Path.read_bytes
    monkeypatch.setattr(fingerprints, "_SOURCES", {})
    monkeypatch.setattr(
        Path, "read_bytes", lambda file: read(file) + (b"# edited" if file == edit else b"")
    )
    assert module_fingerprint(weakseg.strategies.BoxesCRF()) != crf
    assert module_fingerprint(weakseg.strategies.Full()) == full


def test_code_that_is_edited_while_it_runs_is_told_from_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, running="x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("running")
    before = code_fingerprint("running")
    assert edited_code("running") == []
    write(tmp_path, running="x = 22\n")
    assert code_fingerprint("running") == before  # of what runs
    assert edited_code("running") == ["running"]
    importlib.invalidate_caches()
    importlib.reload(module)
    assert code_fingerprint("running") != before
    assert edited_code("running") == []


def test_the_code_of_all_strategies_is_read_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    homes = [
        importlib.import_module(dotted.rpartition(".")[0]).__name__ for dotted in NAMES.values()
    ]
    monkeypatch.setattr(fingerprints, "_SOURCES", {})
    start = time.process_time()
    code_fingerprint(*homes, "weakseg.training.segmenter", "weakseg.training.estimation")
    assert time.process_time() - start < 5  # it takes a fiftieth of a second


def test_editing_the_source_of_a_users_class_changes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    prints = []
    for number in (1, 2):
        (tmp_path / "edited_net.py").write_text(
            "from torch import nn\n"
            "class Edited(nn.Module):\n"
            "    def forward(self):\n"
            f"        return {number}{number * ' '}\n"
        )
        importlib.invalidate_caches()
        module = importlib.import_module("edited_net")
        module = importlib.reload(module) if number == 2 else module
        prints.append(module_fingerprint(module.Edited()))
    assert prints[0] != prints[1]


def test_weights_and_buffers_of_a_child_count_whatever_their_names_but_no_counter() -> None:
    class Teacher(nn.Module):  # as EfficientNets of segmentation-models-pytorch name their layers
        not_in_key = ("_seen",)

        def __init__(self) -> None:
            super().__init__()
            self._stem = nn.Linear(1, 1)
            self.register_buffer("_seen", torch.zeros(()))
            self.register_buffer("scale", torch.ones(()), persistent=False)

    module = nn.Sequential(Teacher())
    before = module_fingerprint(module)
    module[0]._seen += 1
    assert module_fingerprint(module) == before
    module[0].scale += 1
    after = module_fingerprint(module)
    assert after != before
    module[0]._stem.weight.data += 1
    assert module_fingerprint(module) not in (before, after)
