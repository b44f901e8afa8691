"""Models of transformers that are so small that they answer at once, with random weights, and
stubs that answer with the truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from weakseg.evidence import Evidence
from weakseg.foundation.model_files import ModelFiles
from weakseg.foundation.sam import SamEncoder

CARD = "---\nlicense: {}\n---\n"
SIDE = 256  # of the square that a stub sees


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


def sam3_tracker() -> nn.Module:
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
    vision = transformers.Sam3VisionConfig(
        backbone_config=backbone,
        fpn_hidden_size=32,
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
        scale_factors=[4.0, 2.0, 1.0],
    )
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


def save(model: Any, folder: Path, licence: str = "apache-2.0") -> Path:
    """A model with random weights that are large enough to make a difference, as a folder in the
    form of the hub."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5, generator=random)
    model.save_pretrained(folder)
    (folder / "README.md").write_text(CARD.format(licence))
    return folder


# stubs --------------------------------------------------------------------------------------------


def stub_folder(folder: Path, kind: str = "sam2") -> Path:
    """What is on the disk of a model that `ColourSam` stands for."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text(CARD.format("apache-2.0"))
    return folder


class ColourModel(nn.Module):
    """Knows no object but by its colour: answers with all pixels that have the colour in the middle
    of a box, within it, or that of the first point. Its three masks of points are everything, the
    right one, and nothing."""

    def __init__(self, padded: bool) -> None:
        super().__init__()
        self.padded = padded
        self.prompt_encoder = SimpleNamespace(input_image_size=SIDE)

    def get_image_embeddings(self, pixels: Tensor) -> Tensor | list[Tensor]:
        assert pixels.shape[1:] == (3, SIDE, SIDE)
        return pixels if self.padded else [pixels[:, :, ::2, ::2], pixels]

    def forward(
        self,
        image_embeddings: Tensor | list[Tensor],
        multimask_output: bool,
        input_boxes: Tensor | None = None,
        input_points: Tensor | None = None,
        input_labels: Tensor | None = None,
    ) -> Any:
        pixels = image_embeddings[-1] if isinstance(image_embeddings, list) else image_embeddings
        (seen,) = pixels
        places = torch.arange(SIDE) + 0.5
        if input_boxes is not None:
            (corners,) = input_boxes
            left, top, right, bottom = corners.T[:, :, None]
            x, y = (corners[:, :2] + corners[:, 2:]).T / 2
            columns = ((places > left) & (places < right))[:, None, :]
            inside = columns & ((places > top) & (places < bottom))[:, :, None]
        else:
            assert input_points is not None
            assert input_labels is not None
            assert (input_labels[0, :, 0] == 1).all()
            x, y = input_points[0, :, 0].T
            inside = torch.ones(len(x), SIDE, SIDE, dtype=torch.bool)
        bright = seen > 0.2  # halfway between the two levels of a channel
        own = bright[:, y.long().clamp(max=SIDE - 1), x.long().clamp(max=SIDE - 1)].T
        alike = (bright == own[:, :, None, None]).all(1)
        right = torch.where(alike & inside, 1.0, -1.0)
        if not multimask_output:
            return SimpleNamespace(
                pred_masks=right[None, :, None], iou_scores=torch.ones(1, len(x), 1)
            )
        three = torch.stack([torch.ones_like(right), right, -torch.ones_like(right)], 1)
        scores = torch.tensor([0.95, 0.9, 0.97]).expand(1, len(x), 3)
        return SimpleNamespace(pred_masks=three[None], iou_scores=scores)


class ColourSam(SamEncoder):
    """With a `ColourModel`."""

    def load(self, files: ModelFiles) -> nn.Module:
        return ColourModel(padded=files.config["model_type"] == "sam")


def drawn_picture(height: int, width: int, seed: int) -> tuple[Evidence, Tensor]:
    """A picture of ellipses and bars, each of a colour of its own, some on top of others: with a
    box around what is to be seen of each and a click on it; and its truth."""
    random = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    numbers = torch.zeros(height, width, dtype=torch.int64)
    # the large one first, so that what is on top is smaller
    wide, high = width * 0.42, height * 0.4
    oval = ((columns - width * 0.45) / wide) ** 2 + ((rows - height * 0.5) / high) ** 2
    numbers[oval < 1] = 1
    numbers[int(height * 0.4) : int(height * 0.75), int(width * 0.35) : int(width * 0.6)] = 2
    numbers[int(height * 0.02) : int(height * 0.3), int(width * 0.72) :] = 3
    oval = ((columns - width * 0.15) / (width * 0.1)) ** 2 + (
        (rows - height * 0.88) / (height * 0.1)
    ) ** 2
    numbers[oval < 1] = 4
    classes = torch.tensor([0, 1, 2, 3, 1])
    # corners of a cube: no two are near each other
    order = torch.randperm(8, generator=random)
    colours = torch.tensor([[each >> bit & 1 for bit in range(3)] for each in range(8)])[order]
    image = (colours[numbers] * 200 + 25).permute(2, 0, 1).to(torch.uint8)
    marks = torch.full((height, width), 255, dtype=torch.uint8)
    boxes = []
    for number in range(1, 5):
        places = (numbers == number).nonzero()
        (top, left), (bottom, right) = places.amin(0).tolist(), (places.amax(0) + 1).tolist()
        boxes.append([left, top, right, bottom])
        x, y = places[len(places) // 3].flip(0).tolist()
        marks[y, x] = classes[number]
    free = (numbers == 0).nonzero()
    marks[tuple(free[len(free) // 2].tolist())] = 0
    evidence = Evidence(
        f"picture/{seed}",
        image,
        boxes=torch.tensor(boxes, dtype=torch.float32),
        box_classes=classes[1:],
        marks=marks,
    )
    return evidence, classes[numbers].to(torch.uint8)
