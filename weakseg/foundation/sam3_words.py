"""SAM 3 asked by words: how much each pixel of an image belongs to what a word names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakseg.foundation.frozen_encoder import FrozenEncoder
from weakseg.foundation.model_files import ModelFiles
from weakseg.foundation.whole_models import load_beside, load_whole, need_tokenizer
from weakseg.functional.word_masks import word_mask
from weakseg.utils.array_cache import Arrays

TOKENS = 32  # to which sentences are filled up, as in training


class Sam3Words(FrozenEncoder):
    """SAM 3 (Carion and others, "SAM 3: Segment Anything with Concepts", 2025), which finds all
    objects that a short noun phrase names.

    An encoding is what its image side makes of the image; each word is then decoded.

    Args:
        model, revision: of the hub, where SAM 3 is given only to those who have accepted its
            licence, or a folder.
    """

    kinds: ClassVar = ("sam3", "sam3_video")
    wanted: ClassVar = "SAM 3"
    most: ClassVar = 2

    def load(self, files: ModelFiles) -> nn.Module:
        """The model of these files, on the CPU."""
        from transformers import Sam3Model

        need_tokenizer(files)
        return load_whole(Sam3Model, files, dtype=torch.float32)

    @torch.no_grad()
    def encode(self, images: Sequence[Tensor]) -> list[Arrays]:
        """For each image `patches` [N,D], what the last block of the image side makes of it."""
        model: Any = self.module
        side = int(model.config.vision_config.image_size)
        size = [side, side]  # whatever the form of the image
        seen = [
            F.interpolate(image[None].float(), size, mode="bilinear", antialias=True)
            for image in images
        ]
        # colours from -1 to 1
        pixels = (torch.cat(seen).clamp(0, 255) / 127.5 - 1).to(model.device)
        patches = model.vision_encoder.backbone(pixels).last_hidden_state
        return [{"patches": each.half().cpu().numpy()} for each in patches.flatten(1, -2)]

    @torch.no_grad()
    def maps(self, encoding: dict[str, Tensor], words: Sequence[str]) -> Tensor:
        """From 0 to 1 how much each place belongs to what each word names, float [W,h,w].

        Args:
            encoding: of the image.
            words: of which one with commas stands for several, of which the best one counts.
        """
        from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

        model: Any = self.module
        patches = encoding["patches"].to(model.device)
        side = round(len(patches) ** 0.5)
        levels, positions = model.vision_encoder.neck(patches.T.reshape(1, -1, side, side))
        seen = Sam3VisionEncoderOutput(fpn_hidden_states=levels, fpn_position_encoding=positions)
        tokenizer = load_beside(_tokenizer(), self.files)
        return torch.stack(
            [
                torch.stack(
                    [self._decoded(seen, tokenizer, each.strip()) for each in word.split(",")]
                ).amax(0)
                for word in words
            ]
        ).cpu()

    def _decoded(self, seen: Any, tokenizer: Any, word: str) -> Tensor:
        model: Any = self.module
        tokens = tokenizer(
            word, return_tensors="pt", padding="max_length", max_length=TOKENS, truncation=True
        ).to(model.device)
        found = model(
            vision_embeds=seen,
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
        )
        return word_mask(
            found.pred_masks[0],
            found.pred_logits[0],
            found.presence_logits.flatten()[0],
            found.semantic_seg[0, 0],
        )


def _tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer
