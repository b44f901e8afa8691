"""Objects one by one: what a network such as Mask R-CNN finds in an image, and AveragePrecision,
the callback that measures it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from copy import deepcopy
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.evidence import Example, Instances
from weakseg.functional.resolution import downsample
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter
from weakseg.utils.processes import gather
from weakseg.utils.progress import track

SURE = 0.5  # a pixel belongs to a found object if its mask is at least so sure


@torch.no_grad()
def detect(segmenter: Segmenter, image: Tensor) -> Instances:
    """The objects that a network such as Mask R-CNN finds in one uint8 image [3,H,W], on the CPU;
    masks are bool.

    As in `Segmenter.predict`, a larger image than those of the training is shrunk to their
    `long_side` first.
    """
    training = segmenter.training
    segmenter.eval()
    seen = downsample(image, segmenter.long_side)
    images = segmenter.normalise(seen[None].to(segmenter.device))
    found = segmenter.adapter.detect(images)[0]
    segmenter.train(training)
    scores = None if found.scores is None else found.scores.float().cpu()
    boxes = found.boxes.float().cpu()
    masks = found.masks.float().cpu()
    if seen is not image:
        boxes = boxes * boxes.new_tensor(
            [image.shape[-1] / seen.shape[-1], image.shape[-2] / seen.shape[-2]] * 2
        )
        masks = F.interpolate(masks[:, None], image.shape[-2:], mode="bilinear")[:, 0]
    return Instances(boxes, found.classes.cpu(), masks >= SURE, scores)


class Precision:
    """Average precision of masks and of boxes as COCO measures it, counted image by image, by
    torchmetrics."""

    def __init__(self) -> None:
        self.metric = _metric()

    def add(self, found: Instances, truth: Instances) -> None:
        """Count one image. Objects without scores count as sure."""
        scores = torch.ones(len(found.boxes)) if found.scores is None else found.scores
        guess = {
            "boxes": found.boxes,
            "labels": found.classes,
            "masks": found.masks.bool(),
            "scores": scores,
        }
        target = {"boxes": truth.boxes, "labels": truth.classes, "masks": truth.masks.bool()}
        self.metric.update([guess], [target])

    @property
    def state(self) -> dict[str, Any]:
        """What was counted so far: lists with an entry per image."""
        return dict(self.metric.metric_state)

    def extend(self, state: Mapping[str, Any]) -> None:
        """Add what another one has counted."""
        for name, entries in state.items():
            getattr(self.metric, name).extend(entries)

    def figures(self, classes: tuple[str, ...]) -> dict[str, float]:
        """mask_ap, mask_ap50, mask_ap75, mask_ap/<class> and the same of boxes over all ranks,
        which all must call it; nan: no object."""
        parts = gather(self.metric.metric_state)
        everything = deepcopy(self.metric)
        for name in everything.metric_state:  # each state is a list with an entry per image
            setattr(everything, name, [entry for part in parts for entry in part[name]])
        if not everything.groundtruth_labels:
            return {}
        with warnings.catch_warnings():
            # others may have counted what this process measures
            warnings.filterwarnings("ignore", ".*compute.*before the .*update.*")
            found = everything.compute()
        return {
            **_figures(found, "segm", "mask_ap", classes),
            **_figures(found, "bbox", "box_ap", classes),
        }


class AveragePrecision(Callback):
    """For networks that find objects: val/mask_ap and val/box_ap after each validation,
    label/mask_ap of the masks that are learned from.

    Only images count whose objects the data set knows (`WeakData.true_instances`). With other
    networks it does nothing.
    """

    def __init__(self) -> None:
        self.precision: Precision | None = None
        self._round = -1  # the last round whose masks were measured

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find out that a package is missing before anything long begins."""
        if _ours(trainer, pl_module):
            Precision()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the masks of a new round against the true ones."""
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        round = next((each.round for each in callbacks if isinstance(each, Rounds)), -1)
        if not (ours := _ours(trainer, pl_module)) or round == self._round:
            return
        self._round = round
        segmenter, data = ours
        precision = Precision()
        mine = data.training[trainer.global_rank :: trainer.world_size]
        for index in track(
            mine, len(mine), f"round {round}: measuring the masks", trainer.world_size
        ):
            evidence, _ = data.corrected(index)
            masks = data.target(evidence)
            truth = data.true_instances(index)
            if (
                masks is not None
                and masks.dtype
                == torch.bool  # a mask for each box; labels of pixels are no objects
                and truth is not None
                and evidence.boxes is not None
                and evidence.box_classes is not None
            ):
                precision.add(Instances(evidence.boxes, evidence.box_classes, masks), truth)
        figures = {
            f"label/{name}": value
            for name, value in precision.figures(segmenter.classes).items()
            if name.startswith("mask")
        }
        for logger in trainer.loggers if figures else []:
            logger.log_metrics(
                {**figures, "round": round, "epoch": trainer.current_epoch}, trainer.global_step
            )

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the objects of the last validation."""
        self.precision = Precision() if _ours(trainer, pl_module) else None

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: list[Example],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Find the objects of these images again, one by one, and count them."""
        if self.precision is None or not (ours := _ours(trainer, pl_module)):
            return
        segmenter, data = ours
        for example in batch:
            truth = data.true_instances(example.number)
            if truth is not None:
                self.precision.add(
                    detect(segmenter, example.evidence.image), segmenter.renumbered_objects(truth)
                )

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """val/mask_ap and its like, over all images of all ranks."""
        if self.precision is not None and (ours := _ours(trainer, pl_module)):
            figures = {
                f"val/{name}": value
                for name, value in self.precision.figures(ours[0].classes).items()
            }
            pl_module.log_dict(figures, sync_dist=True)  # the same on every rank already

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"round": self._round}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The counterpart of `state_dict`."""
        self._round = state_dict["round"]


def _ours(trainer: Trainer, module: LightningModule) -> tuple[Segmenter, WeakData] | None:
    data = getattr(trainer, "datamodule", None)
    if not (isinstance(module, Segmenter) and isinstance(data, WeakData)):
        return None
    return (module, data) if module.adapter.has_instances else None


def _metric() -> Any:
    if find_spec("pycocotools") is None:
        raise ModuleNotFoundError(
            "average precision is measured with pycocotools, which is missing: pip install "
            "'weakseg[instances]'"
        )
    # only who measures objects waits for it
    from torchmetrics.detection import MeanAveragePrecision

    # ranks are brought together by `gather`, which needs no tensors on a GPU
    return MeanAveragePrecision(
        iou_type=("bbox", "segm"), class_metrics=True, sync_on_compute=False
    )


def _figures(
    found: Mapping[str, Tensor], theirs: str, ours: str, classes: tuple[str, ...]
) -> dict[str, float]:
    """The figures of one kind by our names; -1, which COCO gives where there is no object, is no
    number."""
    names = {"map": ours, "map_50": f"{ours}50", "map_75": f"{ours}75"}
    figures = {name: float(found[f"{theirs}_{key}"]) for key, name in names.items()}
    each = dict.fromkeys(range(1, len(classes)), float("nan"))
    each |= dict(
        zip(
            found["classes"].reshape(-1).tolist(),
            found[f"{theirs}_map_per_class"].reshape(-1).tolist(),
            strict=True,
        )
    )
    figures |= {f"{ours}/{classes[number]}": value for number, value in each.items()}
    return {name: float("nan") if value < 0 else value for name, value in figures.items()}
