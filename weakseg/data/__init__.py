"""The data sets, by the name a recipe gives them. Any other subclass of `WeakData` works by its
dotted name."""

from typing import TYPE_CHECKING

from weakseg.utils.late_imports import lazily

if TYPE_CHECKING:
    from weakseg.data.base import WeakData as WeakData
    from weakseg.data.files.cityscapes import Cityscapes as Cityscapes
    from weakseg.data.files.coco import Coco as Coco
    from weakseg.data.files.folder import Folder as Folder
    from weakseg.data.files.voc import VOC as VOC
    from weakseg.data.label_store import LabelStore as LabelStore
    from weakseg.data.toy.dataset import Toy as Toy

NAMES = {
    "toy": "weakseg.data.toy.dataset.Toy",
    "folder": "weakseg.data.files.folder.Folder",
    "voc": "weakseg.data.files.voc.VOC",
    "coco": "weakseg.data.files.coco.Coco",
    "cityscapes": "weakseg.data.files.cityscapes.Cityscapes",
}

__getattr__ = lazily(
    __name__, [*NAMES.values(), "weakseg.data.base.WeakData", "weakseg.data.label_store.LabelStore"]
)
