from __future__ import annotations

import torch

from weakseg.evidence import IGNORE
from weakseg.functional.crf import DenseCRF
from weakseg.strategies.shared.scene import Objects, Scene, shrunk_crf
from weakseg.utils.lengths import Share

OFF = DenseCRF(smooth_weight=0.0, bilateral_weight=0.0)


ONE = Objects(torch.tensor([[0.0, 0, 6, 3]]), torch.tensor([1]), 0.5)


def scene(known: torch.Tensor | None = None, objects: Objects | None = None) -> Scene:
    prior = torch.full((2, 6, 6), 0.5)
    inside = torch.ones(2, 6, 6, dtype=torch.bool)
    inside[1, :, 4:] = False
    image = torch.zeros(3, 6, 6, dtype=torch.uint8)
    return Scene(image, torch.tensor([0, 3]), prior, inside, known, objects)


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
    assert torch.allclose(scene(objects=ONE).with_prior(probs)[1], torch.tensor(0.3))
    half = scene(objects=ONE)._replace(classifier=0.5)
    assert torch.allclose(half.with_prior(probs)[1], torch.tensor(0.5 * 0.6**0.5))
    assert torch.allclose(scene().with_prior(probs)[1], torch.tensor(0.6))


def test_no_box_loses_its_object_in_a_scene_and_in_its_sketch() -> None:
    probs = torch.tensor([0.9, 0.1])[:, None, None]
    large, without = scene(objects=ONE), scene()
    lost = without.refined(probs.expand(2, 6, 6), OFF).max(0).indices
    assert not lost.any()
    kept = large.refined(probs.expand(2, 6, 6), OFF).max(0).indices
    assert kept[:3, :4].all()  # the scene says that nothing is further right
    assert not kept[3:].any()
    small = large.shrunk(4, 2)
    assert small.objects is not None
    assert small.objects.boxes.tolist() == [[0, 0, 2, 2]]
    kept = small.refined(probs.expand(2, 4, 2), OFF).max(0).indices
    assert kept.tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]  # a part of each is not further right


def test_pixels_of_a_crf_shrink_with_the_image_and_shares_do_not() -> None:
    crf = shrunk_crf(DenseCRF(smooth_xy=1.0, bilateral_xy=60.0), 0.25)
    assert (crf.smooth_xy, crf.bilateral_xy) == (1.0, 15.0)
    crf = shrunk_crf(DenseCRF(smooth_xy=0.5, bilateral_xy=Share(0.26)), 0.25)
    assert (crf.smooth_xy, crf.bilateral_xy) == (0.5, Share(0.26))
