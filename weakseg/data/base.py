"""WeakData, the class to subclass for a new data set: images with evidence, and perhaps the truth
to measure with."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from annotated_types import Ge, Gt, Le, Lt, doc
from pytorch_lightning import LightningDataModule, LightningModule
from torch import Tensor
from torch.utils.data import Dataset

from weakseg.data.corrections.events import DRAWING
from weakseg.data.corrections.folder import Corrections, CorrectionsFolder, DamagedCorrection
from weakseg.data.corrections.history import History
from weakseg.data.corrections.keeping import changed_images, kept, read_kept
from weakseg.data.corrections.overlay import Overlay, lay_over
from weakseg.data.formats.images import read_image
from weakseg.data.label_store import DamagedTarget, KeyOfId, LabelStore
from weakseg.data.loader import (
    Extra,
    Group,
    OrderedLoader,
    TrainLoader,
    keyed_generator,
    shuffled,
)
from weakseg.data.loading_processes import Open
from weakseg.data.pseudo import PseudoLabels
from weakseg.data.shared_samples import ROOM, SHARE, SharedSamples, is_shared, packed
from weakseg.data.transforms import Augmentation, Colour, Item, Side, collate
from weakseg.data.unaugmented import Drawn, Unaugmented, unaugmented
from weakseg.data.unlabelled import UnlabelledImages, in_folder
from weakseg.evidence import Batch, Evidence, Example, Instances
from weakseg.functional.instances import paint_masks
from weakseg.utils.devices import keep_host_copies
from weakseg.utils.limits import Count, CountFromZero, NotNegative, ZeroToOne, check_limits, limited
from weakseg.utils.memory import free
from weakseg.utils.messages import counted
from weakseg.utils.processes import rank
from weakseg.utils.remote_path import as_path

ShareOfBatch = Annotated[float, Gt(0), Lt(1)]
ShareOfImages = Annotated[float, Gt(0), Le(1), doc("a part of the images")]
ShareOfEpoch = Annotated[float, Ge(0), Le(1), doc("a part of the images of an epoch, or be null")]


@dataclass(frozen=True)
class Shares:
    """Which part of the images of an epoch has masks, boxes, marks or tags, from 0 to 1.

    null leaves a kind as it comes: kinds without a number share what is left. With no number at
    all, every epoch has every image once.
    """

    masks: ShareOfEpoch | None = None
    boxes: ShareOfEpoch | None = None
    marks: ShareOfEpoch | None = None
    tags: ShareOfEpoch | None = None

    def __post_init__(self) -> None:
        check_limits(self, "shares.{}")
        if sum(self.given.values()) > 1 + 1e-9:
            numbers = ", ".join(f"{kind} {share:g}" for kind, share in self.given.items())
            raise ValueError(
                f"shares should sum to at most 1, the whole epoch, but they are {numbers}"
            )

    @property
    def given(self) -> dict[str, float]:
        """The kinds that have a number."""
        return {kind: share for kind, share in asdict(self).items() if share is not None}


AS_THEY_COME = Shares()


class WeakData(LightningDataModule):
    """Images with evidence. A subclass defines how many there are, which is the i-th, and which
    ones are only measured on.

    Args:
        batch_size: images per step and process.
        workers: loader processes per process; 0 loads in the training process itself.
        crop: side in pixels of the square that is cut out of an image; null for whole images.
        scale: smallest and largest factor by which an image is resized at random.
        flip: whether half of the images are mirrored.
        colour: how far brightness, contrast and saturation change at random, each by a factor from
            1 - colour to 1 + colour.
        shares: which part of each epoch's images has masks, boxes, marks or tags; null for as they
            come. An image counts as the first of these that it has. Epochs keep their length:
            images of a large share come several times, those of a small one not each time.
        pseudo: a folder that weakseg.label or weakseg.predict has written: its images are trained
            on, too, with its masks as their labels, whatever the strategy is. null for none.
        pseudo_images: the folder of these images; null for the one that the labels were made from.
        pseudo_weight: of the loss on pseudo-labels; that on all other images weighs 1.
        pseudo_confidence: pseudo-labels that are less sure are not used, from 0 to 1: pixels where
            the folder has maps of confidence (confidence=true), whole images where it has not.
        pseudo_share: which part of each batch is pseudo-labelled.
        unlabelled: a folder of images that nobody has annotated, or own for those of the data set
            that have no annotation. From the second round on they are trained on, too, with what
            the network predicts for them in each round, whatever the strategy is: as pseudo-labels
            with the same weight, share and least confidence. null for none.
        annotated: which part of the training images is trained on with its annotation; the others
            are left out, or with unlabelled=own taken without it. To see what more annotation would
            bring: images of a small part are also among those of a larger one.
        cache: whether images are kept in memory as they were read and shrunk, with what is
            annotated, until the training ends: on, off, or auto, where they take no more than a
            quarter of the free memory. Loader processes share it. What changes in a file
            meanwhile is not noticed.
        augment_on: where images change their size, place and colours: host, in the loaders, or
            device, after they were copied to what trains on them, so that loaders have less to do.
        corrections: a folder in which weakseg.review keeps what a person has corrected: it is laid
            over the annotation, and images that were excluded are not trained on. null for none.
    """

    classes: tuple[str, ...] = ()
    """names of the classes; class 0 is the background"""
    validation: Sequence[int] = ()
    """indices of the images that are measured on and never trained on"""
    known_settings: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """values that suit this data set, by keys of a recipe such as `optimizer.lr`. They take the
    place of `auto` in recipes, before any rule. Where they depend on what the recipe names, such
    keys stand below `strategy=tags`, `network=maskrcnn` and so on"""
    known_lengths: ClassVar[Mapping[str, Mapping[str, float]]] = MappingProxyType({})
    """by name of a strategy, lengths in pixels that suit the images where a recipe gives none:
    {"boxes_crf": {"crf.bilateral_xy": 67}}"""
    default_split: bool = False
    """whether these are some that are held out because neither the files nor the user says which"""

    @limited
    def __init__(
        self,
        batch_size: Count = 8,
        workers: CountFromZero = 0,
        crop: Side | None = None,
        scale: tuple[float, float] = (1.0, 1.0),
        flip: bool = True,
        colour: Colour = 0.0,
        shares: Shares = AS_THEY_COME,
        pseudo: Path | None = None,
        pseudo_images: Path | None = None,
        pseudo_weight: NotNegative = 1.0,
        pseudo_confidence: ZeroToOne = 0.0,
        pseudo_share: ShareOfBatch = 0.5,
        unlabelled: Literal["own"] | Path | None = None,
        annotated: ShareOfImages = 1.0,
        corrections: Path | None = None,
        cache: Literal["auto", "on", "off"] = "auto",
        augment_on: Literal["host", "device"] = "host",
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.workers = workers
        self.shares = shares
        self.pseudo = pseudo
        self.pseudo_images = pseudo_images
        self.pseudo_weight = pseudo_weight
        self.pseudo_confidence = pseudo_confidence
        self.pseudo_share = pseudo_share
        self.unlabelled = unlabelled
        self.annotated = annotated
        self.corrections = corrections
        self.cache = cache
        self.augment_on = augment_on
        if pseudo is not None and unlabelled is not None:
            raise ValueError(
                "pseudo and unlabelled are two ways to learn from images without annotation; leave "
                "one out"
            )
        further = "unlabelled" if pseudo is None else "pseudo"
        if getattr(self, further) is not None and batch_size < 2:
            raise ValueError(
                f"batch_size should be 2 or more with {further}, one image of each kind, but it is "
                f"{batch_size}"
            )
        self.augmentation = Augmentation(crop, scale, flip, colour)
        self.seed = torch.initial_seed() % 2**31  # of seed_everything
        self._targets: tuple[LabelStore, KeyOfId] | None = None
        # of unlabelled images, from the second round on
        self._predicted: tuple[LabelStore, KeyOfId] | None = None
        self._version = 0  # of what loader processes know: targets, predictions and corrections
        self._loaders = Open()
        self._samples: SharedSamples | None = None

    def __len__(self) -> int:
        """How many images there are, validation images included."""
        raise TypeError(f"{type(self).__name__} must say how many images it has: def __len__(self)")

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        """The evidence of an image, and its truth (uint8 [H,W], 255 = not counted) or None. The
        same every time."""
        raise TypeError(
            f"{type(self).__name__} must give its images: def sample(self, index) -> (Evidence, "
            "truth or None)"
        )

    def corrected(self, index: int) -> tuple[Evidence, Tensor | None]:
        """The evidence of an image with the corrections of a person laid over it, and its truth.
        Training, checks and reports take images from here."""
        evidence, truth = self._read(index)
        return self.lay_over(evidence).evidence, truth

    def _read(self, index: int) -> tuple[Evidence, Tensor | None]:
        """What `sample` returns, from memory if it has been read in this training."""
        if self._samples is None:
            return self.sample(index)
        found = self._samples.get(index)
        if found is None:
            found = self.sample(index)
            self._samples.put(index, found)
        return found

    def _begin_cache(self, devices: int) -> None:
        """Make room for samples, if it is wanted and there is enough; so many processes on this
        machine do so."""
        self._samples = None
        if self.cache == "off" or not is_shared(self.workers):
            return
        few = self.training[:: max(1, len(self.training) // 4)][:4]
        try:
            mean = sum(len(packed(self.sample(index))) for index in few) / max(1, len(few))
        except Exception:  # what is wrong with an image is said when all are checked
            return
        wanted = int(ROOM * mean * len(self))
        left = free(torch.device("cpu"))
        if self.cache == "on" or (left is not None and wanted * devices <= SHARE * left):
            self._samples = SharedSamples(len(self), wanted)

    def ids_without_image(self, known: Collection[str]) -> list[str]:
        """The ids of corrections that are of no image of the data set.

        Args:
            known: ids of images of the data set; those of others are looked up.
        """
        corrected = {*self.histories, *self.corrections_in_use.damaged}
        if lost := corrected.difference(known):
            lost = lost.difference(self.id_of(index) for index in range(len(self)))
        return sorted(lost)

    def lay_over(self, evidence: Evidence) -> Overlay:
        """The evidence of an image with the corrections of a person laid over it, and which of
        these have no effect; DamagedCorrection if they cannot be read."""
        id = str(evidence.id)
        if id in self.corrections_in_use.damaged:
            raise DamagedCorrection(str(self.corrections_in_use.damaged[id]))
        return lay_over(evidence, self.histories.get(id), self.classes, self.other_names)

    @property
    def other_names(self) -> Mapping[str, str | None]:
        """What classes of other names are called here; None for those that are left out."""
        return {}

    @cached_property
    def corrections_in_use(self) -> Corrections:
        """What a person has corrected, as it was when this was first asked for."""
        if self.corrections is None:
            return Corrections({}, {})
        return CorrectionsFolder(self.corrections).read_each()

    @property
    def histories(self) -> dict[str, History]:
        """The corrections of images, by their ids."""
        return self.corrections_in_use.sound

    def use_corrections(self, corrections: Corrections) -> None:
        """Train with these corrections from now on, whatever is in the folder."""
        for name in ("training", "_not_held_out", "unlabelled_images", "groups"):
            self.__dict__.pop(name, None)
        self.__dict__["corrections_in_use"] = corrections
        self._version += 1

    def content_key(self, index: int) -> str | None:
        """A text that changes whenever an image, its evidence or its truth may have changed, found
        without reading them: an image that was checked under it is not read again at the next
        start. None if that cannot be told. Override it if you know."""
        return None

    def id_of(self, index: int) -> str:
        """The id of an image. Override it if you know without reading files."""
        return str(self.sample(index)[0].id)

    def true_instances(self, index: int) -> Instances | None:
        """The true instances of an image, to measure instance segmentation with; None if they are
        not known."""
        return None

    def image_file(self, index: int) -> Path | None:
        """The file of an image; None if it is in none, or in one that nobody else could read."""
        return None

    @cached_property
    def training(self) -> list[int]:
        """Indices of the images that are trained on."""
        indices = [index for index in self._not_held_out if self.is_annotated(index)]
        if self.annotated == 1:
            return indices
        # excluded images have their place here: who leaves one out changes none of the others
        able = [index for index in self._may_train if self.is_annotated(index)]
        count = max(1, round(self.annotated * len(able)))
        chosen = {able[place] for place in shuffled(len(able), 0)[:count]}
        return [index for index in indices if index in chosen]

    @cached_property
    def _not_held_out(self) -> list[int]:
        """Indices of the images that may be trained on, annotated or not."""
        excluded = {id for id, history in self.histories.items() if history.status == "excluded"}
        if not excluded:
            return self._may_train
        return [index for index in self._may_train if self.id_of(index) not in excluded]

    @property
    def _may_train(self) -> list[int]:
        """The same with those that a person has excluded."""
        held_out = set(self.validation)
        if beyond := sorted(held_out - set(range(len(self)))):
            raise ValueError(
                f"validation names image {beyond[0]}, but {type(self).__name__} has the images 0 "
                f"to {len(self) - 1}"
            )
        return [index for index in range(len(self)) if index not in held_out]

    @cached_property
    def unlabelled_images(self) -> UnlabelledImages | None:
        """The images without annotation that are trained on; None if there are none."""
        if self.unlabelled is None:
            return None
        if self.unlabelled != "own":
            return in_folder(as_path(self.unlabelled), self._own_files)
        trained_on = set(self.training)
        others = [index for index in self._not_held_out if index not in trained_on]
        return UnlabelledImages("own", [self.id_of(index) for index in others], others)

    def unlabelled_evidence(self, place: int) -> Evidence:
        """One of the images without annotation, and nothing else."""
        assert self.unlabelled_images is not None
        long_side = getattr(self, "long_side", None)
        return self.unlabelled_images.evidence(place, self._image, self.read_photo, long_side)

    def use_predictions(self, store: LabelStore, keys: KeyOfId) -> None:
        """From the next epoch on, train on the unlabelled images with these stored targets: a
        content key for the id of each."""
        self._predicted = (store, keys)
        self._version += 1

    def _image(self, index: int) -> Tensor:
        return self.sample(index)[0].image

    @property
    def _own_files(self) -> set[Path]:
        """The files of the images of the data set itself."""
        files = (self.image_file(index) for index in range(len(self)))
        return {file for file in files if file is not None}

    def is_annotated(self, index: int) -> bool:
        """Whether an image has any evidence to train on. Override it if some have none."""
        return True

    def kind(self, index: int) -> str:
        """The most telling annotation of an image: masks, boxes, marks, tags or nothing. Override
        it if you know without reading files."""
        return next(iter(self.corrected(index)[0].annotations), "nothing")

    @cached_property
    def groups(self) -> list[Group]:
        """The places in `training` of the images that have a share of each epoch; nothing if all
        come as they are."""
        if not self.shares.given:
            return []
        places: dict[str, list[int]] = {}
        for place, index in enumerate(self.training):
            places.setdefault(self.kind(index), []).append(place)
        return make_groups(places, self.shares.given)

    @cached_property
    def pseudo_labels(self) -> PseudoLabels | None:
        """The pseudo-labelled images; None if there are none."""
        if self.pseudo is None:
            return None
        images = None if self.pseudo_images is None else as_path(self.pseudo_images)
        return PseudoLabels(
            as_path(self.pseudo), images, self.pseudo_confidence, self.classes, self._own_files
        )

    def read_photo(self, path: Path) -> Tensor:
        """An image file as uint8 [3,H,W], as those of the data set are read."""
        return read_image(path)

    def use_targets(self, store: LabelStore, keys: KeyOfId) -> None:
        """From the next epoch on, train with these stored targets: a content key for the id of each
        training image."""
        self._targets = (store, keys)
        self._version += 1

    def target(self, evidence: Evidence) -> Tensor | None:
        """The target in use for a training image, as its strategy made it; None if there is
        none."""
        return None if self._targets is None else self._stored(evidence, *self._targets)

    def _stored(self, evidence: Evidence, store: LabelStore, keys: KeyOfId) -> Tensor:
        """A target of an image, which is of its size."""
        target = store.read(evidence.id, keys[evidence.id])
        if target.shape[-2:] != evidence.image.shape[-2:]:
            size = list(target.shape[-2:])
            own = list(evidence.image.shape[-2:])
            path = store.path(evidence.id, keys[evidence.id])
            raise DamagedTarget(
                f"the target {path}.* is of size {size}, but image {evidence.id} is {own}; delete "
                "it and resume the run"
            )
        return target

    def training_item(self, time: int, index: int) -> Item:
        """The augmented image with its target, as seed, index and how often it has come before
        decide it. Without the truth. Pseudo-labelled images follow the others."""
        return self.augmentation(*self._read_to_train(index), self._chance(time, index))

    def unaugmented_item(self, time: int, index: int) -> Drawn:
        """The same image as it was read, with the numbers by which it is to be augmented."""
        draw = self.augmentation.draw(self._chance(time, index))
        return Drawn(Item(*self._read_to_train(index)), draw)

    def _chance(self, time: int, index: int) -> torch.Generator:
        return keyed_generator(self.seed, time, index)

    def _read_to_train(self, index: int) -> tuple[Evidence, Tensor | None]:
        """An image with its target; masks that are the target of boxes go to the evidence."""
        behind = index - len(self.training)
        if behind >= 0:
            return self._further(behind)
        evidence, _ = self.corrected(self.training[index])
        target = self.target(evidence)
        if target is not None and target.dtype == torch.bool:
            evidence = evidence._replace(box_masks=target)
            target = paint_masks(
                target, torch.zeros(0) if evidence.box_classes is None else evidence.box_classes
            )
        return evidence, target

    def _further(self, place: int) -> tuple[Evidence, Tensor]:
        """A further image of a batch, pseudo-labelled or unlabelled, with its label."""
        if self.pseudo_labels is not None:
            long_side = getattr(self, "long_side", None)
            return self.pseudo_labels.sample(place, self.read_photo, long_side)
        assert self._predicted is not None
        evidence = self.unlabelled_evidence(place)
        return evidence, self._stored(evidence, *self._predicted)

    def train_dataloader(self) -> TrainLoader[Batch | Unaugmented]:
        """This rank's training batches. With `augment_on="device"` they have no images before
        `transfer_batch_to_device` has augmented them."""
        if self.augment_on == "device":
            self._refuse_what_would_be_left_out()
        loader = TrainLoader(
            _TrainingItems(self),
            len(self.training),
            self.batch_size,
            self.workers,
            self.seed,
            partial(collate_of, self),
            self._its_trainer(),
            self.groups,
            self._extra(),
            self.waits,
            lambda: self._version,
        )
        self._loaders.add(loader)
        self._begin_cache(getattr(self._its_trainer(), "num_devices", 1))
        return loader

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """As in Lightning; what was annotated stays at hand on the CPU, too, so that losses need
        not wait for the device to read it."""
        move = partial(
            super().transfer_batch_to_device, device=device, dataloader_idx=dataloader_idx
        )
        if isinstance(batch, Unaugmented):
            return batch.augmented(
                self.augmentation, len(self.classes), move, self._as_the_trainer_has_it
            )
        moved = move(batch)
        if isinstance(batch, Batch):
            keep_host_copies(batch, moved)
        return moved

    def _as_the_trainer_has_it(self, values: Any) -> Any:
        """In half or double precision, if the trainer computes in it: it has changed all batches
        of its loaders but those that were not augmented yet."""
        if self.trainer is None:
            return values
        return self.trainer.precision_plugin.convert_input(values)

    def _refuse_what_would_be_left_out(self) -> None:
        """Raise a ValueError where code of the user's counts on images that loaders augment."""
        trainer = self._its_trainer()
        module = getattr(trainer, "lightning_module", None)
        before = "on_before_batch_transfer"
        after = "change batches in on_after_batch_transfer"
        for owner, base, name, instead in (
            (self, WeakData, "training_item", "change unaugmented_item"),
            (self, WeakData, "transfer_batch_to_device", after),
            (self, WeakData, before, after),
            (module, LightningModule, before, after),
            (self.augmentation, Augmentation, "__call__", "change its method apply"),
        ):
            if owner is not None and getattr(type(owner), name) is not getattr(base, name):
                raise ValueError(
                    f"augment_on should be host, as {type(owner).__name__} has a {name} of its "
                    f"own, which is for images that loaders have augmented, but it is device; "
                    f"{instead} instead, or set data.augment_on=host"
                )

    def waits(self) -> bool:
        """Whether the further images have no labels yet, so that batches are without them: before
        the second round nothing is predicted for unlabelled images."""
        return self.unlabelled is not None and self._predicted is None

    @property
    def _is_drawn_on(self) -> bool:
        """Whether a person has drawn on any image. All processes say the same, whatever images a
        batch of theirs has: a term of the loss is in all of them or in none."""
        edits = (event for history in self.histories.values() for event in history.edits)
        return any(event.action in DRAWING for event in edits)

    def _extra(self) -> Extra | None:
        """How many pseudo-labelled or unlabelled images there are, and are in each batch: one at
        least, and one of the others."""
        further = self.pseudo_labels or self.unlabelled_images
        if further is None:
            return None
        wanted = round(self.pseudo_share * self.batch_size)
        return Extra(len(further), min(max(1, wanted), self.batch_size - 1))

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        labels = self.pseudo_labels
        state = {} if labels is None else {"pseudo": labels.fingerprint}
        if self.unlabelled_images is not None:
            state["unlabelled"] = self.unlabelled_images.fingerprint
        return {**state, "corrections": kept(self.histories) if self.histories else ""}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The counterpart of `state_dict`: a resumed run needs the same pseudo-labels, and goes on
        with the corrections that it began with."""
        began_with = read_kept(state_dict.get("corrections", ""))
        if changed := changed_images(began_with, self.histories):
            if rank() == 0:
                warnings.warn(
                    f"the corrections of {counted(len(changed), 'image')} have changed since this "
                    "run began, and resume= goes on with those that it began with; a new run takes "
                    "the others, from these weights with init_from=<checkpoint>",
                    stacklevel=2,
                )
            self.use_corrections(Corrections(began_with, {}))
        labels = self.pseudo_labels
        if labels is not None and state_dict.get("pseudo") != labels.fingerprint:
            raise ValueError(
                f"the images of {labels.folder} are not those that this run was trained on until "
                "now; restore them, or start a new run from its weights with init_from=<checkpoint>"
            )
        images = self.unlabelled_images
        if images is not None and state_dict.get("unlabelled") != images.fingerprint:
            raise ValueError(
                f"the unlabelled images of {images.where} are not those that this run was trained "
                "on until now; restore them, or start a new run from its weights with "
                "init_from=<checkpoint>"
            )

    def val_dataloader(self) -> OrderedLoader[list[Example]]:
        """This rank's validation images, whole and at their own resolution."""
        trainer = self._its_trainer()
        mine = [
            self.validation[place]
            for place in range(trainer.global_rank, len(self.validation), trainer.world_size)
        ]
        return self.examples(mine, self.batch_size)

    def examples(self, indices: Sequence[int], batch_size: int = 1) -> OrderedLoader[list[Example]]:
        """Images in this order, each with its truth, whole and at their own resolution."""
        loader = OrderedLoader(
            _Examples(self), indices, batch_size, self.workers, list, lambda: self._version
        )
        self._loaders.add(loader)
        return loader

    def on_exception(self, exception: BaseException) -> None:
        """End the processes that read images ahead: a training that fails is not torn down."""
        self._loaders.close()

    def teardown(self, stage: str) -> None:
        """End the processes that read images ahead."""
        self._loaders.close()
        self._samples = None

    def predict_dataloader(self) -> OrderedLoader[list[Example]]:
        """The validation images again, for `Trainer.predict`."""
        return self.val_dataloader()

    def _its_trainer(self) -> Any:
        if self.trainer is None:
            raise ValueError(
                "the data set belongs to no trainer yet: hand it to Trainer.fit(segmenter, data)"
            )
        return self.trainer

    def __getstate__(self) -> dict[str, Any]:  # loader processes need the images, not the trainer
        # and memory is shared with processes that are forks, which need no copy
        return {**self.__dict__, "trainer": None, "_samples": None}


