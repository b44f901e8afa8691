"""Strokes and painted pixels of a correction, laid into labels: where the labels contradict a
stroke, it carries on to the pixels around that belong to it.

A person scribbles over a part of what is wrong and means all of it. The pieces of the image, which
are superpixels cut where labels change and where something is drawn, are the nodes of a graph.
Each piece of the contradicted labels gets a probability x of being of the stroke's class: the
random walk with priors of Grady ("Multilabel Random Walker Image Segmentation Using Prior Models",
CVPR 2005), which is the minimum of

    sum over borders of w_ij (x_i - x_j)^2 + GAMMA sum over pieces of area_i (x_i - prior_i)^2

with x = 1 on the stroke and 0 on whatever else a person has drawn. A border w_ij is as strong as it
is long and as alike the colours of its sides are. The prior compares the colours of the stroke, and
of what has its class near by already, with those of the contradicted label, and falls with the
distance from the stroke, in lengths of the stroke. Pieces above 1/2 that hang together with the
stroke change; everything else stays as it is.

docs/explanation/corrections.md shows how well that works.
"""

from __future__ import annotations

from math import hypot
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse import linalg
from scipy.spatial import cKDTree
from skimage.color import rgb2lab
from torch import Tensor

from weakseg.evidence import IGNORE
from weakseg.functional.regions.region_graph import Superpixels

COLOUR = 8.0  # how far, in units of CIELAB, colours are about the same: a standard deviation
SHADE = 4.0  # colours that are nearer are one shade
EDGE = 10.0  # the same for the two sides of a border
GAMMA = 0.015  # how much a pixel weighs against a pixel of border between like colours
LARGE = 500  # pixels of the long side; areas weigh in a larger image as in one of that size
OWN = 0.5  # part of the model of a class that is of what has it already; the stroke is the rest
NEAR = 0.25  # how near that has to be, in diagonals of the image: a standard deviation
FAR = 2.0  # logits that a piece loses at the distance of a stroke's length
CLICK = 0.4  # length that a click counts as, in diagonals: it says nothing of the size
LINE = 5.0  # length to width of a stroke from which on it is none
FAVOUR = 0.25  # logits in favour of the stroke
RARE = 1e-4  # a colour that a model does not have at all is this likely
PIECES = Superpixels()  # by shares of the image

Labels = NDArray[np.uint8]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def spread(labels: Tensor, strokes: Tensor | None, painted: Tensor | None, image: Tensor) -> Tensor:
    """Labels with the corrections of a person: uint8 [H,W].

    Painted pixels are exactly as painted, and pixels of strokes have the class of the stroke. Where
    the labels have been of that class before, nothing else changes. Where not, the stroke carries
    on to pixels around that have the same wrong label, similar colours and no other stroke.

    Args:
        labels: uint8 [H,W], 255 = ignored.
        strokes: uint8 [H,W], clicks and scribbles, 255 elsewhere; None for none.
        painted: uint8 [H,W], 255 elsewhere; None for none.
        image: uint8 [3,H,W].

    >>> image = torch.zeros(3, 10, 10, dtype=torch.uint8)
    >>> image[:, :, 5:] = 200
    >>> strokes = torch.full((10, 10), 255, dtype=torch.uint8)
    >>> strokes[4:6, 6:8] = 1
    >>> spread(torch.zeros(10, 10, dtype=torch.uint8), strokes, None, image)[0]
    tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 1], dtype=torch.uint8)
    """
    found = labels if painted is None else painted.where(painted != IGNORE, labels)
    if strokes is None:
        return found
    drawn = strokes if painted is None else found.where(painted != IGNORE, strokes)
    wrong = (drawn != IGNORE) & (drawn != found)
    if not bool(wrong.any()):
        return found
    return torch.from_numpy(_carried_on(found.numpy(), drawn.numpy(), image))


