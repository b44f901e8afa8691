"""The function for CVAT's automatic annotation, by the types of CVAT's own package."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.integrations.fakes_of_cvat import Task, annotate
from tests.prediction.fakes import CLASSES, Colours, Objects, labels_of, squares
from weakseg.data.formats.painting import fill
from weakseg.integrations import cvat as module
from weakseg.integrations.cvat import NetworkFunction

cvat = pytest.importorskip("cvat_sdk.auto_annotation", reason="cvat-sdk[masks] is an extra")
masks = pytest.importorskip("cvat_sdk.masks")
models = pytest.importorskip("cvat_sdk.models")

HEIGHT, WIDTH = 20, 33
PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "annotation-tools.md").read_text()


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


def test_objects_have_their_scores_and_classes_have_none() -> None:
    image = Image.fromarray(squares(HEIGHT, WIDTH))
    assert [shape.score for shape in function(Objects()).detect(Context(), image)] == [0.5, 0.75]
    assert not any(
        hasattr(shape, "score") for shape in function(Colours()).detect(Context(), image)
    )


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


def test_cvats_driver_uploads_the_masks_with_the_numbers_of_the_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = Task([("blue", "mask"), ("green", "any"), ("dog", "any")], [0, 3], (HEIGHT, WIDTH))
    shapes = annotate(task, function(Colours()), monkeypatch)
    assert [(shape.frame, shape.label_id) for shape in shapes] == [
        (0, 101),
        (0, 100),
        (3, 101),
        (3, 100),
    ]
    assert {shape.source for shape in shapes} == {"auto"}
    for shape in shapes:
        label = {101: 1, 100: 2}[shape.label_id]
        expected = labels_of(task.pixels[shape.frame]) == label
        np.testing.assert_array_equal(decoded(shape), expected)


def test_cvats_driver_gets_polygons_where_it_converts_masks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = Task([("green", "polygon"), ("blue", "any")], [0], (HEIGHT, WIDTH))
    shapes = annotate(task, function(Colours()), monkeypatch, conv_mask_to_poly=True)
    assert {shape.type.value for shape in shapes} == {"polygon"}


def test_cvats_driver_hands_the_threshold_on(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task([("green", "any"), ("blue", "any")], [0], (HEIGHT, WIDTH))
    assert annotate(task, function(Objects()), monkeypatch, conf_threshold=0.9) == []


def test_cvats_driver_names_a_class_that_the_task_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task([("green", "any")], [0], (HEIGHT, WIDTH))
    with pytest.raises(cvat.BadFunctionError, match="label 'blue' is not in dataset"):
        annotate(task, function(Colours()), monkeypatch)
    shapes = annotate(task, function(Colours()), monkeypatch, allow_unmatched_labels=True)
    assert [shape.label_id for shape in shapes] == [100]


def test_a_network_that_has_diverged_is_named_with_the_image() -> None:
    class Diverged(Colours):
        def logits(self, images: Any) -> Any:
            return super().logits(images) * float("nan")

    with pytest.raises(ValueError, match=r"image a\.jpg: its prediction is not finite"):
        function(Diverged()).detect(Context(), Image.fromarray(squares(HEIGHT, WIDTH)))


def test_cvat_cli_makes_it_from_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def load(run: str, checkpoint: str, *, device: str) -> Colours:
        seen.extend([run, checkpoint, device])
        return Colours()

    monkeypatch.setattr(module, "load_model", load)
    made = module.create(run="runs/boxes/latest")
    assert made.model.classes == CLASSES
    assert seen == ["runs/boxes/latest", "best", "auto"]


def test_the_command_of_the_page_is_one_that_cvat_cli_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own parser, its own loader and its own driver; a server is what is missing."""
    all_commands = pytest.importorskip("cvat_cli._internal.commands_all", reason="no dependency")
    common = pytest.importorskip("cvat_cli._internal.common")
    [command] = re.findall(r"cvat-cli (task auto-annotate .*?)\n```", PAGE, re.DOTALL)
    parser = argparse.ArgumentParser()
    common.configure_common_arguments(parser)
    all_commands.COMMANDS.configure_parser(parser)
    given = parser.parse_args(shlex.split(command.replace("\\\n", " ")))
    assert given.function_parameters == {"run": "runs/boxes/latest"}
    monkeypatch.setattr(module, "load_model", lambda *_, **__: Colours())
    loader = common.FunctionLoader(given.function_module, None, given.function_parameters)
    task = Task([("green", "any"), ("dog", "any")], [0], (HEIGHT, WIDTH))
    shapes = annotate(
        task,
        loader.load(),
        monkeypatch,
        conf_threshold=given.conf_threshold,
        allow_unmatched_labels=given.allow_unmatched_labels,
    )
    assert [shape.label_id for shape in shapes] == [100]


def test_without_cvats_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cvat_sdk.auto_annotation", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "weakseg\[cvat\]"'):
        function(Colours())
