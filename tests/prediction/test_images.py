"""predict_images: every file that it writes, of a model whose predictions are known."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.prediction.fakes import CLASSES, ORIGIN, Colours, Objects, labels_of, save_photo, squares
from weakseg.config.recipe import RecipeError
from weakseg.data.formats.images import read_image
from weakseg.data.formats.writing.formats import FORMATS
from weakseg.functional.crf import DenseCRF
from weakseg.inference.multiscale import Inference
from weakseg.prediction import images as module
from weakseg.prediction import worker
from weakseg.prediction.images import Predicted, predict_images
from weakseg.utils.files import voc_palette

Use = Callable[[Colours], Colours]
SIZES = [(16, 24), (9, 40), (1, 1), (33, 8), (16, 24)]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Have every run folder be this model."""

    def use(model: Colours) -> Colours:
        monkeypatch.setattr(module, "load_model", lambda *_, **__: model)
        return model

    return use


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, size in enumerate(SIZES):
        folder = "sub/below" if number % 2 else "."
        save_photo(tmp_path / "photos" / folder / f"{number}.png", *size, seed=number)
    return tmp_path / "photos"


def run(photos: Path, **words: Any) -> Predicted:
    given = {"out": photos.parent / "out", "workers": 2, **words}
    return predict_images("runs/fake", words.pop("images", photos), **given)


def mask(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(path))


def summary(out: Path, suffix: str = "") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / f"summary{suffix}.json").read_text())
    return content


def names(out: Path) -> list[str]:
    return sorted(file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file())


# masks


def test_each_image_gets_its_mask_under_its_own_name(photos: Path, use: Use) -> None:
    use(Colours())
    done = run(photos)
    assert (done.predicted, done.skipped, done.broken) == (5, 0, ())
    masks = [f"{name}.png" for name in ("0", "2", "4", "sub/below/1", "sub/below/3")]
    assert names(done.folder) == [".results.lock", *masks[:3], *masks[3:], "summary.json"]
    for number, size in enumerate(SIZES):
        (file,) = done.folder.rglob(f"{number}.png")
        image = Image.open(file)
        assert image.mode == "P"
        assert image.getpalette() == [value for colour in voc_palette() for value in colour]
        assert (mask(file) == labels_of(squares(*size, seed=number))).all()


def test_the_summary_says_how_it_came_about_and_what_each_image_shows(
    photos: Path, use: Use
) -> None:
    use(Colours(Inference(flip=True)))
    content = summary(run(photos, predict={"flip": True}, batch_size=2).folder)
    assert content["command"] == (
        f"python -m weakseg.predict run=runs/fake images={photos} out={photos.parent / 'out'} "
        "batch_size=2 workers=2 predict.flip=true"
    )
    assert content["model"] == ORIGIN._asdict()
    assert content["classes"] == list(CLASSES)
    assert content["predict"]["flip"] is True
    assert torch.__version__.startswith(content["versions"]["torch"])
    assert (content["predicted"], content["skipped"], content["broken"]) == (5, 0, [])
    assert [image["name"] for image in content["images"]] == [
        "0.png",
        "2.png",
        "4.png",
        "sub/below/1.png",
        "sub/below/3.png",
    ]
    for image in content["images"]:
        seed = int(image["name"][-5])
        labels = labels_of(squares(*SIZES[seed], seed=seed))
        assert (image["height"], image["width"]) == SIZES[seed]
        shares = {
            name: round((labels == label).mean(), 6)
            for label, name in enumerate(CLASSES)
            if (labels == label).any()
        }
        assert image["shares"] == pytest.approx(shares, abs=1e-6)
        # the softmax of 200/16 against 0 and 0
        assert image["confidence"] == pytest.approx(1 / (1 + 2 * np.exp(-200 / 16)), abs=1e-5)
        assert 0 < image["seconds"] < 60


def test_secrets_do_not_stand_in_the_summary(photos: Path, use: Use) -> None:
    use(Colours())
    run(photos, predict={"token": "hunter2hunter2"})
    assert "hunter2" not in (photos.parent / "out" / "summary.json").read_text()
    assert "predict.token=***" in summary(photos.parent / "out")["command"]


