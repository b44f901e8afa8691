from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from weakseg.utils.array_cache import ArrayCache, Arrays
from weakseg.utils.fingerprint import fingerprint


class Made:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Arrays:
        self.times += 1
        return {"numbers": np.arange(5, dtype=np.int32), "none": np.zeros((0, 2))}


def file_of(folder: Path, key: str) -> Path:
    return folder / f"{fingerprint(key)}.npz"


def test_the_second_time_nothing_is_made(tmp_path: Path) -> None:
    made = Made()
    for cache in (ArrayCache(tmp_path / "a" / "b"), ArrayCache(tmp_path / "a" / "b")):
        arrays = cache.get_or_make("key", made)
        assert set(arrays) == {"numbers", "none"}
        assert arrays["numbers"].dtype == np.int32
        assert arrays["numbers"].tolist() == [0, 1, 2, 3, 4]
        assert arrays["none"].shape == (0, 2)
    assert made.times == 1
    cache.get_or_make("other", made)
    assert made.times == 2


def test_without_a_folder_it_is_made_each_time() -> None:
    made = Made()
    ArrayCache().get_or_make("key", made)
    ArrayCache().get_or_make("key", made)
    assert made.times == 2


@pytest.mark.parametrize("damage", [b"", b"PK", b"no archive", None])
def test_what_is_damaged_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    made = Made()
    ArrayCache(tmp_path).get_or_make("key", made)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    middle = len(whole) // 3
    file.write_bytes(whole[:middle] + b"damage" + whole[middle + 6 :] if damage is None else damage)
    assert ArrayCache(tmp_path).get_or_make("key", made)["numbers"].tolist() == [0, 1, 2, 3, 4]
    assert made.times == 2
    ArrayCache(tmp_path).get_or_make("key", made)
    assert made.times == 2


def test_the_file_of_another_key_is_made_again(tmp_path: Path) -> None:
    made = Made()
    ArrayCache(tmp_path).get_or_make("key", made)
    ArrayCache(tmp_path).get_or_make("other", lambda: {"numbers": np.zeros(5, dtype=np.int32)})
    file_of(tmp_path, "key").write_bytes(file_of(tmp_path, "other").read_bytes())
    assert ArrayCache(tmp_path).get_or_make("key", made)["numbers"].tolist() == [0, 1, 2, 3, 4]
    assert made.times == 2


@pytest.mark.parametrize(
    "change", [{"numbers": np.zeros(5, dtype=np.int32)}, {"numbers": np.arange(5)}, {}]
)
def test_a_whole_file_with_other_arrays_is_made_again(tmp_path: Path, change: Arrays) -> None:
    made = Made()
    ArrayCache(tmp_path).get_or_make("key", made)
    with np.load(file_of(tmp_path, "key")) as stored:
        arrays = dict(stored) | change
    np.savez(
        file_of(tmp_path, "key"),
        **(arrays if change else {"numbers": arrays["numbers"], "none": arrays["none"]}),
    )
    ArrayCache(tmp_path).get_or_make("key", made)
    assert made.times == 2


def test_arrays_are_kept_and_found_one_by_one(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    assert cache.get(("a key", 1)) is None
    cache.put(("a key", 1), {"numbers": np.arange(3)})
    found = ArrayCache(tmp_path).get(("a key", 1))
    assert found is not None
    assert found["numbers"].tolist() == [0, 1, 2]
    assert cache.get(("a key", 1.0)) is None


def test_without_a_folder_nothing_is_kept() -> None:
    assert ArrayCache().put("key", {"numbers": np.arange(3)})["numbers"].tolist() == [0, 1, 2]
    assert ArrayCache().get("key") is None
