"""Losses on logits, and losses that pull alike pixels towards one class, as plain functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import IGNORE
from weakseg.functional.colour import colour_units
from weakseg.functional.crf import permutohedral_compiled as compiled
from weakseg.functional.crf.permutohedral import lattice
from weakseg.functional.crf.unread_lattice import unread_lattice
from weakseg.functional.describing import described
from weakseg.functional.label_counts import label_counts
from weakseg.utils.devices import on_cpu
from weakseg.utils.lengths import Length, Share

Scaling = Literal["pairs", "rloss"]

_SUM_TOLERANCE = 1e-2  # half precision softmax is this rough


def cross_entropy(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over the pixels that the target has a label for; 0 where it has none at
    all.

    `target` is hard, int64 [B,H,W] with 255 = ignored, or soft, float [B,C,H,W] whose sum at a
    pixel is the weight of that pixel. With `weights`, float [C], the mean is weighted: a pixel of
    class c counts weights[c] times.

    >>> cross_entropy(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 255]]]))
    tensor(0.6931)
    """
    logits = _exact(logits)
    if weights is not None:
        return _weighted_cross_entropy(logits, target, weights.to(logits))
    if target.ndim == logits.ndim:
        total = -(target * logits.log_softmax(1)).sum()
        trust = target.sum()
    else:
        total = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="sum")
        trust = (target != IGNORE).sum()
    return total / torch.where(trust > 0, trust, 1)


def _weighted_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    if target.ndim == logits.ndim:
        counted = target * weights[:, None, None]
        total = -(counted * logits.log_softmax(1)).sum()
        weight = counted.sum()
    else:
        total = F.cross_entropy(logits, target, weights, ignore_index=IGNORE, reduction="sum")
        known = target != IGNORE
        weight = (weights[target.where(known, 0)] * known).sum()
    return total / torch.where(weight > 0, weight, 1)


def drawn_loss(logits: Tensor, drawn: Tensor) -> Tensor:
    """The mean cross-entropy of the pixels that a person has drawn, times the share of images that
    have any: 0 where a batch has none.

    Args:
        logits: float [B,C,H,W].
        drawn: int64 [B,H,W], 255 where nothing is drawn.

    >>> drawn_loss(torch.zeros(2, 2, 1, 1), torch.tensor([[[1]], [[255]]]))
    tensor(0.3466)
    """
    share = (drawn != IGNORE).flatten(1).any(1).to(logits.dtype).mean()
    return share * cross_entropy(logits, drawn)


def rarity_weights(shares: Tensor) -> Tensor:
    """How much a pixel of each class counts, float [C], so that rare classes are not drowned: the
    root of (median share / own share).

    Shares float [C] of all pixels; the median is of the classes that occur, and a class that does
    not weighs 1. Without the root, rare classes would win too many pixels at their borders, and IoU
    would suffer.

    >>> rarity_weights(torch.tensor([0.64, 0.16, 0.01, 0.0]))
    tensor([0.5000, 1.0000, 4.0000, 1.0000])
    """
    occurs = shares > 0
    if not bool(occurs.any()):
        return torch.ones_like(shares)
    return torch.where(occurs, (shares[occurs].median() / shares.where(occurs, 1)).sqrt(), 1)


