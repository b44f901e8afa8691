from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from weakseg.utils import memory

CPU = torch.device("cpu")
MEMINFO = (
    "MemTotal:       16000000 kB\n"
    "MemFree:          100000 kB\n"
    "MemAvailable:    2000000 kB\n"
    "HugePages_Total:       0\n"
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which what the machine says of itself can be put; it is empty."""
    monkeypatch.setattr(memory, "_MACHINE", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path)
    return tmp_path


def contain(machine: Path, most: str, taken: int) -> None:
    (machine / "memory.max").write_text(f"{most}\n")
    (machine / "memory.current").write_text(f"{taken}\n")
    (machine / "memory.stat").write_text("anon 5\ninactive_file 20000000\n")


def test_nobody_says(machine: Path) -> None:
    assert memory.free(CPU) is None


def test_what_is_available_and_not_only_what_is_free(machine: Path) -> None:
    (machine / "meminfo").write_text(MEMINFO)
    assert memory.free(CPU) == 2_048_000_000


def test_a_container_with_less_than_the_machine(machine: Path) -> None:
    (machine / "meminfo").write_text(MEMINFO)
    contain(machine, "1000000000", 300_000_000)
    assert memory.free(CPU) == 720_000_000  # files in memory can be dropped


def test_a_container_of_the_older_kind(machine: Path) -> None:
    (machine / "memory").mkdir()
    for name, text in (
        ("limit_in_bytes", "1000"),
        ("usage_in_bytes", "900"),
        ("stat", "total_inactive_file 30\n"),
    ):
        (machine / "memory" / f"memory.{name}").write_text(text)
    assert memory.free(CPU) == 130


def test_a_container_with_more_than_the_machine_has_left(machine: Path) -> None:
    (machine / "meminfo").write_text(MEMINFO)
    contain(machine, "9000000000", 300_000_000)
    assert memory.free(CPU) == 2_048_000_000


def test_a_container_without_a_limit(machine: Path) -> None:
    contain(machine, "max", 300_000_000)
    assert memory.free(CPU) is None


@pytest.mark.parametrize(
    "text", ["", "MemTotal: 16000000 kB\n", "MemAvailable: many kB\n", "no colon\n"]
)
def test_files_that_say_something_else(machine: Path, text: str) -> None:
    (machine / "meminfo").write_text(text)
    contain(machine, "", 0)
    assert memory.free(CPU) is None


def test_other_devices_are_not_asked(machine: Path) -> None:
    (machine / "meminfo").write_text(MEMINFO)
    assert memory.free(torch.device("meta")) is None


@pytest.mark.skipif(
    not memory._MACHINE.exists(), reason="only Linux says how much memory is available"
)
def test_this_machine_has_some() -> None:
    free = memory.free(CPU)
    assert free is not None
    assert 2**20 < free < 2**50


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_that_was_needed_for_a_moment_is_given_back() -> None:
    # freed blocks below one that is still needed, which C keeps otherwise
    blocks = [bytes(1000) for _ in range(50_000)]
    needed = blocks.pop()
    del blocks
    before = held_memory()
    memory.give_back()
    assert held_memory() < before - 25_000_000
    assert len(needed) == 1000


REPEATS = """
import resource, sys
import torch
from weakseg.utils.memory import give_back, keep_freed

def pages() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.zeros(12_000_000)  # 48 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = pages()
keep_freed()
for _ in range(4):  # the first ones still find their places
    pages()
print(usual, pages())
before = int(open("/proc/self/statm").read().split()[1])
give_back()
print(before - int(open("/proc/self/statm").read().split()[1]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_of_tensors_is_kept_for_the_next_ones() -> None:
    done = subprocess.run([sys.executable, "-c", REPEATS], capture_output=True, text=True)
    usual, kept, given_back = map(int, done.stdout.split())
    assert usual > 10_000  # a large page or two may save some of the 58,600
    assert kept < usual / 100
    assert given_back > 10_000  # and it is not lost


def held_memory() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])
