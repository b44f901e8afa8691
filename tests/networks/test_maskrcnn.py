"""Mask R-CNN: the published network, its losses, and what it finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights, maskrcnn_resnet50_fpn

from weakseg.evidence import Batch
from weakseg.networks.maskrcnn import TERMS, MaskRCNN
from weakseg.networks.parts.weights import reorder
from weakseg.optimizers import SGD
from weakseg.optimizers.descent import batch_norms


def small(**more: Any) -> MaskRCNN:
    return MaskRCNN(
        **{
            "classes": 3,
            "encoder": "resnet18",
            "width": 1 / 16,
            "min_size": None,
            "proposals": 20,
            "samples": 8,
            **more,
        }
    )


def a_batch(boxes: list[list[list[float]]], size: int = 40, **fields: Any) -> Batch:
    """Black images with full boxes of class 1."""
    made = [torch.tensor(each).reshape(-1, 4) for each in boxes]
    masks = [torch.zeros(len(each), size, size, dtype=torch.bool) for each in made]
    for mask, (x1, y1, x2, y2) in (
        (mask, box)
        for some, each in zip(masks, made, strict=True)
        for mask, box in zip(some, each.int(), strict=True)
    ):
        mask[y1:y2, x1:x2] = True
    labels = [torch.ones(len(each), dtype=torch.int64) for each in made]
    image = torch.zeros(len(boxes), 3, size, size, dtype=torch.uint8)
    return Batch(
        **{
            "ids": list("ab"[: len(boxes)]),
            "image": image,
            "boxes": made,
            "box_classes": labels,
            "box_masks": masks,
            **fields,
        }
    )


def test_at_full_size_it_is_the_network_of_torchvision() -> None:
    with torch.device("meta"):
        theirs = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    ours = MaskRCNN(91)
    state = {name: value.shape for name, value in ours.model.state_dict().items()}
    assert state == {name: value.shape for name, value in theirs.state_dict().items()}
    published = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["num_params"]
    # frozen there, so not counted
    norms = sum(parameter.numel() for norm in batch_norms(ours) for parameter in norm.parameters())
    assert (
        sum(parameter.numel() for parameter in ours.parameters()) - norms == published == 44_401_393
    )
    assert (ours.model.transform.min_size, ours.model.transform.max_size) == ((800,), 1333)


def test_with_the_same_weights_it_finds_what_torchvision_finds() -> None:
    theirs = maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=3,
        min_size=64,
        box_score_thresh=0.0,
        box_detections_per_img=3,
    )
    ours = MaskRCNN(3, min_size=64, detections=3)
    ours.model.roi_heads.score_thresh = 0.0  # random weights are sure of nothing
    ours.load_state_dict({f"model.{name}": value for name, value in theirs.state_dict().items()})
    image = torch.rand(1, 3, 50, 60)
    mean, std = (
        torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1),
        torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1),
    )
    with torch.no_grad():
        (wanted,) = theirs.eval()(list(image))
        (found,) = ours.eval().detect((image - mean) / std)
    assert len(found.boxes) == 3
    torch.testing.assert_close(found.boxes, wanted["boxes"], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found.masks, wanted["masks"][:, 0], rtol=1e-4, atol=1e-4)
    assert torch.equal(found.classes, wanted["labels"])


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
def test_two_steps_of_training_lower_the_losses_and_reach_every_part(
    precision: torch.dtype,
) -> None:
    network = small().train()
    descent = torch.optim.SGD(network.parameters(), lr=0.01)
    batch, image = a_batch([[[2, 3, 30, 35]], []]), torch.randn(2, 3, 40, 40)
    sums = []
    for _ in range(2):
        torch.manual_seed(1)  # which proposals train the heads is drawn
        with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
            terms = network.losses(image, batch)
        assert list(terms) == list(TERMS.values())
        loss = torch.stack([term.float() for term in terms.values()]).sum()
        descent.zero_grad()
        loss.backward()
        assert all(
            parameter.grad is not None and parameter.grad.isfinite().all()
            for parameter in network.parameters()
        )
        assert all(
            part.weight.grad.abs().sum() > 0
            for part in (
                network.encoder.conv1,
                network.model.roi_heads.mask_predictor.mask_fcn_logits,
            )
        )
        descent.step()
        sums.append(float(loss.detach()))
    assert sums[1] < sums[0]


def test_images_without_any_box_train_too() -> None:
    terms = small().train().losses(torch.randn(2, 3, 40, 40), a_batch([[], []]))
    assert all(bool(term.isfinite()) for term in terms.values())
    assert terms["box"].item() == terms["mask"].item() == 0
    torch.stack(list(terms.values())).sum().backward()


def test_masks_that_are_missing_are_told_with_the_images() -> None:
    with pytest.raises(
        ValueError, match=r"the images a have no mask for each box.*boxes_instances"
    ):
        small().train().losses(torch.randn(1, 3, 40, 40), a_batch([[]], box_masks=None))


@pytest.mark.parametrize("size", [(1, 1), (3, 100), (31, 33)], ids=str)
def test_any_image_has_logits_and_features(size: tuple[int, int]) -> None:
    network = small().eval()
    network.model.roi_heads.score_thresh = 0.0
    with torch.no_grad():
        logits, features = (
            network(torch.randn(1, 3, *size)),
            network.features(torch.randn(1, 3, *size)),
        )
    assert logits.shape == (1, 3, *size)
    assert logits.isfinite().all()
    assert features.shape == (1, 16, -(-size[0] // 4), -(-size[1] // 4))


@pytest.mark.parametrize(("min_size", "side"), [(None, 64), (96, 96)])
def test_the_body_sees_images_at_the_size_that_was_asked_for(
    min_size: int | None, side: int
) -> None:
    network, seen = small(min_size=min_size), []
    network.encoder.conv1.register_forward_pre_hook(
        lambda module, images: seen.append(images[0].shape[-2:])
    )
    network.train().losses(torch.randn(1, 3, 64, 64), a_batch([[[8, 8, 40, 40]]], size=64))
    with torch.no_grad():
        network.eval()(torch.randn(1, 3, 64, 64))
    assert seen == [(side, side), (side, side)]


def test_logits_are_the_objects_that_it_finds() -> None:
    network = small().eval()

    def one_object(images: list[Tensor]) -> list[dict[str, Tensor]]:
        mask = torch.zeros(1, 1, 8, 8)
        mask[..., :4] = 1
        return [
            {
                "boxes": torch.tensor([[0.0, 0, 4, 8]]),
                "labels": torch.tensor([2]),
                "masks": mask,
                "scores": torch.tensor([0.75]),
            }
        ]

    network.model.forward = one_object
    probs = network(torch.zeros(1, 3, 8, 8)).softmax(1)[0]
    assert probs[:, 0, 0].tolist() == pytest.approx([0.25, 0, 0.75], abs=1e-5)
    assert probs[:, 0, 7].tolist() == pytest.approx([1, 0, 0], abs=1e-5)


def test_finding_objects_while_training_is_told() -> None:
    with pytest.raises(RuntimeError, match=r"eval mode only; call network.eval\(\) first"):
        small().train()(torch.zeros(1, 3, 40, 40))


def test_the_body_learns_at_its_own_rate() -> None:
    network = small()
    body, head = SGD(lr=0.1, head_multiplier=10).groups(network)
    assert {id(parameter) for parameter in body["params"]} == {
        id(parameter) for parameter in network.encoder.parameters()
    }
    assert head["lr"] == pytest.approx(1.0)


def test_numbers_that_cannot_be_are_told() -> None:
    with pytest.raises(ValueError, match="samples should be at least 1, but it is 0"):
        small(samples=0)


def test_rows_of_classes_are_known_by_their_names() -> None:
    """With the rows of its classes in another order, behind the background, it finds the same
    objects of the same classes."""
    network, other, wider = small(classes=4).eval(), small(classes=4).eval(), small(classes=5)
    table = torch.arange(256)
    table[:4] = torch.tensor([0, 3, 1, 2])
    other.load_state_dict(reorder(network.state_dict(), wider, table, 4, Path("weights")))
    for each in (network, other):
        each.model.roi_heads.score_thresh = 0.0  # random weights are sure of nothing
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        (found,), (again,) = network.detect(image), other.detect(image)
    assert len(found.boxes)
    assert torch.equal(table[found.classes], again.classes)
    torch.testing.assert_close(found.boxes, again.boxes)
    torch.testing.assert_close(found.masks, again.masks)
