import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from weakseg.evidence import IGNORE, Evidence
from weakseg.reporting.drawing import (
    Case,
    draw_errors,
    draw_evidence,
    magnify,
    overlay,
    palette,
    picture_address,
    side_by_side,
)

GREY = torch.full((3, 300, 320), 100, dtype=torch.uint8)


def colour_at(picture: Tensor, row: int, column: int) -> list[int]:
    return picture[:, row, column].tolist()


def test_the_palette_is_that_of_pascal_voc() -> None:
    # from the colour map of the VOC development kit: background, aeroplane, ..., cat, potted plant,
    # tv monitor, and the rim
    colours = palette(256).tolist()
    assert colours[0] == [0, 0, 0]
    assert colours[1] == [128, 0, 0]
    assert colours[8] == [64, 0, 0]
    assert colours[16] == [0, 64, 0]
    assert colours[20] == [0, 64, 128]
    assert colours[255] == [224, 224, 192]
    assert len({tuple(colour) for colour in colours}) == 256


def test_small_images_are_enlarged_by_whole_numbers_and_without_blurring() -> None:
    image = torch.randint(0, 256, (3, 96, 60), dtype=torch.uint8)
    large = magnify(image)
    assert large.shape == (3, 288, 180)
    assert torch.equal(large[:, 1::3, 2::3], image)
    assert torch.equal(
        large, torch.from_numpy(np.kron(image.numpy(), np.ones((1, 3, 3), np.uint8)))
    )
    assert magnify(GREY) is not None
    assert torch.equal(magnify(GREY), GREY)


def test_overlay_blends_outlines_and_hatches() -> None:
    labels = torch.zeros(300, 320, dtype=torch.uint8)
    labels[50:100, 50:100] = 1
    labels[200:] = IGNORE
    drawn = overlay(GREY, labels, opacity=0.5)
    assert colour_at(drawn, 10, 10) == [50, 50, 50]  # half grey, half black
    assert colour_at(drawn, 75, 75) == [114, 50, 50]  # half grey, half dark red
    # its outline
    assert (
        colour_at(drawn, 50, 75)
        == colour_at(drawn, 99, 75)
        == colour_at(drawn, 75, 50)
        == [128, 0, 0]
    )
    silent = drawn[:, 201:]
    assert set(silent.unique().tolist()) == {100, 201}  # the image itself, and bright stripes
    assert torch.equal(overlay(GREY, labels, opacity=0.0)[:, 75, 75], GREY[:, 75, 75])


def test_colours_of_classes_do_not_mix_with_those_of_the_image() -> None:
    """Red through which a green meadow shines is no olive, which is another class."""
    green = torch.zeros(3, 300, 300, dtype=torch.uint8)
    green[1] = 200
    labels = torch.zeros(300, 300, dtype=torch.uint8)
    labels[50:100, 50:100] = 1
    red, around, outside = (colour_at(overlay(green, labels), row, 75) for row in (75, 49, 10))
    assert red[1] == red[2] < red[0]
    assert around == [255, 255, 255]  # a light casing outside of the outline
    assert outside[0] == outside[1] == outside[2]


def test_overlay_of_a_small_image_is_drawn_at_the_enlarged_size() -> None:
    image = torch.zeros(3, 10, 10, dtype=torch.uint8)
    assert overlay(image, torch.full((10, 10), IGNORE, dtype=torch.uint8)).shape == (3, 290, 290)


def test_a_box_is_a_frame_at_its_half_open_edges() -> None:
    evidence = Evidence(
        "a", GREY, boxes=torch.tensor([[20.0, 30.0, 120.0, 90.0]]), box_classes=torch.tensor([2])
    )
    drawn = draw_evidence(evidence, 3)
    for row, column in ((30, 70), (89, 70), (60, 20), (60, 119), (31, 21)):
        assert colour_at(drawn, row, column) == [0, 128, 0]
    # a light casing around it
    assert colour_at(drawn, 29, 70) == colour_at(drawn, 90, 70) == [255, 255, 255]
    assert colour_at(drawn, 60, 70) == colour_at(drawn, 27, 70) == [100, 100, 100]
    # the evidence itself is not drawn upon
    assert torch.equal(evidence.image, torch.full_like(GREY, 100))


def test_a_box_of_a_small_image_is_enlarged_with_it() -> None:
    image = torch.full((3, 96, 96), 100, dtype=torch.uint8)
    drawn = draw_evidence(
        Evidence(
            "a",
            image,
            boxes=torch.tensor([[20.0, 30.0, 40.0, 60.0]]),
            box_classes=torch.tensor([2]),
        ),
        3,
    )
    for row, column in ((90, 100), (179, 100), (120, 60), (120, 119)):  # three times as large
        assert colour_at(drawn, row, column) == [0, 128, 0]


