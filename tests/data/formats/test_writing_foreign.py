"""Labels written in every format are the same pixels for the programs that the formats belong to.

Each test is skipped where the package that reads is missing: pycocotools comes with weakseg[check],
label-studio-sdk, cvat-sdk[masks], datumaro and fiftyone are no dependency of weakseg.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree.ElementTree import parse

import numpy as np
import pytest

from tests.data.written import CLASSES, ODD_CLASSES, photos, random_labels, varied
from weakseg.data.formats.brush import unpack_brush
from weakseg.data.formats.writing.brush import pack_brush
from weakseg.data.formats.writing.formats import write_labels
from weakseg.data.formats.writing.labels import IGNORED, LabelledImage, regions_of

Masks = Iterator[tuple[str, np.ndarray]]  # by the name of a class, the lowest first


def written(format: str, out: Path, classes: Sequence[str] = ODD_CLASSES) -> list[LabelledImage]:
    images = varied(classes)
    write_labels(format, iter(images), classes, out, images_in=out / "photos")
    return images


def painted(
    size: tuple[int, int], masks: Masks, classes: Sequence[str] = ODD_CLASSES
) -> np.ndarray:
    labels = np.zeros(size, np.uint8)
    for name, mask in masks:
        assert mask.shape == size
        labels[mask.astype(bool)] = 255 if name == IGNORED else list(classes).index(name)
    return labels


@pytest.mark.parametrize("format", ["coco", "coco_polygons"])
def test_pycocotools_decodes_the_same_pixels(format: str, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    tools = pytest.importorskip("pycocotools.mask")
    images = written(format, tmp_path)
    found = coco.COCO(str(tmp_path / f"{format}.json"))
    names = {number: category["name"] for number, category in found.cats.items()}
    by_name = {about["file_name"]: about for about in found.imgs.values()}
    assert by_name.keys() == {image.name for image in images}
    for image in images:
        about = by_name[image.name]
        assert (about["height"], about["width"]) == image.size
        objects = found.loadAnns(found.getAnnIds(about["id"]))
        masks = [found.annToMask(one) for one in objects]
        for one, mask in zip(objects, masks, strict=True):
            assert one["area"] == mask.sum()
            assert one["bbox"] == tools.toBbox(found.annToRLE(one)).tolist()
            runs = format == "coco" or one["iscrowd"]
            assert isinstance(one["segmentation"], dict if runs else list)
            assert one["iscrowd"] == (names[one["category_id"]] == IGNORED)
        layers = zip((names[one["category_id"]] for one in objects), masks, strict=True)
        np.testing.assert_array_equal(painted(image.size, layers), image.labels)


def test_label_studios_own_decoder_finds_the_same_pixels(tmp_path: Path) -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    images = written("label_studio", tmp_path)
    tasks = json.loads((tmp_path / "label_studio.json").read_text())
    for image, task in zip(images, tasks, strict=True):
        (prediction,) = task["predictions"]
        assert prediction.get("score") == image.score
        assert parse_qs(urlsplit(task["data"]["image"]).query)["d"] == [f"photos/{image.name}"]
        layers = (
            (
                result["value"]["brushlabels"][0],
                brush.decode_rle(result["value"]["rle"]).reshape(*image.size, 4)[..., 3] > 0,
            )
            for result in prediction["result"]
        )
        np.testing.assert_array_equal(painted(image.size, layers), image.labels)


def test_label_studio_takes_the_predictions_for_the_interface_beside_them(tmp_path: Path) -> None:
    interfaces = pytest.importorskip("label_studio_sdk.label_interface")
    written("label_studio", tmp_path)
    interface = interfaces.LabelInterface((tmp_path / "label_studio.xml").read_text())
    interface.validate()
    labels = interface.get_control("tag").labels
    assert list(labels) == [*ODD_CLASSES[1:], IGNORED]
    for task in json.loads((tmp_path / "label_studio.json").read_text()):
        assert interface.validate_task({"data": task["data"]})
        for prediction in task["predictions"]:
            assert interface.validate_prediction(prediction, return_errors=True) == []


@pytest.mark.parametrize("seed", range(4))
def test_masks_that_label_studio_packs_are_unpacked(seed: int) -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    rng = np.random.default_rng(seed)
    mask = random_labels(2, *rng.integers(1, 200, 2).tolist(), rng, ignored=0) == 1
    height, width = mask.shape
    stream = np.array(brush.mask2rle(mask.astype(np.uint8) * 255), np.uint8)
    np.testing.assert_array_equal(unpack_brush(stream, width, height).unpack(), mask)
    # the same packets as its own, but for how many zeros fill the last byte
    ours = np.array(pack_brush(mask), np.uint8)
    np.testing.assert_array_equal(ours, stream[: len(ours)])
    assert not stream[len(ours) :].any()


def test_cvats_own_functions_find_the_same_pixels(tmp_path: Path) -> None:
    tools = pytest.importorskip("cvat_sdk.masks")
    images = written("cvat", tmp_path)
    elements = parse(tmp_path / "cvat.xml").getroot().findall("image")
    for image, element in zip(images, elements, strict=True):
        height, width = image.size
        assert element.attrib["name"] == image.name
        layers = []
        for mask in element.findall("mask"):
            # as CVAT's importer makes the points of a shape from these attributes
            left, top, across, down = (
                int(mask.attrib[key]) for key in ("left", "top", "width", "height")
            )
            points = [*map(int, mask.attrib["rle"].split(",")), left, top]
            points += [left + across - 1, top + down - 1]
            decoded = tools.decode_mask(points, image_width=width, image_height=height)
            assert tools.encode_mask(decoded) == points
            layers.append((int(mask.attrib["z_order"]), mask.attrib["label"], decoded))
        layers.sort(key=lambda layer: layer[0])
        found = painted(image.size, (layer[1:] for layer in layers))
        np.testing.assert_array_equal(found, image.labels)


def test_a_cvat_task_is_made_with_the_labels_beside_the_file(tmp_path: Path) -> None:
    models = pytest.importorskip("cvat_sdk.models")
    written("cvat", tmp_path)
    labels = json.loads((tmp_path / "cvat_labels.json").read_text())
    made = [models.PatchedLabelRequest(**label) for label in labels]
    assert [label.name for label in made] == [*ODD_CLASSES[1:], IGNORED]


def placed_for_datumaro(format: str, out: Path, images: list[LabelledImage]) -> Path:
    """The files where Datumaro expects them; some of its readers want the images, too."""
    home = out / "home"
    match format:
        case "coco" | "coco_polygons":
            photos(home / "images", images)
            (home / "annotations").mkdir()
            shutil.copy(out / f"{format}.json", home / "annotations" / "instances_default.json")
        case "cvat":
            photos(home / "images", images)
            shutil.copy(out / "cvat.xml", home / "annotations.xml")
        case "cvat_masks":
            with zipfile.ZipFile(out / "cvat_masks.zip") as archive:
                archive.extractall(home)
        case _:
            return out / format
    return home


@pytest.mark.parametrize(
    ("format", "reader"),
    [
        ("coco", "coco"),
        ("coco_polygons", "coco"),
        ("cvat", "cvat"),
        # CVAT's own importer of "Segmentation mask 1.1" calls this one
        ("cvat_masks", "voc_segmentation"),
        ("datumaro", "datumaro"),
        ("voc", "voc_segmentation"),
    ],
)
def test_datumaro_reads_the_same_pixels(format: str, reader: str, tmp_path: Path) -> None:
    datumaro = pytest.importorskip("datumaro")
    images = written(format, tmp_path)
    home = placed_for_datumaro(format, tmp_path, images)
    found = datumaro.Dataset.import_from(str(home), reader)
    if format == "coco_polygons":
        found.transform("polygons_to_masks")
    kinds = datumaro.components.annotation.AnnotationType
    names = [label.name for label in found.categories()[kinds.label]]
    items = {item.id: item for item in found}
    assert items.keys() == {image.name.rpartition(".")[0] for image in images}
    for image in images:
        item = items[image.name.rpartition(".")[0]]
        annotations = sorted(item.annotations, key=lambda one: one.z_order)
        layers = ((names[one.label], one.image) for one in annotations if one.type == kinds.mask)
        np.testing.assert_array_equal(painted(image.size, layers), image.labels)


def test_what_datumaro_exports_comes_back(tmp_path: Path) -> None:
    """Datumaro reads our file and writes its own."""
    datumaro: Any = pytest.importorskip("datumaro")
    from tests.data.written import reader

    images = written("datumaro", tmp_path, CLASSES)
    found = datumaro.Dataset.import_from(str(tmp_path / "datumaro"), "datumaro")
    found.export(str(tmp_path / "again" / "datumaro"), "datumaro")
    data = reader("datumaro", tmp_path / "again", photos(tmp_path / "photos", images), CLASSES)
    for number, entry in enumerate(data.entries):
        truth = data.sample(number)[1]
        assert truth is not None
        (image,) = (image for image in images if image.name == entry.id)
        np.testing.assert_array_equal(truth.numpy(), image.labels)


def test_regions_are_what_cvat_sdk_would_encode() -> None:
    tools = pytest.importorskip("cvat_sdk.masks")
    for image in varied(CLASSES):
        for region in regions_of(image, CLASSES):
            runs = region.runs
            corners = [runs.left, runs.top, runs.left + runs.width - 1, runs.top + runs.height - 1]
            encoded = tools.encode_mask(region.on(*image.size))
            assert [*runs.counts.tolist(), *corners] == encoded


@pytest.mark.parametrize("format", ["coco", "coco_polygons"])
def test_fiftyone_reads_the_same_pixels(format: str, tmp_path: Path) -> None:
    """By the importer behind its `Dataset.from_dir`, which alone needs a data base."""
    fiftyone = pytest.importorskip("fiftyone.utils.coco")
    images = {str(tmp_path / "photos" / image.name): image for image in written(format, tmp_path)}
    photos(tmp_path / "photos", list(images.values()))
    importer = fiftyone.COCODetectionDatasetImporter(
        data_path=str(tmp_path / "photos"),
        labels_path=str(tmp_path / f"{format}.json"),
        label_types=["segmentations"],
    )
    importer.setup()
    found = {path: label for path, _, label in importer}
    assert found.keys() == images.keys()
    for path, image in images.items():
        objects = [] if found[path] is None else found[path].detections
        layers = ((one.label, placed(one, image.size)) for one in objects)
        np.testing.assert_array_equal(painted(image.size, layers), image.labels)


def placed(found: Any, size: tuple[int, int]) -> np.ndarray:
    """A mask of FiftyOne, which is in a box of shares, in the whole image."""
    height, width = size
    left = round(found.bounding_box[0] * width)
    top = round(found.bounding_box[1] * height)
    whole = np.zeros(size, bool)
    whole[top : top + found.mask.shape[0], left : left + found.mask.shape[1]] = found.mask
    return whole
