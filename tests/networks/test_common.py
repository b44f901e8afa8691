"""What every network on a ResNet and every U-Net keeps to: sizes, training steps, lower precision, export."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weakseg.networks import DeepLabV3Cascade, PSPNet, RefineNet, UNet
from weakseg.optimizers.descent import SGD

CLASSES = 4
SMALL: dict[str, Callable[[], nn.Module]] = {
    "pspnet": lambda: PSPNet(CLASSES, "resnet18", width=0.1),
    "pspnet, deep stem": lambda: PSPNet(CLASSES, "resnet50s", output_stride=16, width=0.05),
    "refinenet": lambda: RefineNet(CLASSES, "resnet18", channels=8, width=0.1),
    "cascade": lambda: DeepLabV3Cascade(CLASSES, "resnet18", multi_grid=(1, 2), width=0.1),
    "unet": lambda: UNet(CLASSES, "tu-mobilenetv3_small_050", channels=(16, 8, 8, 8, 8)),
}
each = pytest.mark.parametrize("name", SMALL)


def logits_of(output: Tensor | Mapping[str, Tensor]) -> Tensor:
    return output["out"] if isinstance(output, Mapping) else output


@each
def test_any_size_in_and_logits_at_the_stated_stride_out(name: str) -> None:
    network = SMALL[name]()
    stride = network.stride
    assert isinstance(stride, int)
    for size in [(64, 64), (33, 65), (31, 32), (1, 1), (3, 200)]:
        network.train(min(size) > 32)  # with less than that the encoder has one value per channel, and batch norm no spread
        logits = logits_of(network(torch.randn(1, 3, *size)))
        assert logits.shape == (1, CLASSES, -(-size[0] // stride), -(-size[1] // stride))


@each
def test_the_head_makes_logits_of_the_features(name: str) -> None:
    network = SMALL[name]().eval()
    image = torch.randn(1, 3, 33, 47)
    features = network.features(image)  # type: ignore[operator]
    assert torch.equal(network(image), network.get_submodule("head")(features))


@each
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_two_steps_of_training(name: str, precision: torch.dtype) -> None:
    network = SMALL[name]()
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0
    optimizer = SGD(head_multiplier=10)
    groups = optimizer.groups(network)
    assert [group["lr"] for group in groups] == [1e-3, 1e-2]
    descent = torch.optim.SGD(groups)
    image, target = torch.randn(2, 3, 33, 40), torch.randint(CLASSES, (2,))
    losses = []
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
            outputs = network(image)
        loss = torch.stack([F.cross_entropy(part.float().mean((2, 3)), target) for part in all_of(outputs)]).sum()
        descent.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())
        descent.step()
        losses.append(float(loss.detach()))
    assert losses[1] < losses[0]


def all_of(outputs: Tensor | Mapping[str, Tensor]) -> list[Tensor]:
    return list(outputs.values()) if isinstance(outputs, Mapping) else [outputs]


@pytest.mark.slow
@each
def test_it_can_be_exported(name: str) -> None:
    network = SMALL[name]().eval()
    image = torch.randn(1, 3, 33, 47)
    exported = torch.export.export(network, (image,)).module()
    torch.testing.assert_close(exported(image), network(image))


@pytest.mark.parametrize("name", ["refinenet", "cascade"])
def test_a_cell_is_centred_on_the_pixels_that_it_stands_for(name: str) -> None:
    network = SMALL[name]().double().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # kernels without a side
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            nn.init.zeros_(module.bias) if module.bias is not None else None
    if isinstance(network, RefineNet):  # what comes from coarser paths sees everything; test_layers has where it is put
        nn.init.zeros_(network.paths[-1].fuse_coarser.weight)
    stride = network.stride
    assert isinstance(stride, int)
    cells = {4: 65, 16: 13}[stride]  # an odd number, so that the cell in the middle has as much to see on either side
    image = torch.rand(4, 3, cells * stride, cells * stride, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(image)[:, :, cells // 2, cells // 2].sum(), image)
    weight = gradient.sum((0, 1, 2))
    middle = float((weight * torch.arange(cells * stride)).sum() / weight.sum())
    assert abs(middle - (cells // 2 * stride + (stride - 1) / 2)) < 0.75
