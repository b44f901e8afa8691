"""The labelling interface of a project in Label Studio: which of its tags hold the image, the masks
and their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from weakseg.data.formats.writing.labels import IGNORED
from weakseg.evidence import IGNORE
from weakseg.integrations.label_studio.refusals import Refusal
from weakseg.utils.messages import quoted

# what a prediction is written as, the most exact first
OUTPUTS = ("brushlabels", "bitmasklabels", "polygonlabels", "rectanglelabels")
LONGEST = 2**20  # characters


class Control(NamedTuple):
    """A tag with labels that regions on the image have."""

    kind: str
    """its type in results, such as brushlabels"""
    name: str
    labels: dict[int, str]
    """the label of each class of the network that it knows, by the number of the class"""


class Interface(NamedTuple):
    """What a project says of its regions."""

    image: str
    """name of the tag that shows the image"""
    field: str
    """of a task's data, with the address of the image"""
    controls: tuple[Control, ...]
    """those for regions on the image, in their order"""

    @property
    def output(self) -> Control:
        """What a prediction is written with."""
        for kind in OUTPUTS:
            for control in self.controls:
                if control.kind == kind and any(label != 0 for label in control.labels):
                    return control
        raise Refusal(
            "the labelling interface has no <BrushLabels>, <BitmaskLabels>, <PolygonLabels> or "
            "<RectangleLabels> whose labels are classes of the network; weakseg label "
            "format=label_studio writes one"
        )

    def class_of(self, label: str, name: str) -> int:
        """The number of the class that a label of a control means."""
        for control in self.controls:
            for number, own in control.labels.items():
                if control.name == name and own == label:
                    return number
        raise Refusal(f"the label {quoted(label)} is no class of the network")


def read_interface(config: object, classes: Sequence[str]) -> Interface:
    """What a labelling interface says; a Refusal if it is none, or has no image.

    Args:
        config: its text, which may come from anybody.
        classes: of the network, the background first.
    """
    root = _parsed(config)
    images = {
        element.get("name", ""): element.get("value", "")
        for element in root.iter("Image")
        if element.get("value", "").startswith("$")
    }
    if not images:
        raise Refusal('the labelling interface has no <Image name="..." value="$..."/>')
    found = [control for control in _controls(root, classes) if control[0] in images]
    image = found[0][0] if found else next(iter(images))
    controls = tuple(control for shown, control in found if shown == image)
    return Interface(image, images[image][1:], controls)


def _parsed(config: object) -> Element:
    if not isinstance(config, str) or not 0 < len(config) <= LONGEST:
        raise Refusal("label_config: expected the labelling interface as XML", 400)
    try:
        root: Element = fromstring(config, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        why = str(error) or type(error).__name__
        raise Refusal(f"label_config: the labelling interface is no XML: {why}", 400) from None
    return root


def _controls(root: Element, classes: Sequence[str]) -> Iterator[tuple[str, Control]]:
    """All tags with labels for regions, each with the name of the tag that it belongs to."""
    for element in root.iter():
        kind = str(element.tag).lower()
        shown = element.get("toName", "").split(",")[0]
        if kind.endswith("labels") and kind != "labels" and shown and element.get("name"):
            yield shown, Control(kind, element.get("name", ""), _labels(element, classes))


def _labels(element: Element, classes: Sequence[str]) -> dict[int, str]:
    """By the number of a class the label that means it: of its name, of a name in
    `predicted_values`, or the same in small letters."""
    names = {
        **{_folded(name): number for number, name in enumerate(classes)},
        IGNORED: IGNORE,
        **{name: number for number, name in enumerate(classes)},
    }
    found: dict[int, str] = {}
    for label in element.iter("Label"):
        value = label.get("value", "")
        others = [name.strip() for name in label.get("predicted_values", "").split(",")]
        for name in (value, *others, _folded(value)):
            if value and name in names:
                found.setdefault(names[name], value)
    return found


def _folded(name: str) -> str:
    return name.strip().casefold()
