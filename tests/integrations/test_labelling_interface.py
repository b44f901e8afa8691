"""Labelling interfaces of projects."""

from __future__ import annotations

import pytest

from tests.integrations.projects import CONFIG
from weakseg.data.formats.writing.label_studio import interface_of
from weakseg.evidence import IGNORE
from weakseg.integrations.label_studio.interface import read_interface
from weakseg.integrations.label_studio.refusals import Refusal

CLASSES = ("red", "green", "blue")


def test_its_tags_and_labels_are_found_by_name_by_predicted_values_and_in_small_letters() -> None:
    interface = read_interface(CONFIG, CLASSES)
    assert (interface.image, interface.field) == ("photo", "picture")
    assert [control.name for control in interface.controls] == ["mask", "click", "frame"]
    assert interface.output.name == "mask"
    assert interface.output.labels == {1: "Green", 2: "sky"}
    assert interface.class_of("red", "click") == 0
    assert interface.class_of("sky", "frame") == 2


def test_the_interface_that_weakseg_writes_is_one_of_its_own() -> None:
    interface = read_interface(interface_of(CLASSES), CLASSES)
    assert interface.output.labels == {1: "green", 2: "blue", IGNORE: "ignored"}


ORDER = ["BrushLabels", "BitmaskLabels", "PolygonLabels", "RectangleLabels"]


@pytest.mark.parametrize("kind", ORDER)
def test_the_most_exact_tag_that_is_there_is_drawn_with(kind: str) -> None:
    there = ORDER[ORDER.index(kind) :]
    tags = "".join(
        f'<{name} name="{name}" toName="x"><Label value="blue"/></{name}>'
        for name in reversed(there)
    )
    config = f'<View><Image name="x" value="$x"/>{tags}</View>'
    assert read_interface(config, CLASSES).output.name == kind


def test_tags_of_another_object_are_left_out() -> None:
    config = (
        '<View><Text name="t" value="$t"/><Image name="x" value="$x"/>'
        '<Labels name="words" toName="t"><Label value="green"/></Labels>'
        '<BrushLabels name="b" toName="x"><Label value="green"/></BrushLabels></View>'
    )
    assert [control.name for control in read_interface(config, CLASSES).controls] == ["b"]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (None, "label_config: expected the labelling interface as XML"),
        ("", "label_config: expected the labelling interface as XML"),
        ("<View>", "label_config: the labelling interface is no XML: no element found"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><View>&a;</View>', "label_config: .* no XML"),
        ("<View/>", "the labelling interface has no <Image"),
        (
            '<View><Image name="x" value="fixed.png"/></View>',
            "the labelling interface has no <Image",
        ),
        (
            '<View><Image name="x" value="$x"/></View>',
            "no <BrushLabels>, <BitmaskLabels>, <Polygon",
        ),
        (
            '<View><Image name="x" value="$x"/><BrushLabels name="b" toName="x">'
            '<Label value="cloud"/><Label value="red"/></BrushLabels></View>',
            "whose labels are classes of the network",
        ),
    ],
)
def test_what_is_wrong_with_an_interface_is_one_line(config: str | None, reason: str) -> None:
    with pytest.raises(Refusal, match=reason) as caught:
        read_interface(config, CLASSES).output  # noqa: B018
    assert "\n" not in str(caught.value)


def test_a_label_that_means_no_class_is_named() -> None:
    with pytest.raises(Refusal, match="the label 'cloud' is no class of the network"):
        read_interface(CONFIG, CLASSES).class_of("cloud", "mask")
