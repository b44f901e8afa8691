"""What users install: a wheel that works outside the checkout, and one pinned version of everything for `make`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what it is made of, so that nothing is left in the checkout."""
    source = copied(tmp_path_factory.mktemp("source"))
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", cwd=source)
    (built,) = (source / "dist").glob("*.whl")
    return built


def copied(source: Path) -> Path:
    """A folder with what a wheel is made of."""
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "weakseg", source / "weakseg", ignore=shutil.ignore_patterns("__pycache__"))
    return source


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a new environment with the wheel in it, and with the packages of the running one behind it."""
    folder = tmp_path_factory.mktemp("environment")
    return installed(folder, wheel)


def installed(folder: Path, *what: str | Path) -> Path:
    """Python of a new environment with something in it."""
    venv.create(folder, symlinks=True)
    interpreter = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    # a line of a .pth file adds a folder without reading the .pth files in it, so an editable weakseg there stays unseen
    (site / "everything_else.pth").write_text("\n".join(sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})))
    quiet = ("install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    run(sys.executable, "-m", "pip", "--python", interpreter, *quiet, *what, cwd=folder)
    return interpreter


@pytest.mark.slow
def test_the_wheel_is_what_runs(python: Path, tmp_path: Path) -> None:
    where = run(python, "-c", "import weakseg; print(weakseg.__file__)", cwd=tmp_path)
    assert Path(where.strip()).resolve().is_relative_to(python.parents[1].resolve())


@pytest.mark.slow
def test_recipes_are_found_from_an_empty_folder(python: Path, tmp_path: Path) -> None:
    listed = run(python, "-m", "weakseg.fit", "--list", cwd=tmp_path)
    shipped = [path.stem for path in (ROOT / "weakseg" / "recipes").glob("*.yaml")]
    assert shipped
    assert [name for name in shipped if not re.search(rf"\b{name}\b", listed)] == []


@pytest.mark.slow
def test_a_run_from_an_empty_folder_leaves_its_run_folder_there(python: Path, tmp_path: Path) -> None:
    run(python, "-m", "weakseg.fit", "recipe=boxes", "trainer.max_steps=2", cwd=tmp_path)
    (report,) = tmp_path.glob("runs/boxes/*/report.html")
    assert report.stat().st_size > 0


@pytest.mark.slow
def test_the_wheel_says_that_it_is_typed(python: Path, tmp_path: Path) -> None:
    code = "import importlib.resources as r; print(r.files('weakseg').joinpath('py.typed').is_file())"
    assert run(python, "-c", code, cwd=tmp_path).strip() == "True"


@pytest.mark.slow
def test_an_editable_install_works_from_the_folder_above_its_clone(tmp_path: Path) -> None:
    clone = tmp_path / "weakseg"
    clone.mkdir()
    editable = installed(tmp_path / "environment", "-e", copied(clone))
    for cwd in (tmp_path, clone, tmp_path / "environment"):
        names = run(editable, "-c", "import weakseg; print(weakseg.__file__, weakseg.Strategy.__name__)", cwd=cwd)
        assert names.split() == [str(clone / "weakseg" / "__init__.py"), "Strategy"]
    assert "tags_coseg" in run(editable, "-m", "weakseg.fit", "--list", cwd=tmp_path)


def test_every_constraint_is_one_version_of_one_package() -> None:
    assert unpinned((ROOT / "constraints.txt").read_text()) == []


def test_a_constraint_with_a_place_or_a_range_is_seen() -> None:
    assert unpinned("# why\ntorch==2.15.0\nnumpy>=2\nx @ file:x.whl") == ["numpy>=2", "x @ file:x.whl"]


def unpinned(constraints: str) -> list[str]:
    """Lines that are neither a comment nor `name==version`."""
    return [line for line in constraints.splitlines() if not re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)]


def run(*command: str | Path, cwd: Path) -> str:
    """What a command printed; when it fails, what it said against it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout
