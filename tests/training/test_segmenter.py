"""The Segmenter: figures, frozen batch norm, misfits and bad numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor, nn

from tests.small import Refine, Squares, TinyNet, trainer
from weakseg.evidence import Batch, Evidence
from weakseg.optimizers import SGD, AdamW
from weakseg.strategies.base import Context, JointStrategy, Strategy, Wants
from weakseg.strategies.common_keys import CommonKeys
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter

CLASSES = ("background", "bright", "dark")


def fit(
    folder: Path, segmenter: Segmenter, data: Squares | None = None, **arguments: Any
) -> pl.Trainer:
    made = trainer(folder, callbacks=[Rounds()], **arguments)
    made.fit(segmenter, datamodule=data or Squares())
    return made


class Coarse(nn.Module):
    """Logits at stride 4 whose place can be read: the column index of each cell."""

    stride = 4

    def forward(self, image: Tensor) -> Tensor:
        height, width = (-(-size // 4) for size in image.shape[-2:])
        columns = torch.arange(width).float().expand(len(image), 3, height, width)
        return columns.contiguous()


@pytest.mark.parametrize(("height", "width"), [(8, 16), (7, 13), (1, 1)])
def test_coarse_logits_are_enlarged_by_the_stride_and_cut(height: int, width: int) -> None:
    logits = Segmenter(Coarse(), Refine(), CLASSES)(
        torch.zeros(2, 3, height, width, dtype=torch.uint8)
    )
    assert logits.shape == (2, 3, height, width)
    # a cell's value stands at its centre, 1.5 + 4 i; linear between, constant outside
    for column in range(width):
        wanted = min(max((column - 1.5) / 4, 0), -(-width // 4) - 1)
        assert logits[0, 0, 0, column] == pytest.approx(wanted, abs=1e-6)


def test_images_are_normalised_as_imagenet_networks_expect() -> None:
    seen = []

    class Look(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            seen.append(image)
            return image

    Segmenter(Look(), Refine(), CLASSES)(
        torch.tensor([255, 0, 124], dtype=torch.uint8).view(1, 3, 1, 1)
    )
    assert seen[0].flatten().tolist() == pytest.approx(
        [(1 - 0.485) / 0.229, -0.456 / 0.224, (124 / 255 - 0.406) / 0.225], rel=1e-5
    )


def test_training_learns_and_figures_are_those_of_one_confusion_matrix(tmp_path: Path) -> None:
    data = Squares()
    segmenter = Segmenter(TinyNet(), Refine(), CLASSES, AdamW(lr=0.02))
    made = trainer(tmp_path, steps=60, callbacks=[Rounds()])
    made.fit(segmenter, datamodule=data)
    segmenter.eval()
    counts = torch.zeros(3, 3)
    for index in data.validation:
        evidence, truth = data.sample(index)
        assert truth is not None
        guess = segmenter(evidence.image[None]).argmax(1)[0]
        for row in range(3):
            for column in range(3):
                counts[row, column] += int(((truth == row) & (guess == column)).sum())
    ious = [
        float(counts[i, i] / (counts[i].sum() + counts[:, i].sum() - counts[i, i]))
        for i in range(3)
    ]
    assert float(made.callback_metrics["val/miou"]) == pytest.approx(sum(ious) / 3, abs=1e-6)
    assert float(made.callback_metrics["val/iou/dark"]) == pytest.approx(ious[2], abs=1e-6)
    assert sum(ious) / 3 > 0.5
    assert sorted(segmenter.scores) == list(data.validation)


def test_frozen_batch_norm_stays_frozen(tmp_path: Path) -> None:
    network = TinyNet()
    before = {name: value.clone() for name, value in network.encoder[1].state_dict().items()}
    weight = network.head.weight.clone()
    fit(tmp_path, Segmenter(network, Refine(), CLASSES, SGD(lr=0.1, freeze_batchnorm=True)))
    assert all(
        torch.equal(value, before[name]) for name, value in network.encoder[1].state_dict().items()
    )
    assert not torch.equal(network.head.weight, weight)


def test_frozen_batch_norm_is_that_of_the_body(tmp_path: Path) -> None:
    network = TinyNet()
    # comes with no statistics: frozen, it would do nothing
    network.head = torch.nn.Sequential(torch.nn.BatchNorm2d(8), network.head)
    fit(tmp_path, Segmenter(network, Refine(), CLASSES, SGD(lr=0.1, freeze_batchnorm=True)))
    assert not network.encoder[1].running_mean.any()
    assert network.head[0].running_mean.any()
    assert not torch.equal(network.head[0].weight, torch.ones(8))


def test_batch_norm_learns_otherwise(tmp_path: Path) -> None:
    network = TinyNet()
    fit(tmp_path, Segmenter(network, Refine(), CLASSES, SGD(lr=0.1)))
    assert network.encoder[1].running_mean is not None
    assert network.encoder[1].running_mean.abs().sum() > 0


def test_rates_fall_per_step_and_the_head_is_faster(tmp_path: Path) -> None:
    rates = []

    class LabelMonitor(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
            rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])

    segmenter = Segmenter(TinyNet(), Refine(), CLASSES, SGD(lr=0.1, head_multiplier=10.0))
    trainer(tmp_path, callbacks=[Rounds(), LabelMonitor()]).fit(segmenter, datamodule=Squares())
    for step, (body, head) in enumerate(rates):
        assert body == pytest.approx(0.1 * (1 - step / 9) ** 0.9)
        assert head == pytest.approx(10 * body)


def test_accumulated_gradients_count_as_one_step_of_the_schedule(tmp_path: Path) -> None:
    rates = []

    class LabelMonitor(pl.Callback):
        def on_before_optimizer_step(self, trainer: pl.Trainer, *_: Any) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    segmenter = Segmenter(TinyNet(), Refine(), CLASSES, SGD(lr=0.1))
    made = trainer(
        tmp_path, steps=4, accumulate_grad_batches=3, callbacks=[Rounds(), LabelMonitor()]
    )
    made.fit(segmenter, datamodule=Squares())
    assert rates == pytest.approx([0.1 * (1 - step / 4) ** 0.9 for step in range(4)])


class Explodes(Strategy):
    """Has a bad loss, or a bad gradient, as soon as it sees one image."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        if "disc/5" not in batch.ids:
            return {"fine": logits.square().mean()}
        if self.what == "a gradient":
            return {"bad": (logits - logits.detach()).abs().sqrt().sum()}
        return {"bad": logits.mean() * float(self.what)}


