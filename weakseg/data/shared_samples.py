"""Images that have been read, decoded and shrunk once, in memory that loader processes share."""

from __future__ import annotations

import mmap
import multiprocessing
import pickle
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weakseg.evidence import Evidence

Sample = tuple[Evidence, Tensor | None]

SHARE = 0.25  # of the free memory that samples may take without being asked for
ROOM = 1.5  # times the size that a few samples let expect


class SharedSamples:
    """What `sample` of a data set returned, by its index.

    Whoever reads an image first puts it there, and all processes that were forked from this one
    find it. Memory is taken as it is filled, and no more of it than the capacity: what does not
    fit is read again each time.

    Args:
        count: of the images of the data set.
        capacity: in bytes.
    """

    def __init__(self, count: int, capacity: int) -> None:
        # anonymous, so that a kill leaves nothing behind; it is not bound to the size of /dev/shm
        self._memory = mmap.mmap(-1, max(1, capacity))
        self._capacity = capacity
        places = mmap.mmap(-1, 16 * (count + 1))
        # where each sample begins and how long it is, 0 for none; the last row: where all end
        self._places = np.frombuffer(places, np.int64).reshape(count + 1, 2)
        self._lock = multiprocessing.Lock()

    def get(self, index: int) -> Sample | None:
        """A sample of its own, which may be changed; None if it is not there."""
        start, length = self._places[index].tolist()
        if not length:
            return None
        fields, truth = pickle.loads(memoryview(self._memory)[start : start + length])
        return Evidence(**{name: _tensor(value) for name, value in fields.items()}), _tensor(truth)

    def put(self, index: int, sample: Sample) -> None:
        """Keep a sample, if there is room for it."""
        content = packed(sample)
        with self._lock:
            start = int(self._places[-1, 0])
            if self._places[index, 1] or start + len(content) > self._capacity:
                return
            self._memory[start : start + len(content)] = content
            self._places[-1, 0] = start + len(content)
            self._places[index, 0] = start
            self._places[index, 1] = len(content)  # last, as from now on it is read

    def __len__(self) -> int:
        """How many samples are there."""
        return int((self._places[:-1, 1] > 0).sum())


def packed(sample: Sample) -> bytes:
    """A sample as bytes."""
    evidence, truth = sample
    fields = {name: _array(value) for name, value in evidence._asdict().items()}
    return pickle.dumps((fields, _array(truth)), protocol=5)


def is_shared(workers: int) -> bool:
    """Whether loader processes would find what is in memory here: they do where they are forks."""
    return workers == 0 or multiprocessing.get_start_method() == "fork"


def _array(value: Any) -> Any:
    return value.numpy() if isinstance(value, Tensor) else value


def _tensor(value: Any) -> Any:
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value
