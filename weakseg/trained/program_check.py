"""Whether a .pt2 file holds a graph and its weights and nothing else, found out before torch reads
it: `torch.export.load` unpickles, evaluates text and loads compiled code from whatever it is given.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

LARGEST = 2**26  # bytes of the JSON of a graph; those of weakseg's networks have up to a million
# the files in the archive: graph, raw tensors and their sizes, one example, and texts
_FILES = re.compile(
    r"models/model\.json|data/weights/(weight_\d+|model_weights_config\.json)|"
    r"data/constants/(tensor_\d+|model_constants_config\.json)|data/sample_inputs/model\.pt|"
    r"extra/\w+|archive_format|archive_version|byteorder|version|\.data/(version|serialization_id|"
    r"alignment|write_record_metadata)"
)
_EXAMPLE = "data/sample_inputs/model.pt"
_WORD = re.compile(r"[\w.]*")
_TARGET = re.compile(
    r"torch\.ops\.(aten|torchvision)\.\w+\.\w+|torch\.sym_\w+|_operator\.\w+|math\.\w+"
)
# keys of texts that are no words: what they may be is checked for each of them
_EXPRESSIONS = ("expr_str", "guards_code")
_TREES = ("in_spec", "out_spec")
_FREE = ("torch_version",)
# of an expression on sizes, as torch stores them
_NODES = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.BoolOp,
    ast.Call,
    ast.keyword,
    ast.Constant,
    ast.Name,
    ast.Load,
    ast.Subscript,
    ast.Attribute,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
)
_FUNCTIONS = {
    *("Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Max", "Min", "Mod", "Eq"),
    *("Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not", "Where", "FloorDiv", "CeilDiv", "CleanDiv"),
    *(
        "PythonMod",
        "IntTrueDiv",
        "FloatTrueDiv",
        "ToFloat",
        "TruncToInt",
        "RoundToInt",
        "Piecewise",
    ),
    *("FloorToInt", "CeilToInt", "Identity", "Tuple", "StrictLessThan", "LessThan", "Equality"),
    *("StrictGreaterThan", "GreaterThan", "Unequality", "IntInfinity", "NegativeIntInfinity"),
    *("max", "min"),  # as torch 2.11 has them
}
_ATTRIBUTES = {"size", "sym_max", "sym_min", "sym_float", "sym_not", "sym_ite"}
_NAMES = re.compile(r"[suzL]\d*|torch|int_oo|oo|true|false")


class UnsafeFile(ValueError):
    """A file holds more than it should."""


def check_program(path: Path) -> None:
    """An UnsafeFile for a .pt2 file with anything in it that weakseg does not write."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive)
    except UnsafeFile as error:
        raise UnsafeFile(
            f"{path} holds more than a graph and its weights: {error}; it was not exported by "
            "weakseg, and torch might run code in it"
        ) from None
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, RecursionError) as error:
        raise ValueError(f"{path} is no .pt2 file, or a damaged one: {error}") from None


def _check(archive: zipfile.ZipFile) -> None:
    entries = {_inner(entry.filename): entry for entry in archive.infolist()}
    if len(entries) != len(archive.infolist()):
        raise UnsafeFile("a name comes twice")
    if unknown := [name for name in entries if not _FILES.fullmatch(name)]:
        raise UnsafeFile(f"the file {unknown[0]!r:.80}")
    for name, entry in entries.items():
        if name.endswith(".json"):
            if entry.file_size > LARGEST:
                raise UnsafeFile(f"{name} has {entry.file_size:,} bytes")
            for key, text in _texts(json.loads(archive.read(entry))):
                _check_text(key, text)
            if b'"use_pickle": true' in archive.read(entry).replace(b":true", b": true"):
                raise UnsafeFile(f"pickled objects ({name})")
    try:
        torch.load(io.BytesIO(archive.read(entries[_EXAMPLE])), weights_only=True)
    except Exception as error:  # whatever torch raises
        raise UnsafeFile("an example that is no tensor") from error


def _inner(name: str) -> str:
    """A name without the folder that everything in the archive is in."""
    return name.partition("/")[2]


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in JSON, and the key that it stands below; keys stand below ""."""
    if isinstance(value, dict):
        for name, below in value.items():
            yield "", name
            yield from _texts(below, name)
    elif isinstance(value, list):
        for below in value:
            yield from _texts(below, key)
    elif isinstance(value, str):
        yield key, value


def _check_text(key: str, text: str) -> None:
    if key in _EXPRESSIONS:
        _check_expression(text)
    elif key in _TREES:
        for below, word in _texts(json.loads(text)):
            if not _WORD.fullmatch(word) and (below, word) != ("context", "[]"):
                raise UnsafeFile(f"the text {word!r:.80}")
            if below == "type" and word not in ("builtins.tuple", "builtins.dict", "builtins.list"):
                raise UnsafeFile(f"the type {word!r:.80}")
    elif key == "target" and "." in text:
        if not _TARGET.fullmatch(text):
            raise UnsafeFile(f"the function {text!r:.80}")
    elif key not in _FREE and not _WORD.fullmatch(text):
        raise UnsafeFile(f"the text {text!r:.80}")


def _check_expression(text: str) -> None:
    """Refuse what is no arithmetic on the sizes of images."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError):
        raise UnsafeFile(f"the expression {text!r:.80}") from None
    for node in ast.walk(tree):
        right = isinstance(node, _NODES)
        if isinstance(node, ast.Name):
            right = bool(_NAMES.fullmatch(node.id)) or node.id in _FUNCTIONS
        elif isinstance(node, ast.Attribute):
            right = node.attr in _ATTRIBUTES
        elif isinstance(node, ast.Constant):
            right = isinstance(node.value, int | float) or bool(_WORD.fullmatch(str(node.value)))
        if not right:
            raise UnsafeFile(f"the expression {text!r:.80}")
