"""How weakseg compiles its loops over pixels, regions and edges: `@compiled` before a function.

numba makes machine code for the processor at hand when such a function is first called. The code
is kept on the disk, so that later processes only read it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
    # A function that is called, and not inlined, is compiled twice: by itself and, differently, as
    # a copy within its caller. Which of the two the linker takes depends on what has been loaded
    # before, so that a process that reads the cache would round otherwise than the one that filled
    # it. What is always inlined leaves no choice.
    "forceinline": True,
}


class _Cache(FunctionCache):
    """Compiled code on the disk, valid until the source of any compiled function changes.

    numba's own cache looks only at the file of the function itself, not at those of the functions
    that it calls.
    """

    def _index_key(self, signature: Any, codegen: Any) -> tuple[Any, ...]:
        own = super()._index_key(signature, codegen)  # type: ignore[no-untyped-call]
        return (*own, _sources())


@cache
def _sources(folder: Path = Path(__file__).parent) -> str:
    """A digest of all files with compiled functions: their names end in "compiled.py"."""
    files = sorted(folder.rglob("*compiled.py"))
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called, and keep the result on the disk.

    Other threads run while it does. Where nothing can be written, neither beside the source nor in
    the user's home, every process compiles anew.
    """
    kernel = njit(**OPTIONS)(function)
    with suppress(RuntimeError):  # no folder can be written to
        kernel._cache = _Cache(function)  # type: ignore[no-untyped-call]
    return kernel
