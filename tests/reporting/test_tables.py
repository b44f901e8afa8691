import io

from rich.console import Console

from weakseg.reporting.tables import ClassRow, print_tables, summary_columns, summary_rows

NAN = float("nan")
FIGURES = {
    "val/miou": 0.75,
    "val/iou/background": 0.9,
    "val/iou/cat": 0.6,
    "val/iou/dog": NAN,
    "label/miou": 0.8125,
    "label/iou/background": 0.95,
    "label/iou/cat": 0.675,
    "label/iou/dog": NAN,
    "label/coverage": 1.0,
}
CLASSES = ("background", "cat", "dog")


def printed(figures: dict[str, float], classes: tuple[str, ...] = CLASSES) -> str:
    console = Console(file=io.StringIO(), width=100)
    print_tables(figures, classes, console)
    return console.file.getvalue()


def test_a_row_per_class_and_the_mean_below() -> None:
    rows = summary_rows(FIGURES, CLASSES)
    assert rows[1] == ClassRow("cat", 0.6, 0.675, None)
    assert rows[3] == ClassRow("mean", 0.75, 0.8125, None)
    assert len(rows) == 4


def test_what_was_not_measured_is_no_column() -> None:
    columns = summary_columns(summary_rows(FIGURES, CLASSES))
    assert list(columns) == ["network", "targets"]
    assert columns["targets"][0] == 0.95
    assert summary_columns(summary_rows({"label/coverage": 1.0}, CLASSES)) == {}


def test_the_table_shows_a_dash_for_a_class_that_nobody_shows() -> None:
    lines = {
        line.split()[1]: line.split()
        for line in printed(FIGURES).splitlines()
        if line.startswith("│")
    }
    assert lines["cat"] == ["│", "cat", "│", "0.600", "│", "0.675", "│"]
    assert lines["dog"] == ["│", "dog", "│", "-", "│", "-", "│"]
    assert lines["mean"] == ["│", "mean", "│", "0.750", "│", "0.812", "│"]


def test_class_names_are_text_and_not_markup() -> None:
    assert "[red]cat" in printed({"val/iou/[red]cat": 0.5, "val/miou": 0.5}, ("[red]cat",))


def test_nothing_measured_is_said() -> None:
    assert "nothing was measured" in printed({})


def test_without_masks_the_agreement_with_annotations_is_shown() -> None:
    text = printed(
        {
            "val/box_extent_iou": 0.5,
            "val/box_extent_iou/cat": 0.75,
            "val/box_extent_iou/dog": 0.25,
            "label/coverage": 0.5,
        }
    )
    lines = {line.split()[1]: line.split() for line in text.splitlines() if line.startswith("│")}
    assert lines["cat"] == ["│", "cat", "│", "0.750", "│"]
    assert "background" not in lines
    assert lines["mean"] == ["│", "mean", "│", "0.500", "│"]
    assert "boxes (IoU)" in text
    assert "none of these has a mask" in text
    assert "nothing was measured" not in text


def test_targets_of_few_pixels_are_told_of() -> None:
    """Marks as they are have an IoU of 1, of what is marked."""
    few = {
        **FIGURES,
        "label/miou": 1.0,
        "label/coverage": 0.0312,
        "evidence/miou": 1.0,
        "evidence/coverage": 0.0312,
    }
    text = printed(few).replace("\n", " ")
    assert "targets: 3.1 % of the pixels have one, and IoU is of these alone" in text
    assert "evidence alone: it tells of 3.1 % of the pixels, and IoU is of these alone" in text
    assert "%" not in printed(FIGURES)


def test_objects_have_a_table_of_their_own() -> None:
    lines = [
        line.split()[1:4]
        for line in printed({**FIGURES, "val/mask_ap": 0.5, "val/mask_ap/cat": 0.5}).splitlines()
        if "0.500" in line
    ]
    assert lines == [["cat", "│", "0.500"], ["mean", "│", "0.500"]]
