"""Folders of web servers, which show them as pages of links."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit


class _Links(HTMLParser):
    """The addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def links(page: bytes, place: str) -> Iterator[str]:
    """The links of a page that lead to what is in its folder, as they are there: not upwards, not
    to the same list in another order.

    Args:
        page: of HTML.
        place: the address of the folder, with a slash at its end.
    """
    place = _without_user(place)
    parser = _Links()
    parser.feed(page.decode("utf-8", "replace"))
    for link in dict.fromkeys(parser.found):
        whole = urljoin(place, link.partition("?")[0].partition("#")[0])
        name = whole.removeprefix(place)
        if name != whole and name and "/" not in name.rstrip("/"):
            yield name


def _without_user(url: str) -> str:
    """A web address without its user."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