EACH_WAY = [
    Inference(),
    Inference(scales=(0.5, 1, 1.5), flip=True),
    Inference(window=8, overlap=0.5),
    Inference(scales=(1, 2), window=16, crf=DenseCRF(iterations=2)),
]


@pytest.mark.parametrize("long_side", [None, 12])
@pytest.mark.parametrize("inference", EACH_WAY, ids=str)
def test_masks_are_the_likeliest_classes_of_the_models_own_prediction(
    photos: Path, use: Use, inference: Inference, long_side: int | None
) -> None:
    model = use(Colours(inference, long_side))
    done = run(photos, probabilities=True)
    for number in range(len(SIZES)):
        (file,) = photos.rglob(f"{number}.png")
        expected = model.probabilities(read_image(file))
        place = file.relative_to(photos)
        best = expected.topk(2, 0).values
        clear = (best[0] - best[1] > 1e-3).numpy()
        assert clear.mean() > 0.5
        assert (mask(done.folder / place) == expected.argmax(0).numpy())[clear].all()
        with np.load((done.folder / "probabilities" / place).with_suffix(".npz")) as kept:
            probs = kept["probabilities"]
        assert probs.dtype == np.float16
        assert np.abs(probs - expected.numpy()).max() < 2e-3


def test_how_sure_each_label_is_and_where_the_images_are(photos: Path, use: Use) -> None:
    model = use(Colours())
    done = run(photos, confidence=True)
    for name, file in {
        "0.png": photos / "0.png",
        "sub/below/1.png": photos / "sub/below/1.png",
    }.items():
        probs = model.probabilities(read_image(file))
        sure = mask(done.folder / "confidence" / name)
        expected = (probs.max(0).values * 255).numpy()
        np.testing.assert_allclose(sure, expected, atol=0.6)
    assert (done.folder / summary(done.folder)["images_folder"]).resolve() == photos.resolve()
    assert run(photos, confidence=True).skipped == len(SIZES)
    (done.folder / "confidence" / "0.png").unlink()
    assert run(photos, confidence=True).predicted == 1


def test_images_are_read_as_data_sets_read_them(tmp_path: Path, use: Use) -> None:
    use(Colours(recipe={"data": {"window": "[0,400]"}}))
    folder = tmp_path / "photos"
    folder.mkdir()
    photo = Image.fromarray(squares(16, 24))
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(folder / "turned.jpg", exif=exif, quality=100, subsampling=0)
    photo.convert("CMYK").save(folder / "cmyk.tif")
    photo.convert("P").save(folder / "palette.gif")
    photo.convert("L").save(folder / "grey.png")
    Image.fromarray((np.arange(384).reshape(16, 24) * 100).astype(np.uint16)).save(
        folder / "deep.png"
    )
    photo.putalpha(128)
    photo.save(folder / "clear.webp", lossless=True)
    (folder / "link.png").symlink_to(folder / "grey.png")
    done = run(folder)
    assert done.predicted == 7
    for image in summary(done.folder)["images"]:
        window = (0.0, 400.0) if image["name"] == "deep.png" else None
        pixels = read_image(folder / image["name"], window=window)
        found = mask(done.folder / f"{image['name'].partition('.')[0]}.png")
        assert (found == pixels.max(0).indices.numpy()).all()
    assert mask(done.folder / "turned.png").shape == (24, 16)


# further files


def test_overlays_are_pictures_of_the_images(photos: Path, use: Use, tmp_path: Path) -> None:
    use(Colours())
    save_photo(photos / "wide.png", 3, 2500)
    done = run(photos, overlay=True)
    drawn = sorted((done.folder / "overlays").rglob("*.jpg"))
    assert [file.relative_to(done.folder / "overlays").as_posix() for file in drawn] == [
        *("0.jpg", "2.jpg", "4.jpg", "sub/below/1.jpg", "sub/below/3.jpg", "wide.jpg")
    ]
    assert Image.open(drawn[-1]).size == (2048, 2)
    green = labels_of(squares(16, 24)) == 1
    pixels = np.asarray(Image.open(drawn[0]).resize((24, 16))).astype(int)
    assert (pixels[green][:, 0] > pixels[green][:, 1]).all()  # class 1 is red in VOC's colours


