"""numba and llvmlite still have what the compiled code is built on; what a new version lacks is
named.

Nothing of weakseg is imported here: it could not be, if something were missing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from pkgutil import resolve_name

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "weakseg" / "functional").rglob("*compiled.py"))
OBJECTS = {
    "builder": "llvmlite.ir.IRBuilder",
    "context": "numba.core.base.BaseContext",
    "ir": "llvmlite.ir",
    "models": "numba.extending.models",
    "types": "numba.types",
}
"""what the names are of which the compiled files use attributes"""
PRIVATE = "numba.core.caching.FunctionCache._index_key"
"""the method that `_Cache` in compiled.py replaces"""


def used(file: Path) -> Iterator[str]:
    """The full names of what a file takes from numba and llvmlite."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module.split(".")[0] in ("numba", "llvmlite"):
                yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = OBJECTS.get(node.value.id)
            if owner:
                yield f"{owner}.{node.attr}"


def problem(name: str) -> str:
    """What to do about a name that is missing; empty if it is there."""
    with suppress(ImportError, AttributeError):
        resolve_name(name)
        return ""
    package = name.split(".")[0]
    files = [str(file.relative_to(ROOT)) for file in FILES if name in used(file)]
    return (
        f"{package} {version(package)} has no {name} any more, which "
        f"{' and '.join(files) or 'weakseg/functional/compiled.py'} needs: replace it there as "
        'docs/explanation/vectors.md says under "When numba changes"'
    )


@pytest.mark.parametrize("name", sorted({PRIVATE, *chain.from_iterable(map(used, FILES))}))
def test_numba_still_has_what_compiled_code_is_built_on(name: str) -> None:
    assert not problem(name), problem(name)


def test_what_is_used_is_found() -> None:
    """An empty list would let everything pass."""
    (vectors,) = (file for file in FILES if file.name == "vectors_compiled.py")
    assert {
        "numba.extending.intrinsic",
        "numba.extending.models.PrimitiveModel",
        "llvmlite.ir.VectorType",
        "llvmlite.ir.IRBuilder.shuffle_vector",
        "numba.core.base.BaseContext.make_array",
    } <= set(used(vectors))


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("llvmlite.ir.IRBuilder.shuffle_vector")
    message = problem("llvmlite.ir.IRBuilder.shuffle_vector")
    assert message.startswith(
        f"llvmlite {version('llvmlite')} has no llvmlite.ir.IRBuilder.shuffle"
    )
    assert "weakseg/functional/crf/vectors_compiled.py needs" in message
    assert "When numba changes" in (ROOT / "docs" / "explanation" / "vectors.md").read_text()
    assert problem("numba.gone.name").startswith(f"numba {version('numba')} has no numba.gone.name")
