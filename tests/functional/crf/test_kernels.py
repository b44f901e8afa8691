from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor

from weakseg.functional.crf.kernels import Kernel, LRUCache, content, features


class TestFeatures:
    image = torch.arange(3 * 2 * 4, dtype=torch.uint8).view(3, 2, 4) * 10

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_by_hand(self, dtype: torch.dtype) -> None:
        found = features(self.image, Kernel(1, 2, 5), dtype)
        x, y = [0, 0.5, 1, 1.5] * 2, [0] * 4 + [0.5] * 4
        red, green, blue = (
            [2 * value for value in range(first, first + 8)] for first in (0, 8, 16)
        )
        assert found.dtype == dtype
        assert found.tolist() == [x, y, red, green, blue]

    def test_without_colours(self) -> None:
        found = features(self.image, Kernel(1, 2, None), torch.float32)
        assert torch.equal(found, features(self.image, Kernel(1, 2, 5), torch.float32)[:2])


class TestContent:
    image = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8)

    def test_is_that_of_the_pixels_however_they_lie_in_memory(self) -> None:
        turned = self.image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
        assert not turned.is_contiguous()
        part = torch.zeros(3, 9, 9, dtype=torch.uint8)
        part[:, 2:7, 1:8] = self.image
        assert (
            content(turned)
            == content(part[:, 2:7, 1:8])
            == content(self.image.clone())
            == content(self.image)
        )

    def test_differs_where_one_pixel_differs(self) -> None:
        seen = {content(self.image)}
        for place in range(self.image.numel()):
            other = self.image.clone()
            other.view(-1)[place] ^= 1
            seen.add(content(other))
        assert len(seen) == self.image.numel() + 1

    def test_differs_where_pixels_change_places(self) -> None:
        assert (
            len(
                {
                    content(self.image),
                    content(self.image.flip(1)),
                    content(self.image.flip(2)),
                    content(self.image.flip(0)),
                }
            )
            == 4
        )


def kilobytes(number: int) -> Callable[[], tuple[Tensor]]:
    return lambda: (torch.zeros(number * 1000, dtype=torch.uint8),)


class TestLRUCache:
    def made(self, recent: LRUCache, *keys: str) -> list[str]:
        """Those of the keys for which something is made anew, each of a kilobyte."""
        new: list[str] = []

        def make(key: str) -> tuple[Tensor]:
            new.append(key)
            return kilobytes(1)()

        for key in keys:
            recent.get(key, lambda key=key: make(key))  # type: ignore[misc]
        return new

    def test_what_was_not_used_for_longest_goes_first(self) -> None:
        recent = LRUCache(3000)
        assert self.made(recent, "a", "b", "c", "a", "b", "c") == ["a", "b", "c"]
        assert self.made(recent, "a", "d") == ["d"]  # b was not used for longest
        assert self.made(recent, "a", "c", "d") == []
        assert self.made(recent, "b") == ["b"]

    def test_one_large_thing_takes_the_place_of_several(self) -> None:
        recent = LRUCache(3000)
        self.made(recent, "a", "b", "c")
        recent.get("large", kilobytes(2))
        assert self.made(recent, "c", "a") == ["a"]

    def test_what_is_larger_than_all_room_is_returned_but_not_kept(self) -> None:
        recent = LRUCache(3000)
        assert len(recent.get("large", kilobytes(4))[0]) == 4000
        first = recent.get("large", kilobytes(4))
        assert recent.get("large", kilobytes(4)) is not first

    @pytest.mark.parametrize(("limit", "kept"), [(2400, True), (2399, False)])
    def test_arrays_deep_inside_count(self, limit: int, kept: bool) -> None:
        recent = LRUCache(limit)
        deep = recent.get(
            "deep",
            lambda: (
                (1, (np.zeros(200), torch.zeros(100))),
                "name",
                None,
                np.zeros(100, np.float32),
            ),
        )
        assert (recent.get("deep", lambda: ()) is deep) == kept

    def test_nothing_made_is_remembered_too(self) -> None:
        recent, calls = LRUCache(100), []
        for _ in range(3):
            assert recent.get("none", lambda: (calls.append(1),)[:0]) == ()
        assert len(calls) == 1

    def test_clear(self) -> None:
        recent = LRUCache(3000)
        self.made(recent, "a")
        recent.clear()
        assert self.made(recent, "a") == ["a"]

    def test_an_error_while_making_leaves_no_trace(self) -> None:
        recent = LRUCache(3000)
        with pytest.raises(ZeroDivisionError):
            recent.get("a", lambda: (1 / 0,))
        assert self.made(recent, "a") == ["a"]

    def test_many_threads(self) -> None:
        """Each gets what belongs to its key, while others throw it out; making may overlap."""
        recent, start = LRUCache(5000), threading.Barrier(8)

        def work(seed: int) -> bool:
            start.wait()
            keys = np.random.default_rng(seed).integers(0, 12, 400).tolist()
            return all(
                (
                    recent.get(key, lambda key=key: (torch.full((1000,), key, dtype=torch.uint8),))[
                        0
                    ]
                    == key
                ).all()
                for key in keys
            )

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(8)))
        assert sum(len(made[0]) for made in recent._made.values()) <= 5000

    def test_one_that_makes_holds_up_no_other(self) -> None:
        recent, done = LRUCache(3000), threading.Event()

        def slowly() -> tuple[Tensor]:
            assert done.wait(10)
            return kilobytes(1)()

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(recent.get, "slow", slowly)
            assert self.made(recent, "quick") == ["quick"]
            done.set()
            waiting.result()
