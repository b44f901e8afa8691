"""Files that are no weights: what the message says, and that nothing in them is run."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from weakseg.networks.parts.weights import read_weights


class Trap:
    """Leaves a trace when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.place,)


@pytest.mark.parametrize("name", ["net.onnx", "net.pt2"])
def test_an_exported_graph_is_named_as_such(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"a graph")
    with pytest.raises(ValueError, match=r"is an exported graph.*expected a checkpoint, or a"):
        read_weights(tmp_path / name)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [2, 4])
def test_no_message_advises_to_run_what_a_file_holds(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "net.ckpt"
    path.write_bytes(pickle.dumps({"weight": Trap(tmp_path / "sprung")}, protocol))
    with pytest.raises(ValueError, match="read safely") as caught:
        read_weights(path)
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()
