"""Models of the package transformers, loaded whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from weakseg.foundation.model_files import ModelFiles

NAMED = 3  # weights that a message names


def load_pretrained(kind: Any, files: ModelFiles) -> nn.Module:
    """A model in single precision, on the CPU; a ValueError if a weight is missing or has another
    form, which transformers would only warn of and leave random.

    Args:
        kind: a class of transformers.
        files: of the model.
    """
    try:
        with _quiet():
            model, told = kind.from_pretrained(
                files.folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
    except Exception as error:  # of configs and weights of others it may raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"model {files.name} cannot be loaded: {reason}") from error
    lost = sorted(told["missing_keys"]) + sorted(map(str, told["mismatched_keys"]))
    if lost:
        named = ", ".join(lost[:NAMED]) + ", ..." * (len(lost) > NAMED)
        raise ValueError(
            f"the weights of model {files.name} do not fit its config.json: {named} would be left "
            "random; fetch its files again, or take another one"
        )
    assert isinstance(model, nn.Module)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars and notes of transformers: what matters of them is said as an error."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