def balanced_cross_entropy(logits: Tensor, target: Tensor, tags: Tensor) -> Tensor:
    """The cross-entropy with a target int64 [B,H,W], 255 = ignored, in which no class of an
    image outweighs the sum of all others.

    A weighted mean, with the weights of Araslanov and Roth ("Single-Stage Semantic Segmentation
    from Image Labels", CVPR 2020): a pixel weighs the share of other classes among the pixels of
    its image that have a target. Of two classes both pull alike, however few pixels one of them
    has. An image counts once all classes of its tags, bool [B,C], have a pixel. One that can only
    show one class weighs as much as one that is half and half: 1/2 for each pixel.

    >>> target = torch.tensor([[[0, 0, 0, 1]]])
    >>> logits = torch.tensor([0.0, 0, 0, 9]).view(1, 1, 1, 4).expand(1, 2, 1, 4)
    >>> balanced_cross_entropy(logits, target, torch.tensor([[True, True]]))
    tensor(0.6931)
    """
    logits = _exact(logits)
    (images, classes) = tags.shape
    known = target != IGNORE
    places = target + classes * torch.arange(images, device=target.device)[:, None, None]
    places = places.where(known, images * classes)
    counts = label_counts(places, images * classes).view(images, classes)
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    weights = torch.where(tags.sum(1, keepdim=True) == 1, 0.5, 1 - shares) * (
        (counts > 0) | ~tags
    ).all(1, keepdim=True)
    each = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none")
    weight = weights.gather(1, target.where(known, 0).flatten(1)).view_as(each) * known
    total = weight.sum()
    return (weight * each).sum() / torch.where(total > 0, total, 1)


def absent_loss(logits: Tensor, tags: Tensor, valid: Tensor | None = None) -> Tensor:
    """How much is given to classes that the tags bool [B,C] of an image leave out: the mean of
    -log(chance of the classes they name).

    Over the valid pixels, bool [B,H,W], of the images that have tags; 0 if there are none.

    >>> absent_loss(torch.zeros(1, 4, 1, 2), torch.tensor([[True, True, False, False]]))
    tensor(0.6931)
    """
    logits = _exact(logits)
    there = tags | ~tags.any(1, keepdim=True)
    each = logits.logsumexp(1) - logits.masked_fill(~there[:, :, None, None], -torch.inf).logsumexp(
        1
    )
    own = tags.any(1)[:, None, None].expand_as(each)
    own = own if valid is None else own & valid
    return torch.where(own, each, 0).sum() / own.sum().clamp(min=1)


def dense_crf_loss(
    probs: Tensor,
    images: Tensor,
    *,
    xy: Length = 100.0,
    rgb: float = 15.0,
    valid: Tensor | None = None,
    scaling: Scaling = "pairs",
) -> Tensor:
    """How much near pixels of similar colour disagree: the dense CRF loss of Tang et al. (On
    Regularized Losses, ECCV 2018).

    `probs` is the softmax, float [B,C,H,W]; `images` are the true colours at the same size, uint8
    [B,3,H,W]; `valid`, bool [B,H,W], is False in the padding, which takes no part. The affinity of
    two pixels is exp(-|difference of place|^2 / 2 xy^2 - |difference of colour|^2 / 2 rgb^2). xy is
    in pixels of `probs`: where an image is shrunk to half its size for this loss, halve xy as well.
    Or it is a Share of the long side of the valid part of each image, one pixel at least. In a grey
    image a step of colour counts once, not three times (`functional.colour`).

    scaling="pairs" is the chance, from 0 to 1, that two pixels of an image, drawn by their
    affinity, are of different classes; the mean over images with a valid pixel, or 0. It stays
    about the same when images and xy are scaled together, or when crops grow. scaling="rloss" is
    minus the sum over pairs of their affinity times their chance to agree, per image, as in the
    released code. That grows with the fourth power of the scale of images and xy, and with the area
    of crops; the weights in use are 1e-8 and 2e-9. Like that code this one filters on the
    permutohedral lattice, which gives about half of the exact sum in five dimensions; pairs are a
    ratio.

    >>> two_classes = torch.eye(2).view(1, 2, 1, 2)
    >>> black_and_white = torch.tensor([0, 255], dtype=torch.uint8).expand(1, 3, 1, 2)
    >>> (
    ...     dense_crf_loss(two_classes, black_and_white),
    ...     dense_crf_loss(two_classes, torch.zeros_like(black_and_white)).round(decimals=2),
    ... )
    (tensor(0.), tensor(0.5000))
    """
    if scaling not in ("pairs", "rloss"):
        raise ValueError(
            f"scaling of dense_crf_loss should be pairs or rloss, but it is {scaling!r}"
        )
    if not isinstance(xy, Share):
        _expect_reach("xy", xy)
    _expect_reach("rgb", rgb)
    valid = _check(probs, images, valid)
    exact = _exact(probs)
    features = _features(images, valid, xy, rgb, exact.dtype)
    extents = _extents(images, xy, rgb)
    agreement, mass = _agreement(
        exact, valid, lambda values: _over_images(features, valid, values, extents)
    )
    if scaling == "rloss":
        return -agreement.mean()
    seen = mass > 0
    return torch.where(
        seen, 1 - agreement / torch.where(seen, mass, 1), 0
    ).sum() / seen.sum().clamp(min=1)


