"""What every network of the package promises. A new one is tested by being listed in
weakseg.networks.NAMES, and in SMALL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.small import Everything, trainer
from weakseg.config.recipe import build
from weakseg.evidence import Batch, Instances
from weakseg.networks import NAMES
from weakseg.networks.base import Adapter, encoder_of
from weakseg.networks.parts.weights import reorder
from weakseg.optimizers import SGD
from weakseg.strategies import BoxesInstances, BoxesRect, Clustering, Cosegmentation
from weakseg.strategies.base import Strategy
from weakseg.training.average_precision import AveragePrecision
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter

CLASSES = 5
THIN = 1 / 16
SIZES = [(1, 1), (3, 100), (31, 32), (33, 65)]
SMALL: dict[str, dict[str, Any]] = {
    "deeplabv1": {"width": THIN},
    "deeplabv2": {"width": THIN, "encoder": "resnet18"},
    "dilated_context": {"width": THIN},
    "fcn32s": {"width": THIN},
    "fcn16s": {"width": THIN, "learn_upsampling": True},
    "fcn8s": {"width": THIN, "learn_upsampling": True},
    "segnet": {"width": THIN},
    "deeplabv3": {"encoder": "tu-mobilenetv3_small_050"},
    "deeplabv3plus": {"encoder": "tu-mobilenetv3_small_050"},
    "deeplabv3_cascade": {"width": THIN, "encoder": "resnet18", "multi_grid": [1, 2]},
    "pspnet": {"width": THIN, "encoder": "resnet18"},
    "refinenet": {"width": THIN, "encoder": "resnet18", "channels": 8},
    "unet": {"encoder": "tu-mobilenetv3_small_050", "channels": [16, 8, 8, 8, 8]},
    "dpt": {"encoder": "tu-test_vit", "channels": [8, 8, 8, 8], "fused": 8},
}
ONE_VALUE = {
    **dict.fromkeys(["deeplabv3", "deeplabv3plus", "deeplabv3_cascade", "refinenet"], 1),
    "unet": 32,
    "dpt": 32,
}
"""images alone with sides of up to so many pixels have one value per channel at the end of the
encoder: batch norm has nothing to learn"""
SKIPPING = {"fcn16s", "fcn8s"}
"""the head sees several maps"""
CUT = {"segnet"}
"""the head's 3x3 convolution sees what is cut off beyond the image"""
OBJECTS = {"maskrcnn"}
"""finds objects and makes its own losses: see tests/networks/test_maskrcnn.py"""
PIXELS = [name for name in NAMES if name not in OBJECTS]
every_network = pytest.mark.parametrize("name", PIXELS)


def made(name: str, **more: Any) -> Any:
    """A network as a recipe makes it, with random weights and few channels."""
    return build(
        {"name": name, "classes": CLASSES, **SMALL[name], **more},
        where="network",
        home="weakseg.networks",
    )


def all_of(output: Any) -> list[Tensor]:
    """The logits that count, and behind them the auxiliary ones."""
    if not isinstance(output, Mapping):
        return [output]
    auxiliary = output.get("aux", [])
    return [output["out"], *([auxiliary] if isinstance(auxiliary, Tensor) else auxiliary)]


