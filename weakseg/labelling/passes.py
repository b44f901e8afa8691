"""Strategies that are fitted to all training images together, such as cosegmentation, in several
calls: each part describes its share of the images, all descriptions are fitted, then each part
labels its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.strategies.base import fits_together
from weakseg.training.estimation import collected
from weakseg.training.joint_fit import Described, fit_described, key_of_fit
from weakseg.training.round_targets import RoundTargets
from weakseg.utils.array_cache import ArrayCache, Arrays
from weakseg.utils.fingerprint import fingerprint
from weakseg.utils.output_folder import OutputFolder

DESCRIPTIONS = ".descriptions"
"""the folder in that of the results"""


class NotDescribed(ValueError):
    """Other parts have not described their images yet."""

    def __init__(self, message: str, parts: Sequence[int]) -> None:
        super().__init__(message)
        self.parts = tuple(parts)


class Passes:
    """The descriptions of all parts, one whole file for each part and iteration, in the folder of
    the results.

    Args:
        folder: of the results.
        images: how many there are to fit to, in all parts.
        describing: whether this call describes, the first pass; else it needs all descriptions.
    """

    def __init__(self, folder: OutputFolder, images: int, describing: bool) -> None:
        self.describing = describing
        self.parts = folder.parts
        self.part = folder.part
        self._images = images
        self._files = ArrayCache(folder.path / DESCRIPTIONS)

    @property
    def begun(self) -> bool:
        """Whether a call has described anything: then each part knows but its own images."""
        folder = self._files.folder
        return folder is not None and any(folder.glob("*.npz"))

    def fit(self, targets: RoundTargets, keys: Mapping[int, str]) -> Tensor | None:
        """What the strategy fits to the images of all parts; NotDescribed if some are missing.

        Args:
            targets: of the round.
            keys: of the descriptions of this part's share of the images, by index.
        """
        strategy = targets.strategy
        assert fits_together(strategy)
        own = {targets.images[index].id: key for index, key in keys.items()}
        arrays = self._files.get(self._key(targets, self.part))
        if arrays is None or _keys(arrays) != own:
            self._describe(targets, keys, own)
        files = [self._files.get(self._key(targets, part)) for part in range(1, self.parts + 1)]
        missing = [part for part, file in enumerate(files, 1) if file is None]
        if missing:
            raise NotDescribed(self._message(missing, type(strategy).__name__), missing)
        known = [file for file in files if file is not None]
        cache = targets.context().cache
        key = key_of_fit(pair for file in known for pair in _keys(file).items())
        found = cache.get(key)
        if found is None:
            described = [each for file in known for each in _described(file)]
            what = f"{type(strategy).__name__} could not be fitted to the images"
            keep = partial(cache.put, key)
            found = fit_described(strategy, targets.fitted, described, keep, what)
        return torch.from_numpy(found["fitted"]) if "fitted" in found else None

    def _describe(
        self, targets: RoundTargets, keys: Mapping[int, str], own: Mapping[str, str]
    ) -> None:
        name = type(targets.strategy).__name__
        if not self.describing:
            raise NotDescribed(self._message([self.part], name), [self.part])
        what = f"{name} could not describe the images of part {self.part}"
        described = collected(targets.describe(keys), len(keys), "describing images", 1, what)
        self._files.put(self._key(targets, self.part), _arrays(described, own))

    def _key(self, targets: RoundTargets, part: int) -> str:
        """Of the file of a part: all that its descriptions depend on but the images themselves,
        whose keys are in it."""
        return fingerprint(
            "described",
            targets.method,
            targets.queried,
            fingerprint(targets.fitted),
            targets.segmenter.classes,
            self._images,
            self.parts,
            part,
        )

    def _message(self, missing: Sequence[int], name: str) -> str:
        one = len(missing) == 1
        which = f"part{'' if one else 's'} {', '.join(map(str, missing))} of {self.parts}"
        return (
            f"{name} is fitted to all training images together, and {which} "
            f"{'has' if one else 'have'} not described {'its' if one else 'their'} share of them "
            "as they are now: call each part with describe=true first"
        )


def _arrays(described: Sequence[Described], keys: Mapping[str, str]) -> Arrays:
    """Descriptions as named arrays for one file."""
    in_order = sorted(described, key=lambda each: each.id)
    arrays: Arrays = {
        "ids": np.array([each.id for each in in_order], dtype=np.str_),
        "keys": np.array([keys[each.id] for each in in_order], dtype=np.str_),
    }
    for place, each in enumerate(in_order):
        arrays |= {f"{place}/{name}": value for name, value in each.description.items()}
    return arrays


def _keys(arrays: Arrays) -> dict[str, str]:
    """The keys of the images of a file, by their ids."""
    return dict(zip(arrays["ids"].tolist(), arrays["keys"].tolist(), strict=True))


def _described(arrays: Arrays) -> list[Described]:
    """The descriptions of a file."""
    ids = arrays["ids"].tolist()
    found: list[dict[str, NDArray[np.generic]]] = [{} for _ in ids]
    for name, value in arrays.items():
        place, slash, own = name.partition("/")
        if slash:
            found[int(place)][own] = value
    return [Described(id, description) for id, description in zip(ids, found, strict=True)]
