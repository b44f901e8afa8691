"""Tensors in the words of error messages."""

from __future__ import annotations

from torch import Tensor


def described(value: Tensor, finite: bool = False) -> str:
    """Type and size of a tensor, and with `finite` whether all of it should be finite but is not.

    >>> import torch
    >>> described(torch.zeros(2, 3)), described(torch.tensor([torch.inf]), finite=True)
    ('float32 [2, 3]', 'float32 [1], not all finite')
    """
    text = f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    infinite = finite and value.is_floating_point() and not bool(value.isfinite().all())
    return f"{text}, not all finite" if infinite else text
