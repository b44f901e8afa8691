"""The networks, by the name a recipe gives them. Any other `torch.nn.Module` works by its dotted name."""

from typing import TYPE_CHECKING

from weakseg.lazy import lazily

if TYPE_CHECKING:
    from weakseg.networks.deeplab import DeepLabV3 as DeepLabV3
    from weakseg.networks.deeplab import DeepLabV3Plus as DeepLabV3Plus

NAMES = {
    "deeplabv3": "weakseg.networks.deeplab.DeepLabV3",
    "deeplabv3plus": "weakseg.networks.deeplab.DeepLabV3Plus",
}

__getattr__ = lazily(__name__, NAMES.values())