def _features(images: Tensor, valid: Tensor, xy: Length, rgb: float, dtype: torch.dtype) -> Tensor:
    """Places and colours of pixels in units of the affinity's standard deviations: [B,H,W,5]."""
    y, x = torch.meshgrid(
        *(torch.arange(size, device=images.device) for size in images.shape[-2:]), indexing="ij"
    )
    place = torch.stack([x, y], -1).to(dtype)
    reach = _reach(xy, valid, dtype).view(-1, 1, 1, 1)
    alike = (rgb * colour_units(images, valid, dtype)).view(-1, 1, 1, 1)
    return torch.cat([place / reach, images.movedim(1, -1).to(dtype) / alike], -1)


def _extents(images: Tensor, xy: Length, rgb: float) -> list[float]:
    """How far features of two pixels lie apart at most, as far as that is known without looking at
    the images."""
    nearest = 1.0 if isinstance(xy, Share) else xy
    return [images.shape[-1] / nearest, images.shape[-2] / nearest, *[255 / rgb] * 3]


def _reach(xy: Length, valid: Tensor, dtype: torch.dtype) -> Tensor:
    """The reach in pixels in each image, [B]."""
    if not isinstance(xy, Share):
        return valid.new_full((len(valid),), xy, dtype=dtype)
    sides = torch.stack([valid.any(side).sum(1) for side in (1, 2)])
    return (xy.of * sides.amax(0).to(dtype)).clamp(min=1)


class GatedKernel(NamedTuple):
    """One pull of the gated CRF loss: how strong it is, how near pixels must be and how alike. The
    default is that of the released code.

    That code measures colours on the normalised image (mean and standard deviation of ImageNet) and
    has 0.1 there. A unit of it is about 0.226 x 255 = 57.6 steps of colour, hence 5.8 here. An rgb
    of inf is a pull on all near pixels, whatever their colours.
    """

    weight: float = 1.0
    xy: float = 6.0
    """the standard deviation in pixels of the probabilities"""
    rgb: float = 5.8
    """the standard deviation in steps of colour, of which there are 256"""


def gated_crf_loss(
    probs: Tensor,
    images: Tensor,
    *,
    kernels: Sequence[GatedKernel] = (GatedKernel(),),
    radius: int = 5,
    valid: Tensor | None = None,
) -> Tensor:
    """How much a pixel disagrees with those around it that look alike: the Gated CRF loss of
    Obukhov et al. (2019).

    The sum over pairs of pixels that are at most `radius` rows and columns apart of K (1 - chance
    to agree), where K is the sum over kernels of weight exp(-|difference of place|^2 / 2 xy^2 -
    |difference of colour|^2 / 2 rgb^2), per valid pixel; each pair counts twice, no pixel pairs
    with itself. 0 if no pixel is valid. The released weight of this loss is 0.1.

    `probs` is the softmax, float [B,C,H,W], as the network gives it, at 1/4 or 1/8 of the image;
    `images` are the true colours, uint8 [B,3,H,W], shrunk to the same size:
    F.interpolate(images.float(), size=probs.shape[-2:], mode="area").round().byte(). `valid`, bool
    [B,H,W], is False in the padding, which takes no part, and where a pixel that was shrunk lies
    partly in it.

    In a grey image a step of colour counts once, not three times, as in `dense_crf_loss`.

    >>> image = torch.zeros(1, 3, 1, 2, dtype=torch.uint8)
    >>> gated_crf_loss(
    ...     torch.eye(2).view(1, 2, 1, 2), image, kernels=[GatedKernel(weight=3, xy=float("inf"))]
    ... )
    tensor(3.)
    """
    if isinstance(radius, bool) or not isinstance(radius, int) or radius < 1:
        raise ValueError(
            f"radius of gated_crf_loss should be a whole number, 1 or more, but it is {radius!r}"
        )
    if not kernels:
        raise ValueError(
            "kernels of gated_crf_loss should be at least one GatedKernel, but there is none: "
            "leave it out for the default"
        )
    for kernel in kernels:
        for name, value in zip(kernel._fields, kernel, strict=True):
            _expect_reach(f"{name} of a kernel", value, unlimited=name != "weight")
    valid = _check(probs, images, valid)
    exact = _exact(probs)
    units = colour_units(images, valid, exact.dtype)
    colours = images.to(exact.dtype) / units[:, None, None, None]
    agreement, mass = _agreement(
        exact, valid, lambda values: _over_windows(colours, kernels, radius, values)
    )
    return (mass - agreement).sum() / valid.sum().clamp(min=1)


