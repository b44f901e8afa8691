"""The protocol of networks: optional parts are found, and what cannot be right is refused."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from weakseg.evidence import Instances
from weakseg.networks.base import Adapter, encoder_of, main_logits

CLASSES = ("background", "cat")
IMAGE = torch.zeros(2, 3, 8, 12)


class Plain(nn.Module):
    """Logits as large as the image, and attributes as a test sets them."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, image: Tensor) -> Any:
        return self.conv(image)


def test_a_plain_module_has_no_optional_part() -> None:
    adapter = Adapter(Plain(), CLASSES)
    (logits,) = adapter.logits(IMAGE)
    assert logits.shape == (2, 2, 8, 12)
    assert adapter.upsample(logits, IMAGE) is logits
    assert (adapter.stride, adapter.auxiliary_weight) == (None, 0)
    assert not adapter.has_losses
    assert not adapter.has_instances
    assert adapter.lacks("features") == "Plain has no method `features`"


@pytest.mark.parametrize("network", ["unet", Plain, None, lambda image: image])
def test_what_is_no_module_is_no_network(network: Any) -> None:
    with pytest.raises(TypeError, match=r"network should be a torch\.nn\.Module, but it is"):
        Adapter(network, CLASSES)


def test_logits_are_enlarged_by_the_stride_and_cut() -> None:
    logits = torch.arange(6.0).reshape(1, 1, 2, 3)
    image = torch.zeros(1, 3, 7, 10)
    large = Adapter(Plain(stride=4), CLASSES).upsample(logits, image)
    expected = nn.functional.interpolate(logits, (8, 12), mode="bilinear")[..., :7, :10]
    assert torch.equal(large, expected)
    free = Adapter(Plain(), CLASSES).upsample(logits, image)
    assert torch.equal(free, nn.functional.interpolate(logits, (7, 10), mode="bilinear"))


@pytest.mark.parametrize("stride", [4, 4.0, np.int64(4)])
def test_any_whole_number_is_a_stride(stride: Any) -> None:
    assert Adapter(Plain(stride=stride), CLASSES).stride == 4


@pytest.mark.parametrize("stride", [(2, 2), [4, 8, 16], torch.tensor([8.0, 16.0]), None])
def test_what_other_modules_call_stride_is_left_alone(stride: Any) -> None:
    assert Adapter(Plain(stride=stride), CLASSES).stride is None


@pytest.mark.parametrize("stride", [0, -1, 2.5, float("inf"), float("nan")])
def test_a_stride_that_cannot_be_is_refused(stride: Any) -> None:
    message = "the stride of Plain should be a whole number of pixels .* at least 1, but it is"
    with pytest.raises(ValueError, match=message):
        Adapter(Plain(stride=stride), CLASSES)


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf"), "0.4", None, [0.4]])
def test_an_auxiliary_weight_that_cannot_be_is_refused(weight: Any) -> None:
    with pytest.raises(ValueError, match="auxiliary_weight of Plain should be a number, 0 or more"):
        Adapter(Plain(auxiliary_weight=weight), CLASSES)


@pytest.mark.parametrize(("stride", "size"), [(4, (8, 12)), (4, (1, 3)), (32, (64, 64))])
def test_logits_that_are_not_at_the_stride_are_refused(stride: int, size: tuple[int, int]) -> None:
    side = 64 if stride == 32 else 8
    image = torch.zeros(1, 3, side, 64)
    message = rf"Plain has stride {stride}, so its logits .* they are {size[0]}x{size[1]}; correct"
    with pytest.raises(ValueError, match=message):
        Adapter(Plain(stride=stride), CLASSES).upsample(torch.zeros(1, 2, *size), image)


def test_logits_of_an_image_padded_to_whole_cells_are_cut() -> None:
    image = torch.zeros(1, 3, 33, 3)  # padded to 64x32 by a network with cells of 32 pixels
    large = Adapter(Plain(stride=4), CLASSES).upsample(torch.zeros(1, 2, 16, 8), image)
    assert large.shape == (1, 2, 33, 3)


