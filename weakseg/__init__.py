"""weakseg: cheap annotations into segmentation networks."""

from typing import TYPE_CHECKING

from weakseg.utils.late_imports import lazily

if TYPE_CHECKING:
    from weakseg.data.base import WeakData as WeakData
    from weakseg.data.label_store import LabelStore as LabelStore
    from weakseg.evaluation.comparison import compare_runs as compare_runs
    from weakseg.evaluation.model import evaluate_model as evaluate_model
    from weakseg.evidence import IGNORE as IGNORE
    from weakseg.evidence import Batch as Batch
    from weakseg.evidence import Evidence as Evidence
    from weakseg.evidence import Prediction as Prediction
    from weakseg.labelling.dataset import label_dataset as label_dataset
    from weakseg.prediction.images import predict_images as predict_images
    from weakseg.reviewing.dataset import review_dataset as review_dataset
    from weakseg.strategies.base import Context as Context
    from weakseg.strategies.base import Estimate as Estimate
    from weakseg.strategies.base import JointStrategy as JointStrategy
    from weakseg.strategies.base import Loss as Loss
    from weakseg.strategies.base import Strategy as Strategy
    from weakseg.strategies.base import Wants as Wants
    from weakseg.trained.exporting import export_model as export_model
    from weakseg.trained.loading import load_model as load_model
    from weakseg.training.rounds import Rounds as Rounds
    from weakseg.training.segmenter import Segmenter as Segmenter
    from weakseg.tuning.strategy import tune_strategy as tune_strategy

__version__ = "0.1.0"

_TARGETS = (
    "weakseg.data.base.WeakData",
    "weakseg.data.label_store.LabelStore",
    "weakseg.evaluation.comparison.compare_runs",
    "weakseg.evaluation.model.evaluate_model",
    "weakseg.evidence.IGNORE",
    "weakseg.evidence.Batch",
    "weakseg.evidence.Evidence",
    "weakseg.evidence.Prediction",
    "weakseg.trained.exporting.export_model",
    "weakseg.trained.loading.load_model",
    "weakseg.training.rounds.Rounds",
    "weakseg.training.segmenter.Segmenter",
    "weakseg.labelling.dataset.label_dataset",
    "weakseg.prediction.images.predict_images",
    "weakseg.reviewing.dataset.review_dataset",
    "weakseg.strategies.base.Context",
    "weakseg.strategies.base.Estimate",
    "weakseg.strategies.base.JointStrategy",
    "weakseg.strategies.base.Loss",
    "weakseg.strategies.base.Strategy",
    "weakseg.strategies.base.Wants",
    "weakseg.tuning.strategy.tune_strategy",
)

__all__ = [target.rpartition(".")[2] for target in _TARGETS]

__getattr__ = lazily(__name__, _TARGETS)
