import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from weakseg.data.formats.base import FormatError
from weakseg.data.formats.images import (
    PHOTOS,
    changes,
    image_size,
    read_image,
    read_mask,
    read_opened,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning"
)

AVIF = ["a.avif"] if "AVIF" in PHOTOS else []  # newer versions of Pillow read it
RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)


def saved(folder: Path, image: Image.Image, name: str = "a.png", **options: object) -> Path:
    image.save(folder / name, **options)
    return folder / name


def channels_first(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.uint8)).permute(2, 0, 1)


def png(
    depth: int, kind: int, width: int, height: int, rows: bytes, *more: tuple[bytes, bytes]
) -> bytes:
    """A PNG file, chunk by chunk, as the standard describes it."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    whole = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + whole


def test_true_colours(tmp_path: Path) -> None:
    assert torch.equal(
        read_image(saved(tmp_path, Image.fromarray(COLOURS))), channels_first(COLOURS)
    )


def test_grey_and_black_and_white(tmp_path: Path) -> None:
    assert torch.equal(
        read_image(saved(tmp_path, Image.fromarray(GREY))), torch.from_numpy(GREY).expand(3, -1, -1)
    )
    black = GREY > 127
    assert torch.equal(
        read_image(saved(tmp_path, Image.fromarray(black))),
        torch.from_numpy(black * np.uint8(255)).expand(3, -1, -1),
    )


def test_sixteen_bits_keep_the_upper_eight(tmp_path: Path) -> None:
    values = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)
    for name in ("a.png", "a.tiff"):
        image = read_image(saved(tmp_path, Image.fromarray(values), name))
        assert torch.equal(
            image, torch.from_numpy((values >> 8).astype(np.uint8)).expand(3, -1, -1)
        )


def test_sixteen_bits_of_colour(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(
        png(16, 2, 2, 1, b"\0" + struct.pack(">6H", 0x1234, 0x80FF, 0xFFFF, 0, 0x00FF, 0x7F00))
    )
    assert read_image(path).permute(1, 2, 0).tolist() == [[[0x12, 0x80, 0xFF], [0, 0, 0x7F]]]


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_sixteen_bits_hold_the_bits_of_a_camera(bits: int, tmp_path: Path) -> None:
    values = RNG.integers(0, 1 << bits, (5, 7), dtype=np.uint16)
    values[0, 0] = (1 << bits) - 1
    upper = torch.from_numpy((values >> (bits - 8)).astype(np.uint8))
    for name in ("a.png", "a.tiff"):
        path = saved(tmp_path, Image.fromarray(values), name)
        assert torch.equal(read_image(path), upper.expand(3, -1, -1))
        assert changes(path) == [f"images of 16 bits, read as {bits} bits"]
    colours = np.stack([values, values // 2, values // 3], -1)
    path = tmp_path / "colours.png"
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colours)
    path.write_bytes(png(16, 2, 7, 5, rows))
    assert torch.equal(read_image(path), channels_first(colours >> (bits - 8)))
    assert changes(path) == [f"images of 16 bits, read as {bits} bits"]


def test_a_window_says_what_is_black_and_white(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(np.array([[0, 100, 600, 1100, 65535]], np.uint16)))
    assert read_image(path, window=(100, 1100))[0].tolist() == [[0, 0, 128, 255, 255]]
    fractions = saved(tmp_path, Image.fromarray(np.array([[-1, 0, 0.5, 2]], np.float32)), "a.tiff")
    assert read_image(fractions, window=(0, 1))[0].tolist() == [[0, 0, 128, 255]]
    with pytest.raises(
        FormatError,
        match=r"one of fractions; data.window=\[darkest,brightest\] says how to read it",
    ):
        read_image(fractions)


def test_indexed_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 2, 1]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    assert read_image(saved(tmp_path, image)).permute(1, 2, 0).tolist() == [
        [[10, 20, 30], [70, 80, 90], [40, 50, 60]]
    ]


def test_what_is_transparent_lies_on_white(tmp_path: Path) -> None:
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]], np.uint8)
    assert read_image(saved(tmp_path, Image.fromarray(pixels))).permute(1, 2, 0).tolist() == [
        [[10, 20, 30], [255] * 3, [204] * 3]
    ]
    grey = Image.fromarray(np.array([[[7, 255], [7, 0]]], np.uint8), "LA")
    assert read_image(saved(tmp_path, grey))[0].tolist() == [[7, 255]]
    indexed = Image.fromarray(np.array([[0, 1]], np.uint8))
    indexed.putpalette([9, 9, 9, 8, 8, 8])
    assert read_image(saved(tmp_path, indexed, transparency=1))[0].tolist() == [[9, 255]]


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "CMYK", "1", "I;16"])
def test_an_image_that_is_open_already_is_read_like_its_file(mode: str, tmp_path: Path) -> None:
    pixels = np.dstack([COLOURS, GREY])
    image = Image.fromarray(GREY.astype(np.uint16) << 8) if mode == "I;16" else None
    image = image or Image.fromarray(pixels).convert("RGB").convert(mode)
    path = saved(tmp_path, image, "a.tif" if mode == "CMYK" else "a.png")
    with Image.open(path) as opened:
        assert read_opened(opened, "a").equal(read_image(path))


def test_an_open_image_is_turned_upright_too(tmp_path: Path) -> None:
    image = Image.fromarray(COLOURS)
    notes = image.getexif()
    notes[0x0112] = 6
    path = saved(tmp_path, image, "a.jpg", exif=notes)
    with Image.open(path) as opened:
        assert read_opened(opened, "a").equal(read_image(path))
        assert read_opened(opened, "a").shape == (3, 7, 5)


def test_cmyk(tmp_path: Path) -> None:
    solid = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    colour = read_image(saved(tmp_path, solid, "a.jpg", quality=95))[:, 8, 8].tolist()
    assert np.abs(np.array(colour) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tiff", *AVIF])
@pytest.mark.parametrize("held", range(1, 9))
def test_photos_are_turned_upright(name: str, held: int, tmp_path: Path) -> None:
    scene = np.zeros((16, 32, 3), np.uint8)
    scene[:8, :8], scene[8:, 16:] = (255, 0, 0), (0, 255, 0)
    exif = Image.Exif()
    exif[0x0112] = held
    path = saved(tmp_path, Image.fromarray(scene), name, exif=exif)
    size = (32, 16) if held < 5 else (16, 32)
    assert image_size(path) == size
    image = read_image(path)
    assert image.shape == (3, size[1], size[0])
    if name != "a.tiff":  # where Pillow's own turning is what is tested against
        with Image.open(path) as stored:
            expected = channels_first(np.array(ImageOps.exif_transpose(stored).convert("RGB")))
        assert torch.equal(image, expected)
    # by hand, as EXIF 2.3 has it: where the corner is that was stored first
    red = {
        1: (4, 4),
        2: (4, -4),
        3: (-4, -4),
        4: (-4, 4),
        5: (4, 4),
        6: (4, -4),
        7: (-4, -4),
        8: (-4, 4),
    }[held]
    assert image[0, red[0], red[1]] > 200
    assert image[1, red[0], red[1]] < 60


def test_damaged_notes_leave_the_pixels_as_they_are(tmp_path: Path) -> None:
    for exif in (
        b"Exif\0\0rubbish",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
    ):
        path = saved(tmp_path, Image.fromarray(COLOURS), "a.jpg", exif=exif)
        assert read_image(path).shape == (3, 5, 7)
        assert image_size(path) == (7, 5)


def test_bombs_are_refused_by_their_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(8, 2, 9500, 9500, b""))
    for read in (read_image, image_size):
        with pytest.raises(
            FormatError,
            match=(
                r"bomb.png: the image should be one of at most 89000000 pixels, but it is 9500 by "
                r"9500"
            ),
        ):
            read(path)
    path.write_bytes(png(8, 0, 60000, 60000, b""))
    with pytest.raises(FormatError, match="one of at most 89000000 pixels, but it is larger"):
        read_mask(path)
    small = saved(tmp_path, Image.fromarray(COLOURS))
    assert read_image(small, most_pixels=35).shape == (3, 5, 7)
    with pytest.raises(FormatError, match="at most 34 pixels, but it is 7 by 5"):
        read_image(small, most_pixels=34)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.bmp", "a.tiff", "a.jp2", *AVIF])
def test_cut_off_images_are_named(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)), name)
    whole = path.read_bytes()
    for share in (0.0, 0.1, 0.5, 0.95):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(FormatError, match=f"{name}: the image should be"):
            read_image(path)


def test_random_damage_never_ends_in_another_error(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a.webp", "a.tiff", "a.gif", "a.bmp", "a.jp2", "a.j2k", *AVIF):
        path = saved(tmp_path, Image.fromarray(COLOURS), name)
        whole = bytearray(path.read_bytes())
        for _ in range(20):
            damaged = bytearray(whole)
            for place in RNG.integers(0, len(whole), 3):
                damaged[place] = RNG.integers(0, 256)
            path.write_bytes(damaged)
            try:
                image = read_image(path, most_pixels=10**5)
                width, height = image_size(path, most_pixels=10**5)
            except FormatError:
                continue
            assert image.shape == (3, height, width)


def test_formats_that_start_other_programs_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    )
    with pytest.raises(
        FormatError, match=r"the image should be one of JPEG, .*, but it is something else"
    ):
        read_image(path)


def test_masks_are_indices_and_never_colours(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2], [255, 20, 1]], np.uint8)
    indexed = Image.fromarray(values)
    indexed.putpalette(
        [channel for number in range(256) for channel in (number * 7 % 256, 255 - number, 3)]
    )
    for image, name in (
        (indexed, "a.png"),
        (Image.fromarray(values), "b.png"),
        (Image.fromarray(values), "b.tiff"),
    ):
        mask = read_mask(saved(tmp_path, image, name))
        assert mask.dtype == torch.uint8
        assert mask.tolist() == values.tolist()


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("kind", [0, 3], ids=["grey", "indexed"])
def test_masks_of_few_bits_keep_their_values(depth: int, kind: int, tmp_path: Path) -> None:
    values = np.arange(8) % 2**depth
    bits = "".join(f"{value:0{depth}b}" for value in values)
    row = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    palette = [(b"PLTE", bytes(range(3 * 2**depth)))] if kind == 3 else []
    path = tmp_path / "a.png"
    path.write_bytes(png(depth, kind, 8, 1, b"\0" + row, *palette))
    assert read_mask(path).tolist() == [values.tolist()]


def test_masks_of_sixteen_bits(tmp_path: Path) -> None:
    values = np.array([[0, 7, 255]], np.uint16)
    assert read_mask(saved(tmp_path, Image.fromarray(values))).tolist() == [[0, 7, 255]]
    with pytest.raises(
        FormatError, match="the mask should be values from 0 to 255, but it is one of 0 to 65280"
    ):
        read_mask(saved(tmp_path, Image.fromarray(values << 8)))


def test_masks_in_colours_need_a_table(tmp_path: Path) -> None:
    pixels = np.array([[[0, 0, 0], [128, 0, 0]], [[224, 224, 192], [0, 128, 0]]], np.uint8)
    path = saved(tmp_path, Image.fromarray(pixels))
    with pytest.raises(
        FormatError,
        match=r"the mask should be an indexed or grey image .*, but it is one in colours \(RGB\)",
    ):
        read_mask(path)
    table = {(0, 0, 0): 0, (128, 0, 0): 1, (224, 224, 192): 255, (0, 128, 0): 2}
    assert read_mask(path, table).tolist() == [[0, 1], [255, 2]]
    del table[(0, 128, 0)]
    with pytest.raises(
        FormatError,
        match=(
            r"every colour should be in the table of colours, but it is not, such as \(0, 128, 0\)"
        ),
    ):
        read_mask(path, table)


def test_masks_are_not_read_from_jpeg(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, "JPEG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    with pytest.raises(FormatError, match="the image should be one of PNG, TIFF, BMP, GIF"):
        read_mask(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.mpo", "a.gif", "a.webp", "a.tiff"])
def test_of_several_pictures_the_first_one_is_read(name: str, tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (16, 16), colour) for colour in ((200, 0, 0), (0, 200, 0))]
    path = saved(tmp_path, pictures[0], name, save_all=True, append_images=pictures[1:])
    image = read_image(path)
    assert image.shape == (3, 16, 16)
    assert np.abs(image[:, 8, 8].numpy().astype(int) - [200, 0, 0]).max() < 5
