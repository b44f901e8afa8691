from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_loading_is_measured_whatever_the_words_say_of_steps_and_processes(tmp_path: Path) -> None:
    words = ["trainer.max_steps=9", "data.workers=1", "data.size=64", "data.train=12", "data.val=2", "data.batch_size=2"]
    command = [sys.executable, ROOT / "benchmarks" / "loading.py", "--steps", "3", "--repeats", "1", "--workers", "0", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("| none |")