Affinity = Callable[[Tensor], Tensor]
"""Filters float [B,C,H,W]: every pixel becomes a weighted sum over pixels of its image. Pixel i
weighs at j what j weighs at i."""


def _agreement(probs: Tensor, valid: Tensor, affinity: Affinity) -> tuple[Tensor, Tensor]:
    """The affinity of all pairs of valid pixels times their chance to agree, float [B]; and without
    that factor, float [B]."""
    agreement, mass = _Agreement.apply(torch.where(valid[:, None], probs, 0), valid, affinity)
    return agreement, mass


class _Agreement(torch.autograd.Function):
    """See `_agreement`. As the affinity is symmetric, the gradient is twice what was filtered:
    nothing is filtered on the way back."""

    @staticmethod
    def forward(
        ctx: Any, probs: Tensor, valid: Tensor, affinity: Affinity
    ) -> tuple[Tensor, Tensor]:
        filtered = affinity(torch.cat([probs, valid[:, None].to(probs.dtype)], 1))
        near = filtered[:, :-1]
        mass = filtered[:, -1] * valid
        ctx.save_for_backward(near)
        mass = mass.flatten(1).sum(1)
        ctx.mark_non_differentiable(mass)
        return (probs * near).sum(1).flatten(1).sum(1), mass

    @staticmethod
    def backward(ctx: Any, agreement: Tensor, mass: Tensor) -> tuple[Tensor, None, None]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "dense_crf_loss and gated_crf_loss have no second derivative: call backward "
                "without create_graph"
            )
        (near,) = ctx.saved_tensors
        return near * (2 * agreement[:, None, None, None]), None, None


def _over_images(
    features: Tensor, valid: Tensor, values: Tensor, extents: Sequence[float]
) -> Tensor:
    """The affinity of the dense CRF: all valid pixels of an image, [B,H,W], by features [B,H,W,D].
    Other pixels come out as 0."""
    values = values.movedim(1, -1)
    filtered = torch.zeros_like(values)
    if on_cpu(values) and values.dtype == torch.float32:
        for image, inside in enumerate(valid):
            if inside.any():
                filtered[image, inside] = _compiled_affinity(
                    features[image, inside], values[image, inside]
                )
        return filtered.movedim(-1, 1).contiguous()
    groups = torch.arange(len(valid), device=valid.device)[:, None, None].expand_as(valid)
    if not on_cpu(values):
        # those of the padding come along, as to leave them out would be to wait for a GPU: their
        # values are zero
        points = features.flatten(0, 2), groups.flatten()
        made = unread_lattice(*points, len(valid), extents)
        if made is not None:
            filtered = made.filter(values.flatten(0, 2), both_ways=True).view_as(values)
            return (filtered * valid[..., None]).movedim(-1, 1).contiguous()
    if valid.any():
        filtered[valid] = _affinity(features[valid], groups[valid], values[valid])
    return filtered.movedim(-1, 1).contiguous()


