"""Damaged annotation files, and bombs: data, or an error of the readers that names the file; soon,
and nothing else."""

from __future__ import annotations

import base64
import json
import resource
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.layouts import photo, text
from tests.data.sets import FORMATS, JSON, write_set
from weakseg.data.files.folder import Folder
from weakseg.data.formats import clicks, labelmap, scribblesup
from weakseg.data.formats.base import FormatError, noting
from weakseg.data.formats.images import PHOTOS, image_size, read_image, read_mask

LONGEST = 10.0  # seconds for one file; most take a hundredth
LARGEST = 400 * 2**20  # bytes by which all of them together may enlarge the process
MUTANTS = 34  # of each format: 306 in all
REAL = Path(__file__).parents[1] / "data" / "real"
VALUES: list[Any] = [
    *(
        None,
        True,
        -1,
        0,
        0.5,
        1e308,
        -1e308,
        2**31,
        2**63,
        2**70,
        "",
        "nan",
        "1e999",
        "\0",
        "\x1b[2J",
        "../../../etc/passwd",
    ),
    *(
        "x" * 100_000,
        [],
        {},
        [[]],
        [None],
        {"a": {}},
        [1] * 5,
        [[1, 2]] * 3,
        [[0, 0], [1e6, 1e6], [0, 1e6]],
        "猫\u202e",
    ),
]
Mutation = Callable[[bytes, np.random.Generator], bytes]


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(len(data))]


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    spoiled = bytearray(data)
    for place in rng.integers(0, len(data), 1 + rng.integers(8)):
        spoiled[place] ^= 1 << rng.integers(8)
    return bytes(spoiled)


def repeat(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = sorted(rng.integers(0, len(data), 2))
    return data[:end] + data[start:end] * int(rng.integers(1, 20)) + data[end:]


def remove(data: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(data)))
    return data[:start] + data[start + int(rng.integers(1, 40)) :]


def insert(data: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(data)))
    return (
        data[:start]
        + rng.integers(0, 256, int(rng.integers(1, 40)), dtype=np.uint8).tobytes()
        + data[start:]
    )


def enlarge(data: bytes, rng: np.random.Generator) -> bytes:
    """Another number for one of its digits."""
    digits = [place for place, value in enumerate(data) if 48 <= value <= 57] or [0]
    place = digits[rng.integers(len(digits))]
    numbers = [b"9" * 400, b"1e308", b"-5", b"99999999999", b"0x10", b"NaN", b"1e-320", b"1_0"]
    return data[:place] + numbers[rng.integers(len(numbers))] + data[place + 1 :]


def spoil_json(data: bytes, rng: np.random.Generator) -> bytes:
    """A value of another type, a field that is missing, or that comes twice, or lists in lists."""
    try:
        top = json.loads(data)
    except ValueError:
        return flip(data, rng)
    places = list(_places(top))
    node, key = places[rng.integers(len(places))]
    match rng.integers(4):
        case 0:
            del node[key]
        case 1:
            node[key] = _nested(int(rng.integers(2, 300)))
        case 2 if isinstance(node, dict):
            node[f"{key} "] = VALUES[rng.integers(len(VALUES))]
            return json.dumps(top).replace(f'"{key} "', json.dumps(key)).encode()
        case _:
            node[key] = VALUES[rng.integers(len(VALUES))]
    return json.dumps(top).encode()


def _places(node: Any) -> Any:
    for key, value in (
        list(node.items())
        if isinstance(node, dict)
        else list(enumerate(node))
        if isinstance(node, list)
        else []
    ):
        yield node, key
        yield from _places(value)


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


ANY: list[Mutation] = [cut, flip, repeat, remove, insert, enlarge]


def mutations(format: str) -> list[Mutation]:
    return [*ANY, spoil_json, spoil_json, spoil_json] if format in JSON else ANY


def use(root: Path, format: str) -> list[str]:
    """List the set, look at every image as the check does, and read it as a training does. Only
    errors of the readers are caught."""
    try:
        data = Folder(root, format, others="ignore")
    except ValueError as error:
        return [str(error)]
    problems = list(data.problems)
    for index in range(len(data)):
        data.read_files(index, problems)
        try:
            evidence, truth = data.sample(index)
        except FormatError as error:
            problems.append(error)
        else:
            evidence.check(len(data.classes))
            evidence.check_truth(truth, len(data.classes))
    return [str(problem) for problem in problems]


