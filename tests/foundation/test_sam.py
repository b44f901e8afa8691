"""SAM, SAM 2 and SAM 3's tracker by one interface: tiny random models against transformers' own
way, and a stub that shows where each prompt arrives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from tests.foundation import colour_sam
from tests.foundation.colour_sam import ColourSam, drawn_picture, stub_folder
from tests.foundation.tiny_sams import SAMS, save
from weakseg.foundation import sam as module
from weakseg.foundation.encodings import LIMIT
from weakseg.foundation.sam import Masks, SamEncoder
from weakseg.functional.object_masks import box_masks, clip_masks

ODD = [(61, 97), (97, 61), (128, 128), (33, 250), (1, 1), (1, 9)]
every_kind = pytest.mark.parametrize("kind", SAMS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("models")
    return {kind: save(make, place / kind) for kind, make in SAMS.items()}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LIMIT)
    monkeypatch.setenv("WEAKSEG_CACHE", str(tmp_path / "cache"))


def picture(height: int, width: int) -> Tensor:
    random = torch.Generator().manual_seed(height)
    return torch.randint(0, 256, (3, height, width), generator=random).to(torch.uint8)


# older versions have these beside slower ones, which round otherwise
FAST = "" if hasattr(transformers, "Sam2ImageProcessor") else "Fast"


def processor(kind: str) -> Any:
    size = {"height": 112 if kind == "sam3_tracker" else 128}
    size["width"] = size["height"]
    if kind == "sam":
        kind_of_images = getattr(transformers, f"SamImageProcessor{FAST}")
        of_images = kind_of_images(size={"longest_edge": 128}, pad_size=size)
        return transformers.SamProcessor(of_images)
    if kind == "sam2":
        return transformers.Sam2Processor(
            getattr(transformers, f"Sam2ImageProcessor{FAST}")(size=size), target_size=128
        )
    return transformers.Sam3TrackerProcessor(
        getattr(transformers, f"Sam3ImageProcessor{FAST}")(size=size), target_size=112
    )


@every_kind
@pytest.mark.parametrize("size", ODD, ids=str)
def test_images_are_prepared_as_transformers_does(
    folders: dict[str, Path], kind: str, size: tuple[int, int]
) -> None:
    image = picture(*size)
    # whose guess of where the channels are is wrong for images of one pixel
    expected = processor(kind).image_processor(
        image, return_tensors="pt", input_data_format="channels_first"
    )["pixel_values"][0]
    torch.testing.assert_close(SamEncoder(str(folders[kind])).prepared(image), expected)


BOXES = torch.tensor([[5.0, 3, 50, 40], [20, 10, 97, 61], [0, 0, 30, 61]])
POINTS = torch.tensor([[[30.5, 20.5], [80.5, 50.5]], [[3.5, 60.5], [0, 0]]])
SAYS = torch.tensor([[1, 0], [1, -10]])


@every_kind
@pytest.mark.parametrize("prompt", ["boxes", "points"])
def test_decoding_what_was_kept_is_the_whole_model(
    folders: dict[str, Path], kind: str, prompt: str
) -> None:
    """The same masks as from the picture in one go, by transformers' own pre- and post-processing,
    but for pixels at which half precision may decide."""
    image = picture(61, 97)
    encoder = SamEncoder(str(folders[kind]))
    tools = processor(kind)
    if prompt == "boxes":
        found = encoder.masks_in_boxes(image, BOXES)
        inputs = tools(images=image, input_boxes=[BOXES.tolist()], return_tensors="pt")
    else:
        found = encoder.masks_at_points(image, POINTS, SAYS)
        inputs = tools(
            images=image,
            input_points=[POINTS.tolist()],
            input_labels=[SAYS.tolist()],
            return_tensors="pt",
        )
        # which only says so of points that it has added itself
        inputs["input_labels"] = SAYS[None]
    sizes = [inputs["original_sizes"]]
    if kind == "sam":
        sizes.append(inputs["reshaped_input_sizes"])
        inputs = {
            name: value.float() if value.is_floating_point() else value
            for name, value in inputs.items()
        }
    for name in ("original_sizes", "reshaped_input_sizes"):
        inputs.pop(name, None)
    with torch.no_grad():
        whole: Any = encoder.module(**inputs, multimask_output=prompt == "points")
    (logits,) = tools.image_processor.post_process_masks(whole.pred_masks, *sizes, binarize=False)
    scores, best = whole.iou_scores[0].max(1)
    expected = logits[torch.arange(len(best)), best]
    assert found.scores.tolist() == pytest.approx(scores.tolist(), abs=0.01)
    assert expected.shape == found.masks.shape
    deviation = expected.std()
    sure = expected.abs() > 0.02 * deviation
    assert sure.float().mean() > 0.9
    assert torch.equal(found.masks[sure], (expected > 0)[sure])
    # the test would see if prompts were lost, or images
    assert 0.005 < (expected > 0).float().mean() < 0.995
    assert not torch.equal(found.masks[0], found.masks[1])
    other = encoder.masks_in_boxes(image.flip(2), BOXES).masks
    assert not torch.equal(other, encoder.masks_in_boxes(image, BOXES).masks)


@every_kind
def test_as_many_at_once_as_one_by_one(folders: dict[str, Path], kind: str) -> None:
    encoder = SamEncoder(str(folders[kind]))
    images = [picture(*size) for size in ODD[:3]]
    together = encoder.encode(images)
    for image, arrays in zip(images, together, strict=True):
        (alone,) = encoder.encode([image])
        assert alone.keys() == arrays.keys()
        for name in alone:
            torch.testing.assert_close(
                torch.from_numpy(alone[name]), torch.from_numpy(arrays[name]), rtol=0.01, atol=0.01
            )
        assert {array.dtype.name for array in alone.values()} == {"float16"}
    many = BOXES.repeat(7, 1)
    found = encoder.masks_in_boxes(images[0], many)
    assert found.masks.shape == (21, 61, 97)
    for row, box in enumerate(BOXES):
        alone_masks = encoder.masks_in_boxes(images[0], box[None])
        assert (found.masks[row::3] == alone_masks.masks).float().mean() > 0.99


# where prompts arrive -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sam", "sam2"])
@pytest.mark.parametrize("size", [(61, 97), (120, 45), (75, 75)], ids=str)
def test_a_model_that_answers_with_the_truth(
    tmp_path: Path, kind: str, size: tuple[int, int]
) -> None:
    evidence, _ = drawn_picture(*size, seed=1)
    encoder = ColourSam(str(stub_folder(tmp_path / "model", kind)))
    assert evidence.boxes is not None
    assert evidence.box_classes is not None
    assert evidence.marks is not None
    found = encoder.masks_in_boxes(evidence.image, evidence.boxes)
    assert_near(found, evidence.image, size, evidence.boxes)
    marked = (evidence.marks != 255) & (evidence.marks != 0)
    points = marked.nonzero().flip(1)[:, None] + 0.5
    says = torch.ones(len(points), 1, dtype=torch.int64)
    found = encoder.masks_at_points(evidence.image, points, says, largest=0.7)
    assert found.scores.tolist() == pytest.approx([0.9] * 4)  # neither everything nor nothing
    everywhere = torch.tensor([0.0, 0, size[1], size[0]]).repeat(4, 1)
    assert_near(found, evidence.image, size, everywhere, points[:, 0])


def assert_near(
    found: Masks,
    image: Tensor,
    size: tuple[int, int],
    boxes: Tensor,
    points: Tensor | None = None,
) -> None:
    """Each mask is what has the colour at its prompt, to IoU .97."""
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2 if points is None else points
    inside = box_masks(boxes, *size)
    for mask, middle, box in zip(found.masks, middles, inside, strict=True):
        x, y = middle.long().tolist()
        truth = (image == image[:, y, x][:, None, None]).all(0) & box
        assert (mask & truth).sum() >= 0.97 * (mask | truth).sum()


def test_a_prompt_outside_of_the_image(tmp_path: Path) -> None:
    encoder = ColourSam(str(stub_folder(tmp_path)))
    image = picture(20, 30)
    for box in ([30.0, 0, 40, 10], [-5, 0, 0, 10], [3, 20, 9, 21]):
        with pytest.raises(ValueError, match=r"the box \[.*\] lies outside of the image, which is"):
            encoder.masks_in_boxes(image, torch.tensor([[0.0, 0, 5, 5], box]))
    # what lies in it in part is asked for as far as it does
    found = encoder.masks_in_boxes(image, torch.tensor([[-5.0, -5, 35, 25]]))
    assert found.masks.shape == (1, 20, 30)
    says = torch.ones(1, 1, dtype=torch.int64)
    for point in ([30.5, 3], [3, -1.0]):
        with pytest.raises(ValueError, match=r"the point \[.*\] lies outside of the image"):
            encoder.masks_at_points(image, torch.tensor([[point]]), says)
    # a point that is none may be anywhere
    points = torch.tensor([[[3.5, 3.5], [99, 99]]])
    encoder.masks_at_points(image, points, torch.tensor([[1, -10]]))


def test_no_prompts_ask_nothing(tmp_path: Path) -> None:
    encoder = ColourSam(str(stub_folder(tmp_path)))
    found = encoder.masks_in_boxes(picture(20, 30), torch.zeros(0, 4))
    assert found.masks.shape == (0, 20, 30)
    assert "module" not in vars(encoder)


def test_a_gpu_too_small_for_many_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = ColourSam(str(stub_folder(tmp_path)))
    boxes = torch.tensor([[0.0, 0, 10, 12]]).repeat(9, 1)
    whole = colour_sam.ColourModel.forward
    image = drawn_picture(30, 40, 1)[0].image
    expected = encoder.masks_in_boxes(image, boxes)

    def small(self: Any, *arguments: Any, **more: Any) -> Any:
        if more["input_boxes"].shape[1] > 4:
            raise torch.OutOfMemoryError
        return whole(self, *arguments, **more)

    monkeypatch.setattr(colour_sam.ColourModel, "forward", small)
    with pytest.warns(
        UserWarning, match="not enough memory for 9 prompts at once; going on with 4"
    ):
        found = encoder.masks_in_boxes(image, boxes)
    assert torch.equal(found.masks, expected.masks)


# files --------------------------------------------------------------------------------------------


def test_models_for_videos_hold_one_for_images(folders: dict[str, Path], tmp_path: Path) -> None:
    """As they are on the hub: other names in config.json, and weights of a memory."""
    from safetensors.torch import load_file, save_file

    for kind, other in {"sam2": "sam2_video", "sam3_tracker": "sam3_tracker_video"}.items():
        folder = shutil.copytree(folders[kind], tmp_path / other)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "model_type": other}))
        weights = load_file(folder / "model.safetensors")
        weights["memory_attention.weight"] = torch.zeros(3)
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        image = picture(30, 50)
        found, expected = (
            SamEncoder(str(place)).masks_in_boxes(image, BOXES[:1])
            for place in (folder, folders[kind])
        )
        assert torch.equal(found.masks, expected.masks)


def test_weights_that_do_not_fit(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(folders["sam2"], tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    name = "mask_decoder.conv_s0.weight"
    lacking = {key: value for key, value in weights.items() if key != name}
    save_file(lacking, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=f"lacks weights of a Sam2Model: {name}"):
        _ = SamEncoder(str(folder)).module
    save_file({**weights, name: torch.zeros(1)}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ValueError, match=rf"{name} should be \[4, 32, 1, 1\], but it is \[1\]"
    ) as error:
        _ = SamEncoder(str(folder)).module
    assert "\n" not in str(error.value)
    (folder / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ValueError, match="cannot be read from"):
        _ = SamEncoder(str(folder)).module


def test_a_model_of_another_architecture(tmp_path: Path) -> None:
    encoder = SamEncoder(str(stub_folder(tmp_path, "clip")))
    with pytest.raises(
        ValueError, match=r"should be a SAM model, of type sam or .* but its .* clip"
    ):
        _ = encoder.files


def test_to_make_one_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weakseg.foundation.model_files.find_spec", lambda name: None)
    encoder = SamEncoder()
    with pytest.raises(ValueError, match=r"needs the package transformers: pip install 'weakseg\["):
        _ = encoder.files


def test_masks_end_at_their_boxes() -> None:
    boxes = torch.tensor([[2.0, 2, 8, 8]])
    masks = torch.ones(1, 10, 10, dtype=torch.bool)
    assert F.pad(torch.ones(6, 6), (2, 2, 2, 2)).bool().equal(clip_masks(masks, boxes)[0])


def test_large_images_take_few_prompts_at_once(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = picture(40, 60)
    points = torch.tensor([[[10.0 * number + 5, 20.0]] for number in range(5)])
    says = torch.ones(5, 1, dtype=torch.int64)
    encoder = SamEncoder(str(folders["sam2"]))
    sizes: list[int] = []
    decode = module.in_batches

    def noted(work: Any, items: Any, most: int, what: str) -> Any:
        sizes.append(most)
        return decode(work, items, most, what)

    monkeypatch.setattr(module, "in_batches", noted)
    whole = encoder.masks_at_points(image, points, says)
    monkeypatch.setattr(module, "_MOST_PIXELS", 2 * 3 * 40 * 60)
    few = encoder.masks_at_points(image, points, says)
    monkeypatch.setattr(module, "_MOST_PIXELS", 1)
    encoder.masks_in_boxes(image, torch.tensor([[2.0, 3, 20, 30]]))
    assert sizes == [16, 2, 1]
    assert torch.equal(few.masks, whole.masks)
    torch.testing.assert_close(few.scores, whole.scores)
