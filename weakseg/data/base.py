"""WeakData, the class to subclass for a new data set: images with evidence, and perhaps the truth to measure with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import Dataset

from weakseg.data.loader import OrderedLoader, TrainLoader, keyed_generator
from weakseg.data.store import LabelStore
from weakseg.data.transforms import Augmentation, Item, collate
from weakseg.evidence import Batch, Evidence, Example


class WeakData(LightningDataModule):
    """Images with evidence. A subclass says how many there are, which is the i-th, and which ones are only measured on.

    Arguments:
        batch_size: images per step and process.
        workers: loader processes per process; 0 loads in the training process itself.
        crop: side in pixels of the square that is cut out of an image; null for whole images.
        scale: smallest and largest factor by which an image is resized at random.
        flip: whether half of the images are mirrored.
    """

    classes: tuple[str, ...] = ()
    """names of the classes; class 0 is the background"""
    validation: Sequence[int] = ()
    """indices of the images that are measured on and never trained on"""

    def __init__(
        self,
        batch_size: int = 8,
        workers: int = 0,
        crop: int | None = None,
        scale: tuple[float, float] = (1.0, 1.0),
        flip: bool = True,
    ) -> None:
        super().__init__()
        if batch_size < 1 or workers < 0:
            raise ValueError(f"batch_size should be at least 1 and workers at least 0, but they are {batch_size} and {workers}")
        self.batch_size, self.workers = batch_size, workers
        self.augmentation = Augmentation(crop, scale, flip)
        self.seed = torch.initial_seed() % 2**31  # what seed_everything was told
        self._targets: tuple[LabelStore, Mapping[str, str]] | None = None

    def __len__(self) -> int:
        """How many images there are, validation images included."""
        raise TypeError(f"{type(self).__name__} must say how many images it has: def __len__(self)")

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        """The evidence of an image, and its truth (uint8 [H,W], 255 = not counted) or None. The same every time."""
        raise TypeError(f"{type(self).__name__} must give its images: def sample(self, index) -> (Evidence, truth or None)")

    @cached_property
    def training(self) -> list[int]:
        """Indices of the images that are trained on."""
        held_out = set(self.validation)
        if beyond := sorted(held_out - set(range(len(self)))):
            raise ValueError(f"validation names image {beyond[0]}, but {type(self).__name__} has the images 0 to {len(self) - 1}")
        return [index for index in range(len(self)) if index not in held_out]

    def use_targets(self, store: LabelStore, keys: Mapping[str, str]) -> None:
        """From the next epoch on, train with these stored targets: a content key for the id of each training image."""
        self._targets = (store, dict(keys))

    def training_item(self, epoch: int, index: int) -> Item:
        """The augmented image with its target, as seed, epoch and index decide it. Without the truth."""
        evidence, _ = self.sample(self.training[index])
        target = None
        if self._targets is not None:
            store, keys = self._targets
            target = store.read(evidence.id, keys[evidence.id])
        return self.augmentation(evidence, target, keyed_generator(self.seed, epoch, index))

    def train_dataloader(self) -> TrainLoader[Batch]:
        """This rank's training batches."""
        gather = partial(collate, classes=len(self.classes))
        return TrainLoader(_TrainingItems(self), len(self.training), self.batch_size, self.workers, self.seed, gather, self._its_trainer())

    def val_dataloader(self) -> OrderedLoader[list[Example]]:
        """This rank's validation images, whole and at their own resolution."""
        trainer = self._its_trainer()
        mine = [self.validation[place] for place in range(trainer.global_rank, len(self.validation), trainer.world_size)]
        return OrderedLoader(_Examples(self), mine, self.batch_size, self.workers, list)

    def predict_dataloader(self) -> OrderedLoader[list[Example]]:
        """The validation images again, for `Trainer.predict`."""
        return self.val_dataloader()

    def _its_trainer(self) -> Any:
        if self.trainer is None:
            raise ValueError("the data set belongs to no trainer yet: hand it to Trainer.fit(segmenter, data)")
        return self.trainer

    def __getstate__(self) -> dict[str, Any]:  # loader processes need the images, not the trainer
        return {**self.__dict__, "trainer": None}


class _TrainingItems(Dataset[Item]):
    def __init__(self, data: WeakData) -> None:
        self.data = data

    def __getitem__(self, item: tuple[int, int]) -> Item:
        return self.data.training_item(*item)


class _Examples(Dataset[Example]):
    def __init__(self, data: WeakData) -> None:
        self.data = data

    def __getitem__(self, index: int) -> Example:
        return Example(index, *self.data.sample(index))
