"""What users install: a wheel that works outside the checkout, and one pinned version of everything
for `make`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from configparser import ConfigParser
from pathlib import Path
from textwrap import dedent
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what it is made of, so that nothing is left in the
    checkout."""
    source = copied(tmp_path_factory.mktemp("source"))
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", cwd=source)
    (built,) = (source / "dist").glob("*.whl")
    return built


def copied(source: Path) -> Path:
    """A folder with what a wheel is made of."""
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("weakseg", "recipes"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    return source


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a new environment with the wheel in it, and with the packages of the running one
    behind it."""
    folder = tmp_path_factory.mktemp("environment")
    return installed(folder, wheel)


def installed(folder: Path, *what: str | Path) -> Path:
    """Python of a new environment with something in it."""
    venv.create(folder, symlinks=True)
    interpreter = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    # a line of a .pth file adds a folder without reading the .pth files in it, so an editable
    # weakseg there stays unseen
    (site / "everything_else.pth").write_text(
        "\n".join(sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    )
    quiet = ("install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    run(sys.executable, "-m", "pip", "--python", interpreter, *quiet, *what, cwd=folder)
    return interpreter


@pytest.mark.slow
def test_the_wheel_is_what_runs(python: Path, tmp_path: Path) -> None:
    where = run(python, "-c", "import weakseg; print(weakseg.__file__)", cwd=tmp_path)
    assert Path(where.strip()).resolve().is_relative_to(python.parents[1].resolve())


@pytest.mark.slow
def test_the_files_of_the_review_page_are_in_it(wheel: Path) -> None:
    static = ROOT / "weakseg" / "reviewing" / "static"
    names = {path.relative_to(ROOT).as_posix() for path in static.rglob("*") if path.is_file()}
    assert "weakseg/reviewing/static/index.html" in names
    assert names <= set(ZipFile(wheel).namelist())


@pytest.mark.slow
def test_recipes_are_found_from_an_empty_folder(python: Path, tmp_path: Path) -> None:
    listed = run(python, "-m", "weakseg.fit", "--list", cwd=tmp_path)
    shipped = [path.stem for path in (ROOT / "recipes").glob("*.yaml")]
    assert shipped
    assert [name for name in shipped if not re.search(rf"\b{name}\b", listed)] == []


@pytest.mark.slow
def test_a_run_from_an_empty_folder_leaves_its_run_folder_there(
    python: Path, tmp_path: Path
) -> None:
    run(python, "-m", "weakseg.fit", "recipe=boxes", "trainer.max_steps=2", cwd=tmp_path)
    (report,) = tmp_path.glob("runs/boxes/[0-9]*/report.html")
    assert report.stat().st_size > 0


@pytest.mark.slow
def test_the_wheel_says_that_it_is_typed(python: Path, tmp_path: Path) -> None:
    code = (
        "import importlib.resources as r; print(r.files('weakseg').joinpath('py.typed').is_file())"
    )
    assert run(python, "-c", code, cwd=tmp_path).strip() == "True"


@pytest.mark.slow
def test_an_editable_install_works_from_the_folder_above_its_clone(tmp_path: Path) -> None:
    clone = tmp_path / "weakseg"
    clone.mkdir()
    editable = installed(tmp_path / "environment", "-e", copied(clone))
    for cwd in (tmp_path, clone, tmp_path / "environment"):
        names = run(
            editable,
            "-c",
            "import weakseg; print(weakseg.__file__, weakseg.Strategy.__name__)",
            cwd=cwd,
        )
        assert names.split() == [str(clone / "weakseg" / "__init__.py"), "Strategy"]
    assert "tags_coseg" in run(editable, "-m", "weakseg.fit", "--list", cwd=tmp_path)


def test_a_bare_checkout_finds_its_recipes_from_any_folder(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    copied(checkout)
    listed = subprocess.run(
        [sys.executable, "-m", "weakseg.fit", "--list"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {line.split()[0] for line in listed.stdout.splitlines()} == {
        path.stem for path in (checkout / "recipes").glob("*.yaml")
    }


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-lowest.txt"])
def test_every_constraint_is_one_version_of_one_package(name: str) -> None:
    assert unpinned((ROOT / name).read_text()) == []


def test_a_constraint_with_a_place_or_a_range_is_seen() -> None:
    assert unpinned("# why\ntorch==2.15.0\nnumpy>=2\nx @ file:x.whl") == [
        "numpy>=2",
        "x @ file:x.whl",
    ]


def unpinned(constraints: str) -> list[str]:
    """Lines that are neither a comment nor `name==version`."""
    return [
        line
        for line in constraints.splitlines()
        if not re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)
    ]


def test_the_lowest_versions_are_those_that_setup_cfg_allows() -> None:
    pinned = versions((ROOT / "constraints-lowest.txt").read_text())
    allowed = lowest(required((ROOT / "setup.cfg").read_text(), "check", "pydensecrf"))
    assert {name: pinned.get(name) for name in allowed} == allowed
    assert {"torch", "numba", "torchmetrics", "pytest"} <= set(allowed)


def test_the_pinned_versions_are_ones_that_setup_cfg_allows() -> None:
    pinned = versions((ROOT / "constraints.txt").read_text())
    wanted = required((ROOT / "setup.cfg").read_text(), "test", "docs")
    assert [
        str(one)
        for one in wanted
        if not one.specifier.contains(pinned[canonicalize_name(one.name)])
    ] == []


def test_a_lowest_version_is_read_off_its_bound() -> None:
    text = """
        [options]
        install_requires =
            # why
            torch>=2.11,<2.16
            Lightning_Fabric>=2.6,!=2.6.2
        [options.extras_require]
        more =
            tqdm
            weakseg[most]
        most =
            ruff>=0.9
        other =
            mypy>=1
    """
    found = lowest(required(dedent(text), "more"))
    assert found == {
        "torch": Version("2.11.0"),
        "lightning-fabric": Version("2.6.0"),
        "ruff": Version("0.9.0"),
    }
    assert versions("# why\nTorch==2.11.0\n") == {"torch": Version("2.11")}


def required(setup: str, *extras: str) -> list[Requirement]:
    """What setup.cfg asks for, with extras and those that they name."""
    sections = ConfigParser()
    sections.read_string(setup)
    texts = [
        sections["options"]["install_requires"],
        *(sections["options.extras_require"][extra] for extra in extras),
    ]
    lines = [
        line for text in texts for line in text.splitlines() if line and not line.startswith("#")
    ]
    own = [
        name
        for line in lines
        if line.startswith("weakseg[")
        for name in sorted(Requirement(line).extras)
    ]
    others = [Requirement(line) for line in lines if not line.startswith("weakseg[")]
    return [*others, *required(setup, *own)] if own else others


def lowest(requirements: list[Requirement]) -> dict[str, Version]:
    """The least version of each package that has one."""
    bounds = [
        (canonicalize_name(one.name), part)
        for one in requirements
        for part in one.specifier
        if part.operator == ">="
    ]
    return {name: Version(part.version) for name, part in bounds}


def versions(constraints: str) -> dict[str, Version]:
    """The versions that a file of constraints names."""
    pairs = [line.split("==") for line in constraints.splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def run(*command: str | Path, cwd: Path) -> str:
    """What a command printed; when it fails, what it said against it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout
