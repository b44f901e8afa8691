"""Where the initial weights of a network come from and under which licence they are given, as far
as the libraries that publish them say so.

Whoever loads weights notes that on the module that it loads them into; a network of one's own may
do the same, as `self.weights_origin = "..."`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from weakseg.utils.files import digest
from weakseg.utils.secrets import scrub_text

ATTRIBUTE = "weights_origin"
IMAGENET = "trained on ImageNet, whose terms allow the use of its images in research only"
LICENCES = {"bsd-3-clause": "BSD-3-Clause", "apache-2.0": "Apache-2.0", "mit": "MIT"}


def note_origin(module: nn.Module, origin: str) -> None:
    """Note on a module where its weights come from."""
    # Module's own way of setting attributes is typed for tensors and modules only
    vars(module)[ATTRIBUTE] = origin


def origin_of(network: nn.Module) -> str | None:
    """What is noted on a network or on a part of it; None where nothing is."""
    noted = (getattr(module, ATTRIBUTE, None) for module in network.modules())
    return next((str(origin) for origin in noted if origin), None)


def from_run(checkpoint: Path, initial: str) -> str:
    """Weights of another run, with what is known of those that it began with."""
    return f"run {_name_and_digest(checkpoint)}, whose initial weights were: {initial}"


def from_file(path: Path) -> str:
    """Weights of a file, which says nothing of its licence: its name, and a digest to recognise it
    by."""
    return f"file {_name_and_digest(path)}, licence not known"


def from_torchvision(name: str) -> str:
    """Weights of torchvision, by their name there."""
    return f"torchvision's {name} (licence BSD-3-Clause; {IMAGENET})"


def from_timm(name: str) -> str:
    """Weights of timm, by their name there."""
    import timm

    known: Any = timm.get_pretrained_cfg(name)
    tag = getattr(known, "tag", "") or ""
    full = name if "." in name or not tag else f"{name}.{tag}"
    licence = getattr(known, "license", None)
    data = IMAGENET if "in1k" in tag or "in1k" in name else "training data: see its card"
    return f"timm's {full} ({_licence(licence)}; {data})"


def from_smp(encoder: str) -> str:
    """ImageNet weights of segmentation-models-pytorch, by the name of the encoder there."""
    if encoder.startswith("tu-"):
        return from_timm(encoder.removeprefix("tu-"))
    from segmentation_models_pytorch.encoders import encoders

    known = encoders.get(encoder, {}).get("pretrained_settings", {}).get("imagenet", {})
    where = known.get("repo_id") or known.get("url") or encoder
    revision = f", revision {known['revision'][:12]}" if known.get("revision") else ""
    return (
        f"segmentation-models-pytorch's {where}{revision} "
        f"(licence: see its card on the Hugging Face hub; {IMAGENET})"
    )


def _name_and_digest(path: Path) -> str:
    return f"{scrub_text(str(path))} (SHA-256 {digest(path)[:12]})"


def _licence(name: str | None) -> str:
    return f"licence {LICENCES.get(name, name)}" if name else "licence not known"