class _Pieces(NamedTuple):
    """The pieces of an image: each has one label, and one stroke or none."""

    numbers: Ints
    """[H,W], of the piece of each pixel"""
    areas: Floats
    """[N], in pixels"""
    colours: Floats
    """[N,3], their means in CIELAB"""
    middles: Floats
    """[N,2], in pixels"""
    labels: Labels
    """[N]"""
    drawn: Labels
    """[N], the class that a person has drawn there, 255 for none"""
    borders: Ints
    """[E,2], pieces that touch"""
    strengths: Floats
    """[E], of the borders"""

    @property
    def wrong(self) -> Bools:
        """[N], where a person contradicts the labels."""
        contradicted: Bools = (self.drawn != IGNORE) & (self.drawn != self.labels)
        return contradicted


def _carried_on(labels: Labels, drawn: Labels, image: Tensor) -> Labels:
    pieces = _cut(labels, drawn, image)
    found = labels.copy()
    surest = np.zeros(len(pieces.areas))
    for label in np.unique(pieces.drawn[pieces.wrong]):
        sure = _walk(pieces, label, _reach(labels, drawn, label, pieces))
        own = (sure > 0.5) & (sure > surest)
        surest = np.maximum(surest, sure)
        found[_connected(own[pieces.numbers], (drawn == label) & (labels != label))] = label
    return np.where(drawn == IGNORE, found, drawn)


def _cut(labels: Labels, drawn: Labels, image: Tensor) -> _Pieces:
    superpixels = PIECES(image).numpy()
    kinds = _without_gaps(labels.astype(np.int64) * 256 + drawn)
    numbers = _without_gaps(superpixels * (int(kinds.max()) + 1) + kinds)
    flat = numbers.ravel()
    areas = np.bincount(flat).astype(np.float64)

    def mean(values: NDArray[Any]) -> Floats:
        return np.bincount(flat, values.ravel()) / areas

    colours = rgb2lab(np.stack([mean(channel) for channel in image.numpy()], 1)[None] / 255)[0]
    places = np.indices(numbers.shape)
    middles = np.stack([mean(places[side]) for side in (0, 1)], 1)
    own_labels, own_drawn = (np.zeros(len(areas), np.uint8) for _ in range(2))
    own_labels[flat] = labels.ravel()
    own_drawn[flat] = drawn.ravel()
    borders, lengths = _borders(numbers)
    differences = np.square(colours[borders[:, 0]] - colours[borders[:, 1]]).sum(1)
    strengths = lengths * np.exp(-differences / (2 * EDGE**2))
    return _Pieces(numbers, areas, colours, middles, own_labels, own_drawn, borders, strengths)


def _without_gaps(codes: Ints) -> Ints:
    """The same parts, numbered from 0 without gaps, in the order of their codes."""
    there = np.bincount(codes.ravel()) > 0
    numbers: Ints = (np.cumsum(there) - 1)[codes]
    return numbers


