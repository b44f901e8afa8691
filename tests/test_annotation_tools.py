"""The page on annotation tools: its commands run one after the other, and its tables are right."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from tests.data.written import photos, toy_photos, varied
from weakseg.data.files.folder import Folder, Format
from weakseg.data.formats.writing.formats import FORMATS, write_labels

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "how-to" / "annotation-tools.md").read_text()
REFERENCE = (ROOT / "docs" / "reference" / "formats.md").read_text()

NETWORK = ["network=tests.small.TinyNet", "rounds.workers=0"]
SMALL = {
    "label": NETWORK,
    "fit": [
        *NETWORK,
        "data.batch_size=2",
        "data.val_share=0.2",  # so few images would all be trained on
        "trainer.max_steps=2",
        "trainer.accelerator=cpu",
        "trainer.enable_progress_bar=false",
    ],
    "predict": ["device=cpu", "workers=1"],
    "check": ["cost=false"],
}


def commands() -> list[tuple[str, list[str]]]:
    """Verb and words of each command of weakseg on the page, in its order."""
    blocks = "\n".join(re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)).replace("\\\n", " ")
    found = re.findall(r"^python -m weakseg\.(\w+) (.*)$", blocks, re.MULTILINE)
    return [(verb, shlex.split(words)) for verb, words in found]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which all commands of the page have run."""
    folder = tmp_path_factory.mktemp("page")
    toy_photos(folder / "photos", count=6, size=48)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for verb, words in commands():
            importlib.import_module(f"weakseg.{verb}").main([*words, *SMALL[verb]])
        yield folder


@pytest.mark.filterwarnings("ignore:in epoch")  # two steps find nothing
def test_the_commands_of_the_page_go_out_and_back(done: Path) -> None:
    verbs = [verb for verb, _ in commands()]
    assert verbs == ["label", "fit", "predict", "check", "fit", "label"]
    expected = [
        "labels/cvat.xml",
        "labels/cvat_labels.json",
        "labels/north/000.png",
        "masks/label_studio.json",
        "masks/label_studio.xml",
        "masks/south/001.png",
        "corrected/voc/SegmentationClass/north/000.png",
        "runs/boxes/latest/checkpoints/best.ckpt",
        "runs/full/latest/report.html",
    ]
    assert [name for name in expected if not (done / name).is_file()] == []


@pytest.mark.filterwarnings("ignore:in epoch")
def test_what_came_back_is_what_went_out(done: Path) -> None:
    out = {path.relative_to(done / "labels"): path for path in done.glob("labels/*/*.png")}
    assert len(out) == 6
    for name, path in out.items():
        assert (done / "corrected" / name).read_bytes() == path.read_bytes()


def rows(text: str, heading: str) -> list[str]:
    """The first cells of the table under a heading."""
    part = text[text.index(f"\n## {heading}\n") :]
    table = re.search(r"(?:^\|.*\n)+", part, re.MULTILINE)
    assert table is not None
    return re.findall(r"^\| `(\w+)` \|", table[0], re.MULTILINE)


def test_both_pages_list_every_format_that_is_written() -> None:
    assert tuple(rows(PAGE, "Out")) == FORMATS
    assert tuple(rows(REFERENCE, "Files that are written")) == FORMATS


def test_the_readers_of_the_page_are_there() -> None:
    named = set(re.findall(r"data\.format=(\w+)", PAGE))
    assert named <= set(get_args(Format))
    assert {"cvat", "datumaro", "coco", "label_studio", "labelme", "mask_png"} <= named


def test_the_files_of_the_table_are_those_that_are_written(tmp_path: Path) -> None:
    images = [varied(("background", "cat", "dog"))[0]]
    lines = re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE, re.MULTILINE)
    for format, cell in lines:
        write_labels(format, images, ("background", "cat", "dog"), tmp_path / format)
        named = re.findall(r"`([\w/]+\.\w+)`", cell.replace("north/022", "a"))
        assert named
        assert [name for name in named if not (tmp_path / format / name).is_file()] == []


def test_a_list_of_paths_from_elsewhere_chooses_the_images_to_train_on(tmp_path: Path) -> None:
    """As FiftyOne's samples have them."""
    images = varied(("background", "cat", "dog"))[:3]
    photos(tmp_path / "photos" / "images", images)
    write_labels("coco", images, ("background", "cat", "dog"), tmp_path / "out")
    chosen = [tmp_path / "photos" / "images" / image.name for image in images[:2]]
    (tmp_path / "photos" / "good.txt").write_text("".join(f"{path}\n" for path in chosen))
    data = Folder(
        tmp_path / "photos",
        "coco",
        annotations=str(tmp_path / "out" / "coco.json"),
        train="good.txt",
        evidence="masks",
        whole=True,
    )
    trained = [entry.id for entry in data.entries]
    assert sorted(trained) == sorted(image.name for image in images[:2])