@pytest.mark.parametrize(
    ("what", "named"), [("nan", "the loss"), ("inf", "the loss"), ("a gradient", "a gradient")]
)
def test_numbers_that_are_not_finite_stop_the_run(tmp_path: Path, what: str, named: str) -> None:
    with pytest.raises(
        FloatingPointError, match=rf"{named} of step \d .*disc/5.*gradient_clip_val"
    ):
        fit(tmp_path, Segmenter(TinyNet(), Explodes(what), CLASSES))


def test_a_network_of_other_classes_is_refused_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"TinyNet returns 5 classes, but the data set has 3: background, bright, dark",
    ):
        fit(tmp_path, Segmenter(TinyNet(5), Refine(), CLASSES))
    assert not (tmp_path / "labels").exists()


class Dictionary(nn.Module):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": image}


def test_a_network_without_one_tensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"one tensor .* but it returned dict"):
        fit(tmp_path, Segmenter(Dictionary(), Refine(), CLASSES))


class LikeTorchvision(nn.Module):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"out": image, "aux": image[:, :1]}


def test_networks_of_torchvision_may_return_their_dictionary() -> None:
    assert Segmenter(LikeTorchvision(), Refine(), CLASSES)(
        torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    ).shape == (1, 3, 4, 4)


class Returns(Strategy):
    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        returned: dict[str, Any] = {
            "tensor": logits.mean(),
            "empty": {},
            "float": {"a": 1.0},
            "map": {"a": logits},
            "detached": {"a": logits.mean().detach()},
        }
        return returned[self.what]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("tensor", "but it returned Tensor"),
        ("empty", "but it returned an empty one"),
        ("float", "but 'a' is float"),
        ("map", "but 'a' is a tensor"),
        ("detached", "no gradient can flow"),
    ],
)
def test_a_loss_that_is_none_is_explained(tmp_path: Path, what: str, message: str) -> None:
    with pytest.raises(
        TypeError,
        match=rf"the loss of Returns should return a dict of named scalar tensors.*{message}",
    ):
        fit(tmp_path, Segmenter(TinyNet(), Returns(what), CLASSES))


