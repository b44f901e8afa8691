"""Paths that are URLs: the same methods as those of this machine, and the same names."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path, PosixPath
from typing import Any

import fsspec
import pytest

from tests.remote_places import from_memory, to_memory, web_server
from weakseg.utils import object_store, store_errors
from weakseg.utils.remote_path import (
    RemotePath,
    as_path,
    forget_listings,
    is_url,
    list_once,
    named_in,
    version_of,
)

ODD = ["a b.txt", "a%20b.txt", "a#b.txt", "a?b.txt", "ä 犬.txt", "a&b=c+d.txt", "quo'te\".txt"]


@pytest.fixture(autouse=True)
def _empty_memory() -> Iterator[None]:
    yield
    forget_listings()
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ["top.txt", *(f"sub folder/{name}" for name in ODD), "other/deep/er/a.png"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.fixture(params=["memory", "http"])
def place(request: Any, folder: Path) -> Iterator[Path]:
    if request.param == "memory":
        yield as_path(to_memory(folder, "memory://bucket/set"))
    else:
        with web_server(folder) as server:
            yield as_path(server.url)


def test_a_path_of_this_machine_stays_what_it_is() -> None:
    for given in ("photos", "/photos/a.jpg", "a:b/c", "C:/photos", "x://"[:2], Path("photos")):
        assert type(as_path(given)) is PosixPath
        assert as_path(given) == Path(given)
    assert as_path("file:///photos/a%20b") == Path("/photos/a b")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("s3://bucket/a b/%20#?.jpg", "s3://bucket/a b/%20#?.jpg"),
        (Path("memory://bucket/a"), "memory://bucket/a"),  # of which Path has made memory:/
        ("https://host:80/a%20b/c", "https://host:80/a%20b/c"),
        ("https://host/a b#c", "https://host/a%20b%23c"),
        ("https://me:pw@host/a?token=x/y%3D", "https://me:pw@host/a?token=x/y%3D"),
        ("filecache::memory://bucket/a", "filecache::memory://bucket/a"),
        ("HTTPS://Host/a", "https://Host/a"),
    ],
)
def test_a_url_stays_what_it_is(monkeypatch: Any, given: Any, text: str) -> None:
    monkeypatch.setattr(object_store, "expect_protocol", lambda *_: None)
    path = as_path(given)
    assert isinstance(path, RemotePath)
    assert str(path) == path.as_posix() == text
    assert as_path(path) is path
    assert as_path(str(path)) == path == pickle.loads(pickle.dumps(path))
    assert as_path(Path(path)) == path


def test_paths_are_joined_and_taken_apart_as_others(monkeypatch: Any) -> None:
    monkeypatch.setattr(object_store, "expect_protocol", lambda *_: None)
    root = as_path("https://host/data?token=abc")
    image = root / "sub/a#1.jpg"
    assert str(image) == "https://host/data/sub/a%231.jpg?token=abc"
    assert (image.name, image.stem, image.suffix) == ("a#1.jpg", "a#1", ".jpg")
    assert image.parent == root / "sub"
    assert image.parents[1] == root
    assert str(image.with_suffix(".png")) == "https://host/data/sub/a%231.png?token=abc"
    assert image.relative_to(root).as_posix() == "sub/a#1.jpg"
    assert image.is_relative_to(root)
    assert not root.is_relative_to(image)
    assert root.joinpath("sub", "a#1.jpg") == image
    assert root / "/photos" == Path("/photos")
    assert (root / "x/../../y").resolve() == as_path("https://host/y?token=abc")
    assert sorted([image, root]) == [root, image]
    assert {root: 1}[as_path("https://host/data?token=abc")] == 1
    assert root != Path(root)
    assert named_in(Path("photos"), "s3://b/masks") == as_path("s3://b/masks")
    assert named_in(Path("photos"), "masks") == Path("photos/masks")
    with pytest.raises(ValueError, match="is not below"):
        root.relative_to(image)


def test_messages_hide_users_and_tokens(monkeypatch: Any) -> None:
    monkeypatch.setattr(object_store, "expect_protocol", lambda *_: None)
    path = as_path("https://me:hunter2@host/a?token=abcdef")
    assert f"{path}" == "https://***@host/a?token=***"
    assert "hunter2" not in repr(path)
    assert "abcdef" not in repr(path)


def test_what_needs_a_file_of_this_machine_says_so() -> None:
    with pytest.raises(TypeError, match="memory://a is not on this machine"):
        os.fspath(as_path("memory://a"))
    with pytest.raises(TypeError, match="copy it here first"):
        as_path("memory://a").chmod(0o600)


def test_everything_that_is_there_is_found(place: Path, folder: Path) -> None:
    for listed in (False, True):
        if listed:
            list_once(place)
        here = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        assert sorted(path.relative_to(place).as_posix() for path in place.rglob("*")) == here
        assert sorted(path.name for path in place.iterdir()) == ["other", "sub folder", "top.txt"]
        for pattern in ("*.txt", "*/*.txt", "**/*.png", "sub folder/a?b.txt", "other/**"):
            here = sorted(path.relative_to(folder).as_posix() for path in folder.glob(pattern))
            there = sorted(path.relative_to(place).as_posix() for path in place.glob(pattern))
            assert [name for name in there if name != "other"] == [
                name for name in here if name != "other"
            ] or pattern == "other/**"
        for name in ODD:
            file = place / "sub folder" / name
            assert file.is_file()
            assert file.exists()
            assert not file.is_dir()
            assert file.read_text() == f"sub folder/{name}"
            with file.open("rb") as opened:
                assert opened.read() == f"sub folder/{name}".encode()
        assert (place / "other/deep").is_dir()
        assert not (place / "other/deep").is_file()
        assert not (place / "none").exists()
        with pytest.raises(FileNotFoundError, match="there is no such file"):
            (place / "none").read_bytes()


def test_a_folder_is_listed_once(folder: Path) -> None:
    with web_server(folder) as server:
        place = as_path(server.url)
        list_once(place)
        asked = list(server.asked)
        assert sorted(asked) == [
            "/", "/other/", "/other/deep/", "/other/deep/er/", "/sub%20folder/"
        ]  # fmt: skip
        assert all(path.is_file() or path.is_dir() for path in place.rglob("*"))
        assert not (place / "none").is_file()
        assert server.asked == asked


def test_a_file_is_written_and_deleted_and_known(folder: Path) -> None:
    place = as_path("memory://bucket/out")
    list_once(place, new=True)
    (place / "sub").mkdir(parents=True, exist_ok=True)
    (place / "sub/a.txt").write_text("ä")
    assert from_memory("memory://bucket/out") == {"sub/a.txt": "ä".encode()}
    assert (place / "sub/a.txt").is_file()
    assert (place / "sub").is_dir()
    assert (place / "sub/a.txt").stat().st_size == 2
    (place / "sub/a.txt").unlink()
    assert not (place / "sub/a.txt").exists()
    with pytest.raises(FileNotFoundError):
        (place / "sub/a.txt").unlink()
    (place / "sub/a.txt").unlink(missing_ok=True)
    with pytest.raises(OSError, match="only be read, or written as a whole"):
        (place / "b.txt").open("ab")


def test_the_version_of_a_file_changes_with_it() -> None:
    path = as_path("memory://bucket/a.txt")
    path.write_bytes(b"one")
    first = version_of(path)  # type: ignore[arg-type]
    assert first
    assert version_of(path) == first  # type: ignore[arg-type]
    path.write_bytes(b"three")
    assert version_of(path) != first  # type: ignore[arg-type]


def test_links_that_lead_elsewhere_are_not_followed(tmp_path: Path) -> None:
    """As servers write them: upwards, in another order, to other servers, as whole paths."""
    page = (
        b'<a href="../">up</a><a href="/">top</a><a href="?C=N;O=D">by name</a>'
        b'<a href="https://elsewhere/x.txt">x</a><a HREF="a&amp;b.txt">a</a>'
        b'<A href="/set/b.txt?size=1">b</A><a href="./c/">c</a><a name="none">'
    )
    deep = b'<a href="../c/">again</a><a href="d.txt">d</a>'

    def answer(content: bytes) -> Any:
        def send(handler: Any) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)

        return send

    with web_server(tmp_path) as server:
        server.answers = {"/set/": answer(page), "/set/c/": answer(deep)}
        names = object_store.list_below(f"{server.url}/set").files
    assert list(names) == ["a&b.txt", "b.txt", "c/d.txt"]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: Any) -> None:
    monkeypatch.setattr(store_errors, "WAITS", [0.0, 0.0])


def _status(number: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Any:
    def send(handler: Any) -> None:
        handler.send_response(number)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return send


def test_what_goes_wrong_is_said_in_one_line_without_secrets(folder: Path) -> None:
    with web_server(folder) as server:
        server.answers = {
            "/no.txt?token=abcdef": _status(403),
            "/cut.txt": _status(200, {"Content-Length": "100"}, b"short"),
            "/bad.txt": _status(500),
        }
        address = server.url.removeprefix("http://")
        with pytest.raises(PermissionError, match=r"may not be read.*credentials") as error:
            as_path(f"http://me:hunter2@{address}/no.txt?token=abcdef").read_bytes()
        assert "hunter2" not in str(error.value)
        assert "abcdef" not in str(error.value)
        for name in ("cut", "bad"):
            server.asked.clear()
            with pytest.raises(OSError, match=f"could not be read.*{name}.txt"):
                as_path(f"{server.url}/{name}.txt").read_bytes()
            assert len(server.asked) == 3
    with pytest.raises(OSError, match="is the server there"):
        as_path(f"{server.url}/top.txt").read_bytes()
    with pytest.raises(OSError, match="web servers are only read from"):
        as_path(f"{server.url}/top.txt").write_bytes(b"")


def test_a_busy_server_is_asked_again(folder: Path) -> None:
    with web_server(folder) as server:

        def first(handler: Any) -> None:
            del server.answers["/top.txt"]
            _status(503)(handler)

        server.answers["/top.txt"] = first
        assert as_path(f"{server.url}/top.txt").read_text() == "top.txt"


def test_a_protocol_that_cannot_be_opened_is_refused(monkeypatch: Any) -> None:
    with pytest.raises(ValueError, match=r"expected a protocol that fsspec knows.* but it is nope"):
        as_path("nope://a/b")
    with pytest.raises(ValueError, match=r"expected one of simplecache.* before ::.* it is zip"):
        as_path("zip::memory://a.zip")

    def missing(_: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    with pytest.raises(ValueError, match=r"needs the package s3fs: pip install s3fs, or.*remote"):
        as_path("s3://bucket/a?token=abc")


def test_a_word_is_a_url_or_none() -> None:
    assert is_url("memory://a")
    assert is_url("memory:/a")
    assert not is_url("nope:/a")
    assert not is_url("a/b://c")


def test_a_cache_keeps_files(folder: Path, tmp_path_factory: Any) -> None:
    kept = tmp_path_factory.mktemp("kept")
    fsspec.config.conf["filecache"] = {"cache_storage": str(kept)}
    try:
        with web_server(folder) as server:
            path = as_path(f"filecache::{server.url}")
            list_once(path)
            assert (path / "sub folder/a#b.txt").read_text() == "sub folder/a#b.txt"
            asked = list(server.asked)
            assert (path / "sub folder/a#b.txt").read_text() == "sub folder/a#b.txt"
            assert server.asked == asked
    finally:
        del fsspec.config.conf["filecache"]


def test_a_file_is_one_request_where_a_store_would_ask_for_its_size_first(
    monkeypatch: Any,
) -> None:
    asked: list[dict[str, Any]] = []

    class Careful:
        async def _cat_file(self, path: str, max_concurrency: int | None = None) -> bytes: ...

        def cat_file(self, path: str, **options: Any) -> bytes:
            asked.append(options)
            return b"whole"

    monkeypatch.setattr(object_store, "_open", lambda url: (Careful(), url))
    assert object_store.read("s3://bucket/a.jpg") == b"whole"
    assert asked == [{"max_concurrency": 1}]