def test_coco_has_all_masks_and_the_objects_with_their_scores(photos: Path, use: Use) -> None:
    from weakseg.data.formats.runs import Runs, from_coco_string

    use(Objects())
    done = run(photos, format="coco")
    assert done.files == (done.folder / "coco.json",)
    content = json.loads(done.files[0].read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    files = {image["id"]: image["file_name"] for image in content["images"]}
    category = {each["id"]: each["name"] for each in content["categories"]}
    assert len(content["annotations"]) > 5
    for each in content["annotations"]:
        height, width = sizes[each["image_id"]]
        counts = from_coco_string(each["segmentation"]["counts"])
        pixels = Runs(counts, 0, 0, width, height, by_columns=True).unpack()
        label = CLASSES.index(category[each["category_id"]])
        found = mask((done.folder / files[each["image_id"]]).with_suffix(".png"))
        assert (pixels == (found == label)).all()
        assert each["score"] == {1: 0.75, 2: 0.5}[label]
    assert {image.get("objects") for image in summary(done.folder)["images"]} <= {0, 1, 2}
    # a second call predicts nothing and has the same file
    first = done.files[0].read_bytes()
    assert run(photos, format="coco").predicted == 0
    assert done.files[0].read_bytes() == first


@pytest.mark.parametrize("format", [each for each in FORMATS if each != "png"])
def test_a_name_that_the_format_cannot_hold_is_found_before_anything_is_predicted(
    format: str, photos: Path, use: Use
) -> None:
    model = use(Colours())
    save_photo(photos / "new\nline.png")
    with pytest.raises(ValueError, match=r"control characters.*'new\\nline.png'; rename"):
        run(photos, format=format)
    assert model.seen == []
    assert not (photos.parent / "out").exists()
    assert run(photos).broken == ()  # a mask may have any name


def test_what_is_wanted_in_addition_later_is_made_then(photos: Path, use: Use) -> None:
    use(Colours())
    run(photos)
    again = run(photos, overlay=True)
    assert (again.predicted, again.skipped) == (5, 0)
    assert (run(photos).predicted, run(photos, overlay=True).predicted) == (0, 0)


# what is there already


def test_results_that_are_there_stay_unless_they_are_to_be_overwritten(
    photos: Path, use: Use
) -> None:
    model = use(Colours())
    before = summary(run(photos).folder)["images"]
    seen = len(model.seen)
    save_photo(photos / "new.png")
    again = run(photos)
    assert (again.predicted, again.skipped, len(model.seen) - seen) == (1, 5, 1)
    after = {image["name"]: image for image in summary(again.folder)["images"]}
    assert [after[image["name"]] for image in before] == before
    assert len(after) == 6
    assert run(photos, overwrite=True).predicted == 6


def test_masks_of_another_network_are_not_taken_for_those_of_this_one(
    photos: Path, use: Use
) -> None:
    use(Colours())
    run(photos)
    use(Colours(origin=ORIGIN._replace(sha256="2" * 64)))
    with pytest.raises(ValueError, match=r"made in another way, says summary\.json: model is 111"):
        run(photos)
    use(Colours(Inference(flip=True)))
    with pytest.raises(ValueError, match=r"predict\.flip is false there and true now"):
        run(photos)
    assert run(photos, overwrite=True).predicted == 5


def test_nothing_of_an_earlier_call_stays_beside_what_overwrites_it(photos: Path, use: Use) -> None:
    use(Colours())
    run(photos, overlay=True, probabilities=True, confidence=True)
    (photos / "0.png").write_bytes(b"no image")
    done = run(photos, overwrite=True, overlay=True)
    out = photos.parent / "out"
    assert [each.name for each in done.broken] == ["0.png"]
    assert not (out / "0.png").exists()
    assert not list(out.rglob("*.npz"))
    assert not list((out / "confidence").rglob("*.png"))
    left = sorted(file.relative_to(out / "overlays").as_posix() for file in out.rglob("*.jpg"))
    assert left == ["2.jpg", "4.jpg", "sub/below/1.jpg", "sub/below/3.jpg"]


def test_the_parts_together_are_all_images(photos: Path, use: Use) -> None:
    use(Colours())
    done = [run(photos, parts=3, part=part, format="coco") for part in (1, 2, 3)]
    assert sum(each.predicted for each in done) == 5
    assert len(list(photos.parent.joinpath("out").rglob("?.png"))) == 5
    assert done[1].files == (done[1].folder / "coco-2-of-3.json",)
    assert len(summary(done[0].folder, "-1-of-3")["images"]) == 2


# what goes wrong


def test_a_broken_image_is_named_and_does_not_stop_the_others(photos: Path, use: Use) -> None:
    use(Colours())
    whole = save_photo(photos / "cut.jpg", 64, 64).read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "text.bmp").write_text("no image")
    (photos / "gone.png").symlink_to(photos / "nowhere.png")
    done = run(photos)
    assert done.predicted == 5
    assert [each.name for each in done.broken] == ["cut.jpg", "empty.jpg", "gone.png", "text.bmp"]
    reasons = {each["name"]: each["reason"] for each in summary(done.folder)["broken"]}
    assert "damaged or cut off" in reasons["cut.jpg"]
    assert reasons["gone.png"] == "the image should be there, but it is missing"
    save_photo(photos / "cut.jpg")
    again = run(photos)
    assert (again.predicted, again.skipped, len(again.broken)) == (1, 5, 3)


