"""The page on URLs: its commands run, on stores that are in memory."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from tests.data.sets import write_set
from tests.remote_places import as_stores, to_memory
from weakseg.utils.object_store import PACKAGES
from weakseg.utils.remote_path import as_path, forget_listings

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/how-to/elsewhere.md").read_text()
SMALL = {
    "fit": [
        "network=tests.small.TinyNet",
        "data.workers=0",
        "trainer.max_steps=2",
        "rounds.workers=0",
    ],
    "check": ["network=tests.small.TinyNet", "workers=0", "out=null"],
}


def commands() -> list[list[str]]:
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if "weakseg." in line]
    return [shlex.split(line) for line in lines]


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    write_set(tmp_path / "coco", "coco", {f"{number}.jpg": ["dog", "cat"] for number in range(6)})
    write_set(tmp_path / "xml", "voc_xml")
    monkeypatch.setitem(fsspec.config.conf, "filecache", {"cache_storage": str(tmp_path / "kept")})
    with as_stores("s3", "hf"):
        to_memory(tmp_path / "coco", "s3://bucket/photos")
        to_memory(tmp_path / "xml", "hf://datasets/me/photos")
        yield
    forget_listings()


@pytest.mark.slow
def test_the_commands_of_the_page_run(stores: None, capsys: Any) -> None:
    ran = commands()
    assert [words[2] for words in ran] == [
        *("weakseg.fit", "weakseg.predict", "weakseg.label", "weakseg.check", "weakseg.fit")
    ]
    for words in ran:
        verb = words[2].removeprefix("weakseg.")
        module = importlib.import_module(words[2])
        np.random.seed(0)
        code = module.command([*words[3:], *SMALL.get(verb, [])])
        assert code == 0, capsys.readouterr().err
    for place in ("masks/0.png", "masks/overlays/0.jpg", "labels/coco.json"):
        assert as_path(f"s3://bucket/{place}").is_file()
    assert len(list(Path("kept").iterdir())) > 6


def test_the_page_names_the_packages() -> None:
    rows = dict(re.findall(r"^\| `(\w+)://` \| .*? \| `(\w+)`", PAGE, re.MULTILINE))
    assert rows == {name: PACKAGES[name] for name in rows}
    assert set(rows) == {"s3", "gs", "hf", "https"}
    wanted = (ROOT / "setup.cfg").read_text().partition("\nremote =\n")[2].partition("\n# what")[0]
    assert all(f"    {package}>=" in wanted for package in rows.values())
