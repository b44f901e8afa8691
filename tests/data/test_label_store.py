"""The label store: what was written comes back, and what is damaged is noticed."""

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from weakseg.data.label_store import DamagedTarget, LabelStore

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(tmp_path / "labels")


def hard() -> torch.Tensor:
    return torch.tensor([[0, 1, 255], [4, 20, 254]], dtype=torch.uint8)


def soft() -> torch.Tensor:
    target = torch.zeros(5, 2, 3)
    target[1], target[4, 0] = 0.25, torch.tensor([0.1, 0.2, 0.75])
    return target


@pytest.mark.parametrize(
    "target", [hard(), soft(), torch.zeros(3, 1, 1)], ids=["hard", "soft", "no trust"]
)
def test_round_trip(store: LabelStore, target: torch.Tensor) -> None:
    store.write("cat", KEY, target)
    back = store.read("cat", KEY)
    assert back.dtype == target.dtype
    assert torch.equal(back, target)


def test_hard_targets_open_in_any_viewer(store: LabelStore) -> None:
    store.write("cat", KEY, hard())
    file = next(store.folder.glob("*/*.png"))
    image = Image.open(file)
    assert image.mode == "P"
    assert np.array_equal(np.array(image), hard().numpy())
    # class 1 in the colours of PASCAL VOC
    assert image.convert("RGB").getpixel((1, 0)) == (128, 0, 0)


def test_soft_targets_hold_only_classes_that_are_not_zero(store: LabelStore) -> None:
    store.write("cat", KEY, soft())
    with np.load(next(store.folder.glob("*/*.npz"))) as file:
        assert file["values"].shape == (2, 2, 3)


def test_same_target_same_bytes(tmp_path: Path) -> None:
    for target in (hard(), soft()):
        files = []
        for name in ("a", "b"):
            other = LabelStore(tmp_path / name)
            other.write("cat", KEY, target)
            files.append(sorted(other.folder.glob("*/*"))[-1].read_bytes())
        assert files[0] == files[1]


@pytest.mark.parametrize("target", [hard(), soft()], ids=["hard", "soft"])
def test_every_damaged_byte_is_noticed_or_harmless(store: LabelStore, target: torch.Tensor) -> None:
    store.write("cat", KEY, target)
    file = next(path for path in store.folder.glob("*/*"))
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        if store.verify("cat", KEY):
            assert torch.equal(store.read("cat", KEY), target)
    file.write_bytes(whole[: len(whole) // 2])
    assert not store.verify("cat", KEY)
    file.write_bytes(b"")
    with pytest.raises(DamagedTarget, match="damaged"):
        store.read("cat", KEY)


def test_missing(store: LabelStore) -> None:
    assert not store.verify("cat", KEY)
    with pytest.raises(DamagedTarget, match="no target for image cat"):
        store.read("cat", KEY)


@pytest.mark.parametrize(
    "id", ["../../etc/passwd", "/absolute", "a" * 5000, "ünïcode/猫", "", ".", "con\x00trol"]
)
def test_ids_never_leave_the_folder(store: LabelStore, id: str) -> None:
    store.write(id, KEY, hard())
    assert torch.equal(store.read(id, KEY), hard())
    assert next(store.folder.glob("*/*")).resolve().is_relative_to(store.folder.resolve())


def test_prune_keeps_what_it_is_told_to(store: LabelStore) -> None:
    other = KEY[::-1]
    store.write("cat", KEY, hard())
    store.write("dog", other, soft())
    assert sorted(store.keys()) == sorted([KEY, other])
    assert store.prune(keep={KEY}) == 1
    assert list(store.keys()) == [KEY]


def test_nothing_half_written_stays(store: LabelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        store.write("cat", KEY, hard())
    assert [path for path in store.folder.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("shape", [(3, 5, 7), (0, 5, 7), (1, 1, 1)])
def test_masks_of_boxes_come_back_as_they_were(tmp_path, shape):
    store, masks = LabelStore(tmp_path), torch.rand(shape) < 0.5
    store.write("a", "0123", masks)
    assert store.verify("a", "0123")
    again = store.read("a", "0123")
    assert again.dtype == torch.bool
    assert torch.equal(again, masks)


def test_damaged_masks_are_found(tmp_path):
    store = LabelStore(tmp_path)
    store.write("a", "0123", torch.ones(2, 40, 40, dtype=torch.bool))
    (file,) = tmp_path.glob("??/*.npz")
    whole = file.read_bytes()
    with np.load(io.BytesIO(whole)) as content:
        head, values = content["head"], content["values"].copy()
    values[17] ^= 4  # one pixel
    np.savez_compressed(file, head=head, values=values)
    assert not store.verify("a", "0123")
    file.write_bytes(whole[:-40])
    assert not store.verify("a", "0123")


@pytest.mark.parametrize(
    "target", [hard(), soft(), torch.ones(2, 2, 3, dtype=torch.bool)], ids=["hard", "soft", "masks"]
)
def test_the_target_of_another_image_or_key_is_noticed(
    store: LabelStore, target: torch.Tensor
) -> None:
    """Whole and undamaged, but not the one that the name promises."""
    store.write("cat", KEY, target)
    (own,) = store.folder.glob("??/*")
    for id, key in (("dog", KEY), ("cat", KEY[::-1]), ("c@t", KEY)):
        store.write(id, key, 1 - target if target.dtype != torch.bool else ~target)
        place = store.path(id, key)
        shutil.copy(own, place.with_name(place.name + own.suffix))
        assert not store.verify(id, key)
        with pytest.raises(DamagedTarget, match="another image"):
            store.read(id, key)


@pytest.mark.parametrize(
    "target", [hard(), soft(), torch.ones(2, 2, 3, dtype=torch.bool)], ids=["hard", "soft", "masks"]
)
def test_figures_come_back_with_their_target(store: LabelStore, target: torch.Tensor) -> None:
    figures = {"size": 1 / 3, "ä": float("inf")}
    store.write("cat", KEY, target, figures)
    assert store.load("cat", KEY).figures == figures
    store.write("cat", KEY, target)
    assert store.load("cat", KEY).figures == {}


def test_a_target_of_another_kind_takes_the_place_of_the_one_before(store: LabelStore) -> None:
    for target in (soft(), hard(), soft()):
        store.write("cat", KEY, target)
        assert torch.equal(store.read("cat", KEY), target)


def test_a_folder_in_the_place_of_a_target_is_named(store: LabelStore) -> None:
    place = store.path("cat", KEY)
    place.with_name(f"{place.name}.npz").mkdir(parents=True)
    assert not store.verify("cat", KEY)
    with pytest.raises(
        IsADirectoryError, match=r"cat-.*\.npz is a folder, where a target should be; move it away"
    ):
        store.write("cat", KEY, hard())
