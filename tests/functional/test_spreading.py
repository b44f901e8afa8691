"""Strokes that carry on: cases by hand, the same minimum by brute force, and what must not
change."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from torch import Tensor

from tests.functional.photos import photo
from weakseg.evidence import IGNORE
from weakseg.functional import spreading
from weakseg.functional.spreading import spread


def nothing(image: Tensor) -> Tensor:
    return torch.full(image.shape[1:], IGNORE, dtype=torch.uint8)


def background(image: Tensor) -> Tensor:
    return torch.zeros(image.shape[1:], dtype=torch.uint8)


def stripes(*levels: int, height: int = 12, width: int = 8) -> Tensor:
    """An image of grey columns, each so many pixels wide."""
    columns = torch.tensor(levels, dtype=torch.uint8).repeat_interleave(width)
    return columns.expand(3, height, -1).contiguous()


def stroke(image: Tensor, rows: slice, columns: slice, label: int) -> Tensor:
    drawn = nothing(image)
    drawn[rows, columns] = label
    return drawn


def test_a_click_on_a_missed_object_takes_the_object() -> None:
    image = stripes(40, 200, 40)
    found = spread(background(image), stroke(image, slice(5, 7), slice(11, 13), 2), None, image)
    assert torch.equal(found[:, 8:16], torch.full((12, 8), 2, dtype=torch.uint8))
    assert not found[:, :8].any()
    assert not found[:, 16:].any()


def test_background_takes_back_what_a_filled_box_has_too_much() -> None:
    image = stripes(40, 200, 40)
    labels = background(image)
    labels[:, 4:20] = 1
    found = spread(labels, stroke(image, slice(2, 10), slice(17, 19), 0), None, image)
    expected = background(image)
    expected[:, 4:16] = 1  # the other end has the same colours, but is not connected
    assert torch.equal(found, expected)


def test_a_stroke_takes_the_wrong_label_alone() -> None:
    """All of one colour: the labels say where the object ends that a stroke renames."""
    image = stripes(90, 90, 90)
    labels = background(image)
    labels[:, 8:16] = 1
    found = spread(labels, stroke(image, slice(1, 11), slice(9, 15), 2), None, image)
    assert torch.equal(found[:, :8], labels[:, :8])
    assert torch.equal(found[:, 16:], labels[:, 16:])
    assert bool((found[1:11, 9:15] == 2).all())


def test_two_opposing_strokes_share_what_lies_between() -> None:
    image = stripes(90, 90)
    strokes = stroke(image, slice(1, 11), slice(2, 4), 1)
    strokes[1:11, 12:14] = 2
    found = spread(background(image), strokes, None, image)
    assert bool((found[1:11, 2:4] == 1).all())
    assert bool((found[1:11, 12:14] == 2).all())
    assert not (found[:, 8:] == 1).any()
    assert not (found[:, :8] == 2).any()


def test_a_stroke_that_agrees_holds_another_back() -> None:
    image = stripes(90, 90, 90)
    alone = stroke(image, slice(0, 12), slice(1, 4), 1)
    held = alone.clone()
    held[:, 5] = 0
    free = spread(background(image), alone, None, image)
    found = spread(background(image), held, None, image)
    assert not found[:, 5:].any()
    assert (free == 1).sum() > (found == 1).sum()


@pytest.mark.parametrize("label", [0, 1, 7, IGNORE])
def test_labels_of_any_kind_are_contradicted_alike(label: int) -> None:
    image = stripes(40, 200, 40)
    labels = torch.full_like(background(image), label)
    found = spread(labels, stroke(image, slice(5, 7), slice(11, 13), 2), None, image)
    assert bool((found[:, 8:16] == 2).all())
    assert bool((found[:, :8] == label).all())


def test_labels_that_agree_are_returned_as_they_are() -> None:
    image = photo(30, 40)
    labels = torch.randint(0, 3, (30, 40), dtype=torch.uint8)
    strokes = labels.where(torch.rand(30, 40) < 0.2, IGNORE)
    assert spread(labels, strokes, None, image) is labels
    assert spread(labels, nothing(image), None, image) is labels
    assert spread(labels, None, None, image) is labels
    assert torch.equal(spread(labels, strokes, strokes, image), labels)


def test_painted_pixels_are_exact_and_have_the_last_word() -> None:
    image = stripes(40, 200, 40)
    painted = stroke(image, slice(4, 8), slice(9, 12), 3)
    strokes = stroke(image, slice(5, 7), slice(11, 15), 2)
    found = spread(background(image), strokes, painted, image)
    assert bool((found[4:8, 9:12] == 3).all())
    assert (found == 3).sum() == 12
    assert bool((found[5:7, 12:15] == 2).all())
    alone = spread(background(image), None, painted, image)
    assert torch.equal(alone, painted.where(painted != IGNORE, 0))


def test_nothing_that_is_given_changes() -> None:
    image = photo(24, 32)
    labels = background(image)
    strokes = stroke(image, slice(3, 6), slice(4, 20), 1)
    painted = stroke(image, slice(10, 12), slice(4, 20), 2)
    given = (labels, strokes, painted, image)
    before = [each.clone() for each in given]
    first = spread(*given)
    assert torch.equal(first, spread(*given))
    assert all(torch.equal(now, then) for now, then in zip(given, before, strict=True))


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (2, 3), (17, 23)], ids=str)
def test_images_of_any_size(size: tuple[int, int]) -> None:
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    strokes = stroke(image, slice(0, 1), slice(0, 1), 1)
    found = spread(background(image), strokes, None, image)
    assert found.shape == size
    assert found.dtype == torch.uint8
    assert found[0, 0] == 1
    assert set(found.unique().tolist()) <= {0, 1}


@pytest.mark.parametrize("rows", [slice(0, 1), slice(11, 12)], ids=["top", "bottom"])
def test_a_stroke_along_the_rim(rows: slice) -> None:
    image = stripes(40, 200)
    found = spread(background(image), stroke(image, rows, slice(8, 16), 1), None, image)
    assert bool((found[:, 8:] == 1).all())
    assert not found[:, :8].any()


def test_a_stroke_all_over_the_image() -> None:
    image = photo(20, 20)
    everything = torch.ones(20, 20, dtype=torch.uint8)
    assert torch.equal(spread(background(image), everything, None, image), everything)


def test_a_mirrored_image_has_a_mirrored_result() -> None:
    image = stripes(40, 200, 90)
    strokes = stroke(image, slice(5, 7), slice(10, 12), 1)
    found = spread(background(image), strokes, None, image)
    mirrored = spread(background(image), strokes.flip(1), None, image.flip(2).contiguous())
    assert torch.equal(found.flip(1), mirrored)


def test_other_numbers_of_classes_have_the_same_result() -> None:
    image = photo(40, 50)
    labels = background(image)
    labels[10:30, 10:40] = 1
    strokes = stroke(image, slice(12, 20), slice(12, 16), 2)
    strokes[25:28, 30:38] = 0
    table = torch.arange(256, dtype=torch.uint8)
    table[torch.tensor([0, 1, 2])] = torch.tensor([5, 9, 7], dtype=torch.uint8)
    renamed = spread(table[labels.long()], table[strokes.long()], None, image)
    assert torch.equal(renamed, table[spread(labels, strokes, None, image).long()])


@pytest.mark.parametrize("seed", range(4))
def test_the_same_by_brute_force(seed: int) -> None:
    """The minimum is found again, from the definition, piece by piece."""
    generator = torch.Generator().manual_seed(seed)
    image = photo(26 + 3 * seed, 34)
    labels = background(image)
    labels[6:20, 5:25] = 1
    strokes = nothing(image)
    for label, (row, column) in enumerate(torch.randint(3, 20, (3, 2), generator=generator)):
        strokes[row : row + 2, column : column + 6] = label
    assert torch.equal(spread(labels, strokes, None, image), by_brute_force(labels, strokes, image))


Piece = tuple[int, int, int]
"""superpixel, label and stroke"""


def by_brute_force(labels: Tensor, strokes: Tensor, image: Tensor) -> Tensor:
    pixels = pieces_of(labels, strokes, image)
    surest: dict[Piece, float] = {}
    found = labels.clone()
    for label in sorted({piece[2] for piece in pixels if wrong(piece)}):
        chances = minimum(pixels, label, labels, strokes, image)
        chosen = {
            piece for piece, sure in chances.items() if sure > max(0.5, surest.get(piece, 0.0))
        }
        for piece, sure in chances.items():
            surest[piece] = max(sure, surest.get(piece, 0.0))
        inside = {place for piece in chosen for place in pixels[piece]}
        start = {
            place
            for piece in chosen
            if piece[2] == label and wrong(piece)
            for place in pixels[piece]
        }
        for row, column in flooded(inside, start):
            found[row, column] = label
    return strokes.where(strokes != IGNORE, found)


def pieces_of(labels: Tensor, strokes: Tensor, image: Tensor) -> dict[Piece, list[tuple[int, int]]]:
    superpixels = spreading.PIECES(image)
    pixels: dict[Piece, list[tuple[int, int]]] = {}
    for row in range(labels.shape[0]):
        for column in range(labels.shape[1]):
            place = (row, column)
            piece = (int(superpixels[place]), int(labels[place]), int(strokes[place]))
            pixels.setdefault(piece, []).append(place)
    return pixels


def wrong(piece: Piece) -> bool:
    return piece[2] not in (IGNORE, piece[1])


def minimum(
    pixels: dict[Piece, list[tuple[int, int]]],
    label: int,
    labels: Tensor,
    strokes: Tensor,
    image: Tensor,
) -> dict[Piece, float]:
    """The chance of each piece, by a dense system of equations."""
    colours = {
        piece: rgb2lab(np.mean([image[:, y, x].numpy() for y, x in own], 0)[None, None] / 255)[0, 0]
        for piece, own in pixels.items()
    }
    shades = shades_of(pixels, colours)
    middles = {piece: np.mean(own, 0) for piece, own in pixels.items()}
    seeds = [piece for piece in pixels if wrong(piece) and piece[2] == label]
    before = {piece[1] for piece in seeds}
    free = [piece for piece in pixels if piece[1] in before and piece[2] == IGNORE]
    fixed = {
        piece: float(piece in seeds)
        for piece in pixels
        if piece[1] in before and piece[2] != IGNORE
    }
    far = distances(pixels, middles, label, labels, strokes)
    diagonal = np.hypot(*labels.shape)

    def alike(one: Piece, other: Piece) -> float:
        apart = np.linalg.norm(shades[one] - shades[other])
        return float(np.exp(-(apart**2) / (2 * spreading.COLOUR**2)))

    def common(piece: Piece, weights: dict[Piece, float]) -> float:
        total = sum(weights.values())
        return sum(weight * alike(piece, other) for other, weight in weights.items()) / total

    def near(piece: Piece) -> float:
        return float(
            len(pixels[piece]) * np.exp(-((far[piece][0] / (spreading.NEAR * diagonal)) ** 2) / 2)
        )

    def prior(piece: Piece) -> float:
        own = common(piece, {seed: len(pixels[seed]) for seed in seeds})
        there = {other: near(other) for other in pixels if other[1] == label}
        if there:
            own = (1 - spreading.OWN) * own + spreading.OWN * common(piece, there)
        other = common(piece, {each: near(each) for each in free if each[1] == piece[1]})
        fit = np.log(own + spreading.RARE) - np.log(other + spreading.RARE)
        logit = fit + spreading.FAVOUR - spreading.FAR * far[piece][1]
        return float(1 / (1 + np.exp(-logit)))

    number = {piece: place for place, piece in enumerate(free)}
    system = np.zeros((len(free), len(free)))
    right = np.zeros(len(free))
    for piece in free:
        pull = spreading.GAMMA * len(pixels[piece])
        system[number[piece], number[piece]] += pull
        right[number[piece]] += pull * prior(piece)
    owner = {place: piece for piece, own in pixels.items() for place in own}
    for (row, column), piece in owner.items():
        for other_place in ((row, column + 1), (row + 1, column)):
            other = owner.get(other_place, piece)
            if other == piece or {piece[1], other[1]} - before:
                continue
            apart = np.linalg.norm(colours[piece] - colours[other])
            strength = float(np.exp(-(apart**2) / (2 * spreading.EDGE**2)))
            for one, two in ((piece, other), (other, piece)):
                if one in number:
                    system[number[one], number[one]] += strength
                    if two in number:
                        system[number[one], number[two]] -= strength
                    else:
                        right[number[one]] += strength * fixed[two]
    solved = np.linalg.solve(system, right) if free else np.zeros(0)
    return dict.fromkeys(seeds, 1.0) | dict(zip(free, solved.tolist(), strict=True))


def shades_of(
    pixels: dict[Piece, list[tuple[int, int]]], colours: dict[Piece, np.ndarray]
) -> dict[Piece, np.ndarray]:
    """The mean colour of all pieces of a piece's shade."""
    cells = {piece: tuple(np.round(colour / spreading.SHADE)) for piece, colour in colours.items()}
    found = {}
    for piece, cell in cells.items():
        same = [other for other in pixels if cells[other] == cell]
        sizes = [len(pixels[other]) for other in same]
        found[piece] = np.average([colours[other] for other in same], 0, sizes)
    return found


