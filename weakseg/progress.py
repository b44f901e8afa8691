"""A progress bar for long work outside the training loop: how many of how many, how fast, how long still."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm.auto import tqdm

from weakseg.ranks import rank

T = TypeVar("T")


def track(items: Iterable[T], count: int, text: str, world: int = 1) -> Iterator[T]:
    """The items, with a bar on rank 0 that speaks for all `world` ranks, each of which does as much."""
    silent = count == 0 or rank() != 0
    with tqdm(total=count * world, desc=text, unit=" images", disable=silent, dynamic_ncols=True) as bar:
        for item in items:
            yield item
            bar.update(world)
