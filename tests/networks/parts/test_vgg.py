"""VGG-16: against torchvision's, against itself evaluated densely, and all that is built on it at
odd sizes, in training and mirrored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from weakseg.config.recipe import build
from weakseg.networks import DeepLabV1, DeepLabV2, DilatedContext, FCN8s, FCN32s, SegNet
from weakseg.networks.parts.vgg import VGG, FullyConnected, VGGToFC7, convert_classifier
from weakseg.optimizers import SGD

THIN = 1 / 16
FAMILY: dict[str, dict[str, Any]] = {
    "deeplabv1": {},
    "deeplabv1 4x4": {"field": "4x4"},
    "deeplabv1 msc": {"multi_scale": True},
    "deeplabv2": {"encoder": "vgg16"},
    "deeplabv2 resnet": {"encoder": "resnet18"},
    "deeplabv2 scales": {"encoder": "vgg16", "scales": [1, 0.75, 0.5]},
    "dilated_context": {},
    "dilated_context large": {"large": True},
    "fcn32s": {},
    "fcn32s dense": {"output_stride": 8},
    "fcn16s": {"learn_upsampling": True},
    "fcn8s": {},
    "segnet": {},
}


def made(member: str) -> Any:
    torch.manual_seed(1)
    node = {"name": member.split()[0], "classes": 3, "width": THIN, **FAMILY[member]}
    return build(node, where="network", home="weakseg.networks")


def narrow(batch_norm: bool = False) -> nn.Module:
    """torchvision's VGG-16 with a sixteenth of the channels and ten classes; it scores images of
    224 x 224."""
    torch.manual_seed(0)
    network = nn.Module()
    network.features = make_layers(
        [layer if isinstance(layer, str) else layer // 16 for layer in cfgs["D"]], batch_norm
    )
    hidden = [
        nn.Linear(32 * 49, 256),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Dropout(),
    ]
    network.classifier = nn.Sequential(*hidden, nn.Linear(256, 10))
    return network.eval()


def saved(network: nn.Module, folder: Path, without: str = "-") -> Path:
    path = folder / "weights.pth"
    torch.save(
        {
            name: value
            for name, value in network.state_dict().items()
            if not name.startswith(without)
        },
        path,
    )
    return path


def twin(network: nn.Module, other: Any) -> Any:
    other.load_state_dict(network.state_dict())
    return other.eval()


def test_a_full_vgg_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = FCN32s(1000)
    assert sum(parameter.numel() for parameter in network.parameters()) == 138_357_544


def test_scores_of_an_image_are_those_of_the_classifier(tmp_path: Path) -> None:
    classifier = narrow()
    network = FCN32s(10, saved(classifier, tmp_path), width=THIN).eval()
    last = classifier.get_submodule("classifier.6").state_dict()
    network.head.load_state_dict({"weight": last["weight"][:, :, None, None], "bias": last["bias"]})
    image = torch.randn(2, 3, 224, 224)
    expected = classifier.classifier(classifier.features(image).flatten(1))
    assert expected.std(0).min() > 0
    # the middle cell sees the 7 x 7 cells of the classifier
    torch.testing.assert_close(network(image)[..., 3, 3], expected)


@pytest.mark.slow
def test_scores_of_an_image_are_those_of_the_whole_classifier(tmp_path: Path) -> None:
    classifier = torchvision.models.vgg16(weights=None).eval()
    network = FCN32s(1000, saved(classifier, tmp_path)).eval()
    last = classifier.classifier[6].state_dict()
    network.head.load_state_dict({"weight": last["weight"][:, :, None, None], "bias": last["bias"]})
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(network(image)[..., 3, 3], classifier(image))


@pytest.mark.parametrize(
    "kind",
    [
        DeepLabV1,
        DilatedContext,
        FCN8s,
        lambda *given, **more: DeepLabV2(*given[:1], "vgg16", given[1], **more),
    ],
)
@pytest.mark.parametrize("classifier", [True, False])
def test_weights_of_torchvision_load(
    kind: Callable[..., Any], classifier: bool, tmp_path: Path
) -> None:
    source = narrow()
    encoder = kind(
        3, saved(source, tmp_path, "-" if classifier else "classifier."), width=THIN
    ).encoder
    for name, value in source.get_submodule("features").state_dict().items():
        assert torch.equal(encoder.get_submodule("features").state_dict()[name], value)
    weight = source.get_parameter("classifier.3.weight")
    for fc in encoder.fc:
        step = 256 // len(fc.fc7.weight)
        assert torch.equal(fc.fc7.weight[:, :, 0, 0], weight[::step, ::step]) == classifier


def test_batch_norm_of_torchvision_loads(tmp_path: Path) -> None:
    source = narrow(batch_norm=True)
    image = torch.randn(1, 3, 64, 64)
    source.train().features(image)  # type: ignore[operator]
    network = SegNet(3, saved(source, tmp_path), width=THIN).eval()
    torch.testing.assert_close(network.encoder(image)[0], source.eval().features(image))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": "imagenet"}, "the full width, but width is 0.0625"),
        ({"weights": Path("nowhere.pth")}, "there is no weights file nowhere.pth"),
        ({"width": 0}, "width should be more than 0, but it is 0"),
        ({"output_stride": 4}, "output_stride should be one of 8, 16, 32, but it is 4"),
    ],
)
def test_wrong_arguments_are_said(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FCN32s(2, **{"width": THIN, **arguments})


def test_weights_of_another_width_are_said(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"features.0.weight is \[4, 3, 3, 3\], expected \[2, 3, 3, 3\]"
    ):
        FCN32s(2, saved(narrow(), tmp_path), width=1 / 32)


def test_a_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*given: Any, **more: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refused)
    with (
        torch.device("meta"),
        pytest.raises(
            ValueError, match=r"VGG16_BN could not be fetched \(OSError: no route\); .*weights=null"
        ),
    ):
        SegNet(2, "imagenet")


@pytest.mark.parametrize(
    ("kernel", "taps"), [(3, [0, 3, 6]), (4, [0, 2, 4, 6]), (7, [0, 1, 2, 3, 4, 5, 6])]
)
def test_a_smaller_fc6_takes_spread_taps(kernel: int, taps: list[int]) -> None:
    state = narrow().state_dict()
    made = convert_classifier(state, kernel, 64)
    whole = state["classifier.0.weight"].reshape(256, 32, 7, 7)
    for row, i in enumerate(taps):
        for column, j in enumerate(taps):
            assert torch.equal(made["fc6.weight"][:, :, row, column], whole[::4, :, i, j])
    assert torch.equal(made["fc6.bias"], state["classifier.0.bias"][::4])
    with pytest.raises(ValueError, match="7x7 and 256 channels cannot become one of 9x9 and 300"):
        convert_classifier(state, 9, 300)


def test_dilation_is_a_kernel_filled_with_zeros() -> None:
    fc = FullyConnected(2, 3, 7, 4, 0.5).eval()
    filled = torch.zeros(3, 2, 25, 25)
    filled[..., ::4, ::4] = fc.fc6.weight.detach()
    features = torch.randn(1, 2, 9, 30)
    expected = F.relu(fc.fc7(F.relu(F.conv2d(features, filled, fc.fc6.bias, padding=12))))
    torch.testing.assert_close(fc(features), expected)


@pytest.mark.parametrize("output_stride", [8, 16])
def test_the_dilated_network_has_the_answers_of_the_strided_one(output_stride: int) -> None:
    strided = VGGToFC7(THIN, 32).eval()
    dense = twin(strided, VGGToFC7(THIN, output_stride))  # type: ignore[arg-type]
    image = torch.randn(1, 3, 96, 128)
    step = 32 // output_stride
    first = step // 2 - 1
    found, expected = dense(image), strided(image)
    torch.testing.assert_close(found[-1][..., first::step, first::step], expected[-1])


def test_the_dilated_network_is_the_strided_one_on_shifted_images() -> None:
    strided = VGGToFC7(THIN, 32).eval()
    dense = twin(strided, VGGToFC7(THIN, 8))
    image = torch.randn(1, 3, 32, 1024)
    found = dense(image)[-1]
    for shift in range(4):
        # where its 404 pixels are within the image
        expected = strided(image[..., 8 * shift : 992 + 8 * shift])[-1][..., 7:24]
        assert expected.std() > 0
        torch.testing.assert_close(found[..., 1:2, 29 + shift : 29 + shift + 4 * 17 : 4], expected)


@pytest.mark.parametrize(
    ("pools", "sizes"),
    [("3x3", [32, 16, 8, 8, 8]), ("early", [32, 16, 8, 8, 8]), ("2x2", [32, 16, 8, 7, 7])],
)
def test_sizes_of_the_features(pools: Any, sizes: list[int]) -> None:
    body = VGG(THIN, 8, pools)
    found = body(torch.zeros(1, 3, 64, 64))
    assert [feature.shape[-1] for feature in found] == sizes
    assert tuple(feature.shape[1] for feature in found) == body.channels


@pytest.mark.parametrize("member", FAMILY)
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (31, 32), (33, 65)])
def test_any_size_in_training_and_logits_at_the_stated_stride(
    member: str, size: tuple[int, int]
) -> None:
    network = made(member).train()
    image = torch.randn(1, 3, *size)
    rows, columns = (-(-side // network.stride) for side in size)
    logits = network(image)
    for each in [logits["out"], *logits["aux"]] if isinstance(logits, dict) else [logits]:
        assert each.shape == (1, 3, rows, columns)
    features = network.features(image)
    assert features.ndim == 4
    assert len(features) == 1


@pytest.mark.parametrize("member", FAMILY)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_training_reaches_every_layer(member: str, precision: torch.dtype) -> None:
    network = made(member).train()
    before = {name: value.clone() for name, value in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    image, target = torch.randn(2, 3, 70, 64), torch.randint(3, (2, 70, 64))
    for _ in range(2):
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            logits = network(image)
        logits = logits["out"] if isinstance(logits, dict) else logits
        large = F.interpolate(logits.float(), target.shape[-2:], mode="bilinear")
        optimizer.zero_grad()
        F.cross_entropy(large, target).backward()
        assert all(
            parameter.grad.isfinite().all()
            for parameter in network.parameters()
            if parameter.requires_grad
        )
        optimizer.step()
    moved = {
        name for name, value in network.named_parameters() if not torch.equal(value, before[name])
    }
    frozen = {name for name, value in network.named_parameters() if not value.requires_grad}
    assert set(before) - moved == frozen
    assert bool(frozen) == (member == "fcn8s")


@pytest.mark.parametrize(
    "member",
    [pytest.param(member, marks=[pytest.mark.slow] * (member != "fcn8s")) for member in FAMILY],
)
def test_export(member: str) -> None:
    network = made(member).eval()
    network.head.requires_grad_(False)
    for parameter in network.head.parameters():
        parameter.normal_()  # heads that begin as zero would hide all that is before them
    image = torch.randn(1, 3, 40, 33)
    exported = torch.export.export(network, (image,)).module()
    image = torch.randn(1, 3, 40, 33)
    torch.testing.assert_close(exported(image), network(image))


@pytest.mark.parametrize("member", FAMILY)
def test_the_head_learns_at_its_own_rate(member: str) -> None:
    network = made(member)
    body, head = SGD(lr=0.1, head_multiplier=10).groups(network)
    assert head["lr"] == pytest.approx(10 * body["lr"])
    outside = [
        *network.head.parameters(),
        *(getattr(network, "decoder", nn.Identity()).parameters()),
    ]
    outside += (
        [*getattr(network, "scales", nn.Identity()).parameters()]
        if member == "deeplabv1 msc"
        else []
    )
    assert {id(parameter) for parameter in head["params"]} == {
        id(parameter) for parameter in outside if parameter.requires_grad
    }


def mirrored(network: Any) -> Any:
    """The network with every kernel made equal to its mirror image, from left to right."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            noise = torch.randn_like(module.weight) * (module.weight.std() + 0.1)
            module.weight.data = (noise + noise.flip(-1)) / 2
            if module.bias is not None:
                nn.init.normal_(module.bias)  # without it, narrow networks die out
    return network.double().eval()


@pytest.mark.parametrize(
    "member", ["dilated_context", "fcn32s", "fcn32s dense", "fcn16s", "fcn8s", "segnet"]
)
def test_logits_lie_over_the_pixels_that_they_are_about(member: str) -> None:
    network = mirrored(made(member))
    for place, module in enumerate(network.encoder.features):
        # where all four are zero the maximum is the first, which has no mirror image
        if isinstance(module, nn.ReLU):
            network.encoder.features[place] = nn.LeakyReLU()
    image = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    logits, expected = network(image.flip(-1)), network(image).flip(-1)
    assert logits.std() > 0
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize(
    "member", ["deeplabv1", "deeplabv1 4x4", "deeplabv1 msc", "deeplabv2", "deeplabv2 resnet"]
)
def test_logits_lie_half_a_pixel_beside(member: str) -> None:
    network = mirrored(made(member))
    # cell i around pixel 8 i + 4, so the mirror is a pixel
    image = torch.randn(1, 3, 8, 1201, dtype=torch.float64)
    logits, expected = (
        network(image.flip(-1))[..., 65:85],
        network(image)[..., :150].flip(-1)[..., 65:85],
    )
    assert logits.std() > 0
    torch.testing.assert_close(logits, expected)
