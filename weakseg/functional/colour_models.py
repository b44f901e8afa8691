"""Colour models: how likely is the colour of a pixel under each class, in one image?

Each class has a mixture of Gaussians in the colours of the pixels that are labelled so, as in
GrabCut (Rother, Kolmogorov and Blake, SIGGRAPH 2004). An object of several colours is so found by
all of them: what a label covers of its shirt and its trousers says which pixels elsewhere belong to
either, however far apart these are.
"""

from __future__ import annotations

from math import log, pi
from typing import NamedTuple

import torch
from torch import Tensor

from weakseg.functional import colour_models_compiled as compiled
from weakseg.functional.colour import is_grey

CAP = 3.0
"""log odds of a colour count as this at most: it may be found on both sides of an outline"""
_COMPONENTS = 5
_ITERATIONS = 3  # from groups of equal brightness; ten give the same labels
_SAMPLES = 4096  # pixels of a class that its mixture is fitted to, evenly spaced
_VARIANCE = 9.0  # the noise of a photograph: no component is narrower


class Mixture(NamedTuple):
    """A mixture of M Gaussians in D channels, float64."""

    logs: Tensor
    """[M]: the logarithm of the density at the mean, times the component's weight"""
    means: Tensor
    """[M,D]"""
    roots: Tensor
    """[M,D,D]: the inverse of each covariance's lower Cholesky root"""


def colour_odds(image: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Log odds of the colour of every pixel for each class against background (class 0), from -3 to
    3: float32 [C,H,W].

    0 throughout for background, and for a class with too few pixels to tell its colours. A grey
    image has one channel's worth of evidence.

    Args:
        image: uint8 [3,H,W].
        labels: of its pixels, integers [H,W]; those of pixels that belong to no class, such as 255,
            are not among the classes.
        classes: how many there are.

    Example:
        >>> image = torch.tensor([10, 10, 200, 200, 200, 10]).repeat(3, 20, 1).byte()
        >>> labels = torch.tensor([0, 0, 1, 1, 0, 0]).repeat(20, 1)
        >>> colour_odds(image, labels, classes=2)[1, 0]
        tensor([-3.0000, -3.0000,  1.3863,  1.3863,  1.3863, -3.0000])
    """
    channels = image[:1] if is_grey(image) else image
    colours = channels.flatten(1).T.contiguous()
    flat = labels.flatten()
    odds = torch.zeros(classes, len(flat), device=image.device)
    background = _log_densities(colours, flat == 0)
    for label in range(1, classes):
        found = _log_densities(colours, flat == label)
        if found is not None and background is not None:
            odds[label] = (found - background).clamp(-CAP, CAP)
    return odds.view(classes, *labels.shape)


def _log_densities(colours: Tensor, own: Tensor) -> Tensor | None:
    """The logarithms of the densities float32 [N] of all colours [N,D] in the mixture of some of
    them; None if these are too few for a mixture."""
    places = own.nonzero().flatten()
    if len(places) < 2 * _COMPONENTS:
        return None
    chosen = torch.linspace(0, len(places) - 1, min(len(places), _SAMPLES)).long()
    samples = colours[places[chosen.to(places.device)]]
    owners = groups_of_brightness(samples, _COMPONENTS)
    options = (_COMPONENTS, _ITERATIONS, _VARIANCE)
    if colours.device.type == "cpu":
        return compiled.log_densities(colours, compiled.fit_mixture(samples, owners, *options))
    return log_densities(colours, fit_mixture(samples, owners, *options))


def groups_of_brightness(samples: Tensor, groups: int) -> Tensor:
    """Equal groups of colours [N,D] from dark to bright: the number of each one's group, int64
    [N]."""
    order = samples.long().sum(1).argsort(stable=True)
    numbers = torch.empty_like(order)
    numbers[order] = torch.arange(len(order), device=order.device) * groups // len(order)
    return numbers


def fit_mixture(
    samples: Tensor, owners: Tensor, components: int, iterations: int, variance: float
) -> Mixture:
    """The mixture of samples [N,D] by expectation maximisation.

    Args:
        samples: colours.
        owners: the component that each sample belongs to at first, int64 [N].
        components: how many there are.
        iterations: after the first fit to these.
        variance: what every covariance is widened by.
    """
    exact = samples.double()
    shares = torch.nn.functional.one_hot(owners, components).double()
    mixture = _maximise(exact, shares, variance)
    for _ in range(iterations):
        shares = _component_densities(exact, mixture).softmax(1)
        mixture = _maximise(exact, shares, variance)
    return mixture


def _maximise(samples: Tensor, shares: Tensor, variance: float) -> Mixture:
    """The mixture of samples [N,D] of which each component has shares [N,M]."""
    channels = samples.shape[1]
    # a component may run empty; its logarithm stays a number
    weights = shares.sum(0).clamp(min=1e-300)
    means = shares.T @ samples / weights[:, None]
    away = samples[:, None] - means
    covariances = torch.einsum("nm,nma,nmb->mab", shares, away, away) / weights[:, None, None]
    covariances = covariances + variance * torch.eye(
        channels, dtype=torch.float64, device=samples.device
    )
    roots = torch.linalg.inv(torch.linalg.cholesky(covariances))
    volumes = roots.diagonal(dim1=1, dim2=2).log().sum(1)
    logs = (weights / len(samples)).log() + volumes - channels / 2 * log(2 * pi)
    return Mixture(logs, means, roots)


def _component_densities(colours: Tensor, mixture: Mixture) -> Tensor:
    """The logarithms of the densities of the components [N,M], with their weights."""
    along = torch.einsum("mab,nmb->nma", mixture.roots, colours[:, None] - mixture.means)
    return mixture.logs - along.square().sum(2) / 2


def log_densities(colours: Tensor, mixture: Mixture) -> Tensor:
    """The logarithms of the densities of a mixture at colours [N,D]: float32 [N]."""
    return _component_densities(colours.double(), mixture).logsumexp(1).float()
