"""The image of a task comes from one folder or from one server, whatever its address says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.projects import local
from tests.prediction.fakes import save_photo
from weakseg.data.formats.images import read_image
from weakseg.integrations.label_studio.refusals import Refusal
from weakseg.integrations.label_studio.server_files import ServerFiles
from weakseg.integrations.label_studio.task_images import TaskImages

Answers = dict[str, tuple[int, dict[str, str], bytes]]


@contextmanager
def server(answers: Answers) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A server on this machine: its address, and what was asked of it, each with the
    authorization."""
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization", "")))
            code, headers, content = answers.get(self.path, (404, {}, b""))
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, json.loads(body)["refresh"]))
            content = b'{"access": "short.lived.token"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}", asked
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save_photo(tmp_path / "photos" / "north" / "a b.png")


@pytest.mark.parametrize(
    "address",
    [
        "/data/local-files/?d=north/a%20b.png",
        "/data/local-files?d=north/a+b.png",
        "north/a b.png",
        "north/a%20b.png",
        "/data/local-files/?d=/north/a%20b.png",
    ],
)
def test_local_files_are_read_from_the_folder(address: str, photo: Path) -> None:
    read = TaskImages(photo.parents[1]).read(address)
    assert read.equal(read_image(photo))


def test_uploaded_files_are_read_from_label_studios_folder(tmp_path: Path) -> None:
    photo = save_photo(tmp_path / "media" / "upload" / "3" / "1f-a.png")
    read = TaskImages(tmp_path / "media").read("/data/upload/3/1f-a.png")
    assert read.equal(read_image(photo))


@pytest.mark.parametrize(
    "address",
    [
        local("../secret.png"),
        local("%2e%2e/secret.png"),
        local("north/../../secret.png"),
        local("link.png"),
        "/data/upload/../../secret.png",
        "../secret.png",
    ],
)
def test_no_address_leads_out_of_the_folder(address: str, photo: Path) -> None:
    save_photo(photo.parents[2] / "secret.png")
    (photo.parents[1] / "link.png").symlink_to(photo.parents[2] / "secret.png")
    with pytest.raises(Refusal, match="leads out of the folder images="):
        TaskImages(photo.parents[1]).read(address)


def test_an_absolute_path_is_none(photo: Path) -> None:
    for address in (local(str(photo)), str(photo), f"file://{photo}"):
        with pytest.raises(Refusal):
            TaskImages(photo.parents[1]).read(address)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (local("south/b.png"), r"is no file of the folder images= \(.*photos\)"),
        ("https://example.com/b.png", "is none of a local file; url=<address of Label Studio>"),
        ("s3://bucket/b.png", "is none of a local file"),
        ("/etc/passwd", "is none of a local file"),
        (None, "the address of the image should be text, but it is none"),
        ("", "the address of the image should be text"),
        (["a.png"], "the address of the image should be text"),
        ("x" * 5000, "the address of the image should be text"),
        (local("a\0b.png"), "leads out of the folder"),
        (local("notes.txt"), "should be one of JPEG, PNG"),
    ],
)
def test_what_is_wrong_with_an_address_is_one_line(
    address: object, reason: str, photo: Path
) -> None:
    (photo.parents[1] / "notes.txt").write_text("no image")
    with pytest.raises(Refusal, match=reason) as caught:
        TaskImages(photo.parents[1]).read(address)
    assert "\n" not in str(caught.value)


def test_what_is_not_in_the_folder_is_downloaded_from_label_studio(
    photo: Path, tmp_path: Path
) -> None:
    answers: Answers = {"/data/upload/3/x%20%C3%A9.png": (200, {}, photo.read_bytes())}
    with server(answers) as (url, asked):
        images = TaskImages(tmp_path, ServerFiles(url, "0123456789abcdef"))
        for address in ("/data/upload/3/x%20é.png", f"{url}/data/upload/3/x%20%C3%A9.png"):
            assert images.read(address).equal(read_image(photo))
    assert asked == [(next(iter(answers)), "Token 0123456789abcdef")] * 2


def test_a_personal_access_token_is_exchanged_once(photo: Path) -> None:
    answers: Answers = {"/a.png": (200, {}, photo.read_bytes())}
    with server(answers) as (url, asked):
        images = TaskImages(None, ServerFiles(url, "long.lived.token"))
        images.read("/a.png")
        images.read("/a.png")
    bearer = ("/a.png", "Bearer short.lived.token")
    assert asked == [("/api/token/refresh/", "long.lived.token"), bearer, bearer]


@pytest.mark.parametrize(
    "address",
    [
        "http://{other}/a.png",
        "//{other}/a.png",
        "http:\\\\{other}/a.png",
        "http://127.0.0.1:{port}@{other}/a.png",
        "file:///etc/passwd",
        "s3://bucket/a.png",
        "http://[::1/a.png",
    ],
)
def test_another_server_is_never_asked(address: str) -> None:
    with server({}) as (url, _), server({}) as (other, asked):
        port = url.rpartition(":")[2]
        images = TaskImages(None, ServerFiles(url, "secret"))
        with pytest.raises(Refusal):
            images.read(address.format(other=other.removeprefix("http://"), port=port))
        assert asked == []


def test_label_studio_may_not_lead_to_another_server() -> None:
    with server({"/a.png": (200, {}, b"")}) as (other, asked):
        answers: Answers = {
            "/away.png": (302, {"Location": f"{other}/a.png"}, b""),
            "/file.png": (302, {"Location": "file:///etc/passwd"}, b""),
        }
        with server(answers) as (url, _):
            images = TaskImages(None, ServerFiles(url, "secret"))
            with pytest.raises(Refusal, match="turn off pre-signed URLs"):
                images.read("/away.png")
            with pytest.raises(Refusal, match=r"Redirection to url 'file:.* is not allowed"):
                images.read("/file.png")
        assert asked == []


def test_it_may_lead_to_itself(photo: Path) -> None:
    answers: Answers = {
        "/old.png": (302, {"Location": "/new.png"}, b""),
        "/new.png": (200, {}, photo.read_bytes()),
    }
    with server(answers) as (url, _):
        assert TaskImages(None, ServerFiles(url)).read("/old.png").equal(read_image(photo))


def test_what_the_server_answers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weakseg.integrations.label_studio.server_files.MOST_BYTES", 10)
    answers: Answers = {
        "/login.png": (401, {}, b""),
        "/large.png": (200, {}, b"x" * 11),
        "/page.png": (200, {}, b"<html>"),
    }
    with server(answers) as (url, _):
        images = TaskImages(None, ServerFiles(url))
        for address, reason in (
            ("/login.png", "answered 401 Unauthorized; set LABEL_STUDIO_API_KEY"),
            ("/missing.png", "was not downloaded: the server answered 404 Not Found"),
            ("/large.png", "has more than 10 bytes"),
            ("/page.png", "'/page.png': the image should be one of JPEG, PNG"),
        ):
            with pytest.raises(Refusal, match=reason):
                images.read(address)
    with pytest.raises(Refusal, match=r"was not downloaded: .*refused"):
        images.read("/a.png")
