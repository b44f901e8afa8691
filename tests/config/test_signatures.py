"""Signatures read from source are those of the classes, and nothing of it is imported."""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from weakseg.config.schema import Argument, arguments, keys, nested
from weakseg.config.signatures import SOMETHING, sketched

ROOT = Path(__file__).parents[2]
HOMES = (
    "weakseg.strategies",
    "weakseg.networks",
    "weakseg.data",
    "weakseg.optimizers",
    "weakseg.reporting.loggers",
)
TARGETS = [target for home in HOMES for target in importlib.import_module(home).NAMES.values()]
TARGETS += [
    "weakseg.training.rounds.Rounds",
    "weakseg.inference.multiscale.Inference",
    "pytorch_lightning.Trainer",
]


@pytest.mark.parametrize("target", TARGETS)
def test_every_class_is_read_from_its_source_as_python_reads_it(target: str) -> None:
    module, _, name = target.rpartition(".")
    sketch = sketched(target)
    assert sketch is not None
    same_arguments(arguments(sketch), arguments(getattr(importlib.import_module(module), name)))


def same_arguments(read: dict[str, Argument], real: dict[str, Argument]) -> None:
    assert list(read) == list(real)
    for key, (hint, default) in read.items():
        below, there = nested(hint), nested(real[key].hint)
        if below is not None:
            same_arguments(arguments(below), arguments(there))
            assert dataclasses.is_dataclass(default) == dataclasses.is_dataclass(real[key].default)
        else:
            assert hint in (real[key].hint, Any, Any | None), key
            assert default is SOMETHING or default == real[key].default


def test_hardly_any_type_of_our_own_classes_is_left_open() -> None:
    read = [
        argument
        for target in TARGETS[:-1]
        for argument in arguments(sketched(target) or dict).values()
    ]
    left_open = [argument for argument in read if argument.hint in (Any, Any | None)]
    assert len(left_open) < len(read) / 20


def test_keys_below_keys_are_read_too() -> None:
    sketch = sketched("weakseg.strategies.boxes_crf.BoxesCRF")
    assert sketch is not None
    assert {"crf", "crf.iterations", "crf.bilateral_rgb"} <= set(keys(sketch))


