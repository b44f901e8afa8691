"""The function for CVAT's automatic annotation, by the types of CVAT's own package."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.prediction.fakes import CLASSES, Colours, Objects, labels_of, squares
from weakseg.data.formats.painting import fill
from weakseg.prediction import cvat as module
from weakseg.prediction.cvat import NetworkFunction

cvat = pytest.importorskip("cvat_sdk.auto_annotation", reason="cvat-sdk[masks] is an extra")
masks = pytest.importorskip("cvat_sdk.masks")
models = pytest.importorskip("cvat_sdk.models")

HEIGHT, WIDTH = 20, 33


class Context(cvat.DetectionFunctionContext):  # type: ignore[misc, name-defined]
    """What CVAT says of an image."""

    frame_name = "a.jpg"

    def __init__(self, conf_threshold: float | None = None, conv_mask_to_poly: bool = False):
        self.given = (conf_threshold, conv_mask_to_poly)

    @property
    def conf_threshold(self) -> float | None:
        return self.given[0]

    @property
    def conv_mask_to_poly(self) -> bool:
        return self.given[1]


def function(model: Colours) -> Any:
    return NetworkFunction(model)


def decoded(shape: Any) -> np.ndarray:
    found: np.ndarray = masks.decode_mask(shape.points, image_width=WIDTH, image_height=HEIGHT)
    return found


def test_its_labels_are_the_classes_apart_from_the_background() -> None:
    spec = function(Colours()).spec
    assert isinstance(spec, cvat.DetectionFunctionSpec)
    assert [(label.name, label.id, label.type) for label in spec.labels] == [
        ("green", 1, "mask"),
        ("blue", 2, "mask"),
    ]


def test_each_class_is_a_mask_of_its_pixels() -> None:
    pixels = squares(HEIGHT, WIDTH)
    shapes = function(Colours()).detect(Context(), Image.fromarray(pixels))
    assert all(isinstance(shape, models.LabeledShapeRequest) for shape in shapes)
    assert [(shape.type.value, shape.label_id, shape.frame) for shape in shapes] == [
        ("mask", 1, 0),
        ("mask", 2, 0),
    ]
    for shape in shapes:
        np.testing.assert_array_equal(decoded(shape), labels_of(pixels) == shape.label_id)


def test_where_cvat_wants_polygons_they_cover_the_same_pixels() -> None:
    pixels = squares(HEIGHT, WIDTH)
    shapes = function(Colours()).detect(Context(None, True), Image.fromarray(pixels))
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    for shape in shapes:
        assert shape.type.value == "polygon"
        ring = np.array(shape.points).reshape(-1, 2)
        patch = fill([ring], WIDTH, HEIGHT)
        found[patch.rows, patch.columns][patch.covered] = shape.label_id
    np.testing.assert_array_equal(found, labels_of(pixels))


def test_pixels_that_are_not_sure_enough_are_left_out() -> None:
    pixels = squares(HEIGHT, WIDTH)
    pixels[:, :16] //= 16  # so that no class stands out there
    sure = np.zeros((HEIGHT, WIDTH), bool)
    sure[:, 16:] = True
    shapes = function(Colours()).detect(Context(0.9), Image.fromarray(pixels))
    for shape in shapes:
        expected = (labels_of(pixels) == shape.label_id) & sure
        np.testing.assert_array_equal(decoded(shape), expected)
    assert len(shapes) == 2


def test_an_instance_network_gives_its_objects_that_are_sure_enough() -> None:
    pixels = squares(HEIGHT, WIDTH)
    for threshold, labels in ((None, [2, 1]), (0.6, [1]), (0.9, [])):
        shapes = function(Objects()).detect(Context(threshold), Image.fromarray(pixels))
        assert [shape.label_id for shape in shapes] == labels  # the surest on top
        for shape in shapes:
            np.testing.assert_array_equal(decoded(shape), labels_of(pixels) == shape.label_id)


def test_an_image_without_objects_has_no_shape() -> None:
    red = Image.new("RGB", (WIDTH, HEIGHT), (200, 0, 0))
    assert function(Colours()).detect(Context(), red) == []


def test_an_image_is_turned_upright_as_cvat_shows_it() -> None:
    pixels = squares(HEIGHT, WIDTH)
    turned = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6  # turn it by 90 degrees clockwise to show it
    shapes = function(Colours()).detect(Context(), turned)
    assert len(shapes) == 2
    for shape in shapes:
        np.testing.assert_array_equal(decoded(shape), labels_of(pixels) == shape.label_id)


def test_cvat_cli_makes_it_from_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def load(run: str, checkpoint: str, *, device: str) -> Colours:
        seen.extend([run, checkpoint, device])
        return Colours()

    monkeypatch.setattr(module, "load_model", load)
    made = module.create(run="runs/boxes/latest")
    assert made.model.classes == CLASSES
    assert seen == ["runs/boxes/latest", "best", "auto"]


def test_cvat_clis_own_loader_takes_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    common = pytest.importorskip("cvat_cli._internal.common", reason="cvat-cli is no dependency")
    monkeypatch.setattr(module, "load_model", lambda *_, **__: Colours())
    loader = common.FunctionLoader("weakseg.prediction.cvat", None, {"run": "runs/boxes/latest"})
    assert isinstance(loader.load(), module.NetworkFunction)


def test_without_cvats_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cvat_sdk.auto_annotation", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "weakseg\[cvat\]"'):
        function(Colours())
