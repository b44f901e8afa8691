"""The versions of what made a result, for summaries and reports."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("weakseg", "torch", "pytorch-lightning")


def versions(*more: str) -> dict[str, str]:
    """The versions of weakseg, of torch, of Lightning, and of further packages that are installed.

    >>> list(versions("no-such-package"))
    ['weakseg', 'torch', 'pytorch-lightning']
    """
    found = {}
    for package in (*PACKAGES, *more):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            if package in PACKAGES:
                found[package] = "from a checkout"
    return found