def make_groups(places: Mapping[str, Sequence[int]], shares: Mapping[str, float]) -> list[Group]:
    """Groups that give every kind its share of an epoch, and what is left to the images of all
    other kinds.

    >>> make_groups({"masks": [3], "boxes": [0, 1, 2]}, {"masks": 0.5})
    [Group(images=[3], number=2), Group(images=[0, 1, 2], number=2)]
    """
    there = ", ".join(f"{len(own)} with {kind}" for kind, own in places.items()) or "none"
    for kind, share in shares.items():
        if share and kind not in places:
            raise ValueError(
                f"shares.{kind} is {share:g}, but no training image is one with {kind}; there are "
                f"{there}"
            )
    others = sorted(place for kind, own in places.items() if kind not in shares for place in own)
    left = max(0.0, 1 - sum(shares.values()))
    if left > 1e-9 and not others:
        raise ValueError(
            f"shares sum to {1 - left:g}, but no training image is of another kind ({there}); "
            "leave one out: it gets the rest"
        )
    kinds = [(kind, places[kind], share) for kind, share in shares.items() if share]
    kinds += [("other kinds", others, left)] if left > 1e-9 else []
    numbers = _apportion(sum(map(len, places.values())), [share for _, _, share in kinds])
    for (kind, _, share), number in zip(kinds, numbers, strict=True):
        if number == 0:
            raise ValueError(
                f"a share of {share:g} for {kind} is less than one image of an epoch; there are "
                f"{there}"
            )
    return [Group(own, number) for (_, own, _), number in zip(kinds, numbers, strict=True)]