def _affinity(features: Tensor, groups: Tensor, values: Tensor) -> Tensor:
    """Weighs each pair of points of a group by exp(-|difference of features|^2 / 2), a point with
    itself included, and sums: [N,C].

    Features are float [N,D], groups int64 [N], values float [N,C] of the same dtype. Symmetric in
    the points, to the last digits.
    """
    return lattice(features, groups).filter(values, both_ways=True)


def _compiled_affinity(features: Tensor, values: Tensor) -> Tensor:
    """The same for one group on a CPU."""
    quick = compiled.lattice(features.T.contiguous().numpy())
    if quick is None:  # the points are too far apart for it
        return lattice(features).filter(values, both_ways=True)
    return torch.from_numpy(quick.filter(values.numpy(), both_ways=True))


def _over_windows(
    colours: Tensor, kernels: Sequence[GatedKernel], radius: int, values: Tensor
) -> Tensor:
    """The affinity of the gated CRF: the pixels at most radius rows and columns away, by colours
    [B,3,H,W]."""
    filtered = torch.zeros_like(values)
    height, width = values.shape[-2:]
    across = min(radius, width - 1)
    for dy in range(min(radius, height - 1) + 1):
        # the other half of the window are the same pairs
        for dx in range(-across if dy else 1, across + 1):
            here = ..., slice(dy, None), slice(max(dx, 0), width + min(dx, 0))
            there = ..., slice(height - dy), slice(max(-dx, 0), width - max(dx, 0))
            apart = dy**2 + dx**2
            unlike = (colours[here] - colours[there]).square_().sum(1, keepdim=True)
            pull = torch.zeros_like(unlike)
            for weight, xy, rgb in kernels:
                pull += weight * (-apart / (2 * xy**2) - unlike / (2 * rgb**2)).exp_()
            filtered[here].addcmul_(pull, values[there])
            filtered[there].addcmul_(pull, values[here])
    return filtered


def _exact(values: Tensor) -> Tensor:
    """In single precision at least: sums over an image overflow the half."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _expect_reach(name: str, value: float, unlimited: bool = False) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not value > 0
        or not (isfinite(value) or unlimited)
    ):
        raise ValueError(
            f"{name} should be a number, more than 0{' (inf for no limit)' if unlimited else ''}, "
            f"but it is {value!r}"
        )


def _check(probs: Tensor, images: Tensor, valid: Tensor | None) -> Tensor:
    """Stop at what cannot be meant, and say which pixels are valid: all of them unless given."""
    if (
        images.dtype != torch.uint8
        or images.ndim != 4
        or images.shape[1] != 3
        or images.numel() == 0
    ):
        raise ValueError(
            f"images should be uint8 [B,3,H,W], but it is {described(images)}: give the colours "
            "as they are in the file, 0 to 255, neither scaled nor normalised"
        )
    batch, _, height, width = images.shape
    if (
        not probs.is_floating_point()
        or probs.ndim != 4
        or probs.shape[1] == 0
        or probs[:, 0].shape != images[:, 0].shape
    ):
        raise ValueError(
            f"probs should be float [{batch},C,{height},{width}], the size of the images, but it "
            f"is {described(probs)}: bring both to the same size with F.interpolate"
        )
    if valid is None:
        valid = torch.ones_like(images[:, 0], dtype=torch.bool)
    if valid.dtype != torch.bool or valid.shape != images[:, 0].shape:
        raise ValueError(
            f"valid should be bool [{batch},{height},{width}], but it is {described(valid)}: True "
            "in the image, False in the padding"
        )
    if not on_cpu(probs):  # to look at the sums would be to wait for a GPU in every step
        return valid
    sums = probs.detach().sum(1, dtype=_exact(probs).dtype)
    off = torch.where(valid, (sums - 1).abs(), 0).amax().item()
    if off > _SUM_TOLERANCE:  # a NaN is not: it makes the loss a NaN, which names the image
        raise ValueError(
            "probs should sum to 1 over the classes of each pixel, but are off by up to "
            f"{off:.3g}: give a softmax"
        )
    return valid
