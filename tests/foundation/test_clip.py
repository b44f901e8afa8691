"""The encoder of CLIP, with random weights, against the whole model of transformers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.foundation.clip import ClipEncoder
from weakseg.foundation.clip_words import BACKGROUND, background_beside, words_of
from weakseg.foundation.encodings import LIMIT
from weakseg.functional.word_maps import grad_cam

transformers = pytest.importorskip("transformers")

IMAGE = torch.randint(0, 256, (3, 70, 41), generator=torch.Generator().manual_seed(3))
WORDS = ["cat", "dog", "grass", "a wall"]


@pytest.fixture
def encoder() -> ClipEncoder:
    return ClipEncoder()


def pixels_of(image: Tensor) -> Tensor:
    """An image of whole patches as transformers prepares it."""
    processor = transformers.CLIPImageProcessor(do_resize=False, do_center_crop=False)
    return processor(image, return_tensors="pt")["pixel_values"]  # type: ignore[no-any-return]


class Run(NamedTuple):
    """What the whole model of transformers computes of an image on its way."""

    before: list[Tensor]
    """each block"""
    attentions: list[Tensor]
    pooled: Tensor


def run(encoder: ClipEncoder, image: Tensor) -> Run:
    vision: Any = encoder.module.vision_model
    before: list[Tensor] = []
    attentions: list[Tensor] = []
    hooks = []
    for layer in vision.encoder.layers:
        hooks += [
            layer.layer_norm1.register_forward_pre_hook(lambda _, given: before.append(given[0])),
            layer.self_attn.register_forward_hook(lambda *given: attentions.append(given[-1][1])),
        ]
    with torch.no_grad():
        found = vision(pixels_of(image), interpolate_pos_encoding=True, output_attentions=True)
    for hook in hooks:
        hook.remove()
    return Run(before, attentions, found.pooler_output)


def whole_patches() -> Tensor:
    return IMAGE[:, :64, :32].to(torch.uint8)


def test_what_is_kept_is_what_transformers_computes(encoder: ClipEncoder) -> None:
    found, expected = encoder.encoding(whole_patches()), run(encoder, whole_patches())
    assert found["grid"].tolist() == [4, 2]
    torch.testing.assert_close(found["tokens"], expected.before[-1][0], atol=2e-3, rtol=2e-3)
    maps = torch.stack(expected.attentions[-8:]).mean(0)[0].mean(0)[1:, 1:]
    torch.testing.assert_close(found["attention"], maps * 8, atol=2e-3, rtol=2e-3)
    image = encoder.module.visual_projection(expected.pooled)[0]  # type: ignore[operator]
    torch.testing.assert_close(found["image"], image, atol=1e-4, rtol=1e-4)


def test_positions_are_those_of_transformers(encoder: ClipEncoder) -> None:
    """As many patches as in training, but in another shape: they lie elsewhere, too."""
    other = F.interpolate(whole_patches()[None].float(), (144, 16))[0].to(torch.uint8)
    embeddings: Any = encoder.module.vision_model.embeddings  # type: ignore[union-attr]
    with torch.no_grad():
        patches = embeddings.patch_embedding(pixels_of(other)).flatten(2).transpose(1, 2)
        both = torch.cat([embeddings.class_embedding.expand(1, 1, -1), patches], 1)
        expected = both + embeddings.interpolate_pos_encoding(both, 144, 16)
    torch.testing.assert_close(run(encoder, other).before[0].shape, expected.shape)
    seen: list[Tensor] = []
    encoder.module.vision_model.pre_layrnorm.register_forward_pre_hook(  # type: ignore[union-attr]
        lambda _, given: seen.append(given[0])
    )
    assert encoder.encoding(other)["grid"].tolist() == [9, 1]
    torch.testing.assert_close(seen[0], expected)


def test_images_are_enlarged_to_whole_patches_or_made_smaller(encoder: ClipEncoder) -> None:
    assert encoder.encoding(IMAGE.to(torch.uint8))["grid"].tolist() == [5, 3]
    assert encoder.encoding(IMAGE[:, :1, :1].to(torch.uint8))["grid"].tolist() == [1, 1]
    small = ClipEncoder(long_side=32)
    assert small.encoding(IMAGE.to(torch.uint8))["grid"].tolist() == [2, 2]
    assert small.fingerprint_of != encoder.fingerprint_of


def test_maps_are_the_gradients_of_the_whole_model(encoder: ClipEncoder) -> None:
    """Once more, with a hook on the layer norm in a pass through all blocks."""
    image, model = whole_patches(), encoder.module
    words = encoder.words(WORDS)
    found = encoder.maps(encoder.encoding(image), words, 2)
    kept: list[Tensor] = []

    def keep(_: Any, __: Any, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    vision: Any = model.vision_model
    hook = vision.encoder.layers[-1].layer_norm1.register_forward_hook(keep)
    tokens = vision(pixels_of(image), interpolate_pos_encoding=True).last_hidden_state
    hook.remove()
    patches = vision.post_layernorm(tokens)[:, 1:].mean(1)
    features = F.normalize(model.visual_projection(patches), dim=-1)  # type: ignore[operator]
    logits = model.logit_scale.exp() * features @ words.T  # type: ignore[operator]
    probs = logits.softmax(1)[0]
    gradients = [torch.autograd.grad(each, kept[0], retain_graph=True)[0] for each in probs[:2]]
    expected = grad_cam(kept[0].detach()[0, 1:], torch.cat(gradients)[:, 1:])
    torch.testing.assert_close(found.probs, probs.detach(), atol=1e-3, rtol=1e-3)
    assert expected.max() > 0
    scale = float(expected.max())
    torch.testing.assert_close(found.maps.flatten(1) / scale, expected / scale, atol=1e-2, rtol=0)


def test_maps_can_be_asked_for_where_nothing_else_has_gradients(encoder: ClipEncoder) -> None:
    image = whole_patches()
    expected = encoder.maps(encoder.encoding(image), encoder.words(WORDS), 2).maps
    with torch.inference_mode():
        other = ClipEncoder()
        found = other.maps(other.encoding(image), other.words(WORDS), 2).maps
    assert torch.equal(found, expected)


def test_images_of_several_sizes_at_once(encoder: ClipEncoder) -> None:
    image = IMAGE.to(torch.uint8)
    images = [image, image[:, :20], image.flip(1), image[:, :20].flip(2)]
    for one, arrays in zip(images, encoder.encode(images), strict=True):
        for name, value in encoder.encode([one])[0].items():
            np.testing.assert_allclose(arrays[name], value, atol=2e-3, rtol=2e-3)


def test_words_are_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: ClipEncoder
) -> None:
    monkeypatch.setenv("WEAKSEG_CACHE", str(tmp_path))
    monkeypatch.setenv(LIMIT, "1")
    words = encoder.words(WORDS)
    torch.testing.assert_close(words.norm(dim=1), torch.ones(4))
    model: Any = encoder.module
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder.files.folder)
    for word, row in zip(WORDS, words, strict=True):  # padding changes nothing
        tokens = tokenizer(f"a clean origami {word}.", return_tensors="pt")
        with torch.no_grad():
            expected = model.get_text_features(**tokens).pooler_output[0]
        torch.testing.assert_close(row, expected / expected.norm(), atol=1e-5, rtol=1e-4)
    other = ClipEncoder()
    assert torch.equal(other.words(WORDS), words)
    assert "module" not in vars(other)  # was not needed
    assert not torch.equal(ClipEncoder(template="{}").words(WORDS), words)


def test_another_architecture(tmp_path: Path, encoder: ClipEncoder) -> None:
    folder = Path(shutil.copytree(encoder.files.folder, tmp_path / "other"))
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"model_type": "clip"', '"model_type": "x"'))
    with pytest.raises(ValueError, match="should be a CLIP model, of type clip, but its"):
        _ = ClipEncoder(str(folder)).files


def test_the_words_of_classes() -> None:
    classes = ["background", "person", "sea", "dining_table"]
    assert words_of(classes, {"person": "diver"}) == ["diver", "sea", "dining table"]
    assert "sea" not in background_beside(classes, BACKGROUND)
    assert len(background_beside(classes, BACKGROUND)) == len(BACKGROUND) - 1 == 24
    with pytest.raises(ValueError, match=r"words are given for dog, which is no class .* person"):
        words_of(classes, {"dog": "poodle"})