def _borders(numbers: Ints) -> tuple[Ints, Floats]:
    """Pieces that share sides of pixels [E,2], and how many [E]."""
    first = np.concatenate([numbers[:, :-1].ravel(), numbers[:-1].ravel()])
    second = np.concatenate([numbers[:, 1:].ravel(), numbers[1:].ravel()])
    apart = first != second
    low = np.minimum(first[apart], second[apart])
    high = np.maximum(first[apart], second[apart])
    count = int(numbers.max()) + 1
    codes, lengths = np.unique(low * count + high, return_counts=True)
    return np.stack([codes // count, codes % count], 1), lengths.astype(np.float64)


class _Reach(NamedTuple):
    """How far pieces are from the strokes of a class."""

    pixels: Floats
    """[N]"""
    lengths: Floats
    """[N], in lengths of the stroke that is nearest in its own length"""


def _reach(labels: Labels, drawn: Labels, label: int, pieces: _Pieces) -> _Reach:
    strokes, _ = ndimage.label((drawn == label) & (labels != label), np.ones((3, 3)))
    pixels = np.full(len(pieces.areas), np.inf)
    lengths = pixels.copy()
    for number, window in enumerate(ndimage.find_objects(strokes), 1):
        own = strokes[window] == number
        touched = np.unique(pieces.numbers[window][own])
        away, _ = cKDTree(pieces.middles[touched]).query(pieces.middles)
        pixels = np.minimum(pixels, away)
        lengths = np.minimum(lengths, away / _length(own, labels.shape))
    return _Reach(pixels, lengths)


def _length(stroke: Bools, size: tuple[int, ...]) -> float:
    """How long a stroke counts as, by its pixels [h,w] in an image [H,W]."""
    extent = hypot(*stroke.shape)
    is_line = extent**2 > LINE * int(stroke.sum())
    return extent if is_line else max(extent, CLICK * hypot(*size))


def _walk(pieces: _Pieces, label: int, reach: _Reach) -> Floats:
    """How surely each piece is of a class, from 0 to 1: 0 where it cannot become so."""
    seeds = pieces.wrong & (pieces.drawn == label)
    open_to = np.isin(pieces.labels, pieces.labels[seeds])
    free = open_to & (pieces.drawn == IGNORE)
    sure: Floats = seeds.astype(np.float64)
    if not free.any():
        return sure
    inside = open_to[pieces.borders].all(1)
    first, second = pieces.borders[inside].T
    strengths = pieces.strengths[inside]
    count = len(sure)
    walks = sparse.coo_matrix((strengths, (first, second)), (count, count)).tocsr()
    walks = walks + walks.T
    pull = GAMMA * min(1.0, LARGE / max(pieces.numbers.shape)) * pieces.areas
    system = sparse.diags_array(np.asarray(walks.sum(1)).ravel() + pull) - walks
    prior = 1 / (1 + np.exp(-_logits(pieces, label, seeds, free, reach)))
    right = pull[free] * prior + (walks @ sure)[free]
    sure[free] = linalg.spsolve(system.tocsr()[free][:, free].tocsc(), right)
    return sure


def _logits(pieces: _Pieces, label: int, seeds: Bools, free: Bools, reach: _Reach) -> Floats:
    """The prior of the free pieces, [F]: how much better their colours fit to the stroke than to
    their label."""
    diagonal = hypot(*pieces.numbers.shape)
    near = pieces.areas * np.exp(-np.square(reach.pixels / (NEAR * diagonal)) / 2)
    shades, colours = _shades(pieces)
    alike = _alike(colours)

    def common(weights: Floats) -> Floats:
        """How common each shade is among pieces with these weights."""
        shares = np.bincount(shades, weights, len(colours)) / weights.sum()
        found: Floats = alike @ shares.astype(alike.dtype)
        return found

    own = common(pieces.areas * seeds)
    there = near * (pieces.labels == label)
    if there.sum() > 0:
        own = (1 - OWN) * own + OWN * common(there)
    logits = FAVOUR - FAR * reach.lengths[free]
    for before in np.unique(pieces.labels[free]):
        rows = free & (pieces.labels == before)
        fit = np.log(own + RARE) - np.log(common(near * rows) + RARE)
        logits[pieces.labels[free] == before] += fit[shades[rows]]
    return logits


def _shades(pieces: _Pieces) -> tuple[Ints, Floats]:
    """The shade of each piece [N], so that a large image has no more of them than a small one; and
    the mean colours of the shades [S,3]."""
    cells = np.round(pieces.colours / SHADE).astype(np.int64)
    # of CIELAB, each channel spans less than 256
    codes = (cells[:, 0] * 256 + cells[:, 1]) * 256 + cells[:, 2]
    _, shades = np.unique(codes, return_inverse=True)
    areas = np.bincount(shades, pieces.areas)
    sums = [np.bincount(shades, pieces.areas * channel) for channel in pieces.colours.T]
    return shades, np.stack(sums, 1) / areas[:, None]


def _alike(colours: Floats) -> NDArray[np.float32]:
    """How alike the colours [S,3] are to each other, from 0 to 1: [S,S]."""
    points = torch.from_numpy(colours).float()
    apart = torch.cdist(points, points)
    alike: NDArray[np.float32] = apart.square_().div_(-2 * COLOUR**2).exp_().numpy()
    return alike


def _connected(mask: Bools, strokes: Bools) -> Bools:
    """The parts of a mask that a stroke touches."""
    parts, count = ndimage.label(mask)
    touched = np.zeros(count + 1, bool)
    touched[parts[strokes]] = True
    touched[0] = False
    kept: Bools = touched[parts]
    return kept
