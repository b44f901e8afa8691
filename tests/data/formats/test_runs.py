import numpy as np
import pytest

from weakseg.data.formats.runs import Runs, complaint, from_coco_string, pack, to_coco_string


def disc() -> np.ndarray:
    y, x = np.mgrid[:20, :30]
    return (x - 12) ** 2 + (y - 9) ** 2 <= 36


def chequers() -> np.ndarray:
    y, x = np.mgrid[:20, :30]
    return (x // 5 + y // 5) % 2 == 0


def corner() -> np.ndarray:
    mask = np.zeros((3000, 4000), bool)
    mask[100:2900, 3990:] = True
    return mask


# what pycocotools 2.0 makes of these masks
GOLDEN = {
    "disc": (disc(), "Q41`06L2N2O000O20N10001N2N4Jf6"),
    "chequers": (
        chequers(),
        "0550000000000000000050K" + "000000000000000050K" * 4 + "00000000000000000",
    ),
    "corner of a photo": (corner(), "daY];`g2X600000000000000000lL"),
    "everything": (np.ones((2, 3), bool), "06"),
    "nothing": (np.zeros((2, 3), bool), "6"),
    "by hand": (np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]], bool), "01411"),
}


@pytest.mark.parametrize(("mask", "text"), GOLDEN.values(), ids=GOLDEN)
def test_compressed_masks_are_those_of_pycocotools(mask: np.ndarray, text: str) -> None:
    runs = pack(mask, by_columns=True)
    assert to_coco_string(runs.counts) == text
    np.testing.assert_array_equal(from_coco_string(text), runs.counts)


def test_a_string_by_hand() -> None:
    # 5 -> "5"; 40 = 8 + 1*32 -> "X1"; 2 -> "2"; 7 - 40 = -33 = 31 - 2*32 -> "oN"; 100 - 2 = 98 = 2
    # + 3*32 -> "R3"
    assert from_coco_string("5X12oNR3").tolist() == [5, 40, 2, 7, 100]
    assert to_coco_string(np.array([5, 40, 2, 7, 100])) == "5X12oNR3"
    assert from_coco_string("").tolist() == []


def test_random_masks_come_back() -> None:
    rng = np.random.default_rng(0)
    for share in (0.0, 0.02, 0.5, 0.98, 1.0):
        for _ in range(20):
            mask = rng.random(rng.integers(1, 30, 2)) < share
            for by_columns in (False, True):
                runs = pack(mask, 3, 4, by_columns)
                assert complaint(runs) is None
                assert (runs.left, runs.top, runs.height, runs.width) == (3, 4, *mask.shape)
                np.testing.assert_array_equal(runs.unpack(), mask)
                np.testing.assert_array_equal(
                    from_coco_string(to_coco_string(runs.counts)), runs.counts
                )


def test_random_lengths_come_back() -> None:
    rng = np.random.default_rng(1)
    for most in (3, 100, 10**5, 10**7):
        counts = rng.integers(0, most, 200)
        np.testing.assert_array_equal(from_coco_string(to_coco_string(counts)), counts)


@pytest.mark.parametrize("text", ["4 5", "P", "1`", "``````````0", "ä", "p0"])
def test_what_is_no_string_of_lengths(text: str) -> None:
    with pytest.raises(ValueError, match=r"character|cut off"):
        from_coco_string(text)


@pytest.mark.parametrize(
    "counts", [[7], [2, 3], [6, 1], [-1, 7], [2**62, 2**62, 2**62, 2**62, 6], [0] * 20 + [6], []]
)
def test_lengths_that_do_not_fill_the_mask(counts: list[int]) -> None:
    assert complaint(Runs(np.array(counts, np.int64), 0, 0, 3, 2))
