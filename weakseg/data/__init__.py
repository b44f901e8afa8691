"""The data sets, by the name a recipe gives them. Any other subclass of `WeakData` works by its dotted name."""

from typing import TYPE_CHECKING

from weakseg.lazy import lazily

if TYPE_CHECKING:
    from weakseg.data.base import WeakData as WeakData
    from weakseg.data.store import LabelStore as LabelStore
    from weakseg.data.toy import Toy as Toy

NAMES = {
    "toy": "weakseg.data.toy.Toy",
}

__getattr__ = lazily(__name__, [*NAMES.values(), "weakseg.data.base.WeakData", "weakseg.data.store.LabelStore"])
