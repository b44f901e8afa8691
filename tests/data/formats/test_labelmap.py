"""Label maps with as many classes as masks can hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from weakseg.data.formats.base import FormatError
from weakseg.data.formats.labelmap import read

NAMES = [f"class {number}" for number in range(255)]


def saved(folder: Path, names: list[str]) -> Path:
    path = folder / "labelmap.txt"
    path.write_text("".join(f"{name}:::\n" for name in names))
    return path


def test_255_classes_and_what_is_ignored_are_the_most(tmp_path: Path) -> None:
    found = read(saved(tmp_path, [*NAMES, "ignored"]))
    assert found.names == [*NAMES, None]
    assert found.colours[(224, 224, 192)] == 255
    assert len(found.colours) == 256


@pytest.mark.parametrize("names", [[*NAMES, "more"], ["ignored", *NAMES], ["ignored"], []])
def test_a_class_of_value_255_or_none_at_all_is_refused(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(FormatError, match="should be a list of 1 to 255 classes"):
        read(saved(tmp_path, names))
