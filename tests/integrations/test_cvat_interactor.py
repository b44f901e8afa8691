"""The interactor of CVAT, by the types and the agent of CVAT's own packages."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from PIL import Image

from tests.prediction.fakes import Colours
from weakseg.integrations import cvat_interactor as module
from weakseg.integrations.cvat_interactor import PromptFunction

cvat = pytest.importorskip("cvat_sdk.auto_annotation", reason="cvat-sdk[masks] is an extra")
masks = pytest.importorskip("cvat_sdk.masks")

HEIGHT, WIDTH = 20, 30


class Prompts(cvat.InteractionPrompts):  # type: ignore[misc, name-defined]
    """What a person has drawn."""

    def __init__(self, box: Any = None, inside: Any = (), outside: Any = ()) -> None:
        self.given = (box, inside, outside)

    @property
    def bounding_box(self) -> Any:
        return self.given[0]

    @property
    def pos_points(self) -> Any:
        return self.given[1]

    @property
    def neg_points(self) -> Any:
        return self.given[2]


@pytest.fixture
def image() -> Image.Image:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[..., 0] = 200
    pixels[2:8, 2:8] = (0, 200, 0)
    pixels[2:8, 12:18] = (0, 0, 200)
    return Image.fromarray(pixels)


def patch(left: int, top: int, right: int, bottom: int) -> np.ndarray:  # type: ignore[type-arg]
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


def shapes_of(image: Image.Image, prompts: Prompts) -> list[Any]:
    function = PromptFunction(Colours())
    return function.detect(None, function.preprocess_image(None, image), prompts)


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        (Prompts(box=((0.0, 0.0), (10.0, 10.0))), (2, 2, 8, 8)),
        (Prompts(inside=((15.0, 5.0),)), (12, 2, 18, 8)),
        (Prompts(inside=((5.0, 5.0),), outside=((15.0, 5.0),)), (2, 2, 8, 8)),
    ],
)
def test_a_box_or_a_click_gets_the_mask_of_the_object(
    prompts: Prompts, expected: tuple[int, int, int, int], image: Image.Image
) -> None:
    [shape] = shapes_of(image, prompts)
    assert isinstance(shape, cvat.InteractionResultShape)
    assert shape.type == "mask"
    found = masks.decode_mask(shape.points, image_width=WIDTH, image_height=HEIGHT)
    np.testing.assert_array_equal(found, patch(*expected))


def test_where_nothing_is_found_there_is_no_shape(image: Image.Image) -> None:
    assert shapes_of(image, Prompts(box=((20.0, 10.0), (28.0, 18.0)))) == []


def test_cvats_agent_takes_it(image: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's own loader, its own driver and its own process of work; a server is what is
    missing."""
    common = pytest.importorskip("cvat_cli._internal.common", reason="no dependency")
    drivers = pytest.importorskip("cvat_cli._internal.agent_driver_interaction")
    base = pytest.importorskip("cvat_cli._internal.agent_driver")
    monkeypatch.setattr(module, "load_model", lambda *_, **__: Colours())
    name = "weakseg.integrations.cvat_interactor"
    function = common.FunctionLoader(name, None, {"run": "runs/boxes/latest"}).load()

    class Here:
        """Works at once."""

        def submit(self, work: Any, *given: Any) -> Any:
            return work(*given)

        def result(self, done: Any) -> Any:
            return done

    class Driver(drivers.AgentInteractionFunctionDriver):  # type: ignore[misc, name-defined]
        def _get_sample_from_ar_params(self, params: Any) -> Any:
            return None, None

        def _load_image_for_ar(self, sample: Any, params: Any) -> Image.Image:
            return image

    base.set_worker_current_function(function)
    Driver.init_worker(None)
    driver = Driver(None, Here(), function.spec)
    fields = Driver.get_remote_function_fields(function.spec)
    assert fields == {"min_pos_points": 0, "min_neg_points": 0, "startswith_box_optional": True}
    wanted = {"task": 1, "frame": 0, "neg_points": [], "pos_points": [], "type": "interact"}
    for params in (
        {**wanted, "obj_bbox": [[0.0, 0.0], [10.0, 10.0]]},
        {**wanted, "obj_bbox": [], "pos_points": [[5.0, 5.0]]},
    ):
        done = driver.calculate_result_for_ar(params, lambda **_: None)
        [shape] = done["shapes"]
        found = masks.decode_mask(shape["points"], image_width=WIDTH, image_height=HEIGHT)
        np.testing.assert_array_equal(found, patch(2, 2, 8, 8))


def test_it_is_made_from_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_model", lambda run, *_, **__: Colours())
    spec = module.create(run="runs/boxes/latest").spec
    assert attrs.asdict(spec) == {
        "min_pos_points": 0,
        "min_neg_points": 0,
        "min_bounding_boxes": 0,
    }
