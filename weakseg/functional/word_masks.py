"""What SAM 3 says of one word, as one map, and the labels of several words."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import IGNORE

LEAST = 0.3  # score of an object that counts
MOST = 30  # objects of a word


def word_mask(masks: Tensor, logits: Tensor, presence: Tensor, semantic: Tensor) -> Tensor:
    """How much each place belongs to what a word names, float [h,w] from 0 to 1: the most that one
    of the likely objects or the map without objects says, times the probability that the image
    shows any.

    Args:
        masks: logits of objects, float [Q,h,w].
        logits: of each being what the word names, float [Q].
        presence: logit of the image showing any, float [].
        semantic: logits without objects, float [h',w'].
    """
    there = presence.sigmoid()
    scores, places = (logits.sigmoid() * there).topk(min(MOST, len(logits)))
    kept = scores > LEAST
    large = F.interpolate(semantic[None, None], masks.shape[1:], mode="bilinear")[0, 0]
    found = large.sigmoid() * there
    objects = masks[places[kept]].sigmoid() * scores[kept, None, None]
    return torch.cat([found[None], objects]).amax(0)


def labels_of_maps(maps: Tensor, sure: float, possible: float) -> Tensor:
    """The place of the class with the highest value + 1, uint8 [H,W]: 0, background, where none
    reaches `possible`, and 255 where none is `sure`.

    Args:
        maps: float [K,H,W].
        sure: from here on a class counts.
        possible: below there is nothing.

    >>> labels_of_maps(torch.tensor([[[0.9, 0.4, 0.1]], [[0.6, 0.3, 0.2]]]), 0.5, 0.3)
    tensor([[  1, 255,   0]], dtype=torch.uint8)
    """
    value, place = maps.max(0)
    labels = (place + 1).to(torch.uint8)
    labels = labels.masked_fill(value < sure, IGNORE)
    return labels.masked_fill(value < possible, 0)
