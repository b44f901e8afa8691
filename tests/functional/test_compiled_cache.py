"""Compiled or read from numba's cache: the same bits, or a resumed run and a new user's second run
would differ from the first."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from numba.core.dispatcher import Dispatcher

from weakseg.functional import compiled as module

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(module.__file__).parent


def begun(folder: Path) -> subprocess.Popen[str]:
    """A process that runs all kernels with this folder as numba's cache."""
    command = [sys.executable, "-m", "tests.functional.kernels"]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate()
    assert process.returncode == 0
    report: dict[str, Any] = json.loads(output)
    return report


@pytest.mark.slow
def test_compiled_or_cached_every_kernel_gives_the_same_bits(tmp_path: Path) -> None:
    compiling, compiling_elsewhere = begun(tmp_path / "one"), begun(tmp_path / "other")
    compiled, elsewhere = ended(compiling), ended(compiling_elsewhere)
    assert compiled["never used"] == []
    assert compiled["compiled"] == compiled["used"]
    assert compiled["copies"] == {}

    cached = ended(begun(tmp_path / "one"))
    assert cached["compiled"] == []
    assert cached["read"] == cached["used"] != []

    for index in sorted((tmp_path / "one").rglob("*.nbi"))[::2]:
        index.unlink()
    partly = ended(begun(tmp_path / "one"))
    assert partly["compiled"] != []
    assert partly["read"] != []

    assert compiled["bits"] == elsewhere["bits"] == cached["bits"] == partly["bits"]


def doubled(values: Any) -> Any:
    result = 0.0
    for value in values:
        result += value * 2
    return result


def test_what_is_kept_is_found_again_until_the_sources_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All compiled files count, as kernels of one file are made of functions of others."""
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))

    def compiles() -> bool:
        kernel = module.compiled(doubled)
        assert isinstance(kernel, Dispatcher)
        kernel.compile("float64(float64[::1])")
        return bool(kernel.stats.cache_misses)

    assert compiles()
    assert not compiles()
    monkeypatch.setattr(module, "_sources", cache(lambda: "other ones"))
    assert compiles()
    assert not compiles()


@pytest.mark.parametrize(
    "name", [str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*compiled.py")]
)
def test_a_change_in_any_compiled_file_is_one_of_the_sources(name: str, tmp_path: Path) -> None:
    copy = shutil.copytree(
        FOLDER, tmp_path / "compiled", ignore=shutil.ignore_patterns("__pycache__")
    )
    assert module._sources(copy) == module._sources()
    copy = copy.rename(tmp_path / "changed")
    with (copy / name).open("a") as file:
        file.write("\n")
    assert module._sources(copy) != module._sources()