def distances(
    pixels: dict[Piece, list[tuple[int, int]]],
    middles: dict[Piece, np.ndarray],
    label: int,
    labels: Tensor,
    strokes: Tensor,
) -> dict[Piece, tuple[float, float]]:
    """In pixels, and in lengths of strokes."""
    click = spreading.CLICK * float(np.hypot(*labels.shape))
    drawn = ((strokes == label) & (labels != label)).nonzero().tolist()
    left = {(row, column) for row, column in drawn}
    found = dict.fromkeys(pixels, (np.inf, np.inf))
    while left:
        own = flooded(left, {min(left)}, corners=True)
        left -= own
        extent = np.hypot(*(np.ptp(side) + 1 for side in zip(*own, strict=True)))
        length = extent if extent**2 > spreading.LINE * len(own) else max(extent, click)
        touched = [middles[piece] for piece in pixels if own & set(pixels[piece])]
        for piece in pixels:
            away = min(float(np.linalg.norm(middles[piece] - middle)) for middle in touched)
            best = found[piece]
            found[piece] = (min(best[0], away), min(best[1], away / length))
    return found


def flooded(
    inside: set[tuple[int, int]], start: set[tuple[int, int]], corners: bool = False
) -> set[tuple[int, int]]:
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    steps += [(1, 1), (1, -1), (-1, 1), (-1, -1)] if corners else []
    reached, waiting = set(start), deque(start)
    while waiting:
        row, column = waiting.popleft()
        for down, right in steps:
            place = (row + down, column + right)
            if place in inside and place not in reached:
                reached.add(place)
                waiting.append(place)
    return reached
