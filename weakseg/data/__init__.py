"""The data sets, by the name a recipe gives them. Any other subclass of `WeakData` works by its dotted name."""

from typing import TYPE_CHECKING

from weakseg.lazy import lazily

if TYPE_CHECKING:
    from weakseg.data.base import WeakData as WeakData
    from weakseg.data.cityscapes import Cityscapes as Cityscapes
    from weakseg.data.coco import Coco as Coco
    from weakseg.data.folder import Folder as Folder
    from weakseg.data.store import LabelStore as LabelStore
    from weakseg.data.toy import Toy as Toy
    from weakseg.data.voc import VOC as VOC

NAMES = {
    "toy": "weakseg.data.toy.Toy",
    "folder": "weakseg.data.folder.Folder",
    "voc": "weakseg.data.voc.VOC",
    "coco": "weakseg.data.coco.Coco",
    "cityscapes": "weakseg.data.cityscapes.Cityscapes",
}

__getattr__ = lazily(__name__, [*NAMES.values(), "weakseg.data.base.WeakData", "weakseg.data.store.LabelStore"])
