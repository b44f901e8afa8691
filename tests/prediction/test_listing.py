"""Which images a folder, a file, a list or a glob means, and what they are called."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from tests.remote_places import to_memory, web_server
from weakseg.prediction.listing import find_images
from weakseg.utils.remote_path import as_path


@pytest.fixture(autouse=True)
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.JPG", "a.png", "sub/c.tiff", "sub/deep/d.webp", "[e].bmp"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).touch()
    for name in ("notes.txt", ".hidden.png", ".cache/x.png", "a.json", "sub/c.txt"):
        (tmp_path / "photos" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "photos" / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


ALL = ["[e].bmp", "a.png", "b.JPG", "sub/c.tiff", "sub/deep/d.webp"]
GIVEN = {
    "photos": ALL,
    "photos/": ALL,
    "./photos/../photos": ALL,
    "photos/a.png": ["a.png"],
    "photos/[e].bmp": ["[e].bmp"],
    "photos/*.*": ["[e].bmp", "a.png", "b.JPG"],
    "photos/**/*.tiff": ["sub/c.tiff"],
    "photos/sub/**": ["c.tiff", "deep/d.webp"],
    "*/sub/*": ["photos/sub/c.tiff"],
}


@pytest.mark.parametrize("given", GIVEN)
def test_images_and_their_names(given: str, photos: Path) -> None:
    for place in (given, str(photos.parent / given)):
        found = find_images(place)
        assert sorted(found.files) == GIVEN[given]
        assert all(file.is_file() for file in found.files.values())


def test_a_loop_of_links_does_not_multiply_images(photos: Path) -> None:
    (photos / "sub" / "loop").symlink_to(photos, target_is_directory=True)
    (photos / "again.png").symlink_to("a.png")  # an image by another name is one of its own
    once = sorted([*ALL, "again.png"])
    assert sorted(find_images(photos).files) == once
    assert sorted(find_images("photos/**/*.*").files) == once
    assert sorted(find_images("photos/**").files) == once


def test_several_are_called_by_the_folder_that_they_have_in_common(photos: Path) -> None:
    found = find_images(["photos/sub/c.tiff", photos / "a.png"])
    assert list(found.files) == ["a.png", "sub/c.tiff"]
    assert list(find_images(["photos"]).files) == ALL
    assert list(find_images(["photos/sub", "photos/a.png"]).files) == [
        "a.png",
        "sub/c.tiff",
        "sub/deep/d.webp",
    ]


def test_a_list_has_a_path_on_each_line(photos: Path) -> None:
    lines = ["photos/a.png", "", f"  {photos / 'sub' / 'c.tiff'}  ", "photos/no.png"]
    Path("list.txt").write_text("\n".join(lines), encoding="utf-8-sig")
    # one that is missing is named when it is to be read
    assert list(find_images("list.txt").files) == ["a.png", "no.png", "sub/c.tiff"]
    (photos / "beside.txt").write_text("a.png\nsub/deep/d.webp\n")
    assert list(find_images("photos/beside.txt").files) == ["a.png", "sub/deep/d.webp"]


def test_links_are_followed_and_no_folder_twice(photos: Path) -> None:
    other = photos.parent / "other"
    other.mkdir()
    (other / "f.gif").touch()
    (photos / "linked").symlink_to(other)
    (photos / "sub" / "up").symlink_to(photos)
    (photos / "broken.png").symlink_to("nowhere.png")
    assert list(find_images("photos").files) == sorted([*ALL, "broken.png", "linked/f.gif"])


WRONG = {
    "photoss": "images: there is no photoss; did you mean photos?",
    "photos/sub/c.txt": "images: there is no image in photos/sub/c.txt",
    "photos/*.gif": "images: there is no image that matches photos/*.gif",
    "empty": "images: there is no image in empty, that is, no file that ends in one of .apng, ",
    "/dev/null": "images: expected a folder, a file or a glob, but /dev/null is none of them",
}


@pytest.mark.parametrize("given", WRONG)
def test_no_image(given: str) -> None:
    Path("empty").mkdir()
    with pytest.raises(ValueError, match="images: ") as caught:
        find_images(given)
    assert str(caught.value).startswith(WRONG[given])


def test_an_empty_list() -> None:
    with pytest.raises(ValueError, match="images: there is no image in an empty list"):
        find_images([])


def test_torch_is_not_needed() -> None:
    code = "import sys, weakseg.prediction.listing; print('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_a_list_that_is_no_text_is_named(photos: Path) -> None:
    (photos.parent / "list.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"images: list\.txt should be a text file in UTF-8"):
        find_images("list.txt")


# at URLs -----------------------------------------------------------------------------------------

ODD = ("a b.jpg", "a%20b.jpg", "a#b.jpg", "a?b.jpg", "ä 犬.png")


@pytest.fixture
def urls(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The same folder in memory and behind a web server."""
    for name in (*ODD, "sub dir/a b.png", "sub dir/notes.txt", ".hidden/x.jpg", ".y.jpg"):
        (tmp_path / "odd" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "odd" / name).write_bytes(b"")
    with web_server(tmp_path / "odd") as server:
        yield {"memory": to_memory(tmp_path / "odd", "memory://photos"), "http": server.url}
    fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize("where", ["memory", "http"])
def test_urls_mean_what_folders_and_globs_mean(
    urls: dict[str, str], tmp_path: Path, where: str
) -> None:
    url = urls[where]
    for ending in ("", "/*.jpg", "/**/*.png", "/sub dir/a b.png", "/*/*"):
        here = find_images(f"{tmp_path}/odd{ending}")
        there = find_images(f"{url}{ending}")
        assert list(there.files) == list(here.files)
        assert all(str(file).startswith(url) for file in there.files.values())
        assert there.folder / next(iter(there.files)) == next(iter(there.files.values()))
    both = find_images([f"{url}/a%2520b.jpg" if where == "http" else f"{url}/a%20b.jpg", url])
    assert "a%20b.jpg" in both.files
    with pytest.raises(ValueError, match=r"there is no image at .*none"):
        find_images(f"{url}/none")
    with pytest.raises(ValueError, match=r"there is no image at .*gif"):
        find_images(f"{url}/*.gif")


def test_a_list_of_urls(urls: dict[str, str], tmp_path: Path) -> None:
    lines = [f"{urls['memory']}/a#b.jpg", f"{urls['memory']}/sub dir/a b.png"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    found = find_images(tmp_path / "list.txt")
    assert list(found.files) == ["a#b.jpg", "sub dir/a b.png"]
    as_path("memory://photos/list.txt").write_text("sub dir/a b.png\na#b.jpg\n")
    found = find_images("memory://photos/list.txt")
    assert list(map(str, found.files.values())) == lines
    mixed = [*lines, str(tmp_path / "odd/a b.jpg")]
    (tmp_path / "list.txt").write_text("\n".join(mixed))
    with pytest.raises(ValueError, match="expected all of them on this machine, or at URLs"):
        find_images(tmp_path / "list.txt")
