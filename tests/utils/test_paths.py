"""Links to the latest run, and what is said of places that hold none."""

from __future__ import annotations

from pathlib import Path

import pytest

from weakseg.utils.paths import point_to, run_inside, without_link


def test_a_link_leads_to_the_last_folder_and_moves_with_the_whole(tmp_path: Path) -> None:
    for name in ("1", "2"):
        folder = tmp_path / "boxes" / name
        folder.mkdir(parents=True)
        point_to(folder)
        assert without_link(tmp_path / "boxes" / "latest") == folder
    (tmp_path / "boxes").rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "latest").resolve() == tmp_path / "moved" / "2"
    assert len(list((tmp_path / "moved").iterdir())) == 3


def test_a_folder_that_is_called_so_stays(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    (tmp_path / "1").mkdir()
    point_to(tmp_path / "1")
    assert not (tmp_path / "latest").is_symlink()
    assert without_link(tmp_path / "latest") == tmp_path / "latest"


def test_where_links_are_not_possible_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("not here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    (tmp_path / "1").mkdir()
    point_to(tmp_path / "1")
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_the_run_that_was_meant_is_no_link(tmp_path: Path) -> None:
    for name in ("1", "2"):
        folder = tmp_path / "boxes" / name
        folder.mkdir(parents=True)
        (folder / "recipe.yaml").touch()
        point_to(folder)
    assert run_inside(tmp_path) == f"; did you mean {folder}?"
    assert run_inside(tmp_path / "nothing") == ""
