"""Values that were made lately, up to a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """The values of some keys; those that nobody has taken for longest go first. For any number of
    threads.

    Args:
        most_bytes: of all values together; one value is always kept.
        size: of a value, in bytes.
    """

    def __init__(self, most_bytes: int, size: Callable[[V], int]) -> None:
        self._most = most_bytes
        self._size = size
        self._bytes = 0
        self._values: OrderedDict[Hashable, V] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> V | None:
        """The value of a key; None if it is not kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: V) -> V:
        """Keep a value, and return it."""
        with self._lock:
            self._drop(key)
            self._values[key] = value
            self._bytes += self._size(value)
            while self._bytes > self._most and len(self._values) > 1:
                self._drop(next(iter(self._values)))
        return value

    def drop(self, key: Hashable) -> None:
        """Forget the value of a key, if there is one."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: Hashable) -> None:
        if key in self._values:
            self._bytes -= self._size(self._values.pop(key))
