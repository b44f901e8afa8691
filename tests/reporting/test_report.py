import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from weakseg.evidence import Evidence
from weakseg.reporting.drawing import Case
from weakseg.reporting.report import write_report

BAD = '<script>alert("1")</script>'
CLASSES = ("background", BAD)
NAN = float("nan")


class Page(HTMLParser):
    """The tags and texts of a page, and a complaint about a tag that is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def case(id: str, score: float | None, **labels: Any) -> Case:
    image = torch.full((3, 40, 50), 90, dtype=torch.uint8)
    return Case(
        Evidence(
            id, image, boxes=torch.tensor([[5.0, 5.0, 20.0, 30.0]]), box_classes=torch.tensor([1])
        ),
        score=score,
        **labels,
    )


def report(folder: Path, **changes: Any) -> str:
    labels = torch.zeros(40, 50, dtype=torch.uint8)
    everything = {"target": labels, "prediction": labels, "truth": labels}
    arguments: dict[str, Any] = {
        "title": f"run {BAD}",
        "classes": CLASSES,
        "figures": [
            {"step": "0", "epoch": "0", "round": "0", "label/miou": "0.5", "label/coverage": "1.0"},
            {
                "step": "4",
                "epoch": "0",
                "round": "",
                f"loss/{BAD}": "0.5",
                "val/miou": "0.25",
                "time/step": "0.02",
            },
            {
                "step": "5",
                "epoch": "0",
                "round": "",
                f"estimate/share/{BAD}": "0.75",
                "estimate/coverage": "0.5",
                "estimate/torn": "9",
            },
            {
                "step": "9",
                "epoch": "1",
                "round": "",
                f"loss/{BAD}": "0.25",
                "val/miou": "0.75",
                "time/step": "0.02",
            },
        ],
        "final": {
            "val/miou": 0.75,
            "val/iou/background": 0.9,
            f"val/iou/{BAD}": NAN,
            "label/miou": 0.5,
            "label/coverage": 0.625,
        },
        "confusion": torch.tensor([[75, 25], [0, 0]]),
        "cases": [
            case("good", 0.9, **everything),
            case(BAD, 0.1, **everything),
            case("unknown", None),
            case("hidden", NAN),
        ],
        "recipe": f"strategy: {BAD}",
        "notes": [f"note {BAD}"],
    }
    write_report(folder / "report.html", **{**arguments, **changes})
    return (folder / "report.html").read_text("utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report(tmp_path_factory.mktemp("run"))


def test_foreign_text_is_escaped_everywhere(text: str) -> None:
    page = Page(text)
    assert page.named("script") == []
    assert "<script" not in text.lower()
    # title twice, note, recipe, id, table, matrix (row, column, four cells), legend, caption and
    # its title ... none is lost
    assert text.count("&lt;script&gt;") >= 12


def test_the_page_needs_no_other_file(text: str) -> None:
    page = Page(text)
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed"} == set()
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.named("img"))
    assert not re.search(r"https?://|@import|url\(", re.sub(r"base64,[A-Za-z0-9+/=]*", "", text))


def test_worst_images_first_and_those_without_a_score_last(text: str) -> None:
    page = Page(text)
    shown = [
        word
        for word in page.texts
        if word in ("good", BAD, "unknown", "hidden") or word.startswith("IoU 0")
    ]
    gallery = shown[shown.index("IoU 0.100") - 1 :]
    assert gallery == [BAD, "IoU 0.100", "good", "IoU 0.900", "unknown", "hidden"]


def test_four_panels_per_image_and_none_where_something_is_missing(text: str) -> None:
    page = Page(text)
    errors = 2 * 3  # of two images
    assert len(page.named("figure")) == 16 + errors
    assert len(page.named("img")) == 4 + 4 + 1 + 1 + errors
    assert [image["alt"] for image in page.named("img")][:8] == [
        "evidence",
        "target",
        "prediction",
        "truth",
        "label error",
        "network error",
        "error",
        "evidence",
    ]
    assert page.texts.count("none") == 7  # with the command, which nobody knows


def test_table_facts_and_curves_show_the_figures(text: str) -> None:
    page = Page(text)
    for figure in ("0.750", "0.900", "0.500", "37.5 %", "20 ms"):
        assert figure in page.texts
    assert len(page.named("svg")) == 6
    assert "estimate/coverage 0.5 at step 5" in page.texts
    assert "estimate/torn 9 at step 5" not in page.texts
    assert "val/miou 0.75 at step 9" in page.texts


def test_rows_of_the_confusion_matrix_are_shares_with_counts_on_hover(text: str) -> None:
    cells = [
        attributes
        for attributes in Page(text).named("td")
        if "--share" in (attributes.get("style") or "")
    ]
    assert [cell["style"] for cell in cells] == [
        "--share:0.750",
        "--share:0.250",
        "--share:0.000",
        "--share:0.000",
    ]
    assert cells[1]["title"] == f"background taken for {BAD}: 25 pixels"


def test_an_empty_run_has_a_page_too(tmp_path: Path) -> None:
    text = report(tmp_path, figures=[], final={}, confusion=None, cases=[], recipe="", notes=[])
    page = Page(text)
    assert page.texts.count("none") == 5
    assert "none: no validation image has a mask" in page.texts


def test_without_masks_there_are_agreement_and_training_images_but_no_empty_panels(
    tmp_path: Path,
) -> None:
    labels = torch.zeros(40, 50, dtype=torch.uint8)
    figures = [
        {"step": str(step), "epoch": "0", "round": "", "val/tags_f1": str(step / 10)}
        for step in (4, 9)
    ]
    final = {"val/tags_f1": 0.9, f"val/tags_f1/{BAD}": 0.9}
    seen = [
        case("first", 0.9, target=labels, prediction=labels),
        case("worst", 0.5, target=labels, prediction=labels),
    ]
    trained = [case("trained", None, target=labels, prediction=labels)]
    page = Page(
        report(tmp_path, figures=figures, final=final, confusion=None, cases=seen, training=trained)
    )
    assert [image["alt"] for image in page.named("img")] == ["evidence", "target", "prediction"] * 3
    assert [word for word in page.texts if word in ("first", "worst", "trained")] == [
        "worst",
        "first",
        "trained",
    ]
    assert "Training images" in page.texts
    assert "val/tags_f1 0.9 at step 9" in page.texts
    assert page.texts.count("0.900") == 3  # fact, class, mean


def test_label_error_and_network_error_stand_apart(tmp_path: Path) -> None:
    truth = torch.zeros(40, 50, dtype=torch.uint8)
    truth[:, :25] = 1
    target = truth.clone()
    target[:4] = 1 - target[:4]  # a tenth of the rows is wrong
    target[4:8] = 255
    prediction = target.clone()
    prediction[target == 255] = truth[target == 255]
    prediction[-2:] = 1 - prediction[-2:]  # and what the network adds to it
    trained = case("trained", 0.5, target=target, prediction=prediction, truth=truth)
    text = report(
        tmp_path, cases=[], training=[trained], training_note="The worst.", commands=["a b", "c"]
    )
    page = Page(text)
    assert "The worst." in page.texts
    assert "target, 10.0 % ignored" in page.texts
    errors = page.texts[page.texts.index("label error") :]
    assert [word for word in errors if word][:9] == [
        *("label error", "11.1 %", "0.800"),
        *("network error", "5.6 %", "0.895"),
        *("error", "15.0 %", "0.739"),
    ]
    assert (
        "Of the wrong pixels of these predictions, 67 % have a wrong target, 33 % a right one, and "
        "0 % none." in page.texts
    )
    assert "a b\nc" in page.texts


def test_with_masks_there_are_no_training_images(text: str) -> None:
    assert "Training images" not in Page(text).texts


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    before = report(tmp_path)
    with pytest.raises(IndexError):
        report(
            tmp_path,
            cases=[
                Case(
                    Evidence(
                        "a",
                        torch.zeros(3, 8, 8, dtype=torch.uint8),
                        boxes=torch.ones(1, 4),
                        box_classes=torch.tensor([7]),
                    )
                )
            ],
        )
    assert (tmp_path / "report.html").read_text("utf-8") == before
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
