"""Label Studio's smart tools: what a person has just drawn comes back as the mask of the object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.integrations.projects import CONFIG, local, region, request, task
from tests.prediction.fakes import Colours
from weakseg.data.formats.bitmask import unpack_bitmask
from weakseg.data.formats.brush import unpack_brush
from weakseg.data.formats.writing.bitmask import pack_bitmask
from weakseg.data.formats.writing.brush import pack_brush
from weakseg.integrations.label_studio.backend import Backend
from weakseg.integrations.label_studio.refusals import Refusal
from weakseg.integrations.label_studio.task_images import TaskImages

HEIGHT, WIDTH = 20, 30


def save(path: Path) -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[..., 0] = 200
    pixels[2:8, 2:8] = (0, 200, 0)
    pixels[2:8, 12:18] = (0, 0, 200)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    save(tmp_path / "a.png")
    return Backend(Colours(), TaskImages(tmp_path))


def patch(left: int, top: int, right: int, bottom: int) -> np.ndarray:  # type: ignore[type-arg]
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


def ask(backend: Backend, *drawn: dict[str, Any], config: str = CONFIG) -> dict[str, Any]:
    answers, reasons = backend.predict(request([task(1, local("a.png"))], config, list(drawn)))
    assert reasons == []
    answer: dict[str, Any] = answers[0]
    return answer


def pixels(result: dict[str, Any]) -> np.ndarray:  # type: ignore[type-arg]
    stream = np.array(result["value"]["rle"], np.uint8)
    return unpack_brush(stream, WIDTH, HEIGHT).unpack()


def click(x: float, y: float, label: str = "Green", **more: Any) -> dict[str, Any]:
    place = {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 0.3}
    return {**region("keypointlabels", "click", label, **place), **more}


def frame(left: float, top: float, right: float, bottom: float, label: str) -> dict[str, Any]:
    place = {
        "x": 100 * left / WIDTH,
        "y": 100 * top / HEIGHT,
        "width": 100 * (right - left) / WIDTH,
        "height": 100 * (bottom - top) / HEIGHT,
        "rotation": 0,
    }
    return region("rectanglelabels", "frame", label, **place)


@pytest.mark.parametrize(
    ("drawn", "label", "expected"),
    [
        (click(5, 5, is_positive=True), "Green", (2, 2, 8, 8)),
        (click(15, 5, "sky"), "sky", (12, 2, 18, 8)),
        (frame(0, 0, 10, 10, "Green"), "Green", (2, 2, 8, 8)),
    ],
)
def test_a_click_or_a_rectangle_gets_a_mask(
    drawn: dict[str, Any], label: str, expected: tuple[int, int, int, int], backend: Backend
) -> None:
    [result] = ask(backend, drawn)["result"]
    assert result["type"] == "brushlabels"
    assert (result["from_name"], result["to_name"]) == ("mask", "photo")
    assert result["value"]["brushlabels"] == [label]
    np.testing.assert_array_equal(pixels(result), patch(*expected))


def test_answers_are_what_label_studio_takes(backend: Backend) -> None:
    interfaces = pytest.importorskip("label_studio_sdk.label_interface")
    answer = ask(backend, click(5, 5))
    interface = interfaces.LabelInterface(CONFIG)
    assert interface.validate_prediction(answer, return_errors=True) == []


def test_a_stroke_of_the_brush_is_on_the_object(backend: Backend) -> None:
    stroke = patch(20, 12, 26, 14)
    drawn = region("brushlabels", "mask", "sky", format="rle", rle=pack_brush(stroke))
    [result] = ask(backend, drawn)["result"]
    assert pixels(result)[stroke].all()


def test_a_bitmask_is_a_stroke_too(backend: Backend) -> None:
    stroke = patch(20, 12, 26, 14)
    config = CONFIG.replace("BrushLabels", "BitmaskLabels")
    drawn = region("bitmasklabels", "mask", "sky", imageDataURL=pack_bitmask(stroke))
    [result] = ask(backend, drawn, config=config)["result"]
    assert unpack_bitmask(result["value"]["imageDataURL"], WIDTH, HEIGHT).unpack()[stroke].all()


@pytest.mark.parametrize(
    "beside", [click(15, 5, is_positive=False), click(15, 5, "red"), click(15, 5, "sky")]
)
def test_clicks_beside_the_object_are_no_part_of_it(
    beside: dict[str, Any], backend: Backend
) -> None:
    [result] = ask(backend, beside, click(5, 5))["result"]
    assert result["value"]["brushlabels"] == ["Green"]
    assert not pixels(result)[5, 15]
    np.testing.assert_array_equal(pixels(result), patch(2, 2, 8, 8))


def test_each_answer_has_an_id_of_its_own(backend: Backend) -> None:
    first, second = (ask(backend, click(5, 5))["result"][0]["id"] for _ in range(2))
    assert first != second


def test_the_image_is_read_once_for_all_clicks_on_it(backend: Backend, tmp_path: Path) -> None:
    ask(backend, click(5, 5))
    model = backend.model
    assert isinstance(model, Colours)
    ask(backend, click(15, 5, "sky"))
    assert len(model.seen) == 1
    save(tmp_path / "b.png")
    backend.predict(request([task(2, local("b.png"))], drawn=[click(5, 5)]))
    assert len(model.seen) == 2


@pytest.mark.parametrize(
    ("drawn", "reason"),
    [
        ([], "context: expected the regions"),
        ("x", "context: expected the regions"),
        ([5], "context: a region is not as Label Studio has them"),
        ([{"type": "keypointlabels"}], "context: a region is not as Label Studio has them"),
        ([click(5, 5) | {"value": {"keypointlabels": ["Green"]}}], "x, y should be"),
        ([click(5, 5) | {"value": {"keypointlabels": []}}], "not as Label Studio has them"),
        ([region("polygonlabels", "p", "Green", points=[])], "regions of the type polygonlabels"),
        ([click(5, 5, "cloud")], "the label 'cloud' is no class of the network"),
        ([click(5, 5, is_positive=False)], "there is only what is not the object"),
        ([frame(20, 10, 28, 18, "Green")], "nothing of the class green is found there"),
        ([region("brushlabels", "mask", "sky", rle=[1, 2])], "bits that are cut off"),
        (
            [region("brushlabels", "mask", "sky", rle=[300])],
            r"should be .*range\(0, 256\)|must be in",
        ),
        (
            [region("brushlabels", "mask", "sky", rle=pack_brush(patch(0, 0, 1, 1)[1:]))],
            "bytes inst",
        ),
        ([region("brushlabels", "mask", "sky", rle="x")], "rle should be"),
        ([click(float("nan"), 5)], "x, y should be"),
    ],
)
def test_what_is_wrong_with_a_drawing_is_one_line(
    drawn: Any, reason: str, backend: Backend
) -> None:
    with pytest.raises(Refusal, match=reason) as caught:
        backend.predict(request([task(1, local("a.png"))], drawn=drawn))
    assert "\n" not in str(caught.value)
