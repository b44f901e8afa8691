"""The toy set: drawn pictures whose truth is known. Needs no download."""

from typing import TYPE_CHECKING

from weakseg.utils.late_imports import lazily

if TYPE_CHECKING:
    from weakseg.data.toy.dataset import Toy as Toy

__getattr__ = lazily(
    __name__,
    [
        "weakseg.data.toy.dataset.Toy",
    ],
)
