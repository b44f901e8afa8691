"""What is looked up of a data set and a machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.data.layouts import photo, text, voc_xml
from tests.small import Squares
from weakseg.data.files.folder import Folder
from weakseg.evidence import Evidence
from weakseg.planning.facts import LOOKED_AT, Machine, facts_of, machine_of, objects_of, spread
from weakseg.training.memory_budget import Memory


def test_objects_of_a_mask_are_its_connected_parts() -> None:
    truth = torch.zeros(20, 40, dtype=torch.uint8)
    truth[2:6, 2:11] = 1  # 4 by 9: as large as a square of 6, of a long side of 40
    truth[10:14, 30:34] = 1
    truth[15:17, 3:5] = 2
    truth[0, 39] = 255
    sides, labels = objects_of(truth)
    assert sides == pytest.approx([6 / 40, 4 / 40, 2 / 40])
    assert labels == [1, 2]


def test_large_masks_are_read_coarsely() -> None:
    truth = torch.zeros(1000, 2000, dtype=torch.uint8)
    truth[200:600, 200:1000] = 1
    (side,), _ = objects_of(truth)
    assert side == pytest.approx((400 * 800) ** 0.5 / 2000, rel=0.02)


def test_images_are_spread_over_the_data_set() -> None:
    assert spread([3, 5, 8], 5) == [3, 5, 8]
    assert spread(range(100), 4) == [0, 25, 50, 75]
    assert len(spread(range(20_001), LOOKED_AT)) == LOOKED_AT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "abcdef":
        photo(tmp_path / "images" / f"{name}.png", 0, 30, 20)
        text(tmp_path / "annotations" / f"{name}.xml", voc_xml("dog", (3, 2, 12, 18)))
    text(tmp_path / "annotations" / "f.xml", voc_xml("cat", (3, 2, 12, 18)))
    (tmp_path / "masks").mkdir()
    Image.new("L", (30, 20), 1).save(tmp_path / "masks" / "a.png")
    return tmp_path


def test_a_folder_by_its_headers_and_boxes(folder: Path) -> None:
    facts = facts_of(Folder(folder, format="voc_xml", evidence="boxes"), Machine(), {})
    assert (facts.images, facts.annotated, facts.masked) == (5, 6, 0)
    assert not facts.split
    assert set(facts.sizes) == {(30, 20)}
    assert facts.longest == 30
    # of the one that would be held out, too, which is annotated alike
    assert facts.objects == pytest.approx([(10 * 17) ** 0.5 / 30] * 6)
    assert not facts.learns_masks


def test_classes_masks_and_what_is_named(folder: Path) -> None:
    data = Folder(folder, format="voc_xml", masks="masks", val_share=0.0)
    facts = facts_of(data, Machine(), {"strategy": "boxes_crf"})
    assert facts.shown == pytest.approx({"dog": 5 / 6, "cat": 1 / 6})
    assert facts.masked == 1
    assert facts.split  # the user says so
    assert facts.names == {"strategy": "boxes_crf"}


def test_a_broken_image_is_left_to_those_who_read_it(folder: Path) -> None:
    (folder / "images" / "b.png").write_bytes(b"no image")
    facts = facts_of(Folder(folder, format="voc_xml", val_share=0.0), Machine(), {})
    assert len(facts.sizes) == 5


class Broken(Squares):
    def sample(self, index: int) -> tuple[Evidence, torch.Tensor | None]:
        raise RuntimeError("not today")


def test_data_sets_without_files() -> None:
    facts = facts_of(Squares(train=6, val=2), Machine(), {})
    assert (facts.images, facts.split, facts.masked) == (6, True, 2)
    assert facts.sizes == ((24, 24),) * 6
    assert facts.objects == pytest.approx([11 / 24] * 6)
    assert facts.shown == {"bright": 0.5, "dark": 0.5}
    with pytest.raises(ValueError, match="no image can be read"):
        facts_of(Broken(), Machine(), {})


def test_the_machine_of_a_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weakseg.planning.facts.memory_of", lambda device: Memory(1, 2_000))
    assert machine_of({"accelerator": "cpu"})[:2] == ("cpu", 2000.0)
    assert machine_of({"accelerator": "cpu"}).devices == 1
    assert machine_of({"accelerator": "cpu", "devices": 2, "num_nodes": 3}).devices == 6
    assert machine_of({"accelerator": "cpu", "devices": [0, 1]}).devices == 2
    monkeypatch.setattr("weakseg.planning.facts.memory_of", lambda device: None)
    assert machine_of({"accelerator": "cpu"}).memory == Machine().memory
    assert not machine_of({"accelerator": "cpu"}).gpu
