"""A standard stream that cannot be written to costs what is printed, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = """
import sys
from weakseg.utils.streams import forgive
forgive()
for number in range(3000):
    print("a line of the table", number)
    print("a line of progress", number, file=sys.stderr)
sys.stdout.flush()
open("report.html", "w").write("whole")
"""
REDIRECTIONS = [
    "| head -1",
    ">/dev/full",
    ">&-",
    "2>&-",
    ">&- 2>&-",
    "<&- >&- 2>&-",
    "2>/dev/full",
    ">/dev/full 2>&1",
    "2>&1 | head -1",
]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
@pytest.mark.parametrize("how", REDIRECTIONS)
def test_work_goes_on_without_a_stream(how: str, tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(CODE)
    command = f"set -o pipefail; {sys.executable} work.py {how}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # and nothing that was printed got into it
    assert (tmp_path / "report.html").read_text() == "whole"
    assert "Exception" not in done.stderr
    assert "Error" not in done.stderr
