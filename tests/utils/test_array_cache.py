from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from weakseg.utils.array_cache import Arrays, remembered


class Made:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Arrays:
        self.times += 1
        return {"numbers": np.arange(5, dtype=np.int32), "none": np.zeros((0, 2))}


def test_the_second_time_nothing_is_made(tmp_path: Path) -> None:
    made = Made()
    for folder in (tmp_path / "a" / "b", tmp_path / "a" / "b"):
        arrays = remembered(folder, "key", made)
        assert set(arrays) == {"numbers", "none"}
        assert arrays["numbers"].dtype == np.int32
        assert arrays["numbers"].tolist() == [0, 1, 2, 3, 4]
        assert arrays["none"].shape == (0, 2)
    assert made.times == 1
    remembered(tmp_path / "a" / "b", "other", made)
    assert made.times == 2


def test_without_a_folder_it_is_made_each_time() -> None:
    made = Made()
    remembered(None, "key", made)
    remembered(None, "key", made)
    assert made.times == 2


@pytest.mark.parametrize("damage", [b"", b"PK", b"no archive", None])
def test_what_is_damaged_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    made = Made()
    remembered(tmp_path, "key", made)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    middle = len(whole) // 3
    file.write_bytes(whole[:middle] + b"damage" + whole[middle + 6 :] if damage is None else damage)
    assert remembered(tmp_path, "key", made)["numbers"].tolist() == [0, 1, 2, 3, 4]
    assert made.times == 2
    remembered(tmp_path, "key", made)
    assert made.times == 2


def test_the_file_of_another_key_is_made_again(tmp_path: Path) -> None:
    made = Made()
    remembered(tmp_path, "key", made)
    remembered(tmp_path, "other", lambda: {"numbers": np.zeros(5, dtype=np.int32)})
    (tmp_path / "key.npz").write_bytes((tmp_path / "other.npz").read_bytes())
    assert remembered(tmp_path, "key", made)["numbers"].tolist() == [0, 1, 2, 3, 4]
    assert made.times == 2


@pytest.mark.parametrize(
    "change", [{"numbers": np.zeros(5, dtype=np.int32)}, {"numbers": np.arange(5)}, {}]
)
def test_a_whole_file_with_other_arrays_is_made_again(tmp_path: Path, change: Arrays) -> None:
    made = Made()
    remembered(tmp_path, "key", made)
    with np.load(tmp_path / "key.npz") as stored:
        arrays = dict(stored) | change
    np.savez(
        tmp_path / "key.npz",
        **(arrays if change else {"numbers": arrays["numbers"], "none": arrays["none"]}),
    )
    remembered(tmp_path, "key", made)
    assert made.times == 2
