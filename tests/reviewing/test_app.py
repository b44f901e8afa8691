"""The server: it answers its own page alone, and no request reaches what is not of the session."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

starlette = pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("httpx")

from starlette.testclient import TestClient  # noqa: E402

from tests.reviewing.sessions import BOX, SCRIBBLE, Failing, session  # noqa: E402
from weakseg.reviewing.app import MOST_BYTES, make_app  # noqa: E402
from weakseg.reviewing.security import Guard  # noqa: E402
from weakseg.reviewing.serving import Address, serving, warning_of  # noqa: E402
from weakseg.reviewing.session import ReviewSession  # noqa: E402

HOST = "127.0.0.1:8123"
ORIGIN = f"http://{HOST}"
JSON = {"origin": ORIGIN, "content-type": "application/json"}


@pytest.fixture
def guard() -> Guard:
    return Guard("127.0.0.1", 8123)


@pytest.fixture
def review(tmp_path: Path) -> ReviewSession:
    return session(tmp_path)


@pytest.fixture
def stranger(review: ReviewSession, guard: Guard) -> TestClient:
    """Somebody without the secret."""
    app = make_app(review, guard)
    return TestClient(app, ORIGIN, raise_server_exceptions=False, follow_redirects=False)


@pytest.fixture
def page(stranger: TestClient, guard: Guard) -> TestClient:
    """The page, after its first address."""
    assert stranger.get("/", params={"secret": guard.secret}).status_code == 303
    return stranger


def post(client: TestClient, path: str, content: Any, **headers: str) -> Any:
    return client.post(path, content=json.dumps(content), headers={**JSON, **headers})


def error(response: Any) -> str:
    """The one line of an answer that refuses."""
    body = response.json()
    line: str = body["error"]
    assert line
    assert "\n" not in line
    assert "Traceback" not in line
    return line


# who is let in


def test_the_secret_becomes_a_cookie(stranger: TestClient, guard: Guard) -> None:
    answer = stranger.get("/", params={"secret": guard.secret})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert stranger.get("/").status_code == 200
    assert stranger.get("/api/session").json()["title"] == "discs"


PATHS = ("/", "/static/main.js", "/api/session", "/api/queue", "/api/images/0", "/images/0/photo")


@pytest.mark.parametrize("path", PATHS)
def test_without_the_cookie_nothing_is_shown(stranger: TestClient, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 403
    assert "open the address" in error(answer)


@pytest.mark.parametrize("secret", ["", "wrong", "ä", "x" * 10_000, "\0"])
def test_a_wrong_secret_sets_no_cookie(stranger: TestClient, secret: str) -> None:
    answer = stranger.get("/", params={"secret": secret})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("cookie", ["", "=;;=", "x" * 20_000, "weakseg=1"])
def test_a_wrong_cookie_is_none(stranger: TestClient, guard: Guard, cookie: str) -> None:
    for header in (cookie, f"{guard.cookie}={cookie}"):
        assert stranger.get("/api/session", headers={"cookie": header}).status_code == 403


def test_two_servers_have_cookies_of_their_own(guard: Guard) -> None:
    other = Guard("127.0.0.1", 8123)
    assert other.cookie != guard.cookie
    assert other.secret != guard.secret
    assert len(guard.secret) >= 32


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8123",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1:8123.evil",
        "127.0.0.1.evil.example:8123",
        "localhost@evil:8123",
        "192.168.0.7:8123",
        "[::1:8123",
    ],
)
def test_another_name_is_refused_even_with_the_secret(
    page: TestClient, guard: Guard, host: str
) -> None:
    for path in (*PATHS, f"/?secret={guard.secret}"):
        answer = page.get(path, headers={"host": host})
        assert answer.status_code == 403
        assert "Host" in error(answer)
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_names_of_this_machine_are_ours(guard: Guard, name: str) -> None:
    assert guard.denies_host(f"{name}:8123") is None


def test_a_server_for_others_answers_to_addresses_but_not_to_names() -> None:
    guard = Guard("0.0.0.0", 8123)
    assert guard.denies_host("192.168.0.7:8123") is None
    assert guard.denies_host(f"{socket.gethostname().lower()}:8123") is None
    assert guard.denies_host("evil.example:8123") is not None
    assert "without encryption" in warning_of("0.0.0.0")
    assert "without encryption" in warning_of("192.168.0.7")
    for host in ("127.0.0.1", "::1", "localhost"):
        assert warning_of(host) == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8124"},
        {"origin": "https://127.0.0.1:8123"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_post_of_another_site_is_refused(page: TestClient, headers: dict[str, str]) -> None:
    answer = post(page, "/api/images/0/events", {"revision": 0, "event": BOX}, **headers)
    assert answer.status_code == 403
    error(answer)
    assert page.get("/api/images/0").json()["revision"] == 0


def test_a_post_without_origin_or_of_a_form_is_refused(page: TestClient) -> None:
    body = json.dumps({"revision": 0, "event": BOX})
    json_only = {"content-type": "application/json"}
    assert page.post("/api/images/0/events", content=body, headers=json_only).status_code == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        headers = {**JSON, "content-type": kind}
        assert page.post("/api/images/0/events", content=body, headers=headers).status_code == 415
    assert page.get("/api/images/0").json()["revision"] == 0


def test_pictures_are_not_for_other_sites(page: TestClient) -> None:
    for path in ("/api/queue", "/images/0/photo", "/static/main.js"):
        for site in ("cross-site", "same-site"):
            assert page.get(path, headers={"sec-fetch-site": site}).status_code == 403
        assert page.get(path, headers={"sec-fetch-site": "same-origin"}).status_code == 200


def test_every_answer_has_the_headers_of_safety(page: TestClient, stranger: TestClient) -> None:
    for path in (*PATHS, "/nothing", "/images/99/photo"):
        answer = page.get(path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; img-src 'self' blob: data:")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"]
        assert "server" not in answer.headers
    assert page.get("/api/queue").headers["cache-control"] == "no-store"


# what there is to see


def test_the_page_and_its_files_are_those_of_a_list(page: TestClient) -> None:
    assert page.get("/").headers["content-type"] == "text/html; charset=utf-8"
    script = page.get("/static/main.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"


OUTSIDE = (
    "/static/../app.py",
    "/static/..%2fapp.py",
    "/static/%2e%2e/app.py",
    "/static/%2e%2e%2f%2e%2e%2fsetup.cfg",
    "/static//etc/passwd",
    "/static/%2fetc%2fpasswd",
    "/static/..\\app.py",
    "/static/main.js%00.html",
    "/static/",
    "/static/.",
    "/images/0/../../app.py",
    "/images/0/photo/../../..",
    "/images/..%2f0/photo",
    "/images/0/%2e%2e",
    "/images/disc%2f0/photo",
    "/images/-1/photo",
    "/images/6/photo",
    "/images/99999999999999999999999/photo",
    "/images/0/evidence",
    "/api/images/..%2f..%2fcorrections",
    "/corrections/images/disc/0.json",
    "/%2e%2e/%2e%2e/etc/passwd",
    "//etc/passwd",
    "/../../../../etc/passwd",
)


def test_no_path_reaches_another_file(address: Address) -> None:
    cookie = cookie_of(address)
    for path in OUTSIDE:  # as they are: a client would tidy them up
        status, body, _ = ask(address, "GET", path, Cookie=cookie)
        assert status == 404, path
        assert json.loads(body)["error"]


def test_layers_may_be_kept_for_ever_by_their_address(page: TestClient) -> None:
    image = page.get("/api/images/0").json()
    for layer in ("photo", "marks", "target", "truth"):
        answer = page.get(image["layers"][layer])
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    thumbnail = page.get("/api/queue").json()["images"][0]["thumbnail"]
    assert "immutable" in page.get(thumbnail).headers["cache-control"]
    post(page, "/api/images/0/events", {"revision": 0, "event": BOX})
    # the target is that of now, and the address that of before
    assert page.get(image["layers"]["target"]).headers["cache-control"] == "no-store"
    assert page.get("/images/0/target").headers["cache-control"] == "no-store"


def test_methods_that_are_not_served(page: TestClient) -> None:
    assert page.put("/api/images/0/events", headers=JSON).status_code == 405
    assert page.delete("/api/images/0", headers=JSON).status_code == 405
    assert page.get("/api/images/0/events").status_code == 405


# what a person does


def test_an_event_is_saved_before_it_is_answered(page: TestClient, tmp_path: Path) -> None:
    answer = post(page, "/api/images/0/events", {"revision": 0, "event": SCRIBBLE})
    assert answer.status_code == 200
    assert answer.json()["revision"] == 1
    file = tmp_path / "corrections" / "images" / "disc" / "0.json"
    assert json.loads(file.read_text())["events"][0]["action"] == "scribble"
    assert post(page, "/api/images/0/seconds", {"seconds": 3}).json()["seconds"] == 3


def test_a_conflict_comes_with_the_state_now(page: TestClient) -> None:
    post(page, "/api/images/0/events", {"revision": 0, "event": SCRIBBLE})
    answer = post(page, "/api/images/0/events", {"revision": 0, "event": BOX})
    assert answer.status_code == 409
    assert "changed elsewhere" in error(answer)
    assert answer.json()["image"]["revision"] == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"revision": 0}', b"NaN"],
)
def test_a_body_that_cannot_be_is_refused(page: TestClient, body: bytes) -> None:
    answer = page.post("/api/images/0/events", content=body, headers=JSON)
    assert answer.status_code == 400
    error(answer)


def test_foreign_text_stays_text(page: TestClient) -> None:
    event = {**SCRIBBLE, "who": "<script>alert(1)</script>"}
    answer = post(page, "/api/images/0/events", {"revision": 0, "event": event})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["strokes"][0]["who"] == "<script>alert(1)</script>"


def test_large_bodies_are_refused(page: TestClient) -> None:
    large = b"x" * (MOST_BYTES + 1)
    answer = page.post("/api/images/0/events", content=large, headers=JSON)
    assert answer.status_code == 413

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 65_536

    answer = page.post("/api/images/0/events", content=pieces(), headers=JSON)
    assert answer.status_code == 413
    error(answer)


def test_a_strategy_that_raises_is_a_line(tmp_path: Path, guard: Guard) -> None:
    client = TestClient(make_app(session(tmp_path, Failing()), guard), ORIGIN)
    client.get("/", params={"secret": guard.secret})
    post(client, "/api/images/0/events", {"revision": 0, "event": BOX})
    answer = client.get("/images/0/target")
    assert answer.status_code == 422
    assert "a box at the rim" in error(answer)


def test_what_cannot_be_saved_is_a_line(page: TestClient, tmp_path: Path) -> None:
    (tmp_path / "corrections").write_text("a file in its place")
    answer = post(page, "/api/images/0/events", {"revision": 0, "event": BOX})
    assert answer.status_code == 507
    assert "nothing was saved" in error(answer)
    assert page.get("/api/images/0").json()["revision"] == 0


def test_a_mistake_of_the_server_tells_nothing_of_it(
    page: TestClient, review: ReviewSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> None:
        raise KeyError("a secret of the program")

    monkeypatch.setattr(review, "image", fail)
    answer = page.get("/api/images/0")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


# a real server


@pytest.fixture
def address(review: ReviewSession) -> Iterator[Address]:
    with serving(review) as found:
        yield found


def ask(address: Address, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """Status and body of the answer to one request, by a connection of its own."""
    connection = http.client.HTTPConnection(address.host, address.port, timeout=30)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def cookie_of(address: Address) -> str:
    status, _, headers = ask(address, "GET", f"/?secret={address.secret}")
    assert status == 303
    return str(headers["set-cookie"]).partition(";")[0]


def test_thirty_requests_at_once(address: Address, review: ReviewSession) -> None:
    cookie = cookie_of(address)
    origin = address.origin
    body = json.dumps({"seconds": 1})
    kind = "application/json"

    def request(place: int) -> int:
        number = place % 6
        if place % 3 == 0:
            path = f"/api/images/{number}/seconds"
            headers = {"Cookie": cookie, "Origin": origin, "Content-Type": kind}
            return int(ask(address, "POST", path, body, **headers)[0])
        layer = "target" if place % 3 == 1 else "thumbnail"
        return int(ask(address, "GET", f"/images/{number}/{layer}", Cookie=cookie)[0])

    with ThreadPoolExecutor(30) as pool:
        assert set(pool.map(request, range(60))) == {200}
    assert sum(review.image(number)["seconds"] for number in range(6)) == 20


def test_nothing_but_loopback_and_no_version_in_the_answers(address: Address) -> None:
    status, body, headers = ask(address, "GET", "/")
    assert status == 403
    assert b"secret" in body
    assert "server" not in {name.lower() for name in headers}
    assert address.host == "127.0.0.1"


def test_garbage_and_half_a_request_harm_nobody(address: Address) -> None:
    for garbage in (b"\0" * 100, b"GET\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n"):
        with socket.create_connection((address.host, address.port), timeout=10) as connection:
            connection.sendall(garbage)
    with socket.create_connection((address.host, address.port), timeout=10) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")  # and never goes on
        assert ask(address, "GET", "/")[0] == 403


def test_it_ends_at_once_with_open_connections(review: ReviewSession) -> None:
    with serving(review) as address:
        kept = http.client.HTTPConnection(address.host, address.port, timeout=10)
        kept.request("GET", "/")
        kept.getresponse().read()
        half = socket.create_connection((address.host, address.port), timeout=10)
        half.sendall(b"GET / HTTP/1.1\r\n")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((address.host, address.port), timeout=10)
    kept.close()
    half.close()


def test_a_port_that_is_taken_is_a_line(review: ReviewSession, address: Address) -> None:
    with (
        pytest.raises(ValueError, match=f"port: {address.port} is taken"),
        serving(review, port=address.port),
    ):
        pass


def test_a_host_that_is_none_is_a_line(review: ReviewSession) -> None:
    with pytest.raises(ValueError, match="nothing can listen"), serving(review, host="203.0.113.1"):
        pass


def test_without_the_packages_it_says_how_to_install_them() -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from weakseg.reviewing.serving import import_server\n"
        "try:\n    import_server()\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'weakseg[review]'" in done.stdout
    assert "uvicorn is not installed" in done.stdout


def test_nothing_is_logged_of_requests(address: Address, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        ask(address, "GET", f"/?secret={address.secret}")
    assert address.secret not in caplog.text