@pytest.fixture(autouse=True)
def memory() -> Any:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < LARGEST, f"{grown / 2**20:.0f} MB more"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("format", FORMATS)
def test_a_mutant_is_read_or_named(format: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(FORMATS.index(format))
    files = write_set(tmp_path, format) + [
        path for path in (tmp_path / "data.yaml", tmp_path / "labelmap.txt") if path.is_file()
    ]
    files = [path for path in files if path.stat().st_size]
    whole = {path: path.read_bytes() for path in files}
    ways = mutations(format)
    for number in range(MUTANTS):
        path = files[rng.integers(len(files))]
        path.write_bytes(ways[number % len(ways)](whole[path], rng))
        start = time.monotonic()
        lines = use(tmp_path, format)
        assert time.monotonic() - start < LONGEST, path.read_bytes()[:500]
        for line in lines:
            assert str(tmp_path) in line
            assert "\n" not in line
            assert "\x1b" not in line
            assert len(line) < 4000
        path.write_bytes(whole[path])
    assert use(tmp_path, format) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    sorted(path.name for path in REAL.iterdir() if path.is_dir() and not path.name.startswith("_")),
)
def test_mutants_of_real_files(name: str, tmp_path: Path) -> None:
    """Files of real tools have fields that ours have not."""
    ending = name.rpartition("_")[2]
    other_words = {
        "voc": "voc_xml",
        "segmentation": "mask_png",
        "json": "label_studio",
        "ultralytics": "yolo",
    }
    format = other_words.get(ending, ending)
    rng = np.random.default_rng(len(name))
    files = [path for path in sorted((REAL / name).rglob("*")) if path.is_file()]
    for path in files:
        (tmp_path / path.relative_to(REAL / name)).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path.relative_to(REAL / name)).write_bytes(path.read_bytes())
    listed = (REAL / name / "images.lst").read_text().split() or [
        f"images/img_{number}.png" for number in range(4)
    ]
    for image in listed:
        photo(tmp_path / image, 0, 32, 24)
    for number in range(12):
        path = tmp_path / files[rng.integers(len(files))].relative_to(REAL / name)
        before = path.read_bytes()
        if before:
            path.write_bytes(mutations(format)[number % len(mutations(format))](before, rng))
        assert all(str(tmp_path) in line for line in use(tmp_path, format))
        path.write_bytes(before)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clicks", "scribbles", "label map"])