@pytest.mark.parametrize("needs", ["boxes", ("box",)])
def test_needs_that_no_evidence_has(needs: Any) -> None:
    with pytest.raises(TypeError, match=r"needs should be a tuple of tags, boxes"):
        type("Needy", (Refine,), {"needs": needs})


def test_neither_method_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match="overrides neither estimate nor loss"):
        type("Idle", (Strategy,), {})


class Fitted(JointStrategy):
    def fit(self, descriptions: Sequence[dict[str, Tensor]]) -> Tensor | None:
        return None

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        return Refine().estimate(evidence, context)


OWN_NAMES = [
    name
    for cls in (CommonKeys, Strategy, JointStrategy)
    for name in vars(cls)
    if not name.startswith("_")
]


def test_a_strategy_has_few_public_names() -> None:
    """Eleven, beside what all strategies have of the common keys."""
    assert len(set(OWN_NAMES) - set(vars(CommonKeys))) <= 11


@pytest.mark.parametrize("name", OWN_NAMES)
def test_a_name_that_strategy_uses_itself_is_refused_in_a_line(name: str) -> None:
    base = Fitted if name in vars(JointStrategy) else Refine
    is_value = not callable(getattr(base, name))
    here = rf"strategy Mine: {name} is a \w+ of Strategy, but here it is .*; call yours otherwise"
    with pytest.raises(TypeError, match=here):
        type("Mine", (base,), {name: (lambda self: 1) if is_value else 5})
    if not is_value:
        with pytest.raises(
            TypeError,
            match=rf"strategy \w+ sets self\.{name}, but {name} is a .*; call yours otherwise",
        ):
            setattr(base(), name, 5)


def test_names_that_strategy_uses_itself_may_be_overridden_in_kind() -> None:
    class Mine(Refine):
        wants = property(lambda self: Wants(features=True))  # type: ignore[assignment]
        check = torch.no_grad()(lambda self, evidence, classes: None)  # type: ignore[assignment]
        iterations = classmethod(lambda cls: 3)  # of JointStrategy, which this is not

        def __init__(self) -> None:
            super().__init__()
            self.class_weights = "auto"

    assert (Mine().wants.features, Mine.iterations(), Mine().class_weights) == (True, 3, "auto")


@pytest.mark.parametrize("wants", [True, {"features": True}, None])
def test_wants_are_declared_as_such(wants: Any) -> None:
    with pytest.raises(TypeError, match=r"strategy Mine: wants should be a Wants, such as Wants"):
        type("Mine", (Refine,), {"wants": wants})
    with pytest.raises(TypeError, match=r"strategy Refine: wants should be a Wants, such as Wants"):
        Refine().wants = wants


@pytest.mark.parametrize(
    ("wants", "message"),
    [
        ({"intermediate": -5}, "intermediate of wants should be at least 0, but it is -5"),
        ({"intermediate": "64"}, "intermediate of wants should be a whole number"),
        ({"resolution": "pixels"}, "resolution of wants should be image or scores"),
        ({"features": "no"}, "features of wants should be True or False, but it is 'no'"),
    ],
)
def test_what_cannot_be_wanted_is_refused(wants: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Wants(**wants)


@pytest.mark.parametrize("method", ["describe", "fit"])
def test_methods_of_a_joint_strategy_are_refused_where_nobody_calls_them(method: str) -> None:
    with pytest.raises(TypeError, match=f"strategy Mine has {method}, which .* JointStrategy"):
        type("Mine", (Refine,), {method: lambda self, *_: None})


@pytest.mark.parametrize("iterations", [-1, 1.5, "2"])
def test_iterations_are_counted_from_0(iterations: Any) -> None:
    class Joint(JointStrategy):
        def fit(self, descriptions: Any) -> None: ...

        def estimate(self, evidence: Any, context: Any) -> Tensor:
            return torch.zeros(1)

    with pytest.raises(ValueError, match=r"iterations should be .*at least 0"):
        Joint().iterations = iterations
    with pytest.raises(ValueError, match=r"strategy Wrong: iterations should be .*at least 0"):
        type("Wrong", (Joint,), {"iterations": iterations})


def test_a_constructor_that_forgets_its_base_is_refused_in_a_line() -> None:
    class Forgets(Refine):
        def __init__(self) -> None:
            self.layer = torch.nn.Linear(1, 1)

    with pytest.raises(TypeError, match=r"Forgets must begin with super\(\).__init__\(\)"):
        Forgets()


@pytest.mark.parametrize("classes", ["abc", (), ("background",)])
def test_classes_are_at_least_two_names(classes: Any) -> None:
    with pytest.raises(ValueError, match="at least two names"):
        Segmenter(TinyNet(), Refine(), classes)


def test_wrong_parts_are_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"should be a weakseg\.Strategy, but it is type"):
        Segmenter(TinyNet(), Refine, CLASSES)  # type: ignore[arg-type]


