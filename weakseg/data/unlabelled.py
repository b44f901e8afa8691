"""Images without annotation, which are trained on with the network's own predictions for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from pathlib import Path

from torch import Tensor

from weakseg.data.files.downsampling import downsample_evidence
from weakseg.data.formats.base import PICTURES
from weakseg.evidence import Evidence
from weakseg.utils.fingerprint import fingerprint
from weakseg.utils.messages import counted, did_you_mean
from weakseg.utils.remote_path import is_remote, list_once

Source = int | Path
"""the index of an image of the data set, or the file of another one"""


class UnlabelledImages:
    """Images that nobody has annotated.

    Args:
        where: what they are called in messages.
        ids: of the images; no image of the data set that is trained on has one of these.
        sources: where each is.
        left_out: how many files of the folder are images that the data set has itself.
    """

    def __init__(
        self, where: str, ids: Sequence[str], sources: Sequence[Source], left_out: int = 0
    ) -> None:
        if not sources:
            hint = "; with unlabelled=own, give data.annotated, the part that is" * (where == "own")
            raise ValueError(
                f"unlabelled: there is no image without annotation in {where}"
                f"{_without(left_out)}{hint}"
            )
        self.where = where
        self.ids = list(ids)
        self.sources = list(sources)
        self.left_out = left_out

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def counts(self) -> str:
        """How many there are, and why others are not."""
        return f"{counted(len(self), 'image')} to train on{_without(self.left_out)}"

    @cached_property
    def fingerprint(self) -> str:
        """Of the images that are trained on; a resumed run needs the same."""
        return fingerprint(self.ids)

    def evidence(
        self,
        place: int,
        own: Callable[[int], Tensor],
        read: Callable[[Path], Tensor],
        long_side: int | None,
    ) -> Evidence:
        """An image without any evidence.

        Args:
            place: among the images.
            own: an image of the data set by its index.
            read: of files, as the data set reads its own.
            long_side: as the data set has it.
        """
        source = self.sources[place]
        if isinstance(source, int):
            return Evidence(self.ids[place], own(source))
        image = Evidence(self.ids[place], read(source))
        return downsample_evidence(image, None, long_side)[0]


def in_folder(folder: Path, own: Collection[Path]) -> UnlabelledImages:
    """The images in a folder and those below it, without files of the data set itself."""
    list_once(folder)
    if not folder.is_dir():
        near = not is_remote(folder) and folder.parent.is_dir()
        beside = [each.name for each in folder.parent.iterdir()] if near else []
        raise ValueError(
            f"unlabelled: expected own or a folder of images, but there is no folder {folder}"
            f"{did_you_mean(folder.name, beside)}"
        )
    known = {path.resolve() for path in own}
    pictures = sorted(
        file for file in folder.rglob("*") if file.suffix.lower() in PICTURES and file.is_file()
    )
    files = [file for file in pictures if file.resolve() not in known]
    ids = [f"{folder.name}/{file.relative_to(folder).as_posix()}" for file in files]
    return UnlabelledImages(f"{folder}", ids, files, len(pictures) - len(files))


def _without(left_out: int) -> str:
    return f", {left_out} left out that the data set has itself" if left_out else ""