def test_mutants_of_files_that_other_data_sets_have(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    contents: dict[str, tuple[str, Callable[..., Any]]] = {
        "clicks": (
            json.dumps({"2007_000001": [{"x": 4.5, "y": 3.2, "cls": 1}]}),
            lambda path: clicks.read(path, ["background", "cat"]),
        ),
        "scribbles": (
            "<annotation><size><width>12</width><height>10</height></size><polygon><tag>cat</tag>"
            "<point><X>1</X><Y>2</Y></point><point><X>3</X><Y>4</Y></point></polygon></annotation>",
            scribblesup.read,
        ),
        "label map": (
            "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\n",
            labelmap.read,
        ),
    }
    content, read = contents[kind]
    path = tmp_path / "file"
    for number in range(30):
        ways = [*ANY, spoil_json] if kind == "clicks" else ANY
        path.write_bytes(ways[number % len(ways)](content.encode(), rng))
        problems: list[FormatError] = []
        with noting(problems):
            read(path)
        assert all(str(path) in str(problem) for problem in problems)


def header_only(width: int, height: int) -> bytes:
    """A PNG of this size without pixels."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    parts = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("suffix", ["png", "bmp", "jp2", "avif", "gif", "ppm", "tif"])
def test_a_bomb_of_an_image_is_refused_by_its_header(suffix: str, tmp_path: Path) -> None:
    """Headers that say 60000 by 60000, written into small whole files."""
    if suffix == "avif" and "AVIF" not in PHOTOS:
        pytest.skip("this version of Pillow does not read AVIF")
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        path.write_bytes(header_only(60_000, 60_000))
    elif suffix == "ppm":
        path.write_bytes(b"P6 60000 60000 255\n")
    else:
        Image.new("RGB", (258, 514)).save(path)
        data = path.read_bytes()
        for order in ("<", ">"):
            for size in ("H", "I"):
                huge = struct.pack(order + size, 60_000)
                data = data.replace(struct.pack(order + size, 258), huge).replace(
                    struct.pack(order + size, 514), huge
                )
        path.write_bytes(data)
    for read in (read_image, read_mask, image_size):
        with pytest.raises(FormatError, match=f"a.{suffix}: the image should be"):
            read(path)


XML_BOMBS = {
    "entities": (
        "<!DOCTYPE a [<!ENTITY b 'haha'><!ENTITY c "
        "'&b;&b;&b;&b;&b;&b;&b;&b;'>]><annotation>&c;</annotation>"
    ),
    "one long entity": (
        f"<!DOCTYPE a [<!ENTITY b '{'x' * 100_000}'>]><annotation>{'&b;' * 10_000}</annotation>"
    ),
    "a file": "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///dev/zero'>]><annotation>&b;</annotation>",
    "depth": "<annotation>" + "<object>" * 100_000,
    "depth, closed": "<annotation>"
    + "<object>" * 100_000
    + "</object>" * 100_000
    + "</annotation>",
    "attributes": "<annotation " + " ".join(f'a{number}="1"' for number in range(50_000)) + ">",
}


@pytest.mark.slow
@pytest.mark.parametrize("bomb", XML_BOMBS)
@pytest.mark.parametrize("format", ["voc_xml", "cvat"])
def test_a_bomb_of_xml_is_named(format: str, bomb: str, tmp_path: Path) -> None:
    path = write_set(tmp_path, format)[0]
    path.write_text(
        XML_BOMBS[bomb].replace(
            "annotation>", "annotations>" if format == "cvat" else "annotation>"
        )
    )
    start = time.monotonic()
    lines = use(tmp_path, format)
    assert time.monotonic() - start < LONGEST
    assert any(str(path) in line for line in lines)


def test_a_bomb_of_yaml_is_named(tmp_path: Path) -> None:
    write_set(tmp_path, "yolo")
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{two}: &{two} [{f'*{one}, ' * 9}]"
        for one, two in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    for content in (
        "\n".join([*lines, "names: *i"]),
        "names: " + "[" * 100_000,
        "- " * 50_000,
        "names: &a [*a]",
        "x" * 10**6,
    ):
        path = text(tmp_path / "data.yaml", content)
        start = time.monotonic()
        assert str(path) in use(tmp_path, "yolo")[0]
        assert time.monotonic() - start < LONGEST


MASKS: dict[str, tuple[str, Any]] = {
    "coco": ("coco", {"segmentation": {"size": [60_000, 60_000], "counts": [0, 60_000 * 60_000]}}),
    "coco string": (
        "coco",
        {"segmentation": {"size": [10, 12], "counts": "oooooooooooooooo" * 1000}},
    ),
    "labelme": ("labelme", {"shape_type": "mask", "points": [[0, 0], [9000, 9000]], "mask": ""}),
    "label studio": ("label_studio", {"rle": [214, 147, 164, 0, 57, 35, 243, 255] * 4}),
    "datumaro": (
        "datumaro",
        {"type": "mask", "rle": {"size": [9000, 9000], "counts": [0, 81_000_000]}},
    ),
}


@pytest.mark.parametrize("bomb", MASKS)
def test_a_bomb_of_a_mask_is_named(bomb: str, tmp_path: Path) -> None:
    format, fields = MASKS[bomb]
    path = write_set(tmp_path, format)[0]
    top = json.loads(path.read_text())
    if format == "coco":
        top["annotations"][0] |= fields
    elif format == "datumaro":
        top["items"][0]["annotations"][0] |= fields
    elif format == "labelme":
        top["shapes"][0] |= fields | {
            "mask": base64.b64encode(header_only(60_000, 60_000)).decode()
        }
    else:
        result = top[0]["annotations"][0]["result"][0]
        result["value"] = {"format": "rle", "brushlabels": ["dog"], **fields}
        result |= {"type": "brushlabels", "original_width": 9000, "original_height": 9000}
    path.write_text(json.dumps(top))
    start = time.monotonic()
    lines = use(tmp_path, format)
    assert time.monotonic() - start < LONGEST
    assert any(str(path) in line for line in lines)