class Curious(Refine):
    wants = Wants(features=True)


def test_features_come_on_request_only() -> None:
    image = torch.zeros(3, 9, 9, dtype=torch.uint8)
    assert Segmenter(TinyNet(), Refine(), CLASSES).predict(image).features is None
    features = Segmenter(TinyNet(), Curious(), CLASSES).predict(image).features
    assert features is not None
    assert features.shape == (8, 9, 9)
    with pytest.raises(TypeError, match="no method `features`"):
        Segmenter(Dictionary(), Curious(), CLASSES)


def test_predictions_are_probabilities_and_leave_training_mode_alone() -> None:
    segmenter = Segmenter(TinyNet(), Refine(), CLASSES)
    segmenter.train()
    image = torch.randint(0, 256, (3, 11, 6), dtype=torch.uint8)
    first, second = segmenter.predict(image), segmenter.predict(image)
    assert torch.equal(first.probs, second.probs)  # no dropout
    assert torch.allclose(first.probs.sum(0), torch.ones(11, 6))
    assert segmenter.training


class Unequal(Squares):
    """Images of two sizes, some without truth."""

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        assert truth is not None
        if index % 3 == 0:
            return evidence._replace(
                image=evidence.image[:, 2:], boxes=None, box_classes=None
            ), truth[2:] if index % 2 else None
        return evidence, truth


def test_validation_takes_images_of_any_size_and_some_without_truth(tmp_path: Path) -> None:
    data = Unequal(val=6)
    segmenter = Segmenter(TinyNet(), Refine(), CLASSES)
    trainer(tmp_path).validate(segmenter, datamodule=data, verbose=False)
    truths = [data.sample(index)[1] for index in data.validation]
    assert int(segmenter.confusion.sum()) == sum(
        truth.numel() for truth in truths if truth is not None
    )
    assert len(segmenter.scores) == 5


def test_head_multiplier_needs_a_body() -> None:
    with pytest.raises(ValueError, match="neither an `encoder` nor a `backbone`"):
        SGD(head_multiplier=10.0).groups(nn.Conv2d(3, 3, 1))


def test_checkpoints_of_other_classes_are_refused() -> None:
    checkpoint: dict[str, Any] = {}
    Segmenter(TinyNet(), Refine(), CLASSES).on_save_checkpoint(checkpoint)
    with pytest.raises(
        ValueError,
        match=(
            "knows the classes background, bright, dark, but the data set has background, cat, dog"
        ),
    ):
        Segmenter(TinyNet(), Refine(), ("background", "cat", "dog")).on_load_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("image", "came"),
    [
        (torch.zeros(3, 8, 8), "float32 [3, 8, 8]"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "uint8 [1, 3, 8, 8]"),
        (torch.zeros(1, 8, 8, dtype=torch.uint8), "uint8 [1, 8, 8]"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8).numpy(), "a numpy array, uint8 [3, 8, 8]"),
        (Image.new("RGB", (8, 8)), "Image"),
        ("photo.jpg", "str"),
        (Path("photo.jpg"), "PosixPath"),
        ([[0]], "list"),
        (None, "NoneType"),
    ],
    ids=str,
)
def test_what_is_no_image_is_refused_and_called_what_it_is(image: Any, came: str) -> None:
    says = (
        f"image should be a tensor, uint8 [3,H,W] in true colours, but it is {came}; "
        "torchvision.io.read_image"
    )
    with pytest.raises(ValueError, match=re.escape(says)):
        Segmenter(TinyNet(), Refine(), CLASSES).predict(image)


def test_an_attribute_called_losses_makes_no_mask_rcnn() -> None:
    network = TinyNet()
    network.losses = torch.nn.ModuleList()
    assert Segmenter(network, Refine(), CLASSES).network is network
