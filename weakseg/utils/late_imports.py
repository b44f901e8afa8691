"""Names that a package offers without importing the modules behind them: a mistyped name is
answered before torch is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib import import_module
from typing import Any


def lazily(package: str, targets: Iterable[str]) -> Callable[[str], Any]:
    """A module's `__getattr__` that imports a target such as weakseg.strategies.full.Full when its
    last part is first accessed.

    >>> from_fractions = lazily("package", ["fractions.Fraction"])
    >>> from_fractions("Fraction")(1, 2)
    Fraction(1, 2)
    >>> from_fractions("Fractoin")
    Traceback (most recent call last):
    AttributeError: package has no Fractoin; did you mean Fraction?
    """
    homes = {target.rpartition(".")[2]: target.rpartition(".")[0] for target in targets}

    def __getattr__(name: str) -> Any:
        if name in homes:
            return getattr(import_module(homes[name]), name)
        near = get_close_matches(name, homes, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(homes))}"
        raise AttributeError(f"{package} has no {name}; {hint}")

    return __getattr__
