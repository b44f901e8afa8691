"""Features of each place of an image, by backbones that were trained on very many images without
any labels, such as DINOv2, or with labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakseg.foundation.frozen_encoder import FrozenEncoder
from weakseg.foundation.model_files import CONFIG, ModelFiles, find_model, need
from weakseg.foundation.whole_models import load_whole
from weakseg.utils.array_cache import Arrays

CELL = 32  # pixels per cell where a backbone has no patches: the coarsest stage of most
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
_PREPARED = "preprocessor_config.json"


class FrozenFeatures(FrozenEncoder):
    """A backbone of timm or of transformers, and the features of its last stage: of a vision
    transformer a vector for each patch.

    Args:
        model, revision: of the hub, such as timm/vit_small_patch14_dinov2.lvd142m or
            facebook/dinov2-small, or a folder.
        long_side: of the image while it is seen, in pixels; smaller images are enlarged. Both sides
            become whole patches.
    """

    wanted: ClassVar[str] = "a backbone of timm or transformers"

    def __init__(self, model: str, revision: str | None = None, long_side: int = 512) -> None:
        super().__init__(model, revision)
        self.long_side = long_side

    @cached_property
    def files(self) -> ModelFiles:
        """The files of the model; a ValueError that says what is wrong if it cannot be used."""
        files = find_model(self.model, self.revision)
        if "architecture" in files.config:
            need("timm", f"model {self.model}")
            return files
        need("transformers", f"model {self.model}")
        if files.config.get("model_type") not in _backbones_of_transformers():
            raise ValueError(
                f"model {files.name} should be {self.wanted}, whose {CONFIG} has an architecture "
                "of timm or a model_type such as dinov2, but it says "
                f"{files.config.get('model_type') or 'neither'}"
            )
        return files

    @property
    def fingerprint_of(self) -> Any:
        """All that an encoding depends on beside the image and the code."""
        return *super().fingerprint_of, self.long_side

    def load(self, files: ModelFiles) -> nn.Module:
        """The backbone, without a classifier."""
        if "architecture" in files.config:
            return _OfTimm(files)
        return _OfTransformers(files)

    @torch.no_grad()
    def encode(self, images: Sequence[Tensor]) -> list[Arrays]:
        """For each image `features` [D,h,w]."""
        model: Any = self.module
        found = []
        for image in images:  # as large as they are, of which a GPU is busy with one
            seen = _seen(image, self.long_side, model).to(self.device)
            features: Tensor = model(seen)[0]
            found.append({"features": features.half().cpu().numpy()})
        return found


class _Backbone(nn.Module):
    """Normalised images float [1,3,H,W] to features [1,D,h,w]."""

    cell: int
    """pixels along a side of a patch"""
    mean: Sequence[float]
    deviation: Sequence[float]


class _OfTimm(_Backbone):
    def __init__(self, files: ModelFiles) -> None:
        super().__init__()
        import timm

        name = files.config["architecture"]
        if not timm.is_model(name):
            raise ValueError(f"model {files.name}: timm knows no architecture {name}; update it")
        options = dict(files.config.get("model_args") or {})
        if (classes := files.config.get("num_classes")) is not None:
            options["num_classes"] = classes

        def create(**more: Any) -> Any:
            return timm.create_model(name, pretrained=False, **options, **more)

        try:
            self.body: Any = create(dynamic_img_size=True)
        except TypeError:  # convolutions take images of any size
            self.body = create()
        _load_state(self.body, files)
        self.body.reset_classifier(0)
        patches = getattr(getattr(self.body, "patch_embed", None), "patch_size", None)
        self.cell = int(patches[0]) if patches is not None else CELL
        prepared = files.config.get("pretrained_cfg") or {}
        self.mean = prepared.get("mean") or _MEAN
        self.deviation = prepared.get("std") or _DEVIATION

    def forward(self, image: Tensor) -> Tensor:
        maps: list[Tensor] = self.body.forward_intermediates(
            image, indices=1, norm=True, intermediates_only=True, output_fmt="NCHW"
        )
        return maps[-1]


class _OfTransformers(_Backbone):
    def __init__(self, files: ModelFiles) -> None:
        super().__init__()
        import transformers

        kind = _backbones_of_transformers()[files.config["model_type"]]
        self.body: Any = load_whole(getattr(transformers, kind), files)
        patches = files.config.get("patch_size")
        self.cell = patches if isinstance(patches, int) else CELL
        prepared = _prepared(files)
        self.mean = prepared.get("image_mean") or _MEAN
        self.deviation = prepared.get("image_std") or _DEVIATION

    def forward(self, image: Tensor) -> Tensor:
        maps: Sequence[Tensor] = self.body(image).feature_maps
        return maps[-1]


def _seen(image: Tensor, long_side: int, model: _Backbone) -> Tensor:
    """An image uint8 [3,H,W] as the backbone is to see it, float [1,3,h,w]."""
    longest = max(image.shape[1:])
    size = [
        max(1, round(side * long_side / longest / model.cell)) * model.cell
        for side in image.shape[1:]
    ]
    scaled = F.interpolate(image[None].float(), size, mode="bilinear", antialias=True)
    mean, deviation = (
        torch.tensor(each)[:, None, None] for each in (list(model.mean), list(model.deviation))
    )
    return (scaled / 255 - mean) / deviation


def _load_state(model: nn.Module, files: ModelFiles) -> None:
    """All weights of a folder in timm's form, or a ValueError that says what does not fit."""
    from safetensors.torch import load_file

    (file, *others) = sorted(files.folder.glob("*.safetensors")) or sorted(
        files.folder.glob("pytorch_model*.bin")
    )
    if others:
        raise ValueError(
            f"model {files.name} has several files of weights, {file.name} and {others[0].name}, "
            "but a model of timm has one"
        )
    try:
        if file.suffix == ".safetensors":
            state = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
        model.load_state_dict(state)
    except Exception as error:  # files of strangers fail in many ways
        reason = " ".join(str(error).split())
        raise ValueError(
            f"model {files.name} cannot be read from {files.folder}: {reason:.300}"
        ) from error


def _prepared(files: ModelFiles) -> dict[str, Any]:
    """How images are prepared for a model of transformers; empty if it does not say."""
    try:
        told = json.loads((files.folder / _PREPARED).read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _backbones_of_transformers() -> dict[str, str]:
    """The names of its classes that are backbones, by the `model_type` of their files."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING_NAMES

    return dict(MODEL_FOR_BACKBONE_MAPPING_NAMES)
