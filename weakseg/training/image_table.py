"""ImageTable, what a training measures of each of its images, counted over visits and processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

UNIT = 2**20  # sums are whole multiples of 1/UNIT: exact, in whatever order they are added


class ImageTable:
    """Weighted means over the visits of each image, and notes of which the latest counts.

    Sums are whole numbers and of notes the highest stays, so that the order of visits, the number
    of processes and a resume change no bit.

    Args:
        means: names of the means.
        notes: names of the notes.
    """

    def __init__(self, means: Sequence[str], notes: Sequence[str] = ()) -> None:
        self.means = tuple(means)
        self.notes = tuple(notes)
        self._places: dict[str, int] = {}
        # of each image: sums of all means, their weights, and the notes
        self._rows = torch.zeros(0, 2 * len(self.means) + len(self.notes), dtype=torch.int64)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def ids(self) -> list[str]:
        """Of the images, in the order in which they came first."""
        return list(self._places)

    def add(self, ids: Sequence[str], values: Tensor, notes: Tensor, weights: Tensor) -> None:
        """Count visits.

        Args:
            ids: of the images, [V]; one may come several times.
            values: float [V,M] of the means; nan is not counted.
            notes: int64 [V,N], not negative; of each image the highest stays.
            weights: int64 [V] of the visits.
        """
        known = values.isfinite()
        weight = torch.where(known, weights[:, None], 0)
        units = (torch.where(known, values, 0).double() * UNIT).round().long()
        self._merge(ids, torch.cat([units * weight, weight], 1), notes)

    def values(self) -> dict[str, dict[str, float]]:
        """The means of each image by their names; those without a value are left out."""
        count = len(self.means)
        sums, weights = self._rows[:, :count], self._rows[:, count : 2 * count]
        means = (sums.double() / UNIT / weights.clamp(min=1)).tolist()
        there = (weights > 0).tolist()
        return {
            id: {
                name: value
                for name, value, known in zip(self.means, means[place], there[place], strict=True)
                if known
            }
            for id, place in self._places.items()
        }

    def noted(self) -> dict[str, dict[str, int]]:
        """The notes of each image by their names."""
        rows = self._rows[:, 2 * len(self.means) :].tolist()
        return {
            id: dict(zip(self.notes, rows[place], strict=True))
            for id, place in self._places.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` makes the same table of."""
        return {"ids": self.ids, "rows": self._rows[: len(self)].clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The counterpart of `state_dict`."""
        self._places = {id: place for place, id in enumerate(state["ids"])}
        self._rows = state["rows"].clone()

    def merged(self, states: Iterable[Mapping[str, Any]]) -> ImageTable:
        """A table of all that these states hold, its images in the order of their ids."""
        together = ImageTable(self.means, self.notes)
        states = list(states)
        together._reserve(sorted({id for state in states for id in state["ids"]}))
        split = 2 * len(self.means)
        for state in states:
            together._merge(state["ids"], state["rows"][:, :split], state["rows"][:, split:])
        return together

    def _merge(self, ids: Sequence[str], sums: Tensor, notes: Tensor) -> None:
        self._reserve(ids)
        if not ids:
            return
        places = torch.tensor([self._places[id] for id in ids])
        split = 2 * len(self.means)
        self._rows[:, :split].index_add_(0, places, sums)
        self._rows[:, split:].scatter_reduce_(0, places[:, None].expand_as(notes), notes, "amax")

    def _reserve(self, ids: Sequence[str]) -> None:
        """A row for each of the images; there is room for a quarter more, so that this is rare."""
        for id in ids:
            self._places.setdefault(id, len(self._places))
        if len(self._places) > len(self._rows):
            more = len(self._places) * 5 // 4 + 1 - len(self._rows)
            self._rows = torch.cat([self._rows, self._rows.new_zeros(more, self._rows.shape[1])])
