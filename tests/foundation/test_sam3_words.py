"""SAM 3 by words, with random weights, against the whole model of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from weakseg.foundation.model_files import find_model
from weakseg.foundation.sam3_words import Sam3Words
from weakseg.functional.word_masks import word_mask

transformers = pytest.importorskip("transformers")

IMAGE = torch.randint(
    0, 256, (3, 112, 112), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.foundation import tiny_sams

    place = tmp_path_factory.mktemp("sam3")
    clip = find_model("openai/clip-vit-base-patch16").folder
    tokenizer = transformers.AutoTokenizer.from_pretrained(clip)
    tiny_sams.save(lambda: tiny_sams.sam3(len(tokenizer)), place)
    tokenizer.save_pretrained(place)
    return place


def whole(encoder: Sam3Words, word: str) -> Tensor:
    """What the model of transformers says, asked as its own processor asks it."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder.files.folder)
    tokens = tokenizer(word, return_tensors="pt", padding="max_length", max_length=32)
    names = ("Sam3ImageProcessor", "Sam3ImageProcessorFast")  # in 5.0 only the second
    processor = next(getattr(transformers, name) for name in names if hasattr(transformers, name))
    square = {"height": 112, "width": 112}
    pixels = processor(size=square)(IMAGE, return_tensors="pt")["pixel_values"]
    model: Any = encoder.module
    with torch.no_grad():
        found = model(pixel_values=pixels, **tokens)
    return word_mask(
        found.pred_masks[0],
        found.pred_logits[0],
        found.presence_logits[0, 0],
        found.semantic_seg[0, 0],
    )


def test_it_says_what_transformers_says(folder: Path) -> None:
    encoder = Sam3Words(str(folder))
    found = encoder.maps(encoder.encoding(IMAGE), ["cat", "dog, puppy"])
    assert found.shape == (2, 32, 32)
    cat, dog, puppy = (whole(encoder, word) for word in ("cat", "dog", "puppy"))
    assert cat.std() > 0.01
    assert not torch.allclose(cat, dog, atol=5e-3)
    torch.testing.assert_close(found[0], cat, atol=2e-3, rtol=0)
    torch.testing.assert_close(found[1], torch.maximum(dog, puppy), atol=2e-3, rtol=0)


def test_images_of_any_size(folder: Path) -> None:
    encoder = Sam3Words(str(folder))
    for size in ((1, 1), (30, 77)):
        encoding = encoder.encoding(IMAGE[:, : size[0], : size[1]])
        assert encoding["patches"].shape == (64, 32)
        assert encoder.maps(encoding, ["cat"]).isfinite().all()
    together = encoder.encode([IMAGE, IMAGE.flip(2)])
    alone = encoder.encode([IMAGE.flip(2)])[0]
    assert abs(together[1]["patches"] - alone["patches"]).max() < 1e-2


def test_another_architecture() -> None:
    with pytest.raises(ValueError, match="should be SAM 3, of type sam3 or sam3_video, but its"):
        _ = Sam3Words("openai/clip-vit-base-patch16").files
