"""The templates that all pages share."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
import torch
from jinja2 import UndefinedError

from weakseg.reporting.pages import _environment, confusion_rows, write_page

BAD = "<script>alert(1)</script>"


def parts(name: str, *arguments: object) -> str:
    """What a macro makes of what it is given."""
    macros = _environment().get_template("parts.html").make_module()
    return str(getattr(macros, name)(*arguments))


def test_no_template_has_a_script() -> None:
    texts = {
        file.name: file.read_text("utf-8")
        for file in (resources.files("weakseg.reporting") / "templates").iterdir()
    }
    assert {"page.html", "parts.html", "run.html", "style.css"} <= set(texts)
    for name, text in texts.items():
        for active in ("<script", "javascript:", " onclick", " onload"):
            assert active not in text, name


def test_a_name_that_a_template_misses_is_an_error_and_leaves_no_page(tmp_path: Path) -> None:
    with pytest.raises(UndefinedError, match="colours"):
        write_page(
            tmp_path / "page.html",
            "run.html",
            title="",
            notes=[],
            tables=[],
            confusion=[],
            charts={},
            cases=[],
            errors="",
        )
    assert list(tmp_path.iterdir()) == []


def test_names_in_tables_link_where_they_have_an_address() -> None:
    table = parts("table", ["cat", "mean"], {"network": [0.5, None]}, {"cat": "#class-1"})
    assert '<td><a href="#class-1">cat</a></td>' in table
    assert "<td>mean</td>" in table
    assert "href" not in parts("table", ["cat"], {"network": [0.5]})


def test_cells_of_the_matrix_link_where_they_have_an_address() -> None:
    rows = confusion_rows(torch.tensor([[3, 1], [0, 0]]), ["a", BAD])
    colours = [("a", [0, 0, 0]), (BAD, [1, 1, 1])]
    matrix = parts("matrix", rows, colours, True, {("a", BAD): f"#{BAD}"})
    assert matrix.count("<a href=") == 1
    assert '<a href="#&lt;script&gt;alert(1)&lt;/script&gt;">25</a>' in matrix
    assert "<script>" not in matrix
