"""The server: it answers its own page alone, and no request reaches what is not of the session."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from torch import Tensor

from tests.reviewing.client import Answer, Client
from tests.reviewing.sessions import BOX, SCRIBBLE, Counting, Failing, session
from tests.small import Everything
from weakseg.evidence import Evidence
from weakseg.reviewing.app import AT_ONCE, MOST_BYTES
from weakseg.reviewing.security import Guard
from weakseg.reviewing.serving import CONNECTIONS, Address, serving, warning_of
from weakseg.reviewing.session import ReviewSession
from weakseg.strategies.base import Context
from weakseg.utils import http_connections

EVENTS = "/api/images/0/events"


@pytest.fixture
def review(tmp_path: Path) -> ReviewSession:
    return session(tmp_path)


@pytest.fixture
def address(review: ReviewSession) -> Iterator[Address]:
    with serving(review) as found:
        yield found


@pytest.fixture
def stranger(address: Address) -> Client:
    """Somebody without the secret."""
    return Client(address)


@pytest.fixture
def page(address: Address) -> Client:
    """The page, after its first address."""
    return Client(address).enter()


def error(response: Answer) -> str:
    """The one line of an answer that refuses."""
    body = response.json()
    line: str = body["error"]
    assert line
    assert "\n" not in line
    assert "Traceback" not in line
    return line


# who is let in


def test_the_secret_becomes_a_cookie(stranger: Client) -> None:
    answer = stranger.get(f"/?secret={stranger.address.secret}")
    assert answer.status == 303
    assert answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    stranger.cookie = cookie.partition(";")[0]
    assert stranger.get("/").status == 200
    assert stranger.get("/api/session").json()["title"] == "discs"


PATHS = ("/", "/static/main.js", "/api/session", "/api/queue", "/api/images/0", "/images/0/photo")


@pytest.mark.parametrize("path", PATHS)
def test_without_the_cookie_nothing_is_shown(stranger: Client, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status == 403
    assert "open the address" in error(answer)


@pytest.mark.parametrize("secret", ["", "wrong", "ä", "x" * 10_000, "\0"])
def test_a_wrong_secret_sets_no_cookie(stranger: Client, secret: str) -> None:
    answer = stranger.get(f"/?secret={quote(secret)}")
    assert answer.status == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("cookie", ["", "=;;=", "x" * 20_000, "weakseg=1"])
def test_a_wrong_cookie_is_none(page: Client, cookie: str) -> None:
    name = page.cookie.partition("=")[0]
    for header in (cookie, f"{name}={cookie}"):
        assert page.get("/api/session", cookie=header).status in (400, 403)
    assert page.get("/api/session").status == 200


def test_two_servers_have_cookies_and_secrets_of_their_own() -> None:
    one, other = Guard("127.0.0.1", 8123), Guard("127.0.0.1", 8124)
    assert one.cookie != other.cookie
    assert one.secret != other.secret
    assert len(one.secret) >= 32


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:PORT",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1:PORT.evil",
        "127.0.0.1.evil.example:PORT",
        "localhost@evil:PORT",
        "192.168.0.7:PORT",
        "[::1:PORT",
    ],
)
def test_another_name_is_refused_even_with_the_secret(page: Client, host: str) -> None:
    name = host.replace("PORT", str(page.address.port))
    for path in (*PATHS, f"/?secret={page.address.secret}"):
        answer = page.get(path, host=name)
        assert answer.status == 403
        assert "Host" in error(answer)
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_names_of_this_machine_are_ours(name: str) -> None:
    guard = Guard("127.0.0.1", 8123)
    assert guard.denies_host(f"{name}:8123") is None


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost:80"])
def test_the_usual_port_may_be_left_out(host: str) -> None:
    assert Guard("127.0.0.1", 80).denies_host(host) is None
    assert Guard("127.0.0.1", 80).denies_host("evil.example") is not None


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
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_a_post_of_another_site_is_refused(page: Client, headers: dict[str, str]) -> None:
    answer = page.post(EVENTS, {"revision": 0, "event": BOX}, **headers)
    assert answer.status == 403
    error(answer)
    assert page.get("/api/images/0").json()["revision"] == 0


def test_a_post_without_origin_or_of_a_form_is_refused(page: Client) -> None:
    content = {"revision": 0, "event": BOX}
    body = json.dumps(content).encode()
    assert page.request("POST", EVENTS, body, content_type="application/json").status == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        assert page.post(EVENTS, content, content_type=kind).status == 415
    assert page.get("/api/images/0").json()["revision"] == 0


def test_pictures_are_not_for_other_sites(page: Client) -> None:
    for path in ("/api/queue", "/images/0/photo", "/static/main.js"):
        for site in ("cross-site", "same-site"):
            assert page.get(path, sec_fetch_site=site).status == 403
        assert page.get(path, sec_fetch_site="same-origin").status == 200


def test_every_answer_has_the_headers_of_safety(page: Client, stranger: Client) -> None:
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


# what other programs of this machine do


def test_what_a_browser_is_started_with_is_good_once(stranger: Client, address: Address) -> None:
    """Other users can read the command line of the browser."""
    assert address.ticket not in ("", address.secret)
    path = address.url_once.removeprefix(address.origin)
    assert stranger.get("/?secret=").status == 403
    first, second = stranger.get(path), stranger.get(path)
    assert (first.status, second.status) == (303, 403)
    assert address.ticket not in str(first.headers)
    assert "set-cookie" not in second.headers
    assert stranger.get("/?secret=").status == 403
    assert Client(address).enter().get("/api/session").status == 200


@pytest.mark.parametrize(
    "other",
    [
        'theme={"a": 1, "b": [2]}',
        'x="never closed',
        "a b=c",
        "=",
        "expires",
        "k@y(v)=1",
        "name=b\xe4",
        "; ;;",
        "x" * 20_000,
    ],
)
def test_cookies_of_other_servers_do_not_matter(page: Client, other: str) -> None:
    own = page.cookie
    for header in (f"{other}; {own}", f"{own}; {other}", f"{other};{own};{other}"):
        assert page.get("/api/session", cookie=header).status == 200
    for header in (other, own[:-1], f"{own}x", f"x{own}", own.replace("=", "==")):
        assert page.get("/api/session", cookie=header).status == 403


def test_connections_that_say_nothing_keep_nobody_out(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connections, "PATIENCE", 0.2)
    silent = [
        socket.create_connection((address.host, address.port), timeout=10)
        for _ in range(CONNECTIONS + 20)
    ]
    for half in silent[::2]:
        half.sendall(b"GET / HTTP/1.1\r\n")
    for connection in silent:  # the server closes all of them
        while connection.recv(1000):
            pass
        connection.close()
    assert Client(address).get("/").status == 403


def test_a_connection_may_be_used_for_longer_than_that(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connections, "PATIENCE", 0.5)
    kept = http.client.HTTPConnection(address.host, address.port, timeout=10)
    for _ in range(8):
        kept.request("GET", "/")
        assert kept.getresponse().read()
        time.sleep(0.1)
    kept.close()


# what there is to see


def test_names_that_are_no_text_are_shown(tmp_path: Path) -> None:
    class Bytes(Everything):
        def id_of(self, index: int) -> str:
            return f"caf\udce9{index}.jpg"  # a file named in Latin-1, in Python's way

        def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
            evidence, truth = super().sample(index)
            return evidence._replace(id=self.id_of(index)), truth

    with serving(session(tmp_path, data=Bytes(train=3, val=1))) as address:
        page = Client(address).enter()
        names = {image["name"] for image in page.get("/api/queue").json()["images"]}
        assert names == {f"caf\udce9{number}.jpg" for number in range(3)}
        assert page.post(EVENTS, {"revision": 0, "event": SCRIBBLE}).json()["revision"] == 1
        event = {**SCRIBBLE, "who": "\ud800"}
        assert page.post(EVENTS, {"revision": 1, "event": event}).json()["revision"] == 2
        assert page.get("/api/images/0").json()["strokes"][1]["who"] == "\ud800"


def test_numbers_of_any_length_are_no_images(page: Client) -> None:
    for digits in (1, 300, 4_000, 6_000, 30_000):
        answer = page.get(f"/api/images/{'9' * digits}")
        assert answer.status == 404
        error(answer)


def test_the_page_and_its_files_are_those_of_a_list(page: Client) -> None:
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


def test_no_path_reaches_another_file(page: Client) -> None:
    for path in OUTSIDE:
        answer = page.get(path)
        assert answer.status == 404, path
        error(answer)


def test_layers_may_be_kept_for_ever_by_their_address(page: Client) -> None:
    image = page.get("/api/images/0").json()
    for layer in ("photo", "marks", "target", "truth"):
        answer = page.get(image["layers"][layer])
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    thumbnail = page.get("/api/queue").json()["images"][0]["thumbnail"]
    assert "immutable" in page.get(thumbnail).headers["cache-control"]
    page.post(EVENTS, {"revision": 0, "event": BOX})
    # the target is that of now, and the address that of before
    assert page.get(image["layers"]["target"]).headers["cache-control"] == "no-store"
    assert page.get("/images/0/target").headers["cache-control"] == "no-store"


def test_methods_that_are_not_served(page: Client) -> None:
    own = {"origin": page.address.origin, "content_type": "application/json"}
    assert page.request("PUT", EVENTS, **own).status == 405
    assert page.request("DELETE", "/api/images/0", **own).status == 405
    assert page.get(EVENTS).status == 405


# what a person does


def test_an_event_is_saved_before_it_is_answered(page: Client, tmp_path: Path) -> None:
    answer = page.post(EVENTS, {"revision": 0, "event": SCRIBBLE})
    assert answer.status == 200
    assert answer.json()["revision"] == 1
    file = tmp_path / "corrections" / "images" / "disc" / "0.json"
    assert json.loads(file.read_text())["events"][0]["action"] == "scribble"
    assert page.post("/api/images/0/seconds", {"seconds": 3}).json()["seconds"] == 3


def test_a_conflict_comes_with_the_state_now(page: Client) -> None:
    page.post(EVENTS, {"revision": 0, "event": SCRIBBLE})
    answer = page.post(EVENTS, {"revision": 0, "event": BOX})
    assert answer.status == 409
    assert "changed elsewhere" in error(answer)
    assert answer.json()["image"]["revision"] == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"revision": 0}', b"NaN"],
)
def test_a_body_that_cannot_be_is_refused(page: Client, body: bytes) -> None:
    answer = page.post(EVENTS, body)
    assert answer.status == 400
    error(answer)


def test_foreign_text_stays_text(page: Client) -> None:
    event = {**SCRIBBLE, "who": "<script>alert(1)</script>"}
    answer = page.post(EVENTS, {"revision": 0, "event": event})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["strokes"][0]["who"] == "<script>alert(1)</script>"


def test_large_bodies_are_refused(page: Client) -> None:
    large = b"x" * (MOST_BYTES + 1)
    answer = page.post(EVENTS, large)
    assert answer.status == 413

    def pieces() -> Iterator[bytes]:
        for _ in range(17):
            yield b"x" * 65_536

    own = {"origin": page.address.origin, "content_type": "application/json"}
    answer = page.request("POST", EVENTS, pieces(), **own)
    assert answer.status == 413
    error(answer)


def test_a_strategy_that_raises_is_a_line(tmp_path: Path) -> None:
    with serving(session(tmp_path, Failing())) as address:
        client = Client(address).enter()
        client.post(EVENTS, {"revision": 0, "event": BOX})
        answer = client.get("/images/0/target")
    assert answer.status == 422
    assert "a box at the rim" in error(answer)


def test_what_cannot_be_saved_is_a_line(page: Client, tmp_path: Path) -> None:
    (tmp_path / "corrections").write_text("a file in its place")
    answer = page.post(EVENTS, {"revision": 0, "event": BOX})
    assert answer.status == 507
    assert "nothing was saved" in error(answer)
    assert page.get("/api/images/0").json()["revision"] == 0


def test_a_mistake_of_the_server_tells_nothing_of_it(
    page: Client, review: ReviewSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> None:
        raise KeyError("a secret of the program")

    monkeypatch.setattr(review, "image", fail)
    answer = page.get("/api/images/0")
    assert answer.status == 500
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


# the server itself


def test_thirty_requests_at_once(page: Client, review: ReviewSession) -> None:
    def request(place: int) -> int:
        number = place % 6
        if place % 3 == 0:
            return page.post(f"/api/images/{number}/seconds", {"seconds": 1}).status
        layer = "target" if place % 3 == 1 else "thumbnail"
        return page.get(f"/images/{number}/{layer}").status

    with ThreadPoolExecutor(30) as pool:
        assert set(pool.map(request, range(60))) == {200}
    assert sum(review.image(number)["seconds"] for number in range(6)) == 20


def test_estimates_that_nobody_waits_for_any_more_are_not_made(tmp_path: Path) -> None:
    class Slow(Counting):
        gate = threading.Event()

        def estimate(self, evidence: Evidence, context: Context) -> Tensor:
            self.gate.wait(20)
            return super().estimate(evidence, context)

    strategy = Slow()
    review = session(tmp_path, strategy, data=Everything(train=20, val=1))
    review.begin = lambda: None  # type: ignore[method-assign]
    with serving(review) as address:
        page = Client(address).enter()
        head = f"Host: 127.0.0.1:{address.port}\r\nCookie: {page.cookie}\r\n\r\n"
        for number in range(15):
            with socket.create_connection((address.host, address.port), timeout=10) as gone:
                gone.sendall(f"GET /images/{number}/target HTTP/1.1\r\n{head}".encode())
                time.sleep(0.01)
        # what is fast is served meanwhile
        assert page.get("/images/3/thumbnail").status == 200
        assert page.get("/api/queue").status == 200
        strategy.gate.set()
        assert page.get("/images/19/target").status == 200
    assert strategy.count <= 1 + AT_ONCE


def test_it_listens_on_this_machine_alone_unless_told_otherwise(address: Address) -> None:
    assert address.host == "127.0.0.1"
    assert address.origin == f"http://127.0.0.1:{address.port}"


def test_garbage_and_half_a_request_harm_nobody(stranger: Client, address: Address) -> None:
    for garbage in (b"\0" * 100, b"GET\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n"):
        with socket.create_connection((address.host, address.port), timeout=10) as connection:
            connection.sendall(garbage)
    with socket.create_connection((address.host, address.port), timeout=10) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")  # and never goes on
        assert stranger.get("/").status == 403


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
        "from weakseg.utils.serving import import_server\n"
        "try:\n    import_server('review')\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'weakseg[review]'" in done.stdout
    assert "uvicorn is not installed" in done.stdout


def test_nothing_is_logged_of_requests(address: Address, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Client(address).enter()
    assert address.secret not in caplog.text
