"""The text file of classes and colours beside masks, as CVAT and Datumaro read it."""

from __future__ import annotations

from collections.abc import Sequence

from weakseg.data.formats.writing.labels import IGNORED
from weakseg.evidence import IGNORE
from weakseg.utils.files import voc_palette

HEAD = "# label:color_rgb:parts:actions"


def labelmap(classes: Sequence[str], ignored: bool) -> bytes:
    """The lines of `labelmap.txt`: each class with its colour in PASCAL VOC's palette, and one for
    pixels without a label, if there are any."""
    palette = voc_palette()
    named = [*enumerate(classes), *[(IGNORE, IGNORED)] * ignored]
    lines = ["{}:{},{},{}::".format(name, *palette[label]) for label, name in named]
    return "\n".join([HEAD, *lines, ""]).encode()


def check_labelmap(classes: Sequence[str], format: str) -> None:
    """A ValueError if a label map cannot hold one of the names."""
    for name in classes:
        if ":" in name or name.startswith("#") or name != name.strip():
            raise ValueError(
                f"the name of a class in files of format={format} should be without a colon, # at "
                f"its beginning and spaces around it, but it is {name!r}; rename it, or choose "
                "another format"
            )
