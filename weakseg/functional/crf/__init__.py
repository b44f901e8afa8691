"""The dense CRF: `DenseCRF` holds its settings, `dense_crf` refines probabilities."""

from typing import TYPE_CHECKING

from weakseg.utils.late_imports import lazily

if TYPE_CHECKING:
    from weakseg.functional.crf.dense import DEEPLAB_V2 as DEEPLAB_V2
    from weakseg.functional.crf.dense import DenseCRF as DenseCRF
    from weakseg.functional.crf.dense import dense_crf as dense_crf

__getattr__ = lazily(
    __name__,
    [
        "weakseg.functional.crf.dense.DEEPLAB_V2",
        "weakseg.functional.crf.dense.DenseCRF",
        "weakseg.functional.crf.dense.dense_crf",
    ],
)
