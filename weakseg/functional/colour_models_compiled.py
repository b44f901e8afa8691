"""Gaussian mixtures of colours, compiled for the processor at hand: what `colour_models` does in
tensors, one image in one thread."""

from __future__ import annotations

from math import log, pi
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.functional.compiled import compiled

Numbers = NDArray[np.float64]
Floats = NDArray[np.float32]

_LOG_2_PI = log(2 * pi)
# a component may run empty; its logarithm stays a number
_LEAST = 1e-300


def fit_mixture(
    colours: Tensor, owners: Tensor, components: int, iterations: int, variance: float
) -> tuple[Tensor, Tensor, Tensor]:
    """As `colour_models.fit_mixture`."""
    channels = colours.shape[1]
    logs = np.zeros(components)
    means = np.zeros((components, channels))
    roots = np.zeros((components, channels, channels))
    samples = colours.double().contiguous().numpy()
    shares = np.zeros((len(samples), components))
    shares[np.arange(len(samples)), owners.numpy()] = 1
    _fit(samples, shares, iterations, variance, logs, means, roots)
    return torch.from_numpy(logs), torch.from_numpy(means), torch.from_numpy(roots)


def log_densities(colours: Tensor, mixture: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """As `colour_models.log_densities`."""
    found = np.empty(len(colours), np.float32)
    _log_densities(colours.contiguous().numpy(), *(part.numpy() for part in mixture), found)
    return torch.from_numpy(found)


@compiled
def _fit(
    samples: Numbers,
    shares: Numbers,
    iterations: int,
    variance: float,
    logs: Numbers,
    means: Numbers,
    roots: Numbers,
) -> None:
    """Expectation maximisation of samples [N,D], from shares [N,M] of the components in each."""
    _maximise(samples, shares, variance, logs, means, roots)
    for _ in range(iterations):
        _expect(samples, logs, means, roots, shares)
        _maximise(samples, shares, variance, logs, means, roots)


@compiled
def _maximise(
    samples: Numbers,
    shares: Numbers,
    variance: float,
    logs: Numbers,
    means: Numbers,
    roots: Numbers,
) -> None:
    """Weights, means and covariances of the components [M]. Of a covariance the inverse of its
    Cholesky root is kept, and in `logs` the logarithm of all that does not depend on the colour."""
    channels = samples.shape[1]
    covariance = np.empty((channels, channels))
    for component in range(len(logs)):
        weight = 0.0
        mean = means[component]
        mean[:] = 0
        covariance[:] = 0
        for n in range(len(samples)):
            share = shares[n, component]
            weight += share
            for a in range(channels):
                mean[a] += share * samples[n, a]
        for a in range(channels):
            mean[a] /= max(weight, _LEAST)
        for n in range(len(samples)):
            share = shares[n, component]
            for a in range(channels):
                away = share * (samples[n, a] - mean[a])
                for b in range(a + 1):
                    covariance[a, b] += away * (samples[n, b] - mean[b])
        for a in range(channels):
            for b in range(a + 1):
                covariance[a, b] /= max(weight, _LEAST)
            covariance[a, a] += variance
        volume = _inverse_root(covariance, roots[component])
        logs[component] = (
            np.log(max(weight, _LEAST) / len(samples)) - volume - 0.5 * channels * _LOG_2_PI
        )


@compiled
def _inverse_root(covariance: Numbers, root: Numbers) -> float:
    """Write the inverse of the lower Cholesky root of a covariance [D,D], whose lower half is read;
    the logarithm of the root's determinant."""
    channels = len(covariance)
    volume = 0.0
    # the root takes the place of the covariance
    for a in range(channels):
        for b in range(a + 1):
            rest = covariance[a, b]
            for c in range(b):
                rest -= covariance[a, c] * covariance[b, c]
            covariance[a, b] = np.sqrt(rest) if a == b else rest / covariance[b, b]
        volume += np.log(covariance[a, a])
    root[:] = 0
    for b in range(channels):
        root[b, b] = 1 / covariance[b, b]
        for a in range(b + 1, channels):
            rest = 0.0
            for c in range(b, a):
                rest -= covariance[a, c] * root[c, b]
            root[a, b] = rest / covariance[a, a]
    return volume


@compiled
def _log_density(colour: Any, constant: float, mean: Numbers, root: Numbers) -> float:
    """Of one component, with its weight."""
    distance = 0.0
    for a in range(len(mean)):
        along = 0.0
        for b in range(a + 1):
            along += root[a, b] * (colour[b] - mean[b])
        distance += along * along
    return constant - 0.5 * distance


@compiled
def _expect(
    samples: Numbers, logs: Numbers, means: Numbers, roots: Numbers, shares: Numbers
) -> None:
    """The shares [N,M] of the components in each sample."""
    for n in range(len(samples)):
        highest = -np.inf
        for component in range(len(logs)):
            density = _log_density(samples[n], logs[component], means[component], roots[component])
            shares[n, component] = density
            highest = max(highest, density)
        total = 0.0
        for component in range(len(logs)):
            shares[n, component] = np.exp(shares[n, component] - highest)
            total += shares[n, component]
        for component in range(len(logs)):
            shares[n, component] /= total


@compiled
def _log_densities(
    colours: NDArray[np.uint8], logs: Numbers, means: Numbers, roots: Numbers, found: Floats
) -> None:
    """The logarithms of the densities [N] of a mixture at colours [N,D]."""
    densities = np.empty(len(logs))
    for n in range(len(colours)):
        highest = -np.inf
        for component in range(len(logs)):
            density = _log_density(colours[n], logs[component], means[component], roots[component])
            densities[component] = density
            highest = max(highest, density)
        total = 0.0
        for component in range(len(logs)):
            total += np.exp(densities[component] - highest)
        found[n] = highest + np.log(total)
