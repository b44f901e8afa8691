from __future__ import annotations

import torch

from weakseg.evidence import IGNORE
from weakseg.functional.crf import DenseCRF
from weakseg.strategies.shared.scene import Scene, shrunk_crf
from weakseg.utils.lengths import Share

OFF = DenseCRF(smooth_weight=0.0, bilateral_weight=0.0)


def scene(known: torch.Tensor | None = None, boxed: bool = False) -> Scene:
    prior = torch.full((2, 6, 6), 0.5)
    inside = torch.ones(2, 6, 6, dtype=torch.bool)
    inside[1, :, 4:] = False
    image = torch.zeros(3, 6, 6, dtype=torch.uint8)
    return Scene(image, torch.tensor([0, 3]), prior, inside, known, boxed)


def test_what_is_known_and_what_cannot_be_count_more_than_probabilities() -> None:
    known = torch.full((6, 6), IGNORE, dtype=torch.uint8)
    known[0, 0] = 3
    probs = torch.stack([torch.full((6, 6), 0.8), torch.full((6, 6), 0.2)])
    refined = scene(known).refined(probs, OFF)
    assert torch.allclose(refined[:, 0, 0], torch.tensor([0.01, 0.99]))
    assert refined[1, :, 4:].unique().tolist() == [-1]
    assert torch.allclose(refined[1, 1:, :4], torch.tensor(0.2))


def test_a_click_survives_when_an_image_shrinks() -> None:
    known = torch.full((6, 6), IGNORE, dtype=torch.uint8)
    known[0, 2], known[5, 3] = 3, 0
    small = scene(known).shrunk(2, 2)
    assert small.known is not None
    assert small.known.tolist() == [[3, IGNORE], [IGNORE, 0]]
    assert small.inside[1].all()  # a part of each pixel is inside
    assert small.image.shape == (3, 2, 2)


def test_boxes_are_multiplied_to_what_a_classifier_says() -> None:
    probs = torch.tensor([0.4, 0.6])[:, None, None].expand(2, 3, 3)
    assert torch.allclose(scene(boxed=True).with_prior(probs)[1], torch.tensor(0.3))
    assert torch.allclose(scene().with_prior(probs)[1], torch.tensor(0.6))


def test_pixels_of_a_crf_shrink_with_the_image_and_shares_do_not() -> None:
    crf = shrunk_crf(DenseCRF(smooth_xy=1.0, bilateral_xy=60.0), 0.25)
    assert (crf.smooth_xy, crf.bilateral_xy) == (1.0, 15.0)
    crf = shrunk_crf(DenseCRF(smooth_xy=0.5, bilateral_xy=Share(0.26)), 0.25)
    assert (crf.smooth_xy, crf.bilateral_xy) == (0.5, Share(0.26))
