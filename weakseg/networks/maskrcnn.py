"""Mask R-CNN: instance segmentation, a class, box and mask for each object."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from annotated_types import Gt
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from weakseg.evidence import Batch, Instances
from weakseg.functional.instances import paint_scores
from weakseg.networks.parts.resnet import depth_of, resnet_body
from weakseg.utils.limits import Count, limited

TERMS = {
    "loss_classifier": "class",
    "loss_box_reg": "box",
    "loss_mask": "mask",
    "loss_objectness": "proposal_objectness",
    "loss_rpn_box_reg": "proposal_box",
}
"""torchvision's names of the losses, and ours"""
LEAST = 1e-6  # probabilities below are taken for this, so that logits stay finite


class _AsTheyAre(GeneralizedRCNNTransform):  # type: ignore[misc]  # torchvision publishes no types
    """Leaves images at their size (torchvision's own _skip_resize does so in training only)."""

    def resize(
        self, image: Tensor, target: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        return image, target


class MaskRCNN(nn.Module):
    """Mask R-CNN with a feature pyramid (He, Gkioxari, Dollar and Girshick, ICCV 2017), as in
    torchvision.

    It learns from masks of single boxes, which a strategy such as boxes_instances makes. Its logits
    are painted from the objects that it finds, for figures and pictures of classes; no gradient
    flows through them.

    Args:
        encoder: a ResNet, resnet18 to resnet101.
        weights: null, imagenet, or the path of a state dict of the encoder.
        width: all layers have so many times the usual channels; below 1 for a small network,
            without ready weights.
        min_size: images are scaled until the shorter side has so many pixels ...
        max_size: ... or the longer one so many; min_size=null leaves them as they are.
        proposals: regions per image that are classified, twice as many in training.
        samples: of those, how many train the heads.
        detections: objects that are found at most in one image.
    """

    stride = 1

    @limited
    def __init__(
        self,
        classes: int,
        encoder: str = "resnet50",
        weights: Literal["imagenet"] | Path | None = None,
        width: Annotated[float, Gt(0)] = 1.0,
        min_size: Count | None = 800,
        max_size: int = 1333,
        proposals: Count = 1000,
        samples: Count = 512,
        detections: Count = 100,
    ) -> None:
        super().__init__()
        depth, deep_stem = depth_of(encoder)
        body = resnet_body(depth, weights=weights, width=width, deep_stem=deep_stem)
        channels = max(1, round(256 * width))
        hidden = max(1, round(1024 * width))
        layers = {f"layer{stage}": str(stage - 1) for stage in range(1, 5)}
        self.classes = classes
        self.model = detection.MaskRCNN(
            BackboneWithFPN(body, layers, list(body.channels[1:]), channels),
            box_head=TwoMLPHead(channels * 7**2, hidden),
            box_predictor=FastRCNNPredictor(hidden, classes),
            mask_head=MaskRCNNHeads(channels, (channels,) * 4, 1),
            mask_predictor=MaskRCNNPredictor(channels, channels, classes),
            box_batch_size_per_image=samples,
            box_detections_per_img=detections,
            **_proposals(proposals),
        )
        transform = _AsTheyAre if min_size is None else GeneralizedRCNNTransform
        # images come normalised
        self.model.transform = transform(min_size or 1, max_size, [0.0] * 3, [1.0] * 3)

    @property
    def encoder(self) -> nn.Module:
        """The ResNet, which the optimizer may train more slowly than the rest."""
        body: nn.Module = self.model.backbone.body
        return body

    def features(self, image: Tensor) -> Tensor:
        """The finest map of the pyramid: float [B,D,h,w] at stride 4. Any size of image."""
        height, width = image.shape[-2:]
        padded = F.pad(image, (0, -width % 32, 0, -height % 32))
        finest: Tensor = self.model.backbone(padded)["0"]
        return finest[..., : -(-height // 4), : -(-width // 4)]

    def losses(self, image: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The terms that train it, for normalised images [B,3,H,W] and the boxes and masks of their
        batch."""
        if batch.boxes is None or batch.box_classes is None or batch.box_masks is None:
            raise ValueError(
                f"the images {', '.join(batch.ids)} have no mask for each box, from which Mask "
                "R-CNN learns; take a strategy that makes them, such as boxes_instances"
            )
        targets = [
            {"boxes": boxes.float(), "labels": labels, "masks": masks.byte()}
            for boxes, labels, masks in zip(
                batch.boxes, batch.box_classes, batch.box_masks, strict=True
            )
        ]
        found: dict[str, Tensor] = self.model(list(image), targets)
        return {name: found[theirs] for theirs, name in TERMS.items()}

    def detect(self, image: Tensor) -> list[Instances]:
        """The objects in each of the normalised images [B,3,H,W], the surest first."""
        if self.training:
            raise RuntimeError(
                "Mask R-CNN finds objects in eval mode only; call network.eval() first, or "
                "`losses` to train it"
            )
        found: list[dict[str, Tensor]] = self.model(list(image))
        return [
            Instances(each["boxes"], each["labels"], each["masks"][:, 0], each["scores"])
            for each in found
        ]

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B,C,H,W] of normalised images [B,3,H,W]: the logarithm of what `paint_scores`
        makes of the objects found."""
        found = self.detect(image)
        probs = [
            paint_scores(each.masks, each.scores, each.classes, self.classes)
            for each in found
            if each.scores is not None
        ]
        return torch.stack(probs).clamp(min=LEAST).log()


def _proposals(count: int) -> dict[str, Any]:
    training = {f"rpn_{when}_nms_top_n_train": 2 * count for when in ("pre", "post")}
    return training | {f"rpn_{when}_nms_top_n_test": count for when in ("pre", "post")}
