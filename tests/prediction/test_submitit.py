"""The lines of the page on many machines that hand parts to submitit, with its local executor."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.prediction.fakes import save_photo

pytest.importorskip("submitit", reason="pip install submitit")
PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "many-machines.md").read_text()


@pytest.mark.slow
def test_its_lines_predict_all_images(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number in range(3):
        save_photo(tmp_path / "photos" / f"{number}.png", seed=number)
    (tmp_path / "runs" / "boxes").mkdir(parents=True)
    (tmp_path / "runs" / "boxes" / "latest").symlink_to(trained)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    (block,) = [
        each for each in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "submitit" in each
    ]
    here = block.replace('folder="jobs"', 'folder="jobs", cluster="local"')
    exec(here.replace('"parts": 8', '"parts": 2').replace("range(1, 9)", "range(1, 3)"), {})
    assert capsys.readouterr().out == "3\n"
    assert len(list((tmp_path / "masks").glob("*.png"))) == 3
    assert {file.name for file in (tmp_path / "masks").glob("*.json")} == {
        "summary-1-of-2.json",
        "summary-2-of-2.json",
    }
