"""The content keys of targets, and the fingerprints that they are made from, in few bytes: there
may be a million images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from weakseg.utils.fingerprint import fingerprint

DIGITS = 32  # of a fingerprint


class Fingerprints:
    """A fingerprint for each of a fixed number of places, 16 bytes each; "" where there is none."""

    def __init__(self, count: int) -> None:
        self._bytes = np.zeros((count, DIGITS // 2), np.uint8)
        self._known = np.zeros(count, bool)

    def __setitem__(self, place: int, digits: str) -> None:
        self._known[place] = bool(digits)
        if digits:
            self._bytes[place] = np.frombuffer(bytes.fromhex(digits), np.uint8)

    def __getitem__(self, place: int) -> str:
        return self._bytes[place].tobytes().hex() if self._known[place] else ""


class Places:
    """Which place each of some numbers has, those in rising order."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self.numbers: NDArray[np.int64] = np.fromiter(numbers, np.int64)
        if len(self.numbers) > 1 and not bool((np.diff(self.numbers) > 0).all()):
            raise ValueError("the numbers of images should rise, each of them once")

    def of(self, number: int) -> int:
        """The place of a number; a KeyError if it is none of them."""
        place = int(np.searchsorted(self.numbers, number))
        if place == len(self.numbers) or self.numbers[place] != number:
            raise KeyError(number)
        return place


class TargetKeys(Mapping[int, str]):
    """The content keys of the targets of images, by their index, 16 bytes each.

    >>> keys = TargetKeys([(3, "ff" * 16)])
    >>> dict(keys) == {3: "ff" * 16}
    True
    """

    def __init__(self, keys: Iterable[tuple[int, str]]) -> None:
        numbers = []
        digits = bytearray()
        for number, key in keys:
            numbers.append(number)
            digits += bytes.fromhex(key)
        self._places = Places(numbers)
        self._digits = bytes(digits)

    def place(self, index: int) -> int:
        """The place of an image among those that have a key, in the order of their indices."""
        return self._places.of(index)

    def __getitem__(self, index: int) -> str:
        start = self.place(index) * DIGITS // 2
        return self._digits[start : start + DIGITS // 2].hex()

    def __iter__(self) -> Iterator[int]:
        return iter(self._places.numbers.tolist())

    def __len__(self) -> int:
        return len(self._places.numbers)


class KeysById:
    """The content keys of the targets of images by their ids, which are not kept: 40 bytes each.

    Loader processes share these arrays, where a dict of text would be copied to each of them as
    soon as it is looked into.

    >>> keys = KeysById([("a", "ff" * 16), ("b", "00" * 16)])
    >>> keys["b"] == "00" * 16, len(keys)
    (True, 2)
    """

    def __init__(self, keys: Iterable[tuple[str, str]] = ()) -> None:
        digests = bytearray()
        digits = bytearray()
        for id, key in keys:
            digests += _digest(id)
            digits += bytes.fromhex(key)
        # each as two numbers, in the order of the machine
        halves = np.frombuffer(bytes(digests), np.uint64).reshape(-1, 2)
        order = np.lexsort((halves[:, 1], halves[:, 0]))
        self._first = halves[order, 0].copy()
        self._second = halves[order, 1].copy()
        self._digits = np.frombuffer(bytes(digits), np.uint8).reshape(-1, DIGITS // 2)[order].copy()

    def __getitem__(self, id: str) -> str:
        first, second = np.frombuffer(_digest(id), np.uint64)
        start = int(np.searchsorted(self._first, first))
        end = int(np.searchsorted(self._first, first, "right"))
        for place in range(start, end):
            if self._second[place] == second:
                return bytes(self._digits[place]).hex()
        raise KeyError(id)

    def __len__(self) -> int:
        return len(self._first)


def _digest(id: str) -> bytes:
    return bytes.fromhex(fingerprint(id))
