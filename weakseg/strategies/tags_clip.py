"""Image tags, and a model of images and words that says where in the image they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Le, Lt, doc
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.foundation.clip import CLIP, ClipEncoder
from weakseg.foundation.clip_words import BACKGROUND, TEMPLATE, background_beside, words_of
from weakseg.foundation.sam3_words import Sam3Words
from weakseg.functional.crf import DEEPLAB_V2, DenseCRF
from weakseg.functional.word_maps import (
    attention_affinity,
    boxes_around,
    min_max,
    spread_by_affinity,
    with_background,
)
from weakseg.functional.word_masks import labels_of_maps
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

    With `by="sam3"`, SAM 3 is asked instead, which draws all objects that a word names. Its maps
    are taken as they are: a pixel has the class whose map is highest there, if that is sure, no
    label where one is possible, and else is background.

    Args:
        by: which kind of model is asked.
        model: a CLIP model with a vision transformer, or SAM 3: an id of the hub, or a folder; null
            for openai/clip-vit-base-patch16. SAM 3 has to be named.
        revision: of the hub; null for the newest.
        words: other words for some classes, by their names, such as {crack: crack in a wall}. A
            name is its own word, but for some of Pascal VOC and COCO that CLIP-ES makes clearer.
            For SAM 3, commas stand between several of which the best counts.
        background: words for what is around objects. Those that are classes of the data set are
            left out.
        template: the sentence in which each word stands.
        long_side: of the image while CLIP sees it, in pixels. Larger ones are made smaller.
        spread: a map is spread from where it has more than this part of its maximum.
        background_power: of what the maps leave to background; more than 1 makes objects larger.
        crf: weights and standard deviations of the CRF.
        confidence: pixels whose class is less probable after the CRF have no label.
        sure, possible: of the maps of SAM 3: from which value on a pixel has the class, and below
            which it is background. The arguments from background to confidence are for CLIP.
    """

    needs: ClassVar[tuple[str, ...]] = ("tags",)
    tunable: ClassVar[Mapping[str, Sequence[Any]]] = {
        "background_power": (0.5, 1, 2),
        "crf.bilateral_rgb": (3, 5),
    }

    @limited
    def __init__(
        self,
        by: Literal["clip", "sam3"] = "clip",
        model: str | None = None,
        revision: str | None = None,
        words: dict[str, str] | None = None,
        background: tuple[str, ...] = BACKGROUND,
        template: str = TEMPLATE,
        long_side: LongSide = 512,
        spread: ShareOfPixels = 0.4,
        background_power: Power = 1.0,
        crf: DenseCRF = DEEPLAB_V2,
        confidence: Confidence = 0.95,
        sure: Confidence = 0.5,
        possible: Confidence = 0.3,
    ) -> None:
        super().__init__()
        if by == "sam3" and model is None:
            raise ValueError(
                "by=sam3 asks SAM 3, whose weights are given only to those who accept its licence; "
                "name yours: model=facebook/sam3, or a folder"
            )
        if possible > sure:
            raise ValueError(f"possible should be at most sure, {sure}, but it is {possible}")
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
        self.sure = sure
        self.possible = possible
        self.encoder: ClipEncoder | Sam3Words = (
            Sam3Words(str(model), revision)
            if by == "sam3"
            else ClipEncoder(model or CLIP, revision, long_side, template)
        )
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
        if not context.classes:
            raise ValueError(
                "context.classes is empty, but tags_clip asks for classes by their names: give "
                "Context(classes=...) the names of the data set, the background first"
            )
        classes = _possible_classes(evidence)
        if len(classes) == 1:
            target = torch.zeros(evidence.image.shape[1:], dtype=torch.uint8)
        elif isinstance(self.encoder, Sam3Words):
            target = self._by_objects(self.encoder, evidence, context, classes)
        else:
            target = self._by_maps(self.encoder, evidence, context, classes)
        return target if marks is None else target.where(marks == IGNORE, marks)

    def _by_objects(
        self, encoder: Sam3Words, evidence: Evidence, context: Context, classes: Tensor
    ) -> Tensor:
        """The target by the maps of SAM 3."""
        names = words_of(context.classes, self.words, {})
        encoding = encoder.encoding(evidence.image)
        maps = encoder.maps(encoding, [names[label - 1] for label in classes[1:].tolist()])
        large = F.interpolate(maps[None], evidence.image.shape[1:], mode="bilinear")[0]
        large = large * _possible_places(evidence, classes)[1:]
        places = labels_of_maps(large, self.sure, self.possible)
        known = classes.to(torch.uint8)[places.long().clamp(max=len(classes) - 1)]
        return known.masked_fill(places == IGNORE, IGNORE)

    def _by_maps(
        self, encoder: ClipEncoder, evidence: Evidence, context: Context, classes: Tensor
    ) -> Tensor:
        """The target by the maps of CLIP."""
        maps = self._maps(encoder, evidence, context, classes)
        large = F.interpolate(maps[None], evidence.image.shape[1:], mode="bilinear")[0]
        planes = with_background(large, self.background_power)
        inside = _possible_places(evidence, classes)
        scene = Scene(evidence.image, classes, planes, inside, evidence.marks)
        probs, places = scene.refined(planes, self.crf).max(0)
        target = classes.to(torch.uint8)[places]
        return target.masked_fill(probs < self.confidence, IGNORE)

    def _maps(
        self, encoder: ClipEncoder, evidence: Evidence, context: Context, classes: Tensor
    ) -> Tensor:
        """A map from 0 to 1 for each class but the background, float [K-1,h,w]."""
        names = words_of(context.classes, self.words)
        around = background_beside(context.classes, self.background)
        features = encoder.words([*names, *around])
        chosen = torch.cat([features[classes[1:] - 1], features[len(names) :]])
        encoding = encoder.encoding(evidence.image)
        maps = min_max(encoder.maps(encoding, chosen, len(classes) - 1).maps)
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
