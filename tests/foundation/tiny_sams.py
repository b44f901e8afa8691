"""SAMs of all generations that are so small that they answer at once, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn


def sam() -> nn.Module:
    vision = transformers.SamVisionConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=128,
        window_size=4,
        global_attn_indexes=[1],
        output_channels=32,
        num_pos_feats=16,
        mlp_dim=32,
    )
    prompts = transformers.SamPromptEncoderConfig(
        hidden_size=32, image_size=128, mask_input_channels=8
    )
    decoder = transformers.SamMaskDecoderConfig(**_DECODER)
    return transformers.SamModel(
        transformers.SamConfig(
            vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder
        )
    )


def sam2() -> nn.Module:
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=12,
        image_size=[128, 128],
        blocks_per_stage=[1, 2, 2, 1],
        embed_dim_per_stage=[12, 24, 48, 96],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        global_attention_blocks=[4],
    )
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[96, 48, 24, 12],
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
        fpn_hidden_size=32,
    )
    prompts = transformers.Sam2PromptEncoderConfig(
        hidden_size=32, image_size=128, mask_input_channels=8
    )
    decoder = transformers.Sam2MaskDecoderConfig(**_DECODER)
    return transformers.Sam2Model(
        transformers.Sam2Config(
            vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder
        )
    )


def _sam3_vision(scale_factors: list[float]) -> Any:
    backbone = transformers.Sam3ViTConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=112,
        pretrain_image_size=112,
        window_size=4,
        global_attn_indexes=[1],
    )
    return transformers.Sam3VisionConfig(
        backbone_config=backbone,
        fpn_hidden_size=32,
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
        scale_factors=scale_factors,
    )


def sam3_tracker() -> nn.Module:
    vision = _sam3_vision([4.0, 2.0, 1.0])
    prompts = transformers.Sam3TrackerPromptEncoderConfig(
        hidden_size=32, image_size=112, mask_input_channels=8
    )
    decoder = transformers.Sam3TrackerMaskDecoderConfig(**_DECODER)
    return transformers.Sam3TrackerModel(
        transformers.Sam3TrackerConfig(
            vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder
        )
    )


_DECODER: dict[str, Any] = {
    "hidden_size": 32,
    "mlp_dim": 64,
    "num_attention_heads": 4,
    "iou_head_hidden_dim": 32,
}
SAMS: dict[str, Callable[[], nn.Module]] = {"sam": sam, "sam2": sam2, "sam3_tracker": sam3_tracker}


def save(make: Callable[[], Any], folder: Path) -> Path:
    """A model with random weights that are large enough to make a difference, and always the same,
    in a folder."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, 0, parameter[0].numel() ** -0.5)
    model.save_pretrained(folder)
    return folder


def sam3(vocabulary: int) -> nn.Module:
    """With its text side, for words of so many tokens."""
    small = {"hidden_size": 32, "num_layers": 1, "num_attention_heads": 4, "intermediate_size": 32}
    text = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 32,
        "projection_dim": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "max_position_embeddings": 32,
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "pad_token_id": vocabulary - 1,
    }
    return transformers.Sam3Model(
        transformers.Sam3Config(
            vision_config=_sam3_vision([4.0, 2.0, 1.0, 0.5]),
            text_config=transformers.CLIPTextConfig(**text),
            geometry_encoder_config=transformers.Sam3GeometryEncoderConfig(**small),
            detr_encoder_config=transformers.Sam3DETREncoderConfig(**small),
            detr_decoder_config=transformers.Sam3DETRDecoderConfig(**small, num_queries=5),
            mask_decoder_config=transformers.Sam3MaskDecoderConfig(
                hidden_size=32, num_attention_heads=4
            ),
        )
    )
