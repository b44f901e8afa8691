"""Fingerprints: equal for equal values, different for any change of value or type."""

import dataclasses
import enum
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from weakseg.fingerprint import fingerprint, module_fingerprint


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
    for part in (square[:1, 2:], square[:, 1], square[:0], square[1, 1], torch.ones(1, 5)[:, 4:].long()):
        assert fingerprint(part) == fingerprint(part.clone(memory_format=torch.contiguous_format))


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(TypeError, match="not_in_key"):
        fingerprint(lambda: 0)


class Net(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.width = width
        self.layer = nn.Linear(1, 1)
        self._cache = lambda: 0


def test_modules_differ_by_parameters_weights_and_version() -> None:
    net = Net()
    before = module_fingerprint(net)
    assert module_fingerprint(net) == before
    assert module_fingerprint(net, version=2) != before
    net.width = 4
    assert module_fingerprint(net) != before
    net.width = 3
    assert module_fingerprint(net) == before
    with torch.no_grad():
        net.layer.weight += 1
    assert module_fingerprint(net) != before


def test_editing_the_source_of_a_users_class_changes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib
    import linecache

    monkeypatch.syspath_prepend(tmp_path)
    prints = []
    for number in (1, 2):
        (tmp_path / "edited_net.py").write_text(
            f"from torch import nn\nclass Edited(nn.Module):\n    def forward(self):\n        return {number}{number * ' '}\n"
        )
        linecache.clearcache()
        importlib.invalidate_caches()
        module = importlib.import_module("edited_net")
        module = importlib.reload(module) if number == 2 else module
        prints.append(module_fingerprint(module.Edited()))
    assert prints[0] != prints[1]


def test_weights_of_a_child_count_whatever_its_name_but_no_private_buffer() -> None:
    class Teacher(nn.Module):  # as EfficientNets of segmentation-models-pytorch name their layers
        def __init__(self) -> None:
            super().__init__()
            self._stem = nn.Linear(1, 1)
            self.register_buffer("_seen", torch.zeros(()))

    module = nn.Sequential(Teacher())
    before = module_fingerprint(module)
    module[0]._seen += 1
    assert module_fingerprint(module) == before
    module[0]._stem.weight.data += 1
    assert module_fingerprint(module) != before
