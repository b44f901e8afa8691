"""Models of others that are asked and not trained any further."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from weakseg.foundation.encodings import Encodings
from weakseg.foundation.model_files import (
    ModelFiles,
    check_kind,
    find_model,
    is_on_this_machine,
    need,
)
from weakseg.utils.array_cache import Arrays
from weakseg.utils.fingerprint import code_fingerprint, fingerprint, homes, is_own

R = TypeVar("R")
CPU = torch.device("cpu")


class FrozenEncoder(ABC):
    """A published model that sees each image once, whatever is asked about the image later: what it
    makes of an image is kept on disk.

    The model is loaded when it is first needed, in each process that needs it; a copy that is sent
    to another process is without it.

    Args:
        model: a folder in the form of the hub, or an id of the hub.
        revision: a commit, tag or branch of the hub; None for the newest.
    """

    kinds: ClassVar[Collection[str]] = ()
    """values of `model_type` in config.json that the class can deal with"""
    wanted: ClassVar[str] = "a model"
    """what such a model is called in messages"""
    package: ClassVar[str] = "transformers"
    """what it is loaded with"""
    most: ClassVar[int] = 8
    """images that are encoded at once on a GPU"""

    def __init__(self, model: str, revision: str | None = None) -> None:
        self.model = model
        self.revision = revision
        self.device = CPU
        """where images are encoded"""

    @cached_property
    def files(self) -> ModelFiles:
        """The files of the model; a ValueError that says what is wrong if it cannot be used."""
        need(self.package, f"model {self.model}")
        files = find_model(self.model, self.revision)
        check_kind(files, self.kinds, self.wanted)
        return files

    @property
    def is_here(self) -> bool:
        """Whether the model is on this machine, and can be used without a network."""
        return is_on_this_machine(self.model, self.revision)

    @cached_property
    def fingerprint_of(self) -> Any:
        """All that an encoding depends on beside the image: the weights, and the code."""
        code = code_fingerprint(*(home for home in homes(type(self)) if is_own(home)))
        return type(self).__name__, self.files.version, code

    @cached_property
    def encodings(self) -> Encodings:
        """Where they are kept."""
        return Encodings()

    def check(self) -> None:
        """A ValueError, in one line, if the model cannot be used. Its weights are read for this,
        once: that they fit is kept with the encodings."""
        self.encodings.get_or_make(("fits", self.fingerprint_of), self._checked)

    def _checked(self) -> Arrays:
        with torch.inference_mode(False):
            model = self.load(self.files)
        for name, weights in model.state_dict().items():
            if not bool(weights.isfinite().all()):
                raise ValueError(
                    f"model {self.files.name} should have finite weights, but some of {name} are "
                    "not; its files are damaged, or its training failed: take another version"
                )
        return {"fits": np.array(True)}

    @cached_property
    def module(self) -> nn.Module:
        """The model itself, on the device."""
        with torch.inference_mode(False):  # what is asked later may need gradients of activations
            loaded = self.load(self.files).eval().requires_grad_(False)
            return loaded.to(self.device)

    def use(self, device: torch.device) -> None:
        """Encode on this device from now on."""
        if device != self.device:
            self.device = device
            self.__dict__.pop("module", None)

    @abstractmethod
    def load(self, files: ModelFiles) -> nn.Module:
        """The model of these files, on the CPU."""

    @abstractmethod
    def encode(self, images: Sequence[Tensor]) -> list[Arrays]:
        """What the model makes of each of these images, uint8 [3,H,W]: arrays that can be kept, in
        half precision where that is enough."""

    def encoding(self, image: Tensor) -> dict[str, Tensor]:
        """What the model makes of an image, uint8 [3,H,W], on the CPU and in single precision."""
        arrays = self.encodings.get_or_make(self._key(image), lambda: self.encode([image])[0])
        return {name: _tensor(array) for name, array in arrays.items()}

    def encode_ahead(self, images: Sequence[Tensor]) -> None:
        """Have the encodings of these images kept, as many at once as the device has memory for."""
        missing = [image for image in images if self._key(image) not in self.encodings]
        for image, arrays in zip(missing, in_batches(self.encode, missing, self.most), strict=True):
            self.encodings.put(self._key(image), arrays)

    def _key(self, image: Tensor) -> tuple[Any, ...]:
        return ("encoding", self.fingerprint_of, image)

    def __fingerprint__(self) -> str:
        return fingerprint(self.fingerprint_of)

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in vars(self).items() if name != "module"}
        return {**kept, "device": CPU}  # other processes leave a GPU to this one


def _tensor(array: NDArray[Any]) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.float() if tensor.is_floating_point() else tensor


def in_batches(
    work: Callable[[Sequence[Any]], list[R]], items: Sequence[Any], most: int, what: str = "image"
) -> list[R]:
    """The results of work on all items, done for so many at once, or for fewer where a GPU has not
    enough memory.

    Args:
        work: for some items.
        items: all of them.
        most: how many at once.
        what: an item is called in messages.
    """
    results: list[R] = []
    while len(results) < len(items):
        batch = items[len(results) : len(results) + most]
        try:
            results += work(batch)
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                raise torch.OutOfMemoryError(
                    f"the GPU has not enough memory for a single {what}; take a smaller model, or "
                    "trainer.accelerator=cpu"
                ) from error
            most = len(batch) // 2
            warnings.warn(
                f"the GPU has not enough memory for {len(batch)} {what}s at once; going on with "
                f"{most}",
                stacklevel=2,
            )
    return results
