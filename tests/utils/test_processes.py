"""Numbers that the processes of a run exchange without waiting for their GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch.distributed as dist

from weakseg.utils.processes import anywhere, highest


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_alone_a_number_is_what_it_is() -> None:
    assert highest(3) == 3
    assert anywhere(True)
    assert not anywhere(False)


@pytest.mark.parametrize("backend", ["gloo", "nccl"])
def test_beside_nccl_processors_have_a_group_of_their_own(
    group: None, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    made = []
    usual = dist.new_group
    monkeypatch.setattr(dist, "get_backend", lambda: backend)
    monkeypatch.setattr(dist, "new_group", lambda **how: made.append(how) or usual(**how))
    assert [highest(3), highest(4)] == [3, 4]
    assert made == [{"backend": "gloo"}] * (backend == "nccl")  # once for all calls
