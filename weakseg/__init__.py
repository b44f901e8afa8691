"""weakseg: cheap annotations into segmentation networks."""

from typing import TYPE_CHECKING

from weakseg.lazy import lazily

if TYPE_CHECKING:
    from weakseg.data.base import WeakData as WeakData
    from weakseg.data.store import LabelStore as LabelStore
    from weakseg.evidence import IGNORE as IGNORE
    from weakseg.evidence import Batch as Batch
    from weakseg.evidence import Evidence as Evidence
    from weakseg.evidence import Prediction as Prediction
    from weakseg.rounds import Rounds as Rounds
    from weakseg.segmenter import Segmenter as Segmenter
    from weakseg.strategy import Strategy as Strategy

__version__ = "0.1.0"

_TARGETS = (
    "weakseg.data.base.WeakData",
    "weakseg.data.store.LabelStore",
    "weakseg.evidence.IGNORE",
    "weakseg.evidence.Batch",
    "weakseg.evidence.Evidence",
    "weakseg.evidence.Prediction",
    "weakseg.rounds.Rounds",
    "weakseg.segmenter.Segmenter",
    "weakseg.strategy.Strategy",
)

__all__ = [target.rpartition(".")[2] for target in _TARGETS]

__getattr__ = lazily(__name__, _TARGETS)
