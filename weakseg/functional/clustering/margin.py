"""Linear max-margin classifiers, one per class, with balanced classes: what unified max-margin
clustering fits to its labels.

As in Xu, Schwing and Urtasun (Learning to segment under various forms of weak supervision, CVPR
2015), the classifier of class c minimises half its squared length plus `strength` times a hinge
loss per sample: max(0, 1 + score) where the sample is of another class, balance_c max(0, 1 - score)
where it is of c. With balance_c = (samples of others) / (samples of c), a small class counts as
much as the sum of all others; without it, everything would become background.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from weakseg.evidence import IGNORE
from weakseg.functional.describing import described

# about twenty are usual; rounding, not the problem, is what could keep a gap from closing
_MOST_STEPS = 100
_PART = 1024  # samples at a time that stay in the processor's cache
_SHORT_OF = 0.995  # of the way to the border of what is allowed, so that no variable becomes zero


@torch.no_grad()
def fit_margin(
    features: Tensor,
    labels: Tensor,
    classes: int,
    strength: float = 0.1,
    sample_weight: Tensor | None = None,
    balance: Tensor | None = None,
    tolerance: float = 1e-6,
) -> Tensor:
    """Weights float64 [C,D+1], the last column is the bias: features float [P,D], labels int64 [P]
    with 255 = not used.

    `sample_weight` [P] multiplies each sample's loss; `balance` [C] is `class_balance` of these
    labels unless you hold it fixed. The bias adds nothing to the length. A class without members,
    or whose members are all there is, needs no feature: weights 0 and a bias of -1 or 1, which
    costs nothing. It scores every sample at -1, so it is not chosen by accident.

    The result costs at most `tolerance`, relative, more than the best there is. The same input
    gives the same weights.

    >>> fit_margin(
    ...     torch.tensor([[-3.0], [-1.0], [1.0], [4.0]]),
    ...     torch.tensor([0, 0, 1, 1]),
    ...     classes=3,
    ...     strength=10,
    ... ).round(decimals=3)
    tensor([[-1., -0.],
            [ 1.,  0.],
            [ 0., -1.]], dtype=torch.float64)
    """
    _check(features, labels, classes, strength, sample_weight)
    weight = (
        torch.ones(len(labels), dtype=torch.double, device=labels.device)
        if sample_weight is None
        else sample_weight.double()
    )
    balance = class_balance(labels, classes, sample_weight) if balance is None else balance.double()
    used = (labels != IGNORE) & (weight > 0)
    samples = _with_one(features[used])
    mine = labels[used] == torch.arange(classes, device=labels.device)[:, None]
    caps = strength * weight[used] * torch.where(mine, balance[:, None], 1.0)
    weights = samples.new_zeros(classes, samples.shape[1])
    weights[:, -1] = torch.where(mine.any(1), 1.0, -1.0)
    split = mine.any(1) & ~mine.all(1) & (caps > 0).all(1)
    if split.any():
        weights[split] = _solve(
            samples, torch.where(mine[split], 1.0, -1.0).double(), caps[split], tolerance
        )
    return weights


def class_balance(labels: Tensor, classes: int, sample_weight: Tensor | None = None) -> Tensor:
    """How much more a sample of each class counts than one of the others, float64 [C]: weight of
    the others by weight of its own.

    A class without members counts as if it had one sample of weight 1.

    >>> class_balance(torch.tensor([0, 0, 0, 1, 255]), classes=3)
    tensor([0.3333, 3.0000, 4.0000], dtype=torch.float64)
    """
    used = labels != IGNORE
    weight = None if sample_weight is None else sample_weight[used].double()
    own = torch.bincount(labels[used], weight, minlength=classes).double()
    return (own.sum() - own) / torch.where(own > 0, own, 1.0)


def margin_scores(features: Tensor, weights: Tensor) -> Tensor:
    """The score of every sample for every class, float64 [P,C]; 1 and more is surely yes, -1 and
    less is surely no."""
    return _with_one(features) @ weights.T


def hinge_costs(scores: Tensor, balance: Tensor) -> Tensor:
    """What it costs more to give a sample a class than not to, float64 [P,C]; negative where the
    class's score is high.

    >>> hinge_costs(torch.tensor([[0.0, 2.0, -0.5]]), torch.tensor([2.0, 2.0, 1.0]))
    tensor([[ 1., -3.,  1.]], dtype=torch.float64)
    """
    scores = scores.double()
    return balance * (1 - scores).clamp(min=0) - (1 + scores).clamp(min=0)


def margin_objective(
    features: Tensor, labels: Tensor, weights: Tensor, balance: Tensor, strength: float = 0.1
) -> Tensor:
    """What `fit_margin` minimises, per class, float64 [C]: labels int64 [P], 255 = not used, all
    samples weighing the same."""
    used = labels != IGNORE
    scores = margin_scores(features[used], weights)
    mine = labels[used, None] == torch.arange(len(weights), device=labels.device)
    losses = torch.where(mine, balance * (1 - scores).clamp(min=0), (1 + scores).clamp(min=0))
    return weights[:, :-1].square().sum(1) / 2 + strength * losses.sum(0)


def _check(
    features: Tensor, labels: Tensor, classes: int, strength: float, sample_weight: Tensor | None
) -> None:
    if (
        features.ndim != 2
        or not features.is_floating_point()
        or not bool(features.isfinite().all())
    ):
        raise ValueError(
            "features should be float [P,D] and finite, a row per sample, but it is "
            f"{described(features, finite=True)}"
        )
    if labels.shape != features.shape[:1] or labels.dtype != torch.int64:
        raise ValueError(
            f"labels should be int64 [{len(features)}], one per row of features, but it is "
            f"{described(labels, finite=True)}"
        )
    wrong = sorted(set(labels[(labels != IGNORE) & ((labels < 0) | (labels >= classes))].tolist()))
    if wrong:
        raise ValueError(
            f"labels should lie from 0 to {classes - 1}, or be 255 for samples not to use, but it "
            f"has {wrong}"
        )
    if not 0 < strength < float("inf"):
        raise ValueError(
            "strength should be more than 0 and finite, the weight of the losses, but it is "
            f"{strength!r}"
        )
    if sample_weight is not None and (
        sample_weight.shape != labels.shape or not bool((sample_weight >= 0).all())
    ):
        raise ValueError(
            f"sample_weight should be [{len(labels)}], 0 or more per sample, but it is "
            f"{described(sample_weight, finite=True)}"
        )


def _with_one(features: Tensor) -> Tensor:
    return torch.cat(
        [features.double(), features.new_ones(len(features), 1, dtype=torch.double)], 1
    )


# the solver: a primal-dual interior point method with Mehrotra's predictor and corrector, for
# several classes at once


class _State(NamedTuple):
    """Where the solver is, for K classes. All but the weights are more than zero throughout."""

    weights: Tensor
    """[K,D+1]"""
    alpha: Tensor
    """the multiplier of each sample [K,P], from 0 to its cap; and so are the next three"""
    beta: Tensor
    """how far alpha is from its cap"""
    surplus: Tensor
    """how far the sample is beyond its margin"""
    loss: Tensor
    """how far it is short of it"""


def _solve(samples: Tensor, signs: Tensor, caps: Tensor, tolerance: float) -> Tensor:
    """Weights [K,D+1] of K classes with signs +-1 [K,P] and the most that each sample's loss may
    count [K,P]."""
    state = _start(samples, signs, caps)
    live = torch.arange(len(signs), device=signs.device)
    best = state.weights.clone()
    least = torch.full_like(caps[:, 0], float("inf"))
    for _ in range(_MOST_STEPS):
        primal, dual = _values(samples, signs[live], caps[live], state)
        better = primal < least[live]
        best[live[better]], least[live[better]] = state.weights[better], primal[better]
        going = least[live] - dual > tolerance * (1e-9 + least[live])
        live = live[going]
        state = _State(*(value[going] for value in state))
        if not len(live):
            break
        state = _step(samples, signs[live], state)
    return best


def _start(samples: Tensor, signs: Tensor, caps: Tensor) -> _State:
    """Multipliers in the middle that cancel out between the two sides, the best multiple of their
    weights, and slacks that fit those."""
    positive = (caps * (signs > 0)).sum(1, keepdim=True)
    negative = (caps * (signs < 0)).sum(1, keepdim=True)
    smaller = torch.minimum(positive, negative)
    alpha = caps / 2 * torch.where(signs > 0, smaller / positive, smaller / negative)
    weights = (signs * alpha) @ samples
    weights[:, -1] = 0
    # all of them would be far too long
    weights *= (alpha.sum(1) / weights.square().sum(1).clamp(min=1e-300)).clamp(max=1)[:, None]
    margin = signs * (weights @ samples.T) - 1
    return _State(weights, alpha, caps - alpha, margin.clamp(min=0) + 1, (-margin).clamp(min=0) + 1)


def _values(samples: Tensor, signs: Tensor, caps: Tensor, state: _State) -> tuple[Tensor, Tensor]:
    """What the weights cost, and what no weights can cost less than, both [K]."""
    losses = (1 - signs * (state.weights @ samples.T)).clamp(min=0)
    primal = state.weights[:, :-1].square().sum(1) / 2 + (caps * losses).sum(1)
    dual = state.alpha.sum(1) - ((signs * state.alpha) @ samples)[:, :-1].square().sum(1) / 2
    return primal, dual


def _step(samples: Tensor, signs: Tensor, state: _State) -> _State:
    """First straight at the solution, to see how far that goes; then with an aim that lies as far
    inside as that needs."""
    _, alpha, beta, surplus, loss = state
    theta = 1 / (loss / beta + surplus / alpha)
    factor = torch.linalg.cholesky(_normal(samples, theta))
    gap = (alpha * surplus + beta * loss).mean(1, keepdim=True) / 2
    straight = _direction(samples, signs, state, theta, factor, -alpha * surplus, -beta * loss)
    reached = _walk(state, straight, _reach(state, straight))
    after = (reached.alpha * reached.surplus + reached.beta * reached.loss).mean(
        1, keepdim=True
    ) / 2
    aim = gap * (after / gap) ** 3
    first = aim - alpha * surplus - straight.alpha * straight.surplus
    second = aim - beta * loss - straight.beta * straight.loss
    final = _direction(samples, signs, state, theta, factor, first, second)
    return _walk(state, final, _SHORT_OF * _reach(state, final))


def _normal(samples: Tensor, theta: Tensor) -> Tensor:
    """The matrix of the weights alone, [K,D+1,D+1], once all that belongs to single samples is
    eliminated."""
    ridge = torch.ones(samples.shape[1], dtype=torch.double, device=samples.device)
    ridge[-1] = 0  # the bias is free
    matrix = ridge.diag().repeat(len(theta), 1, 1)
    for part, rows in zip(torch.split(samples, _PART), torch.split(theta, _PART, 1), strict=True):
        matrix += part.T @ (rows[:, :, None] * part)
    return matrix


def _direction(
    samples: Tensor,
    signs: Tensor,
    state: _State,
    theta: Tensor,
    factor: Tensor,
    first: Tensor,
    second: Tensor,
) -> _State:
    """Where Newton's method would go to change alpha * surplus by `first` and beta * loss by
    `second`, and to keep all equations."""
    weights, alpha, beta, surplus, loss = state
    unmet = 1 - signs * (weights @ samples.T) - loss + surplus
    sides = (signs * alpha) @ samples
    residual = sides - torch.cat([weights[:, :-1], torch.zeros_like(weights[:, :1])], 1)
    wanted = unmet + first / alpha - second / beta
    right = residual + (signs * theta * wanted) @ samples
    turn = torch.cholesky_solve(right[:, :, None], factor)[:, :, 0]
    d_alpha = theta * (wanted - signs * (turn @ samples.T))
    return _State(
        turn,
        d_alpha,
        -d_alpha,
        (first - surplus * d_alpha) / alpha,
        (second + loss * d_alpha) / beta,
    )


def _reach(state: _State, direction: _State) -> Tensor:
    """How much of the direction can be walked before something becomes negative, at most all of it:
    [K,1]."""
    shares = [
        torch.where(move < 0, -value / move, 1.0).amin(1)
        for value, move in zip(state[1:], direction[1:], strict=True)
    ]
    return torch.stack(shares).amin(0).clamp(max=1)[:, None]


def _walk(state: _State, direction: _State, length: Tensor) -> _State:
    return _State(*(value + length * move for value, move in zip(state, direction, strict=True)))
