"""The optimizers, by the name a recipe gives them."""

from typing import TYPE_CHECKING

from weakseg.utils.late_imports import lazily

if TYPE_CHECKING:
    from weakseg.optimizers.descent import SGD as SGD
    from weakseg.optimizers.descent import AdamW as AdamW
    from weakseg.optimizers.descent import Optimizer as Optimizer

NAMES = {
    "adamw": "weakseg.optimizers.descent.AdamW",
    "sgd": "weakseg.optimizers.descent.SGD",
}

__getattr__ = lazily(__name__, [*NAMES.values(), "weakseg.optimizers.descent.Optimizer"])
