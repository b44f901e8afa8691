"""Models by folder or id: what is wrong with one is said in one line, and nothing is downloaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

from weakseg.foundation import model_files
from weakseg.foundation.model_files import (
    NOT_STATED,
    check_kind,
    find_model,
    is_on_this_machine,
    need,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def folder(place: Path, kind: str = "sam2", card: str | None = None) -> Path:
    """A folder in the form of the hub."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "config.json").write_text(json.dumps({"model_type": kind}))
    (place / "model.safetensors").write_bytes(b"weights")
    if card is not None:
        (place / "README.md").write_text(card)
    return place


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What has been fetched from the hub before: one model at one commit."""
    place = tmp_path / "hub" / "models--me--sam"
    folder(place / "snapshots" / COMMIT, card="---\nlicense: apache-2.0\n---\n")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_a_folder(tmp_path: Path) -> None:
    found = find_model(str(folder(tmp_path / "a")))
    assert found.folder == tmp_path / "a"
    assert found.licence == NOT_STATED
    assert found.config == {"model_type": "sam2"}
    # the same files elsewhere are the same model; other weights are another one
    same = shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert find_model(str(same)).version == found.version
    (same / "model.safetensors").write_bytes(b"weightz")
    assert find_model(str(same)).version != found.version
    (tmp_path / "a" / "config.json").write_text('{"model_type": "sam2", "size": 2}')
    assert find_model(str(tmp_path / "a")).version != found.version


def test_a_model_of_the_hub_that_is_here(hub: Path) -> None:
    for revision in (None, "main", COMMIT):
        found = find_model("me/sam", revision)
        assert found.version == COMMIT
        assert found.described == f"me/sam, version {COMMIT}, licence apache-2.0"


def test_older_weights(hub: Path) -> None:
    place = hub / "models--me--sam" / "snapshots" / COMMIT
    (place / "model.safetensors").rename(place / "pytorch_model.bin")
    assert find_model("me/sam").version == COMMIT


def test_the_home_folder_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder(tmp_path / "models" / "sam")
    assert find_model("~/models/sam").config["model_type"] == "sam2"


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\ntags: [a]\n---\n# Card", "mit"),
        ("---\nlicense: other\nlicense_name: sam-license\n---\n", "sam-license"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\n: [\n---\n", NOT_STATED),
        ("---\nfoo\n---\n", NOT_STATED),
        ("# Card\nlicense: mit\n", NOT_STATED),
        ("\udcff", NOT_STATED),
    ],
)
def test_licences(tmp_path: Path, card: str, licence: str) -> None:
    place = folder(tmp_path / "a")
    (place / "README.md").write_bytes(card.encode(errors="surrogateescape"))
    assert find_model(str(place)).licence == licence


def test_what_is_no_model(tmp_path: Path, hub: Path) -> None:
    place = folder(tmp_path / "a")
    wrong = {
        "no/such/folder": "is no folder here, and no id of the hub either; expected a folder",
        str(place / "config.json"): "is a file; expected a folder with config.json",
        "me/other": r"cannot be fetched from the hub \(HF_HUB_OFFLINE forbids it\)",
    }
    for name, said in wrong.items():
        with pytest.raises(ValueError, match=said) as error:
            find_model(name)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="is a folder, which has no revisions"):
        find_model(str(place), "main")
    with pytest.raises(ValueError, match="me/sam is not on this machine"):
        find_model("me/sam", "v2")
    (place / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json is no JSON"):
        find_model(str(place))
    (place / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="should hold names and values"):
        find_model(str(place))
    folder(tmp_path / "a")
    (place / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="has no weights"):
        find_model(str(place))
    (place / "config.json").unlink()
    with pytest.raises(ValueError, match=r"has no config.json"):
        find_model(str(place))


def test_one_that_was_fetched_in_part_says_what_is_missing(hub: Path) -> None:
    (hub / "models--me--sam" / "snapshots" / COMMIT / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="has no weights in"):
        find_model("me/sam")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("GatedRepoError", "given only to those who have accepted its licence"),
        ("RevisionNotFoundError", "has no revision v1 on the hub"),
        ("RepositoryNotFoundError", "there is no model me/new on the hub"),
    ],
)
def test_what_the_hub_refuses(monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    from huggingface_hub import errors

    def refuse(*_: object, here: bool) -> Path:
        if here:
            raise FileNotFoundError
        error = getattr(errors, name)
        raise error.__new__(error)

    monkeypatch.setattr(model_files, "_snapshot", refuse)
    with pytest.raises(ValueError, match=said):
        find_model("me/new", "v1")


def test_another_architecture(tmp_path: Path) -> None:
    files = find_model(str(folder(tmp_path / "a", "clip")))
    check_kind(files, ("clip",), "a CLIP model")
    with pytest.raises(ValueError, match=r"should be a SAM model, of type sam or sam2, but its "):
        check_kind(files, ("sam2", "sam"), "a SAM model")


def test_without_the_extra() -> None:
    need("torch", "weakseg")
    with pytest.raises(ValueError, match=r"needs the package nosuch: pip install 'weakseg\[fou"):
        need("nosuch", "model a")


def test_whether_one_is_on_this_machine(hub: Path, tmp_path: Path) -> None:
    assert is_on_this_machine(str(folder(tmp_path / "a")))
    assert is_on_this_machine("me/sam", COMMIT)
    for name, revision in (("me/sam", "v2"), ("me/other", None), (str(tmp_path / "b"), None)):
        assert not is_on_this_machine(name, revision)
