import numpy as np
import pytest

from tests.data.formats.writing import brush
from weakseg.data.formats.brush import unpack_brush


def bytes_of(bits: str) -> np.ndarray:
    return np.array(
        [int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8)], np.uint8
    )


# bytes of 8 bits; lengths of 3, 4, 8 or 16 bits
HEADER = "00111" + "0010" + "0011" + "0111" + "1111"


def test_the_beginning_of_a_real_export() -> None:
    """An image of 3332 by 2527, nothing painted: the first bytes are from a file that Label Studio
    exported."""
    beginning = [
        2,
        1,
        233,
        240,
        57,
        27,
        255,
        255,
        255,
        0,
        255,
        255,
        224,
        31,
        255,
        252,
        3,
        255,
        255,
        128,
        127,
        255,
        240,
        15,
        255,
        254,
        1,
    ]
    total = 3332 * 2527 * 4
    packets, rest = divmod(total, 65536)
    bits = (
        f"{total:032b}"
        + HEADER
        + ("1" + "11" + "1" * 16 + "0" * 8) * packets
        + "1"
        + "11"
        + f"{rest - 1:016b}"
        + "0" * 8
    )
    stream = bytes_of(bits)
    assert stream[: len(beginning)].tolist() == beginning
    runs = unpack_brush(stream, 3332, 2527)
    assert runs.counts.tolist() == [3332 * 2527]


def test_a_stream_by_hand() -> None:
    """Three pixels: clear, painted (in black), painted by a third (in white). Four bytes repeated,
    and twice four as they are."""
    black, white = "0" * 24 + f"{255:08b}", "1" * 24 + f"{80:08b}"
    packets = [
        "1" + "00" + "011" + "00000000",
        "0" + "01" + "0011" + black,
        "0" + "10" + "00000011" + white,
    ]
    runs = unpack_brush(bytes_of(f"{12:032b}" + HEADER + "".join(packets)), 3, 1)
    assert runs.unpack().tolist() == [[False, True, False]]


def test_random_masks_come_back() -> None:
    rng = np.random.default_rng(0)
    for share in (0.0, 0.05, 0.5, 1.0):
        for _ in range(5):
            inside = rng.random(rng.integers(1, 40, 2)) < share
            paint = np.where(
                inside,
                rng.choice([128, 200, 255], inside.shape),
                rng.choice([0, 127], inside.shape),
            ).astype(np.uint8)
            runs = unpack_brush(np.array(brush(paint), np.uint8), paint.shape[1], paint.shape[0])
            np.testing.assert_array_equal(runs.unpack(), inside)


def test_damaged_streams() -> None:
    whole = np.array(brush(np.eye(9, dtype=np.uint8) * 255), np.uint8)
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="cut off"):
            unpack_brush(whole[:length], 9, 9)
    with pytest.raises(ValueError, match="324 bytes instead of 4 for each of 9 by 8 pixels"):
        unpack_brush(whole, 9, 8)
    with pytest.raises(ValueError, match="more than 4 bytes"):
        unpack_brush(bytes_of(f"{4:032b}" + HEADER + "1" + "00" + "111" + "00000000"), 1, 1)
    with pytest.raises(ValueError, match="16 bits per byte"):
        unpack_brush(bytes_of(f"{4:032b}" + "01111" + "0" * 40), 1, 1)


def test_a_header_that_promises_four_thousand_million_pixels_allocates_nothing() -> None:
    with pytest.raises(ValueError, match="bytes instead of"):
        unpack_brush(bytes_of(f"{2**32 - 4:032b}" + HEADER), 2**15, 2**15 - 1)
