from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from weakseg.networks import DeepLabV3Plus
from weakseg.networks.analysis.gridding import (
    check_dilation,
    dilation_note,
    valid_weights,
    warn_of_dilation,
)


@pytest.mark.parametrize(("height", "width"), [(65, 65), (7, 12), (1, 1), (3, 40)])
@pytest.mark.parametrize("rate", [1, 2, 6, 18, 70])
@pytest.mark.parametrize("kernel", [3, 5])
def test_valid_weights_by_counting(rate: int, height: int, width: int, kernel: int) -> None:
    image = torch.ones(1, 1, height, width, dtype=torch.float64)
    counted = F.conv2d(
        image,
        torch.ones(1, 1, kernel, kernel, dtype=torch.float64),
        padding=rate * (kernel // 2),
        dilation=rate,
    )
    assert valid_weights(rate, height, width, kernel) == pytest.approx(
        float(counted.mean()) / kernel**2, rel=1e-12
    )


def pyramid(*rates: int, stride: int = 8) -> nn.Module:
    convolutions = [nn.Conv2d(4, 4, 3, padding=rate, dilation=rate) for rate in rates]
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=stride, padding=1), *convolutions)


def test_only_what_is_too_much_is_named() -> None:
    (complaint,) = check_dilation(pyramid(2, 12), (64, 80))  # a map of 8x10
    assert complaint == (
        "2: of its 3x3 weights at rate 12, 11% lie on the map of 8x10 (a 1x1 kernel would have 11%)"
    )
    assert check_dilation(pyramid(2, 12), (64, 80), least=0.1) == []
    assert len(check_dilation(pyramid(2, 12), (64, 80), least=0.9)) == 2
    assert check_dilation(pyramid(2, 12), (321, 321)) == []


def test_padding_and_stride_of_a_convolution_count() -> None:
    # no padding, so all is valid
    assert (
        check_dilation(nn.Sequential(nn.Conv2d(3, 1, 3, dilation=7)), (15, 15), least=0.999) == []
    )
    assert (
        check_dilation(
            nn.Sequential(nn.Conv2d(3, 1, 3, dilation=7, padding="valid")), (15, 15), least=0.999
        )
        == []
    )
    same = nn.Sequential(nn.Conv2d(3, 1, 3, dilation=7, padding="same"))
    assert check_dilation(same, (7, 7)) == [
        "0: of its 3x3 weights at rate 7, 11% lie on the map of 7x7 (a 1x1 kernel would have 11%)"
    ]
    # outputs at 0, 3 and 6 of seven pixels: along each side two, one and two of three taps lie on
    # them
    strided = nn.Sequential(nn.Conv2d(3, 1, 3, dilation=4, padding=4, stride=3))
    assert check_dilation(strided, (7, 7), least=25 / 81 - 1e-9) == []
    assert len(check_dilation(strided, (7, 7), least=25 / 81 + 1e-9)) == 1


def test_one_warning_names_the_layers_of_a_network() -> None:
    network = DeepLabV3Plus(2, "resnet18", output_stride=16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_dilation(network, 513)  # the crop and the rates of the paper are fine
    told = (
        r"crops of 64x64 dilation is too much for 3 layers, whose outer weights hardly learn; "
        r"decoder.*rate 6.*map of 4x4"
    )
    with pytest.warns(UserWarning, match=told) as caught:
        warn_of_dilation(network, 64)
    assert len(caught) == 1
    assert dilation_note(network, (513, 513)) == ""
    assert dilation_note(network, (64, 64)).startswith(
        "3 layers work as smaller kernels, since their dilation reaches beyond images of 64x64; "
    )
    assert network.training
    assert all(not module._forward_pre_hooks for module in network.modules())
