"""Which models of others a run has asked for its targets: in `models.json` of its folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

from weakseg.strategies.base import Strategy
from weakseg.utils.files import write_whole

FILE = "models.json"


class UsedModel(NamedTuple):
    """A published model that targets came from."""

    name: str
    """as the recipe has it"""
    version: str
    """a commit of the hub, or a digest of a folder's files"""
    licence: str
    """that its files state"""

    @property
    def described(self) -> str:
        """One line about it.

        >>> UsedModel("me/sam", "0123abcd", "mit").described
        'model behind the targets: me/sam, version 0123abcd, licence mit'
        """
        return (
            f"model behind the targets: {self.name}, version {self.version}, licence {self.licence}"
        )


def used_models(strategy: Strategy) -> list[UsedModel]:
    """The model that a strategy asks; empty if it asks none."""
    encoder = strategy.wants.encoder
    if encoder is None:
        return []
    files = encoder.files
    return [UsedModel(files.name, files.version, files.licence)]


def print_models(strategy: Strategy) -> list[UsedModel]:
    """Say which model a strategy asks, and return it in a list."""
    found = used_models(strategy)
    for model in found:
        print(model.described, file=sys.stderr)
    return found


def note_models(strategy: Strategy, folder: Path) -> None:
    """Say which model a strategy asks, and add it to those of the run: a run that is resumed may
    find another version."""
    found = print_models(strategy)
    known = read_models(folder)
    if new := [model for model in found if model not in known]:
        told = [model._asdict() for model in [*known, *new]]
        write_whole(folder / FILE, json.dumps(told, indent=2).encode())


def read_models(folder: Path) -> list[UsedModel]:
    """The models of a run, in the order in which they were first asked."""
    try:
        told = json.loads((folder / FILE).read_text("utf-8"))
        return [UsedModel(**model) for model in told]
    except (OSError, ValueError, TypeError):  # of another version, or damaged: it is a note
        return []