@pytest.mark.parametrize("auxiliary", [None, "one", "several"])
@pytest.mark.parametrize("weight", [0, 0.4])
def test_auxiliary_logits_count_where_they_have_a_weight(auxiliary: Any, weight: float) -> None:
    class Helped(Plain):
        def forward(self, image: Tensor) -> Any:
            logits = self.conv(image)
            given = {"one": logits, "several": [logits, logits]}
            return {"out": logits, **({"aux": given[auxiliary]} if auxiliary else {"aux": None})}

    found = Adapter(Helped(auxiliary_weight=weight), CLASSES).logits(IMAGE)
    extra = {None: 0, "one": 1, "several": 2}[auxiliary]
    assert len(found) == 1 + (extra if weight else 0)


@pytest.mark.parametrize("part", ["features", "intermediate_features"])
def test_features_come_from_a_method_or_from_a_module_called_so(part: str) -> None:
    adapter = Adapter(Plain(**{part: nn.Conv2d(3, 5, 1)}), CLASSES)
    assert adapter.lacks(part) == ""
    assert getattr(adapter, part)(IMAGE).shape == (2, 5, 8, 12)


def test_what_is_missing_or_something_else_is_said() -> None:
    with pytest.raises(TypeError, match=r"Plain has no method `features`$"):
        Adapter(Plain(), CLASSES).features(IMAGE)
    counted = Adapter(Plain(features=512), CLASSES)
    with pytest.raises(TypeError, match=r"Plain has no method `features` \(its attribute .* int\)"):
        counted.features(IMAGE)
    flat = Adapter(Plain(features=nn.Flatten()), CLASSES)
    message = r"Plain\.features should return one tensor \[B,D,h,w\], but .* a tensor \[2, 288\]"
    with pytest.raises(TypeError, match=message):
        flat.features(IMAGE)


@pytest.mark.parametrize("output", [{}, {"logits": IMAGE[:, :2]}, [IMAGE[:, :2]], IMAGE[0], None])
def test_outputs_that_hold_no_logits_are_refused(output: Any) -> None:
    class Odd(Plain):
        def forward(self, image: Tensor) -> Any:
            return output

    with pytest.raises(TypeError, match=r"Odd should return logits as one tensor \[B,C,h,w\], but"):
        Adapter(Odd(), CLASSES).logits(IMAGE)


@pytest.mark.parametrize("value", [[], nn.ModuleList(), nn.Identity(), {"a": 1}, 3])
def test_attributes_called_losses_or_detect_are_no_methods(value: Any) -> None:
    adapter = Adapter(Plain(losses=value, detect=value), CLASSES)
    assert (adapter.has_losses, adapter.has_instances) == (False, False)


@pytest.mark.parametrize("found", [None, [], [{"boxes": 1}] * 2, "ab"])
def test_objects_have_to_be_instances(found: Any) -> None:
    class Finds(Plain):
        def detect(self, image: Tensor) -> Any:
            return found

    message = r"Finds\.detect should return a list with one weakseg\.evidence\.Instances per image"
    with pytest.raises(TypeError, match=message):
        Adapter(Finds(), CLASSES).detect(IMAGE)


def test_instances_are_handed_on() -> None:
    none = Instances(torch.zeros(0, 4), torch.zeros(0).long(), torch.zeros(0, 8, 12))

    class Finds(Plain):
        def detect(self, image: Tensor) -> Any:
            return (none,) * len(image)

    adapter = Adapter(Finds(), CLASSES)
    assert adapter.has_instances
    assert adapter.detect(IMAGE) == [none, none]


def test_body_and_head_are_told_by_encoder_or_backbone() -> None:
    body = nn.Identity()
    assert encoder_of(Plain(encoder=body)) is body
    assert encoder_of(Plain(backbone=body)) is body
    assert encoder_of(Plain(encoder="resnet18", backbone=body)) is body
    assert encoder_of(Plain(encoder="resnet18")) is None


def test_the_main_logits_of_any_output() -> None:
    assert main_logits(IMAGE) is IMAGE
    assert main_logits({"out": IMAGE, "aux": None}) is IMAGE


def test_a_copy_of_an_adapter_has_a_network_of_its_own() -> None:
    network = Plain()
    pair = copy.deepcopy({"network": network, "adapter": Adapter(network, CLASSES)})
    assert isinstance(pair["adapter"], Adapter)
    assert pair["adapter"].network is pair["network"]
    assert pair["adapter"].network is not network
