"""How much memory is left, so that work that cannot fit is refused before the machine kills the
process; and giving it back."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path

import torch

_MACHINE = Path("/proc/meminfo")
_GROUPS = Path("/sys/fs/cgroup")
_CONTROLLERS = (
    ("", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free(device: torch.device) -> int | None:
    """Bytes that can still be taken on a device, or None where nobody says."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    limits = [_of_the_machine(), _of_the_container()] if device.type == "cpu" else []
    return min((limit for limit in limits if limit is not None), default=None)


def _of_the_machine() -> int | None:
    """What Linux says is available, which counts files in memory that it can drop."""
    try:
        fields = dict(line.split(":") for line in _MACHINE.read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _of_the_container() -> int | None:
    """What the limit of a container leaves, for both kinds of control groups; files in memory can
    be dropped, so they count as free."""
    for name, limit, taken, files in _CONTROLLERS:
        try:
            folder = _GROUPS / name
            unused = dict(
                line.split() for line in (folder / "memory.stat").read_text().splitlines()
            )
            return (
                int((folder / limit).read_text())
                - int((folder / taken).read_text())
                + int(unused.get(files, 0))
            )
        except (OSError, ValueError):  # not this kind, or no limit
            continue
    return None


def give_back() -> None:
    """Give memory back to the system that was needed for a moment, and that C keeps for the next
    time: after a pass over many images that is as much as all that is kept of them. Nothing where
    the C library is another one than glibc."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
