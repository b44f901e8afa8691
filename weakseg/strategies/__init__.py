"""The strategies that come along. A new one is one file here and one line below; outside of the
package it needs neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weakseg.utils.late_imports import lazily

if TYPE_CHECKING:
    from weakseg.strategies.boxes_ccnn import BoxesCCNN as BoxesCCNN
    from weakseg.strategies.boxes_crf import BoxesCRF as BoxesCRF
    from weakseg.strategies.boxes_em import BoxesEM as BoxesEM
    from weakseg.strategies.boxes_instances import BoxesInstances as BoxesInstances
    from weakseg.strategies.boxes_rect import BoxesRect as BoxesRect
    from weakseg.strategies.clustering import Clustering as Clustering
    from weakseg.strategies.common_keys import LossTerms as LossTerms
    from weakseg.strategies.cosegmentation import Cosegmentation as Cosegmentation
    from weakseg.strategies.full import Full as Full
    from weakseg.strategies.mixed import Mixed as Mixed
    from weakseg.strategies.points import Points as Points
    from weakseg.strategies.points_agmm import PointsAGMM as PointsAGMM
    from weakseg.strategies.prompted_masks import PromptedMasks as PromptedMasks
    from weakseg.strategies.scribbles_crf import ScribblesCRF as ScribblesCRF
    from weakseg.strategies.scribbles_gated import ScribblesGated as ScribblesGated
    from weakseg.strategies.scribbles_graphcut import ScribblesGraphCut as ScribblesGraphCut
    from weakseg.strategies.tags import Tags as Tags
    from weakseg.strategies.tags_ccnn import TagsCCNN as TagsCCNN
    from weakseg.strategies.tags_ccnn_size import TagsCCNNSize as TagsCCNNSize
    from weakseg.strategies.tags_clip import TagsCLIP as TagsCLIP
    from weakseg.strategies.tags_em import TagsEM as TagsEM

NAMES = {
    "full": "weakseg.strategies.full.Full",
    "boxes_rect": "weakseg.strategies.boxes_rect.BoxesRect",
    "boxes_crf": "weakseg.strategies.boxes_crf.BoxesCRF",
    "boxes_instances": "weakseg.strategies.boxes_instances.BoxesInstances",
    "tags": "weakseg.strategies.tags.Tags",
    "boxes_em": "weakseg.strategies.boxes_em.BoxesEM",
    "boxes_ccnn": "weakseg.strategies.boxes_ccnn.BoxesCCNN",
    "tags_em": "weakseg.strategies.tags_em.TagsEM",
    "tags_ccnn": "weakseg.strategies.tags_ccnn.TagsCCNN",
    "tags_ccnn_size": "weakseg.strategies.tags_ccnn_size.TagsCCNNSize",
    "tags_clip": "weakseg.strategies.tags_clip.TagsCLIP",
    "points": "weakseg.strategies.points.Points",
    "points_agmm": "weakseg.strategies.points_agmm.PointsAGMM",
    "scribbles_crf": "weakseg.strategies.scribbles_crf.ScribblesCRF",
    "scribbles_gated": "weakseg.strategies.scribbles_gated.ScribblesGated",
    "scribbles_graphcut": "weakseg.strategies.scribbles_graphcut.ScribblesGraphCut",
    "clustering": "weakseg.strategies.clustering.Clustering",
    "cosegmentation": "weakseg.strategies.cosegmentation.Cosegmentation",
    "prompted_masks": "weakseg.strategies.prompted_masks.PromptedMasks",
    "mixed": "weakseg.strategies.mixed.Mixed",
}

COMMON_KEYS = "weakseg.strategies.common_keys.CommonKeys"
"""the class whose attributes a recipe may set for every strategy"""

__getattr__ = lazily(__name__, [*NAMES.values(), "weakseg.strategies.common_keys.LossTerms"])