def _apportion(count: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers in these shares that sum to the count: rounded down, and the largest rests
    rounded up."""
    exact = [round(share * count, 6) for share in shares]
    rests = sorted(range(len(shares)), key=lambda place: int(exact[place]) - exact[place])
    up = set(rests[: count - sum(map(int, exact))])
    return [int(number) + (place in up) for place, number in enumerate(exact)]


def collate_of(data: WeakData, items: Sequence[Item | Drawn]) -> Batch | Unaugmented:
    """A batch of a data set; the pseudo-labelled images are behind the others."""
    extra = None if data.waits() else data._extra()
    settings: dict[str, Any] = {
        "classes": len(data.classes),
        "pseudo": 0 if extra is None else extra.each,
        "weight": data.pseudo_weight,
        "corrected": data._is_drawn_on,
    }
    if isinstance(items[0], Drawn):
        return unaugmented(cast(list[Drawn], items), data.augmentation, **settings)
    return collate(cast(list[Item], items), **settings)


class _TrainingItems(Dataset[Item | Drawn]):
    def __init__(self, data: WeakData) -> None:
        self.data = data

    def __getitem__(self, item: tuple[int, int]) -> Item | Drawn:
        if self.data.augment_on == "device":
            return self.data.unaugmented_item(*item)
        return self.data.training_item(*item)


class _Examples(Dataset[Example]):
    def __init__(self, data: WeakData) -> None:
        self.data = data

    def __getitem__(self, index: int) -> Example:
        return Example(index, *self.data.corrected(index))
