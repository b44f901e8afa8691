"""Models with the names that strategies ask for by default, in the form of the hub, so small that
they are made in a second: random weights, made from a config, as nothing is downloaded in tests."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

_MADE_BY = (Path(__file__), Path(__file__).with_name("tiny_sams.py"))
COMMIT = hashlib.sha256(b"".join(file.read_bytes() for file in _MADE_BY)).hexdigest()[:40]
"""another one whenever the models are made in another way"""


def clip(folder: Path) -> None:
    """A CLIP model whose patches have 16 pixels, as those of the default; its words are single
    letters."""
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    from tests.foundation.tiny_sams import save

    letters = [chr(letter) for letter in range(ord("!"), ord("~") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    start, end = vocabulary["<|startoftext|>"], vocabulary["<|endoftext|>"]
    CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77).save_pretrained(folder)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={
            **small,
            "num_hidden_layers": 2,
            "vocab_size": len(vocabulary),
            "bos_token_id": start,
            "eos_token_id": end,
            "pad_token_id": end,
        },
        vision_config={**small, "num_hidden_layers": 9, "image_size": 48, "patch_size": 16},
        projection_dim=8,
    )
    save(lambda: CLIPModel(config), folder)


def sam2(folder: Path) -> None:
    """SAM 2, whose images are squares of 128 pixels."""
    from tests.foundation import tiny_sams

    tiny_sams.save(tiny_sams.sam2, folder)


def dinov2(folder: Path) -> None:
    """DINOv2 in the form of timm, with patches of 14 pixels, as those of the real one."""
    import timm
    from timm.models._hub import save_for_hf

    small = {"embed_dim": 16, "depth": 2, "num_heads": 2, "img_size": 42}
    folder.mkdir(parents=True)
    model = timm.create_model("vit_small_patch14_dinov2", pretrained=False, **small)
    save_for_hf(model, folder, model_args=small, safe_serialization=True)


PUBLISHED: dict[str, Callable[[Path], None]] = {
    "openai/clip-vit-base-patch16": clip,
    "facebook/sam2.1-hiera-tiny": sam2,
    "timm/vit_small_patch14_dinov2.lvd142m": dinov2,
}
"""by their ids on the hub"""


def publish(folder: Path) -> None:
    """Make a folder below this one the place in which models of the hub are looked for, here and in
    processes that tests start, and have them there as if they had been fetched before.

    They are made once for as long as this file stays as it is.
    """
    if find_spec("transformers") is None or find_spec("timm") is None:
        return
    # other versions write other files
    made_with = "-".join(version(package) for package in ("transformers", "timm"))
    hub = folder / f"hub-{COMMIT[:12]}-{made_with}"
    os.environ["HF_HUB_CACHE"] = str(hub)
    if "huggingface_hub.constants" in sys.modules:  # which has looked into the environment already
        sys.modules["huggingface_hub.constants"].HF_HUB_CACHE = str(hub)  # type: ignore[attr-defined]
    if hub.is_dir():
        return
    unfinished = folder / f"{hub.name}-{os.getpid()}"
    for name, make in PUBLISHED.items():
        place = unfinished / f"models--{name.replace('/', '--')}"
        make(place / "snapshots" / COMMIT)
        (place / "snapshots" / COMMIT / "README.md").write_text("---\nlicense: mit\n---\n")
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text(COMMIT)
    try:
        unfinished.rename(hub)
    except OSError:  # another session of tests was faster
        shutil.rmtree(unfinished)
