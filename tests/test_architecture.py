"""The architecture: which package may import which, and that every strategy and recipe has a page.

Every check is a function that returns complaints, so that it can be shown a small bad example as
well as the package itself.
"""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
EVERYTHING = "everything above"
COMMANDS = (
    *("check", "fit", "label", "tune", "review"),
    *("predict", "evaluate", "export", "compare"),
)

# The dependency rule. One row per package or module at the top: a row names rows further up only,
# and with them comes whatever those may import.
MAY_IMPORT = {
    "utils": "",
    "evidence": "",
    "config": "utils",
    "recipe": "config",
    "functional": "evidence utils",
    "foundation": "functional",
    **dict.fromkeys(["data", "networks", "inference"], "functional"),
    "strategies": "foundation",
    "optimizers": "networks",
    "training": "config data networks strategies inference optimizers",
    "planning": "training",
    "suspicion": "training",
    "trained": "training",
    "reporting": "training",
    "prediction": "trained reporting",
    "evaluation": "trained reporting suspicion",
    "labelling": "trained reporting suspicion planning",
    "reviewing": "labelling",
    "tuning": "labelling evaluation",
    "integrations": "prediction",
    "run": EVERYTHING,
    # the commands, which call what is below
    **dict.fromkeys(COMMANDS, EVERYTHING),
    # the last one is weakseg/__init__.py: the public names, lazily
    **dict.fromkeys(["__main__", ""], EVERYTHING),
}
TEXT = {".py", ".md", ".yaml", ".yml", ".toml", ".cfg", ".txt", ".svg", ""}
BUILT = re.compile(r"build|dist|site|runs|wandb|__pycache__|.*\.egg-info")
MACHINE_PATH = re.compile(r"(?<![\w.$)}])/(?:home|root|Users|opt|work|tmp)/[\w.]")
PACKAGE_HOST = re.compile(r"pypi\.(?:org|python)|pythonhosted\.|download\.pytorch\.", re.IGNORECASE)


def test_imports_follow_the_dependency_rule() -> None:
    none(forbidden(package(), MAY_IMPORT))


def test_imports_have_no_cycle() -> None:
    none(cycle(package()))


def test_the_table_itself_has_an_order() -> None:
    none(misplaced_rows(MAY_IMPORT))


def test_the_picture_shows_every_package_above_what_it_imports() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "draw_architecture.py"))
    layer = {name: row for row, names in enumerate(script["LAYERS"]) for name in names}
    assert set(layer) == set(MAY_IMPORT) - {""}
    for name, row in MAY_IMPORT.items():
        lower = [] if row == EVERYTHING else allowed(name, MAY_IMPORT)
        assert all(layer[name] < layer[other] for other in lower)
    assert script["drawn"]() == script["PICTURE"].read_text()


def test_every_strategy_has_a_recipe_and_a_page() -> None:
    from weakseg.strategies import NAMES

    none(undocumented(NAMES, recipes(), pages()))


def test_every_recipe_says_what_it_is_and_has_a_page() -> None:
    assert recipes()
    none(unexplained(recipes(), pages()))


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    none(machine_bound(dict(texts(ROOT))))


