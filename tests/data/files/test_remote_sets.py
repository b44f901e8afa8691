"""Data sets at URLs are what they are on this machine: the same images, evidence and truth."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch

from tests.data.layouts import cityscapes, coco, indexed, outlined, photo, square, voc
from tests.data.sets import FORMATS, write_set
from tests.remote_places import to_memory, web_server
from weakseg.config.schema import validate
from weakseg.data.files.cityscapes import Cityscapes
from weakseg.data.files.coco import Coco
from weakseg.data.files.folder import Folder
from weakseg.data.files.photos import Photos
from weakseg.data.files.recognition import recognise
from weakseg.data.files.voc import VOC
from weakseg.data.formats import opening
from weakseg.data.formats.base import FormatError
from weakseg.utils import store_errors
from weakseg.utils.remote_path import as_path, forget_listings

OBJECTS = [outlined(0, 18, 2, 1, 6, 6), outlined(1, 5, 0, 0, 4, 4)]
ODD = ("a b", "a%20b", "a#b", "a?b", "ä 犬", "a&b")
MEMORY = "memory://bucket/my set"


@pytest.fixture(autouse=True)
def _empty_memory(monkeypatch: Any) -> Iterator[None]:
    monkeypatch.setattr(store_errors, "WAITS", [])
    monkeypatch.setattr(opening, "MOMENT", 0.0)
    yield
    forget_listings()
    fsspec.filesystem("memory").store.clear()


def same(there: Photos, here: Photos) -> None:
    """Both have the same to say of every image."""
    assert there.classes == here.classes
    assert [entry.id for entry in there.entries] == [entry.id for entry in here.entries]
    assert list(there.validation) == list(here.validation)
    assert len(there.problems) == len(here.problems)
    # loader processes get it like that
    there = pickle.loads(pickle.dumps(there))
    for index in range(len(here)):
        for one, other in zip(there.sample(index), here.sample(index), strict=True):
            assert repr(one) == repr(other)
        assert str(there.image_file(index)).startswith(("memory://", "http://"))


@pytest.mark.parametrize("format", FORMATS)
def test_folders_of_every_format(tmp_path: Path, format: str) -> None:
    write_set(tmp_path, format)
    options: Any = {"format": format, "classes": ["cat", "dog"]}
    here = Folder(tmp_path, **options)
    same(Folder(to_memory(tmp_path, MEMORY), **options), here)  # type: ignore[arg-type]
    with web_server(tmp_path) as server:
        there = Folder(server.url, **options)
        same(there, here)
        values = {"root": MEMORY, "classes": ["cat", "dog"]}
        assert recognise(values) == recognise({**values, "root": str(tmp_path)})


def test_voc_coco_and_cityscapes(tmp_path: Path) -> None:
    for evidence in ("masks", "boxes", "points", "tags"):
        options: Any = {"evidence": evidence}
        here = VOC(voc(tmp_path / evidence), **options)
        same(VOC(to_memory(tmp_path / evidence, f"memory://{evidence}"), **options), here)  # type: ignore[arg-type]
    coco(tmp_path / "coco", "val2017", [outlined(0, 18, 1, 1, 2, 2)], images=1)
    coco(tmp_path / "coco", "train2017", OBJECTS)
    same(Coco(to_memory(tmp_path / "coco", "memory://coco")), Coco(tmp_path / "coco"))  # type: ignore[arg-type]
    cityscapes(tmp_path / "city")
    options = {"evidence": "boxes", "classes_used": ["person", "car"], "others": "background"}
    there = Cityscapes(to_memory(tmp_path / "city", "memory://city"), **options)  # type: ignore[arg-type]
    same(there, Cityscapes(tmp_path / "city", **options))


def _odd_set(root: Path) -> Path:
    for number, name in enumerate(ODD):
        for folder in ("one", "two two"):  # the same name in both
            photo(root / "images" / folder / f"{name}.jpg", number)
            indexed(root / "masks" / folder / f"{name}.png", square(1))
    (root / "train.txt").write_text("\n".join(f"one/{name}.jpg" for name in ODD))
    (root / "val.txt").write_text("\n".join(f"two two/{name}.jpg" for name in ODD))
    return root


@pytest.mark.parametrize("where", ["memory", "http"])
def test_odd_names_and_the_same_name_in_two_folders(tmp_path: Path, where: str) -> None:
    options: Any = {
        "format": "mask_png",
        "classes": ["cat"],
        "annotations": "masks",
        "train": "train.txt",
        "val": "val.txt",
    }
    here = Folder(_odd_set(tmp_path), **options)
    with web_server(tmp_path) as server:
        root = server.url if where == "http" else to_memory(tmp_path, MEMORY)
        there = Folder(root, **options)
        same(there, here)
        assert there.id_of(0) == f"one/{ODD[0]}.jpg"
        assert len(there) == 2 * len(ODD)


def test_parts_of_a_data_set_may_be_in_different_places(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(opening, "MOMENT", 1e9)
    _odd_set(tmp_path)
    options: Any = {"format": "mask_png", "classes": ["cat"], "val_share": 0.5}
    here = Folder(tmp_path, annotations="masks", **options)
    images = to_memory(tmp_path / "images", "memory://photos")
    elsewhere = Folder(tmp_path, images=images, annotations="masks", **options)
    assert [str(entry.image) for entry in elsewhere.entries][:1] == [
        f"memory://photos/{here.entries[0].id}"
    ]
    assert repr(elsewhere.sample(3)) == repr(here.sample(3))
    with web_server(tmp_path / "masks") as server:
        both = Folder(images, images=images, annotations=server.url, **options)  # type: ignore[arg-type]
        assert not [path for path in server.asked if path.endswith(".png")]
        same(both, here)
        # once as annotation and truth
        assert len([path for path in server.asked if path.endswith(".png")]) == len(here)
        # images that are there, and annotations of this machine
        local = Folder(images, images=images, annotations=str(tmp_path / "masks"), **options)  # type: ignore[arg-type]
        same(local, here)


def test_a_data_set_is_listed_once_and_its_files_are_not_asked_for(tmp_path: Path) -> None:
    write_set(tmp_path, "mask_png")
    with web_server(tmp_path) as server:
        Folder(server.url, format="mask_png", masks="annotations")  # type: ignore[arg-type]
        assert sorted(server.asked) == ["/", "/annotations/", "/images/", "/labelmap.txt"]


def test_a_new_image_is_seen_by_the_next_data_set(tmp_path: Path) -> None:
    write_set(tmp_path, "csv")
    to_memory(tmp_path, MEMORY)
    assert len(Folder(MEMORY, format="csv")) == 5  # type: ignore[arg-type]
    photo(tmp_path / "images/9.jpg", 9)
    with (
        (tmp_path / "annotations/annotations.csv").open("a")
        if (tmp_path / "annotations/annotations.csv").exists()
        else next(tmp_path.rglob("*.csv")).open("a") as file
    ):
        file.write("")
    to_memory(tmp_path, MEMORY)
    assert len(Folder(MEMORY, format="csv").pictures.names) == 6  # type: ignore[arg-type]


def test_urls_in_a_recipe_stay_urls() -> None:
    given = {"root": "memory://bucket/my set", "pseudo": "https://me:pw@host/labels"}
    read = validate(Folder, given)
    assert [str(read[name]) for name in given] == list(given.values())


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="root should be a folder, but there is nothing below mem"):
        Folder("memory://nothing")  # type: ignore[arg-type]
    write_set(tmp_path, "csv")
    to_memory(tmp_path, MEMORY)
    with pytest.raises(ValueError, match=r"root should be a folder, but .*0.jpg is a file"):
        Folder(f"{MEMORY}/images/0.jpg")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"there should be a folder of images at mem.*/pictures"):
        Folder(MEMORY, format="csv", images="pictures")  # type: ignore[arg-type]
    with web_server(tmp_path) as server:
        server.answers["/"] = lambda handler: handler.send_error(403)
        with pytest.raises(ValueError, match=r"it may not be listed.*pages of links"):
            Folder(server.url, format="csv")
        url = server.url
    with pytest.raises(ValueError, match=r"root should be.*is the server there"):
        Folder(url, format="csv")


def test_an_image_that_vanishes_is_named(tmp_path: Path) -> None:
    write_set(tmp_path, "csv")
    data = Folder(to_memory(tmp_path, MEMORY), format="csv")  # type: ignore[arg-type]
    as_path(f"{MEMORY}/images/{data.id_of(0)}").unlink()
    with pytest.raises(FormatError, match=r"images/.*jpg: the image should be there, .* missing"):
        data.sample(0)
    with web_server(tmp_path) as server:
        data = Folder(server.url, format="csv")
        server.answers[f"/images/{data.id_of(0)}"] = lambda handler: handler.send_error(403)
        with pytest.raises(FormatError, match=r"jpg: the image should be readable, .* credentials"):
            data.sample(0)


def test_images_without_annotation_at_a_url(tmp_path: Path) -> None:
    write_set(tmp_path / "set", "csv")
    photo(tmp_path / "more/sub dir/x.jpg", 7)
    root = to_memory(tmp_path / "more", "memory://more")
    data = Folder(tmp_path / "set", format="csv", unlabelled=root)  # type: ignore[arg-type]
    assert data.unlabelled_images is not None
    assert data.unlabelled_images.ids == ["more/sub dir/x.jpg"]
    here = Folder(tmp_path / "set", format="csv", unlabelled=tmp_path / "more")
    assert torch.equal(data.unlabelled_evidence(0).image, here.unlabelled_evidence(0).image)
    nothing = Folder(tmp_path / "set", format="csv", unlabelled="memory://nothing")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no folder memory://nothing"):
        assert nothing.unlabelled_images


def test_a_changed_file_is_known_by_what_the_store_tells_of_it(tmp_path: Path) -> None:
    """So that the next start need not read the others."""
    write_set(tmp_path, "voc_xml")
    to_memory(tmp_path, MEMORY)

    def keys() -> list[str | None]:
        data = Folder(MEMORY, format="voc_xml", classes=["cat", "dog"])  # type: ignore[arg-type]
        return [data.content_key(index) for index in range(len(data))]

    before = keys()
    assert None not in before
    assert len(set(before)) == len(before)
    assert keys() == before
    first = Folder(MEMORY, format="voc_xml", classes=["cat", "dog"])  # type: ignore[arg-type]
    photo(tmp_path / "images" / first.id_of(0), 99)
    as_path(f"{MEMORY}/images/{first.id_of(0)}").write_bytes(
        (tmp_path / "images" / first.id_of(0)).read_bytes()
    )
    after = keys()
    assert after[0] != before[0]
    assert after[1:] == before[1:]
    with web_server(tmp_path) as server:  # whose lists tell names alone
        assert Folder(server.url, format="voc_xml").content_key(0) is None