def test_small_boxes_lie_on_top_and_boxes_may_leave_the_image() -> None:
    boxes = torch.tensor(
        [[50.0, 50.0, 60.0, 250.0], [-10.0, 100.0, 400.0, 240.0], [500.0, 10.0, 600.0, 20.0]]
    )
    drawn = draw_evidence(Evidence("a", GREY, boxes=boxes, box_classes=torch.tensor([1, 2, 1])), 3)
    # both frames cross here; the slim box is smaller
    assert colour_at(drawn, 100, 50) == [128, 0, 0]
    assert colour_at(drawn, 100, 200) == [0, 128, 0]


def test_one_marked_pixel_is_large_enough_to_see() -> None:
    marks = torch.full((300, 320), IGNORE, dtype=torch.uint8)
    marks[100, 100] = 0
    marks[200, 200] = 2
    drawn = draw_evidence(Evidence("a", GREY, marks=marks), 3)
    for colour, (row, column) in {(0, 0, 0): (100, 100), (0, 128, 0): (200, 200)}.items():
        around = drawn[:, row - 12 : row + 13, column - 12 : column + 13]
        same = (around == torch.tensor(colour)[:, None, None]).all(0)
        assert 9 <= int(same.sum()) <= 100
        assert bool((around == 255).all(0).any())


def test_whole_masks_are_drawn_like_labels() -> None:
    marks = torch.ones(300, 320, dtype=torch.uint8)
    assert torch.equal(draw_evidence(Evidence("a", GREY, marks=marks), 3), overlay(GREY, marks))


def test_tags_are_squares_without_the_background() -> None:
    drawn = draw_evidence(Evidence("a", GREY, tags=torch.tensor([True, False, True])), 3)
    assert bool((drawn == torch.tensor([0, 128, 0])[:, None, None]).all(0)[200:, :40].any())
    assert not bool((drawn == torch.tensor([128, 0, 0])[:, None, None]).all(0).any())
    assert not bool((drawn == 0).all(0).any())


def opened(address: str) -> Image.Image:
    head, _, content = address.partition(";base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(content)))
    assert head == f"data:image/{str(picture.format).lower()}"
    return picture


def test_an_address_holds_the_picture_shrunk_if_it_is_too_large() -> None:
    flat = torch.tensor([7, 90, 200], dtype=torch.uint8)[:, None, None].expand(3, 20, 30)
    assert np.array_equal(np.array(opened(picture_address(flat))), flat.permute(1, 2, 0).numpy())
    noise = torch.randint(0, 256, (3, 200, 300), dtype=torch.uint8)
    assert opened(picture_address(noise)).size == (300, 200)
    assert opened(picture_address(noise)).format == "JPEG"
    large = torch.cat([torch.zeros(3, 400, 400), torch.full((3, 400, 400), 200.0)], 2).to(
        torch.uint8
    )
    shrunk = np.array(opened(picture_address(large, largest=200)))
    assert shrunk.shape == (100, 200, 3)
    assert (shrunk[:, :100] == 0).all()
    assert (shrunk[:, 100:] == 200).all()


def test_a_row_has_four_panels_even_where_there_is_nothing() -> None:
    strip = side_by_side(
        Case(Evidence("a", GREY), prediction=torch.zeros(300, 320, dtype=torch.uint8)), 3
    )
    assert strip.shape == (3, 300, 4 * 320 + 3 * 6)
    assert bool((strip[:, :, 326:646] == 128).all())
    assert not bool((strip[:, :, 652:972] == 128).all())


def test_errors_are_red_what_is_not_known_is_hatched_and_the_rest_is_grey() -> None:
    image = torch.full((3, 40, 300), 90, dtype=torch.uint8)
    image[0] = 120
    truth = torch.zeros(40, 300, dtype=torch.uint8)
    prediction = truth.clone()
    prediction[:, :100] = 2
    truth[:, 200:] = 255
    drawn = draw_errors(image, prediction, truth)
    red, green, blue = drawn[:, 10, 50].tolist()
    assert red > green + 80
    assert red > blue + 80
    assert len(set(drawn[:, 10, 150].tolist())) == 1
    assert len(drawn[:, :, 250:].flatten(1).unique(dim=1).T) == 2  # the stripes, and the image
    assert any(colour == [120, 90, 90] for colour in drawn[:, :, 250].T.tolist())


@pytest.mark.parametrize(("colours", "kind"), [(3, "png"), (256, "jpeg")])
def test_a_picture_is_of_the_kind_that_suits_it(colours: int, kind: str) -> None:
    picture = torch.randint(0, colours, (3, 60, 80)).byte()
    address = picture_address(picture, largest=40)
    start = f"data:image/{kind};base64,"
    assert address.startswith(start)
    with Image.open(io.BytesIO(base64.b64decode(address.removeprefix(start)))) as shown:
        assert (shown.format, shown.size) == (kind.upper(), (40, 30))