@pytest.mark.slow
def test_importing_a_module_leaves_signals_to_whoever_handles_them() -> None:
    state = (
        "state = lambda: [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]"
    )
    lines = [
        "import signal",
        state,
        "before = state()",
        *(f"import {module}" for module in package()),
        "assert state() == before, state()",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# the checks ---------------------------------------------------------------------------------------


def none(complaints: list[str]) -> None:
    assert not complaints, "\n".join(complaints)


def forbidden(sources: Mapping[str, str], table: Mapping[str, str]) -> list[str]:
    """Imports that the table does not allow, and modules that it does not cover."""
    complaints = []
    for module, targets in graph(sources).items():
        here = row_of(module, table)
        if here is None:
            complaints.append(
                f"{module} has no row in MAY_IMPORT of tests/test_architecture.py: add one that "
                "says what it may import"
            )
            continue
        for target in targets:
            there = row_of(target, table)
            if there is not None and there != here and there not in allowed(here, table):
                complaints.append(
                    f"{module} imports {target}, but {here or '__init__'} may import only: "
                    f"{table[here] or 'nothing'}"
                )
    return complaints


def cycle(sources: Mapping[str, str]) -> list[str]:
    """One cycle of modules that import each other, or nothing."""
    try:
        TopologicalSorter(graph(sources)).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def misplaced_rows(table: Mapping[str, str]) -> list[str]:
    """Rows that name a package which does not stand further up."""
    above: set[str] = set()
    complaints = []
    for package, row in table.items():
        if row != EVERYTHING:
            complaints += [
                f"{package} names {name}, which does not stand above it"
                for name in row.split()
                if name not in above
            ]
        above.add(package)
    return complaints


def undocumented(names: Mapping[str, str], recipes: Mapping[str, str], pages: str) -> list[str]:
    """Strategies that no recipe names, or no page of the docs."""
    named = {
        name for text in recipes.values() for name in names_in(yaml.safe_load(text).get("strategy"))
    }
    complaints = [
        f"strategy {name}: no recipe in recipes names it" for name in names if name not in named
    ]
    return complaints + [
        f"strategy {name}: no page in docs mentions `{name}`"
        for name in names
        if f"`{name}`" not in pages
    ]


def unexplained(recipes: Mapping[str, str], pages: str) -> list[str]:
    """Recipes that do not begin with a comment, or that no page of the docs names."""
    complaints = []
    for name, text in recipes.items():
        if not re.match(r"# *\w", text):
            complaints.append(
                f"recipe {name}: the first line should be a comment that says what it does, shown "
                "by --list"
            )
        if not re.search(rf"recipe={name}\b|`{name}`", pages):
            complaints.append(f"recipe {name}: no page in docs mentions recipe={name}")
    return complaints


def machine_bound(texts: Mapping[str, str]) -> list[str]:
    """Lines that hold a path of one machine, or the address of a package registry."""
    lines = (
        (f"{name}:{number}", line)
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
    )
    return [
        f"{place}: {line.strip()}"
        for place, line in lines
        if MACHINE_PATH.search(line) or PACKAGE_HOST.search(line)
    ]


# what they read -----------------------------------------------------------------------------------


def package() -> dict[str, str]:
    """Source of every module of weakseg, by dotted name; a package goes by its own name."""
    sources = {}
    for path in sorted((ROOT / "weakseg").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text()
    return sources


def recipes() -> dict[str, str]:
    return {path.stem: path.read_text() for path in sorted((ROOT / "recipes").glob("*.yaml"))}


def pages() -> str:
    return "\n".join(path.read_text() for path in sorted((ROOT / "docs").rglob("*.md")))


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and text of the files that people wrote: no caches, no environments, nothing built."""
    for path in sorted(folder.iterdir()):
        if BUILT.fullmatch(path.name) or (
            path.name.startswith(".") and path.name not in (".ci", ".github")
        ):
            continue
        if path.is_dir() and not (path / "pyvenv.cfg").exists():
            yield from texts(path)
        elif path.is_file() and path.suffix in TEXT:
            yield str(path.relative_to(ROOT)), path.read_text()


def graph(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Which module names which others of weakseg, wherever the import stands: at the top, in a
    function, for types only."""
    packages = {
        module for module in sources if any(other.startswith(f"{module}.") for other in sources)
    }
    return {
        module: sorted(set(imports(source, module, module in packages, sources)) - {module})
        for module, source in sources.items()
    }


def imports(source: str, module: str, is_package: bool, known: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "weakseg")
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parent = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parent, base] if base else parent)
            if base.split(".")[0] == "weakseg":
                yield from (
                    full if (full := f"{base}.{alias.name}") in known else base
                    for alias in node.names
                )