def without_dropout(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0
    return network


def with_loud_heads(network: nn.Module) -> nn.Module:
    """Heads that begin as zero would hide all that is before them."""
    for parameter in network.get_submodule("head").parameters():
        nn.init.normal_(parameter)
    return network


@every_network
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_image_alone_in_training_has_logits_at_the_stated_stride(
    name: str, size: tuple[int, int]
) -> None:
    network = made(name)
    shape = (1, CLASSES, *(-(-side // network.stride) for side in size))
    for training in (True, False):
        network.train(training)
        if training and max(size) <= ONE_VALUE.get(name, 0):
            with pytest.raises(ValueError, match="more than 1 value per channel"):
                network(torch.randn(1, 3, *size))
            continue
        output = network(torch.randn(1, 3, *size))
        assert [logits.shape for logits in all_of(output)] == [shape] * len(all_of(output))
        assert all(logits.isfinite().all() for logits in all_of(output))
        assert training or isinstance(output, Tensor)
        assert len(all_of(output)) == 1 or network.auxiliary_weight > 0


@every_network
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
def test_two_steps_of_training_reach_every_layer(name: str, precision: torch.dtype) -> None:
    network = without_dropout(made(name)).train()
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    descent = torch.optim.SGD(network.parameters(), lr=0.01)
    image, target = torch.randn(2, 3, 65, 64), torch.tensor([1, 3])[:, None, None].expand(2, 65, 64)
    losses = []
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
            outputs = all_of(network(image))
        large = [
            F.interpolate(logits.float(), target.shape[-2:], mode="bilinear") for logits in outputs
        ]
        loss = torch.stack([F.cross_entropy(logits, target) for logits in large]).sum()
        descent.zero_grad()
        loss.backward()
        assert all(
            parameter.grad is not None and parameter.grad.isfinite().all()
            for parameter in network.parameters()
        )
        descent.step()
        losses.append(float(loss.detach()))
    assert losses[1] < losses[0]
    # batch norm undoes the scale of one before it
    kernels = [name for name, parameter in network.named_parameters() if parameter.ndim > 1]
    assert [
        name for name in kernels if torch.equal(network.get_parameter(name), before[name])
    ] == []


@every_network
def test_the_features_are_one_map_per_image_and_lead_to_the_head(name: str) -> None:
    network = with_loud_heads(made(name)).eval()
    image = torch.randn(1, 3, 33, 47)
    features = network.features(image)  # type: ignore[operator]
    assert features.shape[0] == 1
    assert features.ndim == 4
    assert features.isfinite().all()
    rows, columns = features.shape[-2:]
    assert rows in {-(-33 // stride) for stride in (1, 2, 4, 8, 16, 32)}
    adapter = Adapter(network, [str(label) for label in range(CLASSES)])
    outputs, same = adapter.logits_and_features(image)
    torch.testing.assert_close(same, features)
    torch.testing.assert_close(outputs[0], network(image))
    if name in SKIPPING or name in CUT:
        return
    assert (rows, columns) == (-(-33 // network.stride), -(-47 // network.stride))
    torch.testing.assert_close(network.get_submodule("head")(features), network(image))


@every_network
def test_body_and_head_can_learn_at_their_own_rates(name: str) -> None:
    network = made(name)
    body, head = SGD(lr=0.1, head_multiplier=10).groups(network)
    assert head["lr"] == pytest.approx(10 * body["lr"])
    assert {id(parameter) for parameter in body["params"]} == {
        id(parameter) for parameter in network.encoder.parameters()
    }
    assert {id(parameter) for parameter in network.head.parameters()} <= {
        id(parameter) for parameter in head["params"]
    }
    assert len(body["params"]) + len(head["params"]) == len(list(network.parameters()))


@every_network
def test_the_weights_of_one_are_those_of_another(name: str) -> None:
    first, second = with_loud_heads(made(name)).eval(), made(name).eval()
    image = torch.randn(1, 3, 40, 33)
    assert not torch.equal(first(image), second(image))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(image), second(image))


@every_network
@pytest.mark.parametrize("size", [*SIZES, (61, 83)], ids=str)
def test_the_way_that_is_exported_computes_the_same(
    name: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = with_loud_heads(made(name)).eval()
    image = torch.randn(1, 3, *size)
    with torch.no_grad():
        wanted = network(image)
        monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
        torch.testing.assert_close(network(image), wanted)


@pytest.mark.slow
@every_network
def test_it_can_be_exported(name: str) -> None:
    network = with_loud_heads(made(name)).eval()
    example, image = torch.randn(2, 1, 3, 40, 33)
    exported = torch.export.export(network, (example,)).module()
    torch.testing.assert_close(exported(image), network(image))


def test_every_network_has_a_small_one() -> None:
    assert sorted(SMALL) == sorted(PIXELS), "add it to SMALL, with few channels"


@every_network
def test_rows_of_classes_are_known_by_their_names(name: str) -> None:
    """Weights with the rows of their classes in another order say the same of the same classes."""
    network, other, wider = made(name).eval(), made(name).eval(), made(name, classes=CLASSES + 1)
    for parameter in network.parameters():  # some begin with rows of zeros
        nn.init.normal_(parameter, std=0.1)
    table = torch.arange(256)
    table[:CLASSES] = torch.tensor([0, 3, 1, 4, 2])
    other.load_state_dict(reorder(network.state_dict(), wider, table, CLASSES, Path("weights")))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for before, after in zip(all_of(network(image)), all_of(other(image)), strict=True):
            torch.testing.assert_close(before, after[:, table[:CLASSES]], atol=1e-4, rtol=1e-4)
            assert not torch.allclose(before, after, atol=1e-4)


# optional parts -----------------------------------------------------------------------------------

AUXILIARY = {"deeplabv2", "pspnet"}
INTERMEDIATE = {"deeplabv3", "deeplabv3plus", "unet", "dpt"}


@every_network
def test_which_optional_parts_each_network_has(name: str) -> None:
    with torch.device("meta"):  # without weights, which takes a fraction of the time
        network = made(name, scales=[1, 0.5]) if name == "deeplabv2" else made(name)
    adapter = Adapter(network, [f"class{number}" for number in range(CLASSES)])
    assert isinstance(adapter.stride, int)
    assert encoder_of(network) is network.encoder
    assert adapter.lacks("features") == ""
    assert (adapter.auxiliary_weight > 0) == (name in AUXILIARY)
    assert (adapter.lacks("intermediate_features") == "") == (name in INTERMEDIATE)
    assert not adapter.has_losses
    assert not adapter.has_instances


class Bare(nn.Module):
    """A network of somebody's own: logits at half the resolution, and no optional part."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.last = nn.Conv2d(8, 3, 1)
        self.used: set[str] = set()

    def forward(self, image: Tensor) -> Any:
        return self.last(self.body(image))


class Stride(Bare):
    @property
    def stride(self) -> int:
        self.used.add("stride")
        return 2


class Encoder(Bare):
    @property
    def encoder(self) -> nn.Module:
        self.used.add("encoder")
        return self.body


class Auxiliary(Bare):
    auxiliary_weight = 0.5

    def forward(self, image: Tensor) -> Any:
        logits = super().forward(image)
        self.used.add("auxiliary_weight")
        return {"out": logits, "aux": [logits / 2]} if self.training else logits


class Features(Bare):
    def features(self, image: Tensor) -> Tensor:
        self.used.add("features")
        return self.body(image)  # type: ignore[no-any-return]


class Intermediate(Bare):
    def intermediate_features(self, image: Tensor) -> Tensor:
        self.used.add("intermediate_features")
        assert all(side % 32 == 0 for side in image.shape[-2:])
        return self.body[0](image)  # type: ignore[no-any-return]


class Losses(Bare):
    def losses(self, image: Tensor, batch: Batch) -> dict[str, Tensor]:
        self.used.add("losses")
        assert batch.box_masks is not None
        inside = torch.stack([masks.any(0) for masks in batch.box_masks])
        scores = F.interpolate(self.last(self.body(image)), image.shape[-2:])[:, 0]
        return {"mask": F.binary_cross_entropy_with_logits(scores, inside.float())}


class Detects(Bare):
    def detect(self, image: Tensor) -> list[Instances]:
        self.used.add("detect")
        height, width = image.shape[-2:]
        box = torch.tensor([[0.0, 0.0, width, height]])
        whole = torch.ones(1, height, width)
        return [Instances(box, torch.tensor([1]), whole, torch.ones(1)) for _ in image]


class Pixels(Stride, Encoder, Auxiliary, Features, Intermediate, Detects):
    """With every optional part that goes with the losses of strategies."""


class Complete(Pixels, Losses):
    """With every optional part."""


PARTS = {
    Stride: "stride",
    Encoder: "encoder",
    Auxiliary: "auxiliary_weight",
    Features: "features",
    Intermediate: "intermediate_features",
    Losses: "losses",
    Detects: "detect",
}
OWN: list[type[Bare]] = [Bare, *PARTS, Pixels, Complete]
STRATEGIES: dict[str, tuple[type[Strategy], dict[str, Any]]] = {
    "labels": (BoxesRect, {}),
    "features": (Clustering, {}),
    "intermediate_features": (Cosegmentation, {"long_side": 64}),
    "losses": (BoxesInstances, {}),
}
"""a strategy for each way of training"""


def parts_of(network: type[Bare]) -> set[str]:
    return {name for part, name in PARTS.items() if issubclass(network, part)}


class Known(Everything):
    """The true objects are known."""

    def true_instances(self, index: int) -> Instances:
        evidence, truth = self.sample(index)
        assert evidence.boxes is not None
        assert evidence.box_classes is not None
        assert truth is not None
        return Instances(evidence.boxes, evidence.box_classes, (truth > 0)[None])


def fits(network: type[Bare], way: str) -> bool:
    """Whether a strategy can train a network: a network with losses wants masks of boxes, and
    strategies want the features that they read."""
    parts = parts_of(network)
    return way in parts | {"labels", "losses"} and ("losses" not in parts or way == "losses")


TRAINED = [
    (network, way)
    for network in OWN
    for way in STRATEGIES
    if not fits(network, way) or way == "labels" or way in parts_of(network)
]


@pytest.mark.parametrize(("network", "way"), TRAINED)
def test_a_network_of_ones_own_trains_with_any_subset_of_the_parts(
    tmp_path: Path, network: type[Bare], way: str
) -> None:
    torch.manual_seed(0)
    kind, options = STRATEGIES[way]
    data, own, strategy = Known(train=4, val=2), network(), kind(**options)
    optimizer = SGD(lr=0.1, head_multiplier=10 if "encoder" in parts_of(network) else 1)
    if not fits(network, way):
        with pytest.raises(TypeError, match=f"{network.__name__} (has no method|learns from)"):
            Segmenter(own, strategy, data.classes, optimizer)
        return
    before = own.last.weight.detach().clone()
    segmenter = Segmenter(own, strategy, data.classes, optimizer)
    rounds = Rounds(when="epochs", every=1)
    fit = trainer(tmp_path, 2, callbacks=[rounds, AveragePrecision()])
    fit.fit(segmenter, datamodule=data)
    assert not torch.equal(own.last.weight, before)
    only = {"features", "losses"}  # intermediate features are for figures, too
    expected = {part for part in parts_of(network) if part not in only or part == way}
    assert own.used - {"auxiliary_weight"} == expected - {"auxiliary_weight"}
    logged = set(fit.callback_metrics)
    assert ("val/mask_ap" in logged) == ("detect" in expected)
    helped = "auxiliary_weight" in expected and "losses" not in expected
    assert any(name.endswith("/auxiliary1") for name in logged) == helped
