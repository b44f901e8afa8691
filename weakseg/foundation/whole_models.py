"""Models of transformers with all of their weights, or none: by itself transformers begins with
random numbers where weights are missing, and only warns."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

from torch import nn

from weakseg.foundation.model_files import ModelFiles

_VOCABULARIES = ("tokenizer.json", "vocab.json")
_NAMED = 3  # keys that a message names


def load_whole(kind: Any, files: ModelFiles, **options: Any) -> nn.Module:
    """The model of these files; a ValueError if it lacks weights, or has them in other sizes.

    Args:
        kind: a class of transformers, such as CLIPModel.
        files: of the model.
        options: of its `from_pretrained`.
    """
    model, found = _quietly(
        files,
        lambda: kind.from_pretrained(
            files.folder,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told below
            **options,
        ),
    )
    if others := sorted(found["mismatched_keys"]):
        name, came, expected = others[0]
        raise ValueError(
            f"model {files.name} has weights of other sizes than its config.json says: {name} "
            f"should be {list(expected)}, but it is {list(came)}"
        )
    if missing := sorted(found["missing_keys"]):
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise ValueError(
            f"model {files.name} lacks weights of a {kind.__name__}: "
            f"{', '.join(missing[:_NAMED])}{more}; it has been saved in part, or is another model"
        )
    loaded: nn.Module = model
    return loaded


def need_tokenizer(files: ModelFiles) -> None:
    """A ValueError if a model comes without its words: transformers makes a tokenizer that knows
    none, to which all words are the same."""
    if not any((files.folder / name).is_file() for name in _VOCABULARIES):
        raise ValueError(
            f"model {files.name} has no words: expected {' or '.join(_VOCABULARIES)} in "
            f"{files.folder}; copy all files of the tokenizer from where the model was published"
        )


def load_beside(kind: Any, files: ModelFiles) -> Any:
    """What comes with a model, such as its tokenizer or processor."""
    return _quietly(files, lambda: kind.from_pretrained(files.folder, local_files_only=True))


def _quietly(files: ModelFiles, load: Callable[[], Any]) -> Any:
    from transformers import utils

    logging: Any = utils.logging
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        # it draws what differs as a table, which the error says in a line
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            return load()
    except Exception as error:  # files of strangers fail in many ways
        reason = " ".join(str(error).split())
        raise ValueError(
            f"model {files.name} cannot be read from {files.folder}: {reason:.300}"
        ) from error
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
