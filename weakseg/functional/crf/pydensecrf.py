"""The dense CRF by the C++ code of its authors, in the package pydensecrf2: to reproduce old
results, and to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from weakseg.functional.crf.kernels import Kernel
from weakseg.functional.crf.meanfield import LEAST, Normalization


def refine(
    image: Tensor,
    probs: Tensor,
    kernels: Sequence[Kernel],
    normalization: Normalization,
    iterations: int,
) -> Tensor:
    """Marginals float32 [C,H,W] of an image uint8 [3,H,W] from probabilities float [C,H,W]."""
    try:
        from pydensecrf import densecrf
    except ImportError as error:
        raise ImportError(
            "backend=pydensecrf needs the package pydensecrf2, which is built from source with a "
            "C++ compiler: pip install 'weakseg[pydensecrf]'; or leave backend as it is, which "
            "gives the same results faster"
        ) from error
    possible = (probs > 0).flatten(1).any(1)
    labels, height, width = int(possible.sum()), *probs.shape[1:]
    field = densecrf.DenseCRF2D(width, height, labels)
    unary = -probs[possible].float().clamp(min=LEAST).log().flatten(1).cpu().numpy()
    field.setUnaryEnergy(np.ascontiguousarray(unary))
    how = {"symmetric": densecrf.NORMALIZE_SYMMETRIC, "after": densecrf.NORMALIZE_AFTER}[
        normalization
    ]
    colours = np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())
    for strength, xy, rgb in kernels:
        if rgb is None:
            field.addPairwiseGaussian(sxy=xy, compat=strength, normalization=how)
        else:
            field.addPairwiseBilateral(
                sxy=xy, srgb=rgb, rgbim=colours, compat=strength, normalization=how
            )
    refined = torch.zeros(probs.shape, device=probs.device)
    refined[possible] = (
        torch.from_numpy(np.array(field.inference(iterations)))
        .view(labels, height, width)
        .to(probs.device)
    )
    return refined
