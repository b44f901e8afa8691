"""DPT: a decoder of convolutions on a vision transformer of timm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from annotated_types import Ge
from segmentation_models_pytorch.encoders.timm_vit import TimmViTEncoder
from torch import Tensor, nn

from weakseg.networks.parts.encoders import build_model, without_classifier
from weakseg.networks.parts.layers import crop, padded
from weakseg.networks.parts.weights import load_state, read_weights
from weakseg.networks.parts.weights_origin import from_file, note_origin
from weakseg.utils.limits import limited

Channels = Annotated[int, Ge(1)]
_UNUSED = ("norm.", "fc_norm.", "head.")  # of a transformer that is asked for its blocks
_STRIDE = 16  # as which all patches are taken


class DPT(nn.Module):
    """Four blocks of a vision transformer, which all have one vector per patch, become maps of four
    sizes, and these are joined from coarse to fine (Ranftl, Bochkovskiy and Koltun, "Vision
    Transformers for Dense Prediction", ICCV 2021).

    The encoder is any vision transformer of timm whose positions can be interpolated, such as
    DINOv2. Patches need not have 16 pixels: maps have 4, 2, 1 and 1/2 cells per patch whatever its
    size, as in the decoders that DINOv2 is published with.

    Args:
        encoder: `tu-<name>` of a vision transformer in timm.
        weights: null, imagenet for those that the name stands for in timm, or the path of a state
            dict of the transformer.
        channels: of the four maps, from fine to coarse.
        fused: channels in which they are joined.
    """

    stride = 2
    """pixels of the image per pixel of the logits, in each direction"""

    @limited
    def __init__(
        self,
        classes: int,
        encoder: str = "tu-vit_small_patch14_dinov2.lvd142m",
        weights: Literal["imagenet"] | Path | None = None,
        channels: tuple[Channels, Channels, Channels, Channels] = (48, 96, 192, 384),
        fused: Channels = 256,
    ) -> None:
        super().__init__()
        from_disk = weights if isinstance(weights, Path) else None
        try:
            # it is asked for its blocks alone; what positions it was trained at does not matter
            body: Any = build_model(
                _encoder, encoder, None if from_disk else weights, dynamic_img_size=True
            ).get_submodule("encoder")
        except TypeError as error:
            raise ValueError(
                f"encoder {encoder} takes images of one size alone, or is no vision transformer; "
                "take one such as tu-vit_small_patch14_dinov2.lvd142m"
            ) from error
        _check_patches(encoder, body)
        if from_disk is not None:
            state = without_classifier(read_weights(from_disk))
            kept = {name: value for name, value in state.items() if not name.startswith(_UNUSED)}
            load_state(body.model, kept, from_disk)
            note_origin(body, from_file(from_disk))
        parts = smp.decoders.dpt.decoder
        self.patch: int = body.output_strides[0]
        self.encoder = body
        self.decoder = parts.DPTDecoder(
            encoder_out_channels=body.out_channels,
            encoder_output_strides=[_STRIDE] * 4,
            encoder_has_prefix_tokens=body.has_prefix_tokens,
            readout="cat" if body.has_prefix_tokens else "ignore",
            intermediate_channels=list(channels),
            fusion_channels=fused,
        )
        *before, self.head = parts.DPTSegmentationHead(fused, classes).head
        self.last = nn.Sequential(*before)

    def features(self, image: Tensor) -> Tensor:
        """Input of the last layer: float [B,D,h,w] at half the size. Any size of image."""
        height, width = ((side + 1) // 2 for side in image.shape[-2:])
        whole = padded(image, 2 * self.patch)  # two patches share a cell of the coarsest map
        features = self.last(self.decoder(*self.encoder(whole)))
        size = [side // 2 for side in whole.shape[-2:]]
        large = F.interpolate(features, size, mode="bilinear")
        return crop(large, height, width)

    def intermediate_features(self, image: Tensor) -> Tensor:
        """A vector for each patch behind the last block: float [B,D,h,w] for an image of any
        size."""
        maps, _ = self.encoder(padded(image, self.patch))
        found: Tensor = maps[-1]
        return found

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B,C,h,w] at half the size of normalised images [B,3,H,W]."""
        logits: Tensor = self.head(self.features(image))
        return logits


class _WithEncoder(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder


def _encoder(name: str, encoder_weights: Any, **options: Any) -> nn.Module:
    """The four blocks of a transformer, evenly spaced, that are looked at, without what comes
    behind the last."""
    if not name.startswith("tu-"):
        raise ValueError(
            f"encoder should be a vision transformer of timm, such as "
            f"tu-vit_small_patch14_dinov2.lvd142m, but it is {name}"
        )
    asked = torch.get_default_device()
    with torch.device("cpu"):  # older timm reads numbers while it builds, which meta tensors lack
        encoder = TimmViTEncoder(
            name.removeprefix("tu-"), pretrained=encoder_weights is not None, depth=4, **options
        )
    encoder.to(asked)
    body: Any = encoder.model
    body.prune_intermediate_layers(encoder._output_indices, prune_norm=True, prune_head=True)
    return _WithEncoder(encoder)


def _check_patches(name: str, encoder: Any) -> None:
    """A ValueError for one whose blocks have several sizes."""
    strides: Sequence[int] = encoder.output_strides
    if len(set(strides)) > 1 or strides[0] % 2:
        raise ValueError(
            f"encoder {name} should have patches of one size, an even number of pixels, in all of "
            f"its blocks, but its strides are {', '.join(map(str, strides))}; take a plain vision "
            "transformer"
        )
