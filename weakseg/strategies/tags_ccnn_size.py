"""Tags as constraints, and one bit more for each: whether the class covers more than a tenth of the
image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from weakseg.evidence import Batch, Evidence
from weakseg.functional.constraints.bounds import Constraints, SizeSource, size_constraints
from weakseg.strategies.base import Loss, Resolution, Strategy, Wants
from weakseg.strategies.shared.options import (
    InverseTemperature,
    PriorSigma,
    ShareOfPixels,
    TagsWarmup,
    expect_ordered,
)
from weakseg.strategies.shared.per_step import (
    WARMUP_SHRINK,
    check_bounds,
    check_tags,
    known_on_cpu,
    per_image,
    posterior_loss,
    tags_loss,
    valid_of,
)
from weakseg.strategies.shared.warmup import WarmUp
from weakseg.utils.devices import host_copy
from weakseg.utils.limits import limited


class TagsCCNNSize(Strategy):
    """`TagsCCNN` with size constraints: classes that are known to be large cover at least a tenth
    of the image, others next to nothing.

    CCNN (Pathak, Krähenbühl and Darrell, "Constrained Convolutional Neural Networks for Weakly
    Supervised Segmentation", ICCV 2015). `large` of the evidence names the classes that cover more
    than a tenth of the image.

    Args:
        source: what becomes of a small class. paper: it covers at most `small_upper`. ccnn_code, as
            its authors released it: it gets nothing, so that a class that is small in all images is
            never learned.
        background_lower: the least part of the image that is background.
        background_upper: the largest, in an image with something large.
        large_lower: the least part of the image of a large class.
        small_upper: the largest part of a small one.
        inverse_temperature: the logits are multiplied by this; at 1000, that of the released code,
            the probabilities are next to 0 and 1.
        warmup, resolution, prior_sigma: as for tags_ccnn.
    """

    needs: ClassVar[tuple[str, ...]] = ("tags", "large")
    takes: ClassVar[tuple[str, ...]] = ()

    @limited
    def __init__(
        self,
        source: SizeSource = "paper",
        background_lower: ShareOfPixels = 0.2,
        background_upper: ShareOfPixels = 0.7,
        large_lower: ShareOfPixels = 0.1,
        small_upper: ShareOfPixels = 0.01,
        inverse_temperature: InverseTemperature = 1000.0,
        warmup: TagsWarmup = 0,
        resolution: Resolution = "image",
        prior_sigma: PriorSigma | None = None,
    ) -> None:
        super().__init__()
        expect_ordered("background", background_lower, background_upper)
        self.source: SizeSource = source
        self.background_lower = background_lower
        self.background_upper = background_upper
        self.large_lower = large_lower
        self.small_upper = small_upper
        self.inverse_temperature = inverse_temperature
        self.prior_sigma = prior_sigma
        self.wants = Wants(resolution=resolution)
        self.warmup = WarmUp(warmup)

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Tags name background, something is large, and there is room for it."""
        check_tags(evidence, classes)
        if evidence.tags is None or evidence.large is None:
            return
        if not evidence.large.any():
            raise ValueError(
                "large says that no class covers more than a tenth of the image, not even "
                f"{classes[0]}: set large[0] = True"
            )
        if wrong := [
            name
            for name, big, there in zip(classes, evidence.large, evidence.tags, strict=True)
            if big and not there
        ]:
            raise ValueError(
                f"large names {', '.join(wrong)}, which tags leave out: add it to the tags, or "
                "take it out of large"
            )
        remedy = (
            "lower strategy.background_lower or strategy.large_lower, or raise "
            "strategy.background_upper"
        )
        check_bounds(
            self._constraints(evidence.tags[None], evidence.large[None]),
            evidence.tags,
            classes,
            remedy,
        )

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor] | Loss:
        """KL divergence of the network's probabilities from those that keep the bounds;
        classification during the warm-up."""
        tags = per_image(batch, "tags", self)
        large = per_image(batch, "large", self)
        valid = valid_of(batch, logits)
        if not self.warmup.is_over():
            return tags_loss(logits, tags, valid, WARMUP_SHRINK[self.wants.resolution])
        constraints = known_on_cpu(
            self._constraints(tags, large), self._constraints(host_copy(tags), host_copy(large))
        )
        return posterior_loss(logits, tags, constraints, valid, self.prior_sigma)

    def _constraints(self, tags: Tensor, large: Tensor) -> Constraints:
        background = self.background_lower, self.background_upper
        return size_constraints(
            tags,
            large,
            self.source,
            *background,
            self.large_lower,
            self.small_upper,
            self.inverse_temperature,
        )
