"""Predictions of a trained network: several scales, windows, a CRF at the end."""

from typing import TYPE_CHECKING

from weakseg.utils.late_imports import lazily

if TYPE_CHECKING:
    from weakseg.inference.multiscale import Inference as Inference
    from weakseg.inference.multiscale import infer as infer
    from weakseg.inference.multiscale import infer_batch as infer_batch

__getattr__ = lazily(
    __name__,
    [
        "weakseg.inference.multiscale.Inference",
        "weakseg.inference.multiscale.infer",
        "weakseg.inference.multiscale.infer_batch",
    ],
)
