"""A model is loaded with all of its weights, or one line says what is wrong with them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from weakseg.foundation.clip import ClipEncoder
from weakseg.foundation.model_files import find_model
from weakseg.foundation.whole_models import load_beside, load_whole, need_tokenizer

safetensors = pytest.importorskip("safetensors.torch")
transformers = pytest.importorskip("transformers")

WEIGHTS = "model.safetensors"
KEY = "visual_projection.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = find_model("openai/clip-vit-base-patch16")
    return Path(shutil.copytree(files.folder, tmp_path / "clip"))


def test_all_of_it(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = load_whole(transformers.CLIPModel, find_model(str(folder)))
    stored = safetensors.load_file(folder / WEIGHTS)
    assert torch.equal(model.state_dict()[KEY], stored[KEY])
    tokens = load_beside(transformers.CLIPTokenizer, find_model(str(folder)))("cat")["input_ids"]
    assert len(tokens) == 5  # three letters between start and end
    assert capfd.readouterr() == ("", "")


def test_some_are_missing(folder: Path) -> None:
    stored = safetensors.load_file(folder / WEIGHTS)
    del stored[KEY]
    safetensors.save_file(stored, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=rf"lacks weights of a CLIPModel: {KEY}; it has been"):
        load_whole(transformers.CLIPModel, find_model(str(folder)))


def test_one_has_another_size(folder: Path) -> None:
    stored = safetensors.load_file(folder / WEIGHTS)
    stored[KEY] = stored[KEY][:4].contiguous()
    safetensors.save_file(stored, folder / WEIGHTS, metadata={"format": "pt"})
    said = rf"{KEY} should be \[8, 16\], but it is \[4, 16\]"
    with pytest.raises(ValueError, match=said):
        load_whole(transformers.CLIPModel, find_model(str(folder)))


def test_a_damaged_file(folder: Path) -> None:
    with (folder / WEIGHTS).open("r+b") as weights:
        weights.truncate(1000)
    with pytest.raises(ValueError, match=r"cannot be read from .*: Error while deserializing"):
        load_whole(transformers.CLIPModel, find_model(str(folder)))
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read from"):
        load_beside(transformers.CLIPTokenizer, find_model(str(folder)))


def test_without_words(folder: Path) -> None:
    need_tokenizer(find_model(str(folder)))
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(ValueError, match=r"has no words: expected tokenizer.json or vocab.json in"):
        ClipEncoder(str(folder)).check()