def row_of(module: str, table: Mapping[str, str]) -> str | None:
    """The row with the longest name that the module belongs to."""
    parts = module.split(".")[1:]
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)] or [""]
    return next((name for name in names if name in table), None)


def allowed(row: str, table: Mapping[str, str]) -> set[str]:
    if table[row] == EVERYTHING:
        return set(list(table)[: list(table).index(row)])
    direct = set(table[row].split())
    return direct.union(*(allowed(name, table) for name in direct))


def names_in(node: Any) -> Iterator[str]:
    """The classes that a section of a recipe names: `strategy: full`, or `name: full` at any
    depth."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from names_in(value) if key == "name" or isinstance(value, dict) else ()
    elif node is not None:
        yield str(node)


# the checks can fail ------------------------------------------------------------------------------


SMALL = {
    "utils": "",
    "data.label_store": "utils",
    "data": "data.label_store",
    "training": "data",
    "": EVERYTHING,
}


def test_a_forbidden_import_is_seen_wherever_it_stands() -> None:
    for line in (
        "import weakseg.training",
        "from weakseg import training",
        "def f():\n    from weakseg.training import x",
        "from ..training import x",
    ):
        sources = {
            "weakseg": "",
            "weakseg.training": "",
            "weakseg.data": "",
            "weakseg.data.loader": line,
        }
        assert [text.split(",")[0] for text in forbidden(sources, SMALL)] == [
            "weakseg.data.loader imports weakseg.training"
        ]


def test_what_an_allowed_package_may_import_is_allowed_too() -> None:
    sources = {
        "weakseg": "import weakseg.training",
        "weakseg.training": "from weakseg.utils import x",
        "weakseg.utils": "import numpy",
    }
    assert forbidden(sources, SMALL) == []


def test_a_module_may_have_a_row_of_its_own() -> None:
    package = dict.fromkeys(["weakseg.data", "weakseg.data.label_store", "weakseg.data.loader"], "")
    up = package | {"weakseg.data.label_store": "from weakseg.data.loader import x"}
    down = package | {"weakseg.data.loader": "from . import label_store"}
    assert forbidden(up, SMALL) != []
    assert forbidden(down, SMALL) == []


def test_a_new_module_asks_for_a_row() -> None:
    assert forbidden({"weakseg.newcomer": ""}, SMALL) == [
        "weakseg.newcomer has no row in MAY_IMPORT of tests/test_architecture.py: add one that "
        "says what it may import"
    ]


def test_a_cycle_is_seen_inside_one_package() -> None:
    assert set(
        cycle({"weakseg.a": "from weakseg import b", "weakseg.b": "def f():\n    import weakseg.a"})
    ) == {"weakseg.a", "weakseg.b"}


def test_a_row_cannot_point_down_the_table() -> None:
    assert misplaced_rows({"a": "b", "b": ""}) == ["a names b, which does not stand above it"]


def test_a_strategy_without_recipe_or_page_is_seen() -> None:
    names, recipe = (
        {"full": "", "boxes": ""},
        {"mixed": "strategy:\n  name: mixed\n  marks: {name: full}"},
    )
    assert undocumented(names, recipe, "`boxes` and more") == [
        "strategy boxes: no recipe in recipes names it",
        "strategy full: no page in docs mentions `full`",
    ]


def test_a_recipe_without_comment_or_page_is_seen() -> None:
    assert len(unexplained({"full": "strategy: full"}, "recipe=fullest")) == 2
    assert unexplained({"full": "# masks\nstrategy: full"}, "run recipe=full now") == []


def test_a_path_of_a_machine_is_seen() -> None:
    texts = {
        "a.md": "cd ../opt" + "/x and $HOME/opt" + "/y\ncd /" + "home/someone/x",
        "b.txt": "from https://pypi." + "org/simple",
    }
    assert [text.split(": ")[0] for text in machine_bound(texts)] == ["a.md:2", "b.txt:1"]
