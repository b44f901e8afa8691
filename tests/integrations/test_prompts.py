"""The object that a person means by a box or clicks: by the strategy of a run, or by its network
alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.prediction.fakes import Colours
from tests.small import Squares, labels_of
from tests.trained.runs import SMALL
from weakseg.fit import main as fit
from weakseg.integrations.prompts import Prompt, PromptedNetwork
from weakseg.trained.checkpoint import CheckpointModel
from weakseg.trained.loading import load_model

HEIGHT, WIDTH = 20, 30


def picture(*patches: tuple[int, int, int, int, int]) -> Tensor:
    """A red image with patches: left, top, right, bottom, and the class of their colour."""
    pixels = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
    pixels[0] = 200
    for left, top, right, bottom, label in patches:
        pixels[:, top:bottom, left:right] = 0
        pixels[label, top:bottom, left:right] = 200
    return pixels


def mask_of(left: int, top: int, right: int, bottom: int) -> np.ndarray:  # type: ignore[type-arg]
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


GREEN = (2, 2, 8, 8, 1)
BLUE = (12, 2, 18, 8, 2)
OTHER_GREEN = (2, 12, 8, 18, 1)


@pytest.fixture
def network() -> PromptedNetwork:
    return PromptedNetwork(Colours())


def test_a_box_finds_what_is_not_background_in_it(network: PromptedNetwork) -> None:
    seen = network.look_at(picture(GREEN, BLUE, OTHER_GREEN))
    found = network.find(seen, Prompt(boxes=((0, 0, 10, 10),)))
    assert found.label == 1
    np.testing.assert_array_equal(found.mask, mask_of(*GREEN[:4]))


def test_a_click_finds_the_one_object_under_it(network: PromptedNetwork) -> None:
    seen = network.look_at(picture(GREEN, BLUE, OTHER_GREEN))
    for patch in (GREEN, BLUE, OTHER_GREEN):
        found = network.find(seen, Prompt(inside=((patch[0] + 3, patch[1] + 3),)))
        assert found.label == patch[4]
        np.testing.assert_array_equal(found.mask, mask_of(*patch[:4]))


def test_a_click_beside_the_object_takes_that_away(network: PromptedNetwork) -> None:
    seen = network.look_at(picture((2, 2, 14, 8, 1)))
    prompt = Prompt(inside=((4, 5),), outside=((12, 5),), label=1)
    found = network.find(seen, prompt)
    assert found.mask[5, 4]
    assert not found.mask[5, 12]


def test_a_stroke_of_the_brush_is_on_the_object_whatever_the_network_sees(
    network: PromptedNetwork,
) -> None:
    seen = network.look_at(picture(GREEN))
    stroke = mask_of(20, 12, 26, 14)
    found = network.find(seen, Prompt(painted=stroke, label=2))
    assert found.label == 2
    assert found.mask[stroke].all()
    assert not found.mask[2:8, 2:8].any()


def test_the_class_that_a_person_has_chosen_wins(network: PromptedNetwork) -> None:
    seen = network.look_at(picture(GREEN))
    assert network.find(seen, Prompt(inside=((4, 4),), label=2)).label == 2


def test_shrunk_images_give_masks_of_the_images_own_size() -> None:
    network = PromptedNetwork(Colours(long_side=15))
    seen = network.look_at(picture(GREEN))
    assert seen.image.shape == (3, 10, 15)
    found = network.find(seen, Prompt(boxes=((0, 0, 10, 10),)))
    np.testing.assert_array_equal(found.mask, mask_of(*GREEN[:4]))


def test_nothing_drawn_or_found_is_said(network: PromptedNetwork) -> None:
    seen = network.look_at(picture(GREEN))
    with pytest.raises(ValueError, match="a box, a click or a stroke on the object is needed"):
        network.find(seen, Prompt(outside=((3, 3),)))
    with pytest.raises(ValueError, match="nothing of the class green is found there"):
        network.find(seen, Prompt(boxes=((20, 10, 28, 18),), label=1))


@pytest.fixture(scope="session")
def boxes_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("boxes")
    return fit(["recipe=boxes", *SMALL, f"trainer.default_root_dir={root}"])


def test_a_box_goes_to_the_strategy_of_a_run(boxes_run: Path) -> None:
    """The same target as that of an image with this box as its evidence."""
    model = load_model(boxes_run, device="cpu")
    assert isinstance(model, CheckpointModel)
    network = PromptedNetwork(model)
    evidence, _ = Squares().sample(0)
    assert evidence.boxes is not None
    box = tuple(evidence.boxes[0].tolist())
    found = network.find(network.look_at(evidence.image), Prompt(boxes=(box,), label=1))
    tags = torch.tensor([True, True, False, False, False])
    alike = evidence._replace(tags=tags, box_classes=torch.tensor([1]))
    expected = labels_of(model.segmenter.strategy, alike)
    np.testing.assert_array_equal(found.mask, (expected == 1).numpy())
    # the disc without the corners of the box, which a network of two steps does not know
    assert 60 < found.mask.sum() < 105
