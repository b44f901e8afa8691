"""Training with Ray Train: two workers on a local Ray, one of which is killed."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.training.test_nodes import PAGE, WORDS, comparable, wait_for_rows, whole

ray = pytest.importorskip("ray", reason="Ray is an extra: pip install 'weakseg[ray]'")
pytest.importorskip("ray.train.torch")

pytestmark = pytest.mark.slow
__all__ = ["whole"]  # a fixture
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
    )
    yield
    ray.shutdown()


def page(root: Path, words: list[str]) -> dict[str, Any]:
    """What the code of the page defines, with other words."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    block = block.replace('"/shared/project"', repr(str(root))).replace("use_gpu=True, ", "")
    block = re.sub(r"words = \[.*?\]", f"words = {[*words, 'resume=auto']!r}", block)
    names: dict[str, Any] = {}
    exec(block, names)
    return names


def kill_a_worker(root: Path) -> None:
    wait_for_rows(root, 5)
    for environment in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            name = environment.read_text()
        except OSError:
            continue
        if "RayTrainWorker" in name:
            os.kill(int(environment.parent.name), signal.SIGKILL)
            return


def test_a_worker_that_dies_is_started_again_and_the_run_goes_on(
    whole: dict[str, object],
    tmp_path: Path,
) -> None:
    left_out = ("devices", "nodes", "strategy=ddp")
    words = [word for word in WORDS if not any(text in word for text in left_out)]
    killing = threading.Thread(target=kill_a_worker, args=[tmp_path], daemon=True)
    killing.start()
    names = page(tmp_path, words)
    assert names["result"].error is None
    killing.join(1)
    (run,) = tmp_path.glob("runs/boxes_rect/[0-9]*")
    assert (run / "commands.txt").read_text().count("resume=") == 1
    assert comparable(run) == whole
