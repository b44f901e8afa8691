import torch

from weakseg.data.files.downsampling import downsample_evidence, downsample_marks
from weakseg.evidence import Evidence


def test_image_boxes_marks_and_truth_shrink_together() -> None:
    image = torch.zeros(3, 40, 80, dtype=torch.uint8)
    image[:, :, 40:] = 200
    truth = torch.zeros(40, 80, dtype=torch.uint8)
    truth[:, 40:] = 2
    boxes = torch.tensor([[40.0, 0, 80, 20]])
    evidence = Evidence(
        "a",
        image,
        boxes=boxes,
        box_classes=torch.tensor([2]),
        marks=truth.clone(),
        tags=torch.ones(3, dtype=torch.bool),
    )
    small, small_truth = downsample_evidence(evidence, truth, 20)
    small.check(3)
    assert small.image.shape == (3, 10, 20)
    assert small.boxes.tolist() == [[10, 0, 20, 5]]
    expected = torch.zeros(10, 20, dtype=torch.uint8)
    expected[:, 10:] = 2
    assert torch.equal(small_truth, expected)
    assert torch.equal(small.marks, expected)
    assert (small.image[0, :, :8] == 0).all()
    assert (small.image[0, :, 12:] == 200).all()


def test_smaller_images_stay_as_they_are() -> None:
    evidence = Evidence("a", torch.zeros(3, 10, 20, dtype=torch.uint8))
    for side in (None, 20, 50):
        assert downsample_evidence(evidence, None, side)[0] is evidence


def test_every_point_stays_however_far_the_image_shrinks() -> None:
    random = torch.Generator().manual_seed(0)
    for _ in range(20):
        marks = torch.full((97, 131), 255, dtype=torch.uint8)
        row, column = (int(torch.randint(high, (1,), generator=random)) for high in marks.shape)
        marks[row, column] = 3
        small = downsample_marks(marks, (9, 13))
        assert (small == 3).nonzero().tolist() == [[row * 9 // 97, column * 13 // 131]]
        assert (small != 255).sum() == 1


def test_the_rims_of_masks_do_not_grow() -> None:
    mask = torch.zeros(40, 40, dtype=torch.uint8)
    mask[:, ::10] = 255
    assert (downsample_marks(mask, (20, 20)) == 255).float().mean() <= 0.1
