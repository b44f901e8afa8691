"""Whatever kind of thing a file of any format holds, the check counts it, the sheet shows it and a
run reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.data.formats.test_same_everywhere import (
    AREAS,
    BOXES,
    CLICKS,
    TAGS,
    Reader,
    cvat_of,
    datumaro_of,
    labelme_of,
)
from tests.data.formats.writing import HEIGHT, WIDTH
from tests.data.layouts import photo
from weakseg.check import main
from weakseg.data.files.folder import Folder
from weakseg.evidence import Evidence
from weakseg.reporting.contact_sheet import draw_sheet
from weakseg.reporting.dataset_check import check_dataset
from weakseg.strategies import Full
from weakseg.training.evidence_check import check_evidence

LINES: dict[str, Reader] = {
    "labelme": lambda folder: labelme_of(folder, "line", [[30, 50], [40, 70]]),
    "cvat": lambda folder: cvat_of(
        folder, '<polyline label="dog" points="30,50;40,70"></polyline>'
    ),
    "datumaro": lambda folder: datumaro_of(folder, type="polyline", points=[30, 50, 40, 70]),
}
KINDS = {"boxes": BOXES, "masks": AREAS, "points": CLICKS, "scribbles": LINES, "tags": TAGS}
EVIDENCE = (None, *KINDS)
COLUMNS = {"boxes": "boxes", "tags": "images tagged"}
FILES = [
    pytest.param(kind, name, id=f"{name} {kind}")
    for kind, readers in KINDS.items()
    for name in readers
]
FORMATS = (
    "label_studio",
    "mask_png",
    "voc_xml",
    "labelme",
    "datumaro",
    "coco",
    "cvat",
    "yolo",
    "csv",
)
ONE_PER_FORMAT = [
    pytest.param(kind, next(iter(readers)), id=kind) for kind, readers in KINDS.items()
]


class Whatever(Full):
    """Learns nothing, and needs nothing of the evidence."""

    needs = ()

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Everything will do."""


def place(folder: Path, kind: str, name: str) -> tuple[Path, str]:
    """A data set of one image, and its format."""
    photo(folder / "images" / "a.jpg", 0, WIDTH, HEIGHT)
    (folder / "annotations").mkdir()
    KINDS[kind][name](folder / "annotations")
    words = {"voc": "voc_xml", "mask": "mask_png"}
    return folder, next(
        format for format in FORMATS if words.get(name, name).replace(" ", "_").startswith(format)
    )


def fits(kind: str, name: str, evidence: str | None) -> bool:
    drawn = name == "mask" and evidence in ("points", "scribbles")  # its pixels may be these
    return drawn or evidence in (None, "tags", kind)  # tags name the classes of all shapes


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_everything_is_counted_drawn_and_read(kind: str, name: str, tmp_path: Path) -> None:
    root, format = place(tmp_path, kind, name)
    for evidence in EVIDENCE:
        data = Folder(root, format, ["cat", "dog", "traffic light"], evidence=evidence, val_share=0)
        found = check_dataset(data)
        assert (found.errors == 0) is fits(kind, name, evidence), found.problems
        draw_sheet(data)
        if fits(kind, name, evidence):
            column = COLUMNS.get("tags" if evidence == "tags" else kind, "images with marks")
            assert (
                sum(
                    count
                    for (counted, number), count in found.counts.items()
                    if counted == column and number
                )
                == 1
            )
            data.setup("fit")
            assert len(check_evidence(data, Whatever(), data.classes, 0, 1)) == 1


@pytest.mark.parametrize(("kind", "name"), ONE_PER_FORMAT)
@pytest.mark.parametrize("named", [False, True], ids=["unnamed", "named"])
def test_the_command_ends_with_a_table(
    kind: str,
    name: str,
    named: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    root, format = place(tmp_path, kind, name)
    words = [
        "data=folder",
        f"data.root={root}",
        f"data.format={format}",
        "data.val_share=0",
        "cost=false",
    ]
    assert main([*words, *[f"data.evidence={kind}"] * named]) == 0
    out = capsys.readouterr().out
    assert "dog" in out
    assert "1 image, 0 of them only measured on" in out
