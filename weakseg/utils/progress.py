"""A progress bar for long work outside the training loop: how many of how many, how fast, how long
still."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from tqdm.auto import tqdm

from weakseg.utils.processes import rank

T = TypeVar("T")

_moved = 0  # images and steps that this process has finished


def move() -> None:
    """Something is finished: this process does not hang."""
    global _moved
    _moved += 1


def moved() -> int:
    """How many images and steps this process has finished."""
    return _moved


def track(
    items: Iterable[T], count: int, text: str, world: int = 1, delay: float = 0
) -> Iterator[T]:
    """The items, with a bar on rank 0 that speaks for all `world` ranks, each of which does as
    much; work that is over within `delay` seconds shows none."""
    silent = count == 0 or rank() != 0
    first_text = text if delay else f"{text}, the first takes longer"
    with tqdm(
        total=count * world,
        desc=first_text,
        unit=" images",
        disable=silent,
        dynamic_ncols=True,
        delay=delay,
    ) as bar:
        for number, item in enumerate(items):
            yield item
            move()
            if number > 0 or silent or delay:
                bar.update(world)
            else:
                _first_is_done(bar, text, world)


def _first_is_done(bar: Any, text: str, done: int) -> None:
    """Speed and time left go by the later images: at the first one code is compiled, on a new
    machine, and processes start."""
    start = bar.start_t
    bar.reset()
    bar.start_t = start
    bar.initial = bar.n = bar.last_print_n = done
    bar.set_description(text)
