"""The strategies that come along. A new one is one file here and one line below; outside of the package it needs neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weakseg.lazy import lazily

if TYPE_CHECKING:
    from weakseg.strategies.boxes_crf import BoxesCRF as BoxesCRF
    from weakseg.strategies.boxes_rect import BoxesRect as BoxesRect
    from weakseg.strategies.full import Full as Full

NAMES = {
    "full": "weakseg.strategies.full.Full",
    "boxes_rect": "weakseg.strategies.boxes_rect.BoxesRect",
    "boxes_crf": "weakseg.strategies.boxes_crf.BoxesCRF",
}

__getattr__ = lazily(__name__, NAMES.values())
