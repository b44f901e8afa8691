"""A classifier for each class against what it is not, fitted to the pseudo-labels of all images so
that the class neither takes what is around it nor fades away."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from weakseg.functional.regression import binary_regressions
from weakseg.strategies.shared.common_features import at_most


def fit_against_rest(descriptions: Sequence[dict[str, Tensor]], others: float) -> Tensor:
    """One classifier for each class, float32 [C,D+2], from descriptions as `describe_cells` makes
    them: weights, the bias, and how likely the class is in its images by its area alone, as log
    odds. Background has weights of 0: logits are those of each class against background.

    A classifier compares the cells of a class with the rest of the images that can show it. That
    rest is what the class has to be told from, grass from cows, so it counts as it is. But some of
    it is the class, too, where the pseudo-labels have missed it; images that cannot show the class
    have none of it, whatever their pseudo-labels are. So their background counts as well, `others`
    times as much as the images that can. Their subjects do so as far as images show them beside the
    class, as these have to be told apart. Others do not: fur and legs are no reason against a cow
    if there is never a dog beside it. The bias then makes up for what they have added to the
    background, as if they were images of the class: what is nowhere but in images of the class is
    more likely to be the class than its pseudo-labels say, and what is everywhere is as likely.

    Args:
        descriptions: of all images.
        others: how much images that cannot show a class count for it.
    """
    few = at_most(descriptions)
    shares = torch.cat([each["shares"] for each in few]).float()
    able = torch.cat([each["possible"].expand(len(each["shares"]), -1) for each in few]).float()
    known = shares.sum(1, keepdim=True)
    positive = shares * able
    rest = (known - shares).clamp(min=0) * able
    elsewhere = (shares @ shown_together(few).T) * (1 - able)
    own = (known * able).sum(0)
    weight = others * own / elsewhere.sum(0).clamp(min=1)
    features = torch.cat([each["features"] for each in few])
    weights = binary_regressions(features, positive, rest + weight * elsewhere)
    odds = positive.sum(0).clamp(min=1e-3) / rest.sum(0).clamp(min=1e-3)
    weights[:, -1] += (1 + others * own / rest.sum(0).clamp(min=1e-3)).log()
    # what no image shows is not found anywhere
    weights[positive.sum(0) == 0, -1] = -_NOWHERE
    weights[0] = 0
    return torch.cat([weights, odds.log()[:, None]], 1)


def shown_together(descriptions: Sequence[dict[str, Tensor]]) -> Tensor:
    """How often images can show both of two classes, compared with chance, float [C,C]: 0 for
    never, 1 for as often as if each were there by itself, or more often. Background is always 1."""
    possible = torch.stack([each["possible"] for each in descriptions]).double()
    images = possible.sum(0)
    by_chance = images[:, None] * images / len(possible)
    return ((possible.T @ possible) / by_chance.clamp(min=1e-9)).clamp(max=1).float()


_NOWHERE = 30.0  # log odds
