"""Tags as constraints: the posterior nearest to the network's probabilities in which every class of
the tags has a part of the image."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import ClassVar

from torch import Tensor

from weakseg.evidence import Batch, Evidence
from weakseg.functional.constraints.bounds import Constraints, tag_constraints
from weakseg.strategies.base import Loss, Resolution, Strategy, Wants
from weakseg.strategies.shared.options import (
    InverseTemperature,
    PriorSigma,
    ShareOfPixels,
    Slack,
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


class TagsCCNN(Strategy):
    """In every step the posterior that is nearest to the network's probabilities and gives each
    class of the tags enough of the image; the network learns it.

    CCNN (Pathak, Krähenbühl and Darrell, "Constrained Convolutional Neural Networks for Weakly
    Supervised Segmentation", ICCV 2015), with the numbers of its released code. A class that is not
    in the tags gets nothing. The network learns the probabilities themselves, not their best class.
    Tags must name background too, and hold for what the network sees: train on whole images.

    Args:
        background_lower: the least part of the image that is background.
        background_upper: the largest, in an image that shows anything else.
        foreground_lower: the least part of the image of every other class in the tags.
        foreground_slack: by how many logits a class is raised at most to reach that; inf for as
            many as it takes.
        inverse_temperature: the logits are multiplied by this; far above 1 the probabilities are
            next to 0 and 1.
        resolution: of the posterior. image: of logits that are enlarged to the image first; scores:
            at the network's own stride, as in the original. The parts are the same; scores take
            less time by the square of the stride, and resolve borders less finely.
        warmup, prior_sigma: as for tags_em.
    """

    needs: ClassVar[tuple[str, ...]] = ("tags",)
    takes: ClassVar[tuple[str, ...]] = ()

    @limited
    def __init__(
        self,
        background_lower: ShareOfPixels = 0.3,
        background_upper: ShareOfPixels = 0.7,
        foreground_lower: ShareOfPixels = 0.05,
        foreground_slack: Slack = 2.0,
        inverse_temperature: InverseTemperature = 1.0,
        warmup: TagsWarmup = 0,
        resolution: Resolution = "image",
        prior_sigma: PriorSigma | None = None,
    ) -> None:
        super().__init__()
        expect_ordered("background", background_lower, background_upper)
        self.background_lower = background_lower
        self.background_upper = background_upper
        self.foreground_lower = foreground_lower
        self.foreground_slack = foreground_slack
        self.inverse_temperature = inverse_temperature
        self.prior_sigma = prior_sigma
        self.wants = Wants(resolution=resolution)
        self.warmup = WarmUp(warmup)

    def check(self, evidence: Evidence, classes: Sequence[str]) -> None:
        """Tags name background, and there is room for all that they name."""
        check_tags(evidence, classes)
        if evidence.tags is not None:
            # slack would hide bounds that were set by mistake
            wanted = tag_constraints(
                evidence.tags[None],
                self.background_lower,
                self.background_upper,
                self.foreground_lower,
                inf,
            )
            check_bounds(
                wanted,
                evidence.tags,
                classes,
                "lower strategy.background_lower or strategy.foreground_lower",
            )

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor] | Loss:
        """KL divergence of the network's probabilities from those that keep the bounds;
        classification during the warm-up."""
        tags = per_image(batch, "tags", self)
        valid = valid_of(batch, logits)
        if not self.warmup.is_over():
            return tags_loss(logits, tags, valid, WARMUP_SHRINK[self.wants.resolution])
        constraints = known_on_cpu(self._constraints(tags), self._constraints(host_copy(tags)))
        return posterior_loss(logits, tags, constraints, valid, self.prior_sigma)

    def _constraints(self, tags: Tensor) -> Constraints:
        background = self.background_lower, self.background_upper
        return tag_constraints(
            tags,
            *background,
            self.foreground_lower,
            self.foreground_slack,
            self.inverse_temperature,
        )
