"""How much memory is left, so that work that cannot fit is refused before the machine kills the
process; and keeping it, or giving it back."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path

import torch

_MACHINE = Path("/proc/meminfo")
_GROUPS = Path("/sys/fs/cgroup")
# of mallopt(3): how many blocks are mapped by themselves, and how much may be free at the end
_MOST_MAPPED = -4
_TRIM_THRESHOLD = -1
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


def keep_freed() -> None:
    """Keep memory that tensors leave for those that follow, from now on, in this process.

    The steps of a training make the same tensors again and again. The C library gives large ones
    back to the system at once and asks for new memory, which the system fills with zeros page by
    page: on a CPU that is a tenth of a step and more. `give_back` gives back what is kept. Nothing
    where the C library is another one than glibc.
    """
    with suppress(OSError, AttributeError, TypeError):
        adjust = ctypes.CDLL(None).mallopt
        adjust(_MOST_MAPPED, 0)
        adjust(_TRIM_THRESHOLD, -1)


def give_back() -> None:
    """Give memory back to the system that was needed for a moment, and that C keeps for the next
    time: after a pass over many images that is as much as all that is kept of them. Nothing where
    the C library is another one than glibc."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
