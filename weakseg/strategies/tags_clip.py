"""Image tags, and a model of images and words that says where in the image they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le, Lt, doc
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.foundation.clip import CLIP, ClipEncoder
from weakseg.foundation.clip_words import BACKGROUND, TEMPLATE, background_beside, words_of
from weakseg.functional.crf import DEEPLAB_V2, DenseCRF
from weakseg.functional.word_maps import (
    attention_affinity,
    boxes_around,
    min_max,
    spread_by_affinity,
    with_background,
)
from weakseg.strategies.base import Context, Strategy, Wants
from weakseg.strategies.shared.common_features import possible_places
from weakseg.strategies.shared.options import LongSide, ShareOfPixels
from weakseg.strategies.shared.per_step import check_tags
from weakseg.strategies.shared.scene import Scene
from weakseg.utils.limits import limited

Confidence = Annotated[float, Ge(0), Le(1), doc("a probability")]
Power = Annotated[float, Gt(0), Lt(100), doc("1 leaves it as it is")]


class TagsCLIP(Strategy):
    """Pseudo-labels from tags and CLIP, which has learned from captions what images show: its
    gradients say where each tag is, its attention what belongs together, and a dense CRF finds the
    outline.

    CLIP-ES (Lin, Chen, Wang, Zhang, Yang, Deng and Ma, "CLIP is Also an Efficient Segmenter: A
    Text-Driven Approach for Weakly Supervised Semantic Segmentation", CVPR 2023). CLIP is asked for
    the classes of the image's tags beside words for what is around objects, which compete for the
    image by a softmax. GradCAM gives a map of each class. Each map is spread from the boxes around
    its strongest parts to what the patches attend to. Background has what the maps leave. After a
    dense CRF, pixels whose class is not certain have no label. Estimates once, nothing is trained
    for it, and each image is seen by itself.

    Classes that the tags leave out are impossible. Of a class that has boxes, too, nothing is
    outside of them, and marked pixels keep their class; an image with a mask has its mask for a
    target.

    Args:
        model: a CLIP model with a vision transformer: an id of the hub, or a folder.
        revision: of the hub; null for the newest.
        words: other words for some classes, by their names, such as {crack: crack in a wall}. A
            name is its own word, but for some of Pascal VOC and COCO that CLIP-ES makes clearer.
        background: words for what is around objects. Those that are classes of the data set are
            left out.
        template: the sentence in which each word stands.
        long_side: of the image while CLIP sees it, in pixels. Larger ones are made smaller.
        spread: a map is spread from where it has more than this part of its maximum.
        background_power: of what the maps leave to background; more than 1 makes objects larger.
        crf: weights and standard deviations of the CRF.
        confidence: pixels whose class is less probable after the CRF have no label.
    """

    needs: ClassVar[tuple[str, ...]] = ("tags",)
    tunable: ClassVar[Mapping[str, Sequence[Any]]] = {
        "background_power": (0.5, 1, 2),
        "crf.bilateral_rgb": (3, 5),
    }

    @limited
    def __init__(
        self,
        model: str = CLIP,
        revision: str | None = None,
        words: dict[str, str] | None = None,
        background: tuple[str, ...] = BACKGROUND,
        template: str = TEMPLATE,
        long_side: LongSide = 512,
        spread: ShareOfPixels = 0.4,
        background_power: Power = 1.0,
        crf: DenseCRF = DEEPLAB_V2,
        confidence: Confidence = 0.95,
    ) -> None:
        super().__init__()
        if "{}" not in template:
            raise ValueError(
                f"template should have {{}} in the place of a word, such as {TEMPLATE!r}, but it "
                f"is {template!r}"
            )
        self.words = words or {}
        self.background = background
        self.template = template
        self.spread = spread
        self.background_power = background_power
        self.crf = crf
        self.confidence = confidence
        self.encoder = ClipEncoder(model, revision, long_side, template)
        self.wants = Wants(encoder=self.encoder)

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Tags name background, and words are given for classes that there are."""
        check_tags(evidence, classes)
        words_of(classes, self.words)

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        """The likeliest class of each pixel, 255 where none is certain."""
        evidence.need("tags")
        marks = evidence.marks
        if marks is not None and "masks" in evidence.annotations:
            return marks.clone()
        classes = _possible_classes(evidence)
        if len(classes) == 1:
            target = torch.zeros(evidence.image.shape[1:], dtype=torch.uint8)
        else:
            target = self._target(evidence, context, classes)
        return target if marks is None else target.where(marks == IGNORE, marks)

    def _target(self, evidence: Evidence, context: Context, classes: Tensor) -> Tensor:
        maps = self._maps(evidence, context, classes)
        large = F.interpolate(maps[None], evidence.image.shape[1:], mode="bilinear")[0]
        planes = with_background(large, self.background_power)
        inside = _possible_places(evidence, classes)
        scene = Scene(evidence.image, classes, planes, inside, evidence.marks)
        probs, places = scene.refined(planes, self.crf).max(0)
        target = classes.to(torch.uint8)[places]
        return target.masked_fill(probs < self.confidence, IGNORE)

    def _maps(self, evidence: Evidence, context: Context, classes: Tensor) -> Tensor:
        """A map from 0 to 1 for each class but the background, float [K-1,h,w]."""
        if not context.classes:
            raise ValueError(
                "context.classes is empty, but tags_clip asks for classes by their names: give "
                "Context(classes=...) the names of the data set, the background first"
            )
        names = words_of(context.classes, self.words)
        around = background_beside(context.classes, self.background)
        features = self.encoder.words([*names, *around])
        chosen = torch.cat([features[classes[1:] - 1], features[len(names) :]])
        encoding = self.encoder.encoding(evidence.image)
        maps = min_max(self.encoder.maps(encoding, chosen, len(classes) - 1).maps)
        affinity = attention_affinity(encoding["attention"])
        return min_max(spread_by_affinity(maps, affinity, boxes_around(maps, self.spread)))


def _possible_classes(evidence: Evidence) -> Tensor:
    """Background and the classes of the tags, in order: int64 [K]."""
    assert evidence.tags is not None
    named = evidence.tags.clone()
    named[0] = True
    return named.nonzero().flatten()


def _possible_places(evidence: Evidence, classes: Tensor) -> Tensor:
    """Where each of these classes can be, bool [K,H,W]: in its boxes, or anywhere if it has
    none."""
    inside = possible_places(evidence, classes)
    boxless = ~inside.flatten(1).any(1)
    return inside | boxless[:, None, None]