class Moody(Colours):
    """One that fails on images that are all green."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error = error

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        logits = super().logits(images)
        bad = (images[:, 1] == 200).flatten(1).all(1)
        if bad.any() and self.error is not None:
            raise self.error
        return torch.where(bad[:, None, None, None], torch.nan, logits)


FAILURES = [
    (None, "its prediction is not finite: the network has diverged"),
    (MemoryError(), "too little memory for 24 by 16 pixels; try predict.window=513"),
    (
        RuntimeError("can't allocate memory: you tried to allocate 9 bytes"),
        "too little memory for 24 by 16 pixels; try predict.window=513",
    ),
    (ValueError("too green"), "the network fails on 24 by 16 pixels: too green"),
]


@pytest.mark.parametrize(("error", "reason"), FAILURES, ids=str)
def test_an_image_on_which_the_network_fails_is_broken_and_no_other_of_its_batch(
    tmp_path: Path, use: Use, error: Exception | None, reason: str
) -> None:
    use(Moody(error))
    for number in range(4):
        save_photo(tmp_path / "photos" / f"{number}.png", 16, 24, seed=number)
    green = np.zeros((16, 24, 3), np.uint8)
    green[..., 1] = 200
    Image.fromarray(green).save(tmp_path / "photos" / "green.png")
    done = run(tmp_path / "photos")
    assert done.broken == (("green.png", reason),)
    assert done.predicted == 4
    assert not (done.folder / "green.png").exists()


def test_an_image_that_cannot_fit_into_memory_is_not_begun(
    photos: Path, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    from weakseg.prediction import work

    model = use(Colours())
    # three classes of 384 pixels twice are 9,216 bytes
    monkeypatch.setattr(work, "LARGE", 1)
    monkeypatch.setattr(work, "free", lambda device: 9_000)
    done = run(photos)
    reason = "too little memory for 24 by 16 pixels; try predict.window=513"
    assert done.broken == (("0.png", reason), ("4.png", reason))
    assert not [shape for shape in model.seen if shape[2:] == (16, 24)]
    monkeypatch.setattr(work, "free", lambda device: 9_216)  # not both at once, but one by one
    assert run(photos).predicted == 2
    monkeypatch.setattr(work, "free", lambda device: None)
    assert run(photos, overwrite=True).predicted == 5


def test_a_full_disk_ends_the_call_and_nothing_is_lost(
    photos: Path, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Colours())
    real = os.fsync
    written: list[int] = []

    def full(file: int) -> None:
        written.append(file)
        if len(written) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*out"):
        run(photos, workers=1)
    monkeypatch.undo()
    use(Colours())
    again = run(photos)
    assert (again.skipped, again.predicted) == (2, 3)
    assert len(summary(again.folder)["images"]) == 5


def test_files_that_could_not_be_written_are_refused_before_anything_is_predicted(
    photos: Path, use: Use
) -> None:
    model = use(Colours())
    save_photo(photos / "confidence" / "0.png")
    with pytest.raises(RecipeError, match=r"confidence/0\.png would lie among the files"):
        run(photos, confidence=True)
    model.classes = ("red", "ignored", "blue")
    with pytest.raises(RecipeError, match="format: no class should be called 'ignored'"):
        run(photos, format="coco")
    assert model.seen == []
    assert run(photos).predicted == 6


def test_a_format_that_fails_leaves_masks_and_summary(
    photos: Path, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Colours())

    def fail(*_: Any, **__: Any) -> list[Path]:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "write_labels", fail)
    with pytest.raises(OSError, match="No space left"):
        run(photos, format="coco")
    monkeypatch.undo()
    use(Colours())
    assert len(summary(photos.parent / "out")["images"]) == 5
    (photos.parent / "out" / "0.png").unlink()
    (photos / "0.png").write_bytes(b"now broken")
    done = run(photos, format="coco")
    assert (done.predicted, done.skipped, len(done.broken)) == (0, 4, 1)
    assert len(json.loads(done.files[0].read_text())["images"]) == 4


WRONG = [
    ({"out": "photos/masks"}, "photos/masks lies inside of photos, where the images are"),
    ({"out": "."}, "would lie inside of ., among the results"),
    ({"parts": 2, "part": 3}, "part should lie from 1 to 2, the number of parts, but it is 3"),
    ({"images": "photo"}, "images: there is no photo; did you mean photos?"),
    ({"images": "photos/*.jpg"}, "images: there is no image that matches photos/*.jpg"),
    ({"images": "empty"}, "images: there is no image in empty, that is, no file that ends in"),
    ({"images": "twice"}, "the results of a.bmp and a.png would have the same name"),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=str)
def test_words_that_cannot_be_right_are_refused_before_anything_is_loaded(
    photos: Path, monkeypatch: pytest.MonkeyPatch, words: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(photos.parent)
    Path("empty").mkdir()
    save_photo(Path("twice/a.png"))
    save_photo(Path("twice/a.bmp"))
    with pytest.raises(RecipeError) as caught:
        predict_images("nowhere", **{"images": "photos", "out": "out", **words})
    assert message in str(caught.value)
    assert not Path("out").exists()


# batches


def test_images_of_one_size_are_predicted_together(photos: Path, use: Use) -> None:
    model = use(Colours())
    for number in range(7):
        save_photo(photos / f"more{number}.png", 16, 24, seed=number)
    run(photos, batch_size=4)
    assert sorted(model.seen) == sorted(
        [(4, 3, 16, 24), (4, 3, 16, 24), (1, 3, 16, 24), (1, 3, 1, 1), (1, 3, 9, 40), (1, 3, 33, 8)]
    )


def test_large_images_make_small_batches(
    photos: Path, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = use(Colours())
    monkeypatch.setattr(worker, "PIXELS", 16 * 12)
    for number in range(3):
        save_photo(photos / f"more{number}.png", 16, 24, seed=number)
    run(photos, batch_size=4)
    assert sorted(shape[0] for shape in model.seen if shape[2:] == (16, 24)) == [1, 2, 2]


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_the_network_computes_in_the_wanted_precision(
    photos: Path, use: Use, precision: str
) -> None:
    seen: list[torch.dtype] = []

    class Looking(Colours):
        def logits(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(torch.nn.functional.conv2d(images.float(), torch.ones(1, 3, 1, 1)).dtype)
            return super().logits(images)

    use(Looking())
    assert run(photos, precision=precision).predicted == 5
    assert set(seen) == {torch.bfloat16 if precision == "bfloat16" else torch.float32}
