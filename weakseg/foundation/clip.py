"""CLIP, the model of images and words: what it makes of an image, and where the image shows what
words name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakseg.foundation.clip_words import TEMPLATE
from weakseg.foundation.frozen_encoder import FrozenEncoder
from weakseg.foundation.model_files import ModelFiles
from weakseg.foundation.whole_models import load_beside, load_whole, need_tokenizer
from weakseg.functional.resolution import downsample
from weakseg.functional.word_maps import grad_cam, word_probs
from weakseg.utils.array_cache import Arrays

CLIP = "openai/clip-vit-base-patch16"
LAYERS = 8  # the last ones, whose attention is averaged
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)


class WordMaps(NamedTuple):
    """What CLIP says of some words about an image."""

    maps: Tensor
    """float [K,h,w]: how much each patch speaks for each of the words that were asked for"""
    probs: Tensor
    """float [W]: of all words, those first"""


class ClipEncoder(FrozenEncoder):
    """A CLIP model whose image side is a vision transformer.

    An encoding has the tokens before the last block, from which maps of any words are computed with
    gradients through that block alone, and what the patches attend to.

    Args:
        model, revision: of the hub, or a folder.
        long_side: of the image while it is seen, in pixels: larger ones are made smaller.
        template: the sentence that a word stands in.
    """

    kinds: ClassVar[tuple[str, ...]] = ("clip",)
    wanted: ClassVar[str] = "a CLIP model"

    def __init__(
        self,
        model: str = CLIP,
        revision: str | None = None,
        long_side: int = 512,
        template: str = TEMPLATE,
    ) -> None:
        super().__init__(model, revision)
        self.long_side = long_side
        self.template = template

    @property
    def fingerprint_of(self) -> Any:
        """All that an encoding depends on beside the image and the code."""
        return *super().fingerprint_of, self.long_side

    def load(self, files: ModelFiles) -> nn.Module:
        """The model, whose attention can be looked at."""
        from transformers import CLIPModel

        need_tokenizer(files)
        return load_whole(CLIPModel, files, attn_implementation="eager")

    @cached_property
    def patch(self) -> int:
        """Pixels along a side of a patch."""
        return int(self.files.config["vision_config"].get("patch_size", 32))

    @torch.no_grad()
    def encode(self, images: Sequence[Tensor]) -> list[Arrays]:
        """For each image `tokens` [1+h*w,D] before the last block, the first for the image as a
        whole; `attention` [h*w,h*w] of the patches to the patches, the mean over heads and the last
        blocks, times h*w; `image` [P], the features that CLIP compares with words; and `grid`, h
        and w."""
        ready = [self._seen(image) for image in images]
        together: dict[tuple[int, ...], list[int]] = {}
        for number, pixels in enumerate(ready):
            together.setdefault(tuple(pixels.shape), []).append(number)
        found: dict[int, Arrays] = {}
        for numbers in together.values():
            batch = torch.stack([ready[number] for number in numbers])
            found |= zip(numbers, self._encode(batch), strict=True)
        return [found[number] for number in range(len(images))]

    def _seen(self, image: Tensor) -> Tensor:
        """The image as the model is to see it, in whole patches."""
        small = downsample(image, self.long_side)
        size = [-(-side // self.patch) * self.patch for side in small.shape[1:]]
        pixels = F.interpolate(small[None].float(), size, mode="bicubic", antialias=True)[0]
        mean, deviation = (torch.tensor(each)[:, None, None] for each in (_MEAN, _DEVIATION))
        return (pixels.clamp(0, 255) / 255 - mean) / deviation

    def _encode(self, pixels: Tensor) -> list[Arrays]:
        model: Any = self.module
        vision = model.vision_model
        pixels = pixels.to(model.device)
        tokens = vision.pre_layrnorm(vision.embeddings(pixels, interpolate_pos_encoding=True))
        blocks = vision.encoder.layers
        attentions: list[Tensor] = []
        before = tokens
        for number, block in enumerate(blocks):
            before = tokens
            tokens, attention = _through(block, block.layer_norm1(tokens), tokens)
            if number >= len(blocks) - LAYERS:
                attentions.append(attention.mean(1)[:, 1:, 1:])
        image = model.visual_projection(vision.post_layernorm(tokens[:, 0]))
        grid = np.array([side // self.patch for side in pixels.shape[2:]], np.int64)
        # shares of so many patches are close to the smallest numbers of half precision
        attention = torch.stack(attentions).mean(0) * int(grid.prod())
        return [
            {
                "tokens": each[0].half().cpu().numpy(),
                "attention": each[1].half().cpu().numpy(),
                "image": each[2].float().cpu().numpy(),
                "grid": grid,
            }
            for each in zip(before, attention, image, strict=True)
        ]

    def words(self, words: Sequence[str]) -> Tensor:
        """The features of words, float [W,P], computed once for each list of words."""
        sentences = [self.template.format(word) for word in words]
        key = ("words", type(self).__name__, self.files.version, sentences)
        kept = self.encodings.get_or_make(key, lambda: self._words(sentences))
        return torch.from_numpy(kept["words"])

    @torch.no_grad()
    def _words(self, sentences: Sequence[str]) -> Arrays:
        from transformers import AutoTokenizer

        model: Any = self.module
        tokenizer = load_beside(AutoTokenizer, self.files)
        most = model.config.text_config.max_position_embeddings
        limits = {"padding": True, "truncation": True, "max_length": most}
        tokens = tokenizer(list(sentences), return_tensors="pt", **limits).to(model.device)
        features = model.text_projection(model.text_model(**tokens).pooler_output)
        return {"words": F.normalize(features, dim=-1).float().cpu().numpy()}

    def maps(self, encoding: dict[str, Tensor], words: Tensor, count: int) -> WordMaps:
        """Maps of the first words by GradCAM at the first layer norm of the last block.

        As in CLIP-ES, the image is described by the mean of its patches, so that gradients reach
        them directly, and the score of a word is its probability among all words, so that other
        words take away what they explain better.

        Args:
            encoding: of the image.
            words: features of all words, float [W,P].
            count: how many of them have a map.
        """
        model: Any = self.module
        with torch.inference_mode(False), torch.enable_grad():
            tokens = encoding["tokens"].clone().to(model.device)[None]
            block = model.vision_model.encoder.layers[-1]
            activations = block.layer_norm1(tokens).detach().requires_grad_()
            after, _ = _through(block, activations, tokens)
            patches = model.vision_model.post_layernorm(after)[0, 1:]
            image = model.visual_projection(patches.mean(0))
            probs = word_probs(image, words.to(image), model.logit_scale.exp())
            gradients = [
                torch.autograd.grad(probs[number], activations, retain_graph=True)[0][0, 1:]
                for number in range(count)
            ]
        height, width = encoding["grid"].tolist()
        found = grad_cam(activations.detach()[0, 1:], torch.stack(gradients))
        return WordMaps(found.view(count, height, width).cpu(), probs.detach().cpu())

    def described(self, encoding: dict[str, Tensor], words: Tensor) -> Tensor:
        """The cosine of the image as a whole with each of the words, float [W]."""
        return F.normalize(words, dim=-1) @ F.normalize(encoding["image"], dim=0)


def _through(block: Any, normed: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The tokens [B,N,D] after a block, and the attention [B,heads,N,N] in it, from the tokens and
    what its first layer norm makes of them."""
    attended, attention = block.self_attn(normed, attention_mask=None, output_attentions=True)
    tokens = tokens + attended
    return tokens + block.mlp(block.layer_norm2(tokens)), attention
