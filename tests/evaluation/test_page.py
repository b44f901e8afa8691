"""The page of an evaluation: what is in it, and that a click needs no script."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.fakes import SeesBrightness
from tests.evaluation.test_measuring import measure
from tests.reporting.test_report import BAD, Page
from tests.small import NoTruth, Squares
from weakseg.evaluation.page import write_evaluation_page
from weakseg.evaluation.selection import Selection
from weakseg.reporting.reliability import reliability_diagram

COUNT = 6


def page(folder: Path, data: Any = None, chosen: Selection | None = None, **model: Any) -> str:
    measurement = measure(data or Squares(train=COUNT, val=0), SeesBrightness(**model))
    file = folder / "report.html"
    write_evaluation_page(
        file,
        measurement.evaluation(),
        chosen or measurement.selection(),
        measurement.picture,
        title=f"discs {BAD}",
        notes=[BAD],
        score=measurement.score,
    )
    return file.read_text()


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return page(tmp_path_factory.mktemp("page"))


def test_every_image_stands_once_with_all_its_pictures(text: str) -> None:
    parsed = Page(text)
    names = re.findall(r"<h3><span>(disc/\d)</span>", text)
    assert sorted(names) == [f"disc/{index}" for index in range(COUNT)]
    assert [image["alt"] for image in parsed.named("img")] == COUNT * [
        *("image", "truth", "prediction", "errors")
    ]
    addresses = [str(image["src"]) for image in parsed.named("img")]
    assert all(address.startswith("data:image/") for address in addresses)


def test_the_worst_come_first(text: str) -> None:
    scores = [float(score) for score in re.findall(r'class="score">IoU ([\d.]+)<', text)]
    assert len(scores) == COUNT
    assert scores == sorted(scores)


def test_nothing_on_it_is_active(text: str) -> None:
    parsed = Page(text)
    assert not {"script", "iframe", "object", "form", "link"} & {tag for tag, _ in parsed.tags}
    assert not [name for _, attributes in parsed.tags for name in attributes if name[:2] == "on"]
    links = {str(link["href"]) for link in parsed.named("a")}
    assert all(link.startswith("#") for link in links)
    assert BAD not in text


def test_every_link_has_its_target_and_a_rule_that_shows_its_images(text: str) -> None:
    parsed = Page(text)
    ids = {attributes["id"] for _, attributes in parsed.tags if "id" in attributes}
    links = {str(link["href"])[1:] for link in parsed.named("a")}
    assert links == ids
    articles = [str(article["class"]).split() for article in parsed.named("article")]
    for target in links - {"images"}:
        assert f"#{target}:target ~ .{target} {{ display: block; }}" in text
        assert any(target in classes for classes in articles)


def test_a_mistake_leads_to_the_images_that_show_it(text: str) -> None:
    """The network misses dark discs in the right half of the image."""
    parsed = Page(text)
    shown = [
        name
        for name, article in zip(
            re.findall(r"<h3><span>(disc/\d)</span>", text), parsed.named("article"), strict=True
        )
        if "cell-2-0" in str(article["class"]).split()
    ]
    data = Squares(train=COUNT, val=0)
    model = SeesBrightness()
    for index in range(COUNT):
        evidence, truth = data.sample(index)
        labels = model.logits(evidence.image[None])[0].argmax(0)
        missed = bool(((truth == 2) & (labels == 0)).any())
        assert (evidence.id in shown) == missed
    assert shown
    assert re.search(r'id="cell-2-0"><b>dark taken for background</b>: [\d,]+ pixels', text)


def test_what_is_meant_but_has_no_picture_is_named(tmp_path: Path) -> None:
    measurement = measure(Squares(train=COUNT, val=0))
    chosen = measurement.selection()
    text = page(tmp_path, chosen=chosen._replace(shown=chosen.shown[:1]))
    assert len(Page(text).named("article")) == 1
    assert f"1 of {COUNT} images, the worst first" in text
    assert "(not shown)" in text


def test_without_truth_it_shows_what_is_annotated(tmp_path: Path) -> None:
    text = page(tmp_path, NoTruth(train=3, val=0))
    parsed = Page(text)
    assert [image["alt"] for image in parsed.named("img")] == 3 * [
        *("image", "annotations", "prediction")
    ]
    assert "Confusion" not in parsed.texts
    assert "IoU of extents with the boxes" in parsed.texts
    assert "class-" not in text


def test_the_names_of_classes_are_escaped(tmp_path: Path) -> None:
    class Odd(Squares):
        classes = ("background", "bright", "dark")

    text = page(tmp_path, Odd(train=2, val=0), classes=("background", "bright", "dark", BAD))
    assert BAD not in text
    assert "&lt;script&gt;" in text


def test_the_reliability_diagram_shows_a_bar_per_bin() -> None:
    svg = reliability_diagram([(0.25, 0.5, 10), (1.0, 0.75, 30)], 2)
    assert Page(f"<div>{svg}</div>").named("rect")
    assert "30 pixels (75.0 %): on average 1.000 sure, 0.750 are right" in svg
    tops = [float(y) for y in re.findall(r'<rect [^>]*y="([\d.]+)"', svg)]
    lefts = [float(x) for x in re.findall(r'<rect x="([\d.]+)"', svg)]
    assert tops[0] > tops[1]  # the second is higher
    assert lefts[0] < lefts[1]
    assert reliability_diagram([], 2) == ""
