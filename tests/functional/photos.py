"""Photos, beliefs about their pixels, and what the original library makes of them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data
from torch import Tensor

from weakseg.functional.crf import DenseCRF


@cache
def photo(height: int = 94, width: int = 125) -> Tensor:
    """A photo of 400 x 600 pixels, scaled down."""
    return F.adaptive_avg_pool2d(
        torch.from_numpy(data.coffee()).permute(2, 0, 1).float(), (height, width)
    ).to(torch.uint8)


@cache
def large_photo(name: str = "coffee") -> Tensor:
    """375 x 500 pixels of it as they are."""
    return torch.from_numpy(
        np.ascontiguousarray(getattr(data, name)()[:375, :500].transpose(2, 0, 1))
    )


def beliefs(labels: int, height: int = 94, width: int = 125) -> Tensor:
    """Random blobs of labels with noise on top, so that the CRF has something to decide."""
    blobs = F.interpolate(
        torch.randn(1, labels, height // 8 + 1, width // 8 + 1) * 2,
        size=(height, width),
        mode="bilinear",
    )
    return (blobs[0] + torch.randn(labels, height, width) * 0.3).softmax(0)


def by_pydensecrf(image: Tensor, probs: Tensor, crf: DenseCRF) -> Tensor:
    densecrf: Any = pytest.importorskip(
        "pydensecrf.densecrf",
        reason="pydensecrf is not installed (pip install weakseg[pydensecrf])",
    )
    normalization = (
        densecrf.NORMALIZE_SYMMETRIC
        if crf.normalization == "symmetric"
        else densecrf.NORMALIZE_AFTER
    )
    labels, height, width = probs.shape
    model = densecrf.DenseCRF2D(width, height, labels)
    model.setUnaryEnergy(np.ascontiguousarray(-probs.log().flatten(1).numpy()))
    model.addPairwiseGaussian(
        sxy=crf.smooth_xy, compat=crf.smooth_weight, normalization=normalization
    )
    model.addPairwiseBilateral(
        sxy=crf.bilateral_xy,
        srgb=crf.bilateral_rgb,
        rgbim=np.ascontiguousarray(image.permute(1, 2, 0).numpy()),
        compat=crf.bilateral_weight,
        normalization=normalization,
    )
    return torch.from_numpy(np.array(model.inference(crf.iterations))).view_as(probs)
