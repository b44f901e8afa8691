"""Everything holds on other processors, too: they round otherwise, as they add in another order and
fuse other products."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# numba's code for any processor of this kind: narrow vectors, nothing fused
GENERIC = {"NUMBA_CPU_NAME": "generic"}
# the same for torch and for the matrix products it hands on
PLAIN = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}


@pytest.mark.slow
@pytest.mark.parametrize("processor", [GENERIC, PLAIN], ids=["generic numba", "plain torch"])
def test_every_promise_holds_on_a_plain_processor(
    processor: dict[str, str], tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--basetemp={tmp_path / 'tests'}",
    ]
    environment = os.environ | processor | {"NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    done = subprocess.run(
        [*command, "tests/functional", "weakseg/functional"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