WRITTEN = {
    "class A:\n    pass": [],
    "class A:\n    def __init__(self, x: int, *, y=1): ...": ["x", "y"],
    "class A:\n    def __init__(self, x, /, y): ...": ["y"],
    "def A(x, *rest, y, **others): ...": ["x", "y"],
    "class A: ...\nclass A:\n    def __init__(self, last): ...": ["last"],
    "class B:\n    def __init__(self, below): ...\nclass A(B): ...": ["below"],
    "class B:\n"
    "    def __init__(self, below): ...\n"
    "class A(B):\n"
    "    def __init__(self, x, **others): ...": [
        "x",
        "below",
    ],
    "import weakseg\nclass A(weakseg.Strategy):\n    def __init__(self, x): ...": ["x"],
    "from weakseg import WeakData as D\n"
    "class A(D):\n"
    "    def __init__(self, folder, **loading): ...": [
        *("folder", "batch_size", "workers", "crop", "scale", "flip", "colour", "shares", "pseudo"),
        *(f"pseudo_{name}" for name in ("images", "weight", "confidence", "share")),
        "unlabelled",
        "annotated",
        "corrections",
        "cache",
        "augment_on",
    ],
    "import torch.nn\nclass A(torch.nn.Module): ...": [],
    "from other import B as A": ["far"],
    "from dataclasses import dataclass, field, InitVar, KW_ONLY\n"
    "from typing import ClassVar\n"
    "@dataclass\n"
    "class A:\n"
    "    a: int\n"
    "    _: KW_ONLY\n"
    "    b: ClassVar[int] = 1\n"
    "    c: list[int] = field(default_factory=list)\n"
    "    d: int = field(init=False)\n"
    "    e: 'InitVar[int]' = 3": ["a", "c", "e"],
}
UNTOLD = [
    "",
    "A = 5",
    "A = make()",
    "from nowhere_at_all import A",
    "from own import A",
    "class A(A): ...",
    "import functools\n@functools.cache\ndef A(x): ...",
    "@changed\nclass A:\n    def __init__(self, x): ...",
    "class A:\n    @changed\n    def __init__(self, x): ...",
    "class B: ...\nclass C: ...\nclass A(B, C): ...",
    "class A(make()): ...",
    "class A(:",
    "\x00",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_keywords_of_classes_as_people_write_them(
    text: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "other.py").write_text("class B:\n    def __init__(self, far): ...\n")
    (here / "own.py").write_text(text)
    monkeypatch.syspath_prepend(here)
    sketch = sketched("own.A")
    assert sketch is not None
    assert list(arguments(sketch)) == WRITTEN[text]


@pytest.mark.parametrize("text", UNTOLD)
def test_what_the_source_does_not_tell_is_left_to_the_import(
    text: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "own.py").write_text(text)
    monkeypatch.syspath_prepend(here)
    assert sketched("own.A") is None


def test_types_that_nobody_asks_for_are_not_looked_up(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "far.py").write_text("Far = int\n")
    (here / "own.py").write_text(
        "from far import Far\n\n\n"
        "class A:\n    def __init__(self, needed: Far, x: Far = 1, y: Far = 2): ...\n"
    )
    monkeypatch.syspath_prepend(here)
    for wanted, hints in (
        (["x"], [int, int, Any]),
        (["y", "x"], [int, int, int]),
        (["z"], [int, int, int]),  # a mistyped one, which may be any of them
        ([], [int, int, int]),
    ):
        sketch = sketched("own.A", wanted)
        assert sketch is not None
        assert [argument.hint for argument in arguments(sketch).values()] == hints


MISTYPED = {
    "strategy.unry=3": "strategy.unry: no such key; did you mean unary?",
    "strategy.crf.iteratons=5": "strategy.crf.iteratons: no such key; did you mean iterations?",
    "strategy.crf.iterations=many": (
        "strategy.crf.iterations: expected a whole number, but it is 'many'"
    ),
    "strategy.unary=wssl": (
        "strategy.unary: expected wssl_code or wssl_paper, but it is 'wssl'; did you mean "
        "wssl_code?"
    ),
    "data.annotator.point_cuont=2": (
        "data.annotator.point_cuont: no such key; did you mean point_count?"
    ),
    "optimizer.schedule=ploy": (
        "optimizer.schedule: expected poly or step or constant, but it is 'ploy'; did you mean "
        "poly?"
    ),
    "predict.crf.bilateral_rbg=3": (
        "predict.crf.bilateral_rbg: no such key; did you mean bilateral_rgb?"
    ),
    "trainer.max_step=5": "trainer.max_step: no such key; did you mean max_steps?",
    "rounds.evry=5": "rounds.evry: no such key; did you mean every?",
    "strategy.share=0": (
        "strategy.share: it should be more than 0 and at most 1, the part of a box that is its "
        "middle, but it is 0.0"
    ),
    "optimizer.lr=-1": "optimizer.lr: it should be more than 0 and finite, but it is -1.0",
    "data.workers=-1": "data.workers: it should be at least 0, but it is -1",
}


def test_mistyped_words_at_any_depth_are_answered_before_torch_is_imported(tmp_path: Path) -> None:
    code = """
        import sys
        from weakseg.fit import main
        try:
            main(sys.argv[1:])
        finally:
            print(sorted({"torch", "pytorch_lightning", "numpy", "scipy"} & set(sys.modules)))
    """
    words = ["recipe=boxes", *MISTYPED]
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{textwrap.dedent(code)}",
        *words,
    ]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert answer.returncode == 2
    assert answer.stdout.splitlines() == ["[]"]
    assert sorted(answer.stderr.splitlines()) == sorted(MISTYPED.values())
