"""Models that others have published, each named by a folder or by its id on the Hugging Face hub:
where their files are, which version they are, and under which licence."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import yaml

EXTRA = "pip install 'weakseg[foundation]'"
NOT_STATED = "not stated in its files"
CONFIG = "config.json"
CARD = "README.md"
SMALL_FILES = ("*.json", "*.txt", CARD)
SAFE = "*.safetensors"
OLDER = ("pytorch_model*.bin", "open_clip_pytorch_model.bin")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class ModelFiles(NamedTuple):
    """The files of a published model."""

    name: str
    """as it was asked for"""
    folder: Path
    version: str
    """a commit of the hub, or the digest of a folder's files"""
    licence: str
    config: Mapping[str, Any]
    """what config.json says"""

    @property
    def described(self) -> str:
        """One line about it."""
        return f"{self.name}, version {self.version}, licence {self.licence}"


def need(package: str, what: str) -> None:
    """A ValueError if a package of the extra is not installed.

    Args:
        package: by which it is imported.
        what: needs it.
    """
    if find_spec(package) is None:
        raise ValueError(f"{what} needs the package {package}: {EXTRA}")


def find_model(name: str, revision: str | None = None) -> ModelFiles:
    """The files of a model: those of a folder, or of the hub, from where they are fetched once.

    Args:
        name: a folder in the form of the hub, or an id such as facebook/sam2.1-hiera-tiny.
        revision: a commit, tag or branch of the hub; None for the newest that is on this machine,
            or else for the newest there is.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ValueError(
                f"model {name} is a folder, which has no revisions, but revision is {revision}; "
                "leave it out"
            )
        return _described(name, folder, _digest_of(folder))
    if folder.exists() or not _HUB_ID.fullmatch(name):
        what = "is a file" if folder.exists() else "is no folder here, and no id of the hub either"
        raise ValueError(
            f"model {name} {what}; expected a folder with {CONFIG} and weights, or an id such as "
            "facebook/sam2.1-hiera-tiny"
        )
    folder = _fetched(name, revision)
    return _described(name, folder, folder.name)


def is_on_this_machine(name: str, revision: str | None = None) -> bool:
    """Whether `find_model` would find a model without a network."""
    if Path(name).expanduser().is_dir():
        return True
    if find_spec("huggingface_hub") is None or not _HUB_ID.fullmatch(name):
        return False
    return _fetched_before(name, revision) is not None


def check_kind(files: ModelFiles, kinds: Collection[str], what: str) -> None:
    """A ValueError if a model is of none of these architectures.

    Args:
        files: of the model.
        kinds: values of `model_type` in config.json.
        what: is wanted, such as "a SAM model".
    """
    kind = files.config.get("model_type") or files.config.get("architecture")
    if kind not in kinds:
        raise ValueError(
            f"model {files.name} should be {what}, of type {' or '.join(sorted(kinds))}, but its "
            f"{CONFIG} says {kind or 'no type'}"
        )


def _described(name: str, folder: Path, version: str) -> ModelFiles:
    try:
        config = json.loads((folder / CONFIG).read_text())
    except FileNotFoundError:
        raise ValueError(
            f"model {name} has no {CONFIG} in {folder}; expected {CONFIG} and weights, as in a "
            "folder of the hub"
        ) from None
    except ValueError as error:
        raise ValueError(f"model {name}: {folder / CONFIG} is no JSON: {error}") from None
    if not isinstance(config, dict):
        raise ValueError(f"model {name}: {folder / CONFIG} should hold names and values")
    if not _weights_in(folder):
        raise ValueError(
            f"model {name} has no weights in {folder}; expected {SAFE} or {' or '.join(OLDER)}"
        )
    return ModelFiles(name, folder, version, _licence_of(folder), config)


def _weights_in(folder: Path) -> list[Path]:
    found = sorted(folder.glob(SAFE))
    return found or sorted(file for pattern in OLDER for file in folder.glob(pattern))


# folders ------------------------------------------------------------------------------------------


def _digest_of(folder: Path) -> str:
    """What a folder's files hold. Each is read once in a process."""
    files = [*sorted(folder.glob("*.json")), *_weights_in(folder)]
    known = [(file, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    told = "\n".join(f"{file.name} {_digest(file, *state)}" for file, *state in known)
    return sha256(told.encode()).hexdigest()[:16]


@cache
def _digest(file: Path, size: int, changed: int) -> str:
    digest = sha256()
    with file.open("rb") as content:
        while piece := content.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def _licence_of(folder: Path) -> str:
    """What the head of a model card says, in the hub's words."""
    try:
        text = (folder / CARD).read_text(errors="replace")
    except OSError:
        return NOT_STATED
    head = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    try:
        facts = yaml.safe_load(head[1]) if head else {}
    except yaml.YAMLError:
        return NOT_STATED
    facts = facts if isinstance(facts, dict) else {}
    licence = facts.get("license")
    named = facts.get("license_name") if licence in (None, "other") else licence
    return str(named or licence or NOT_STATED)


# the hub ------------------------------------------------------------------------------------------


def _fetched(name: str, revision: str | None) -> Path:
    """The folder of a model of the hub: one that is here already, or else it is fetched."""
    need("huggingface_hub", f"model {name} of the hub")
    if (folder := _fetched_before(name, revision)) is not None:
        return folder
    from huggingface_hub import constants, errors

    try:
        return _snapshot(name, revision, here=False)
    except errors.GatedRepoError:
        raise ValueError(
            f"model {name} is given only to those who have accepted its licence: do so on its page "
            "of the hub, log in with `hf auth login`, and try again; or name a folder that has it"
        ) from None
    except errors.RevisionNotFoundError:
        raise ValueError(f"model {name} has no revision {revision} on the hub") from None
    except errors.RepositoryNotFoundError:
        raise ValueError(
            f"there is no model {name} on the hub, or it is one for which one has to log in with "
            "`hf auth login`; and there is no folder of that name here"
        ) from None
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        if constants.HF_HUB_OFFLINE:
            reason = "HF_HUB_OFFLINE forbids it"
        raise ValueError(
            f"model {name} is not on this machine, and cannot be fetched from the hub ({reason}); "
            "fetch it where there is a network, and name its folder"
        ) from None


def _fetched_before(name: str, revision: str | None) -> Path | None:
    """The folder of a model of the hub that is on this machine; None if it is not."""
    try:
        return _snapshot(name, revision, here=True)
    except (OSError, ValueError):
        return None


def _snapshot(name: str, revision: str | None, here: bool) -> Path:
    from huggingface_hub import snapshot_download

    def fetch(*patterns: str) -> Path:
        found = snapshot_download(
            name, revision=revision, allow_patterns=list(patterns), local_files_only=here
        )
        return Path(found)

    folder = fetch(*SMALL_FILES, SAFE)
    if not _weights_in(folder):
        folder = fetch(*SMALL_FILES, *OLDER)
    if here and not (_weights_in(folder) and (folder / CONFIG).is_file()):
        raise FileNotFoundError(name)  # fetched in part
    return folder
