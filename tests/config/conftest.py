"""Every test here sees the small classes of parts.py and runs in an empty folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import weakseg.config.recipe
import weakseg.config.sections
import weakseg.config.words
from tests.config.parts import HOMES, PARTS, PLAIN, SECTIONS


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with a few small classes, each home with its list of names."""
    folder = tmp_path_factory.mktemp("parts")
    package = folder / "recipe_parts"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "all.py").write_text(PARTS)
    for home, names in HOMES.items():
        (package / f"{home}.py").write_text(
            f"NAMES = { {name: f'recipe_parts.all.{target}' for name, target in names.items()} }"
        )
    return folder


@pytest.fixture(autouse=True)
def here(parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, the small classes instead of the package's, and the built-in recipes
    `boxes` and `points`."""
    monkeypatch.setattr(sys, "path", [str(parts), *sys.path])
    monkeypatch.setattr(weakseg.config.sections, "SECTIONS", SECTIONS)
    built_in = tmp_path / "built_in"
    built_in.mkdir()
    (built_in / "boxes.yaml").write_text(PLAIN)
    (built_in / "points.yaml").write_text(PLAIN.replace("boxes, painted", "points, grown"))
    monkeypatch.setattr(weakseg.config.words, "built_in", lambda: built_in)
    monkeypatch.chdir(tmp_path)
    return tmp_path
