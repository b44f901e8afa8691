"""Images that are augmented on the device: the same batches as those that loaders augment."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import HalfPrecision
from torch import Tensor
from torch.utils.data import DataLoader

from tests.data.corrections.events import correct, paint, stroke
from tests.pseudo import labelled_folder
from tests.small import KillBefore, Killed, Squares, TinyNet, trainer
from tests.training.waiting import Waits, on_a_gpu
from weakseg.data.label_store import LabelStore
from weakseg.data.transforms import Augmentation, one_hot
from weakseg.data.unaugmented import Unaugmented, packed
from weakseg.evidence import IGNORE, Batch, Evidence
from weakseg.fit import main as fit
from weakseg.strategies.base import Strategy
from weakseg.training.checkpoints import Checkpoints
from weakseg.training.segmenter import Segmenter
from weakseg.utils.devices import host_copy

CPU = torch.device("cpu")
SIZES = [(24, 31), (40, 17), (33, 33), (9, 50)]


class Varied(Squares):
    """Images of several sizes, each with the kinds of evidence and of target that its turn brings;
    some lie in memory as decoders leave them, colour by colour of each pixel, or with gaps."""

    classes = ("background", "bright", "dark")
    kinds: tuple[str, ...] = ("boxes", "masks", "points", "scribbles", "tags", "mixed", "nothing")
    targets: tuple[str, ...] = ("hard", "soft")

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        chance = torch.Generator().manual_seed(index)
        height, width = SIZES[index % len(SIZES)]
        image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=chance)
        if index % 3 == 1:
            image = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
        if index % 3 == 2:
            image = image.repeat_interleave(2, -1)[..., ::2]
        kind = self.kinds[index % len(self.kinds)]
        evidence = Evidence(f"image {index}", image)
        if kind in ("boxes", "masks", "mixed"):
            boxes = torch.tensor([[1.0, 1.0, 6.0, 7.0], [width - 9.0, 2.0, width - 1.0, 8.0]])
            evidence = evidence._replace(boxes=boxes, box_classes=torch.tensor([1, 2]))
        if kind == "masks":
            masks = torch.zeros(2, height, width, dtype=torch.bool)
            masks[0, 1:7, 1:6] = True
            masks[1, 3:8, width - 8 :] = True
            evidence = evidence._replace(box_masks=masks)
        if kind in ("points", "scribbles", "mixed"):
            marks = torch.full((height, width), IGNORE, dtype=torch.uint8)
            marks[4, 3 : 4 if kind == "points" else width - 2] = 1
            marks[0] = 0
            evidence = evidence._replace(marks=marks)
        if kind in ("tags", "mixed"):
            tags = torch.tensor([True, True, False])
            evidence = evidence._replace(tags=tags, large=tags)
        return evidence, None

    def target(self, evidence: Evidence) -> Tensor | None:
        kind = self.targets[int(evidence.id.split()[-1]) % len(self.targets)]
        if kind == "none":
            return None
        chance = torch.Generator().manual_seed(len(evidence.id))
        height, width = evidence.image.shape[-2:]
        labels = torch.randint(0, 4, (height, width), generator=chance).byte()
        labels[labels == 3] = IGNORE
        return labels if kind == "hard" else one_hot(labels, 3) * 0.75


LOADING: dict[str, Any] = {"scale": (0.5, 2.0), "crop": 25, "colour": 0.3}


def batches(data: Any, device: torch.device = CPU, epochs: int = 2) -> Iterator[Any]:
    """The batches of a data set that a trainer would train on."""
    for epoch in range(epochs):
        data.trainer = SimpleNamespace(
            global_rank=0,
            world_size=1,
            current_epoch=epoch,
            fit_loop=SimpleNamespace(batch_idx=-1),
            precision_plugin=pl.plugins.Precision(),
        )
        for batch in data.train_dataloader():
            assert isinstance(batch, Unaugmented) == (data.augment_on == "device")
            yield data.transfer_batch_to_device(batch, device, 0)


def assert_same(one: Any, other: Any, name: str = "") -> None:
    """Bit by bit, in the same order in memory."""
    assert type(one) is type(other), name
    if isinstance(one, Tensor):
        assert one.dtype == other.dtype, name
        assert one.stride() == other.stride(), name
        assert torch.equal(one, other), name
    elif isinstance(one, tuple | list):
        for place, (first, second) in enumerate(zip(one, other, strict=True)):
            field = getattr(type(one), "_fields", range(len(one)))[place]
            assert_same(first, second, f"{name}.{field}")
    else:
        assert one == other, name


def compare(make: Any, **chosen: Any) -> list[Batch]:
    both = [
        list(batches(make(**{**LOADING, **chosen, "augment_on": where})))
        for where in ("host", "device")
    ]
    assert len(both[0]) > 1
    for one, other in zip(*both, strict=True):
        assert_same(one, other)
    return both[1]


def varied(kinds: Any = Varied.kinds, targets: Any = ("hard", "soft"), **loading: Any) -> Varied:
    data = Varied(train=14, val=0, **loading)
    data.seed = 5
    data.kinds, data.targets = kinds, targets
    return data


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("targets", [("hard",), ("soft",), ("hard", "soft"), ("hard", "none")])
def test_batches_of_all_kinds_are_those_of_the_host(targets: Any, workers: int) -> None:
    found = compare(varied, targets=targets, workers=workers)
    for batch in found:
        assert batch.image.shape == (4, 3, 25, 25)
    seen = {None if batch.target is None else batch.target.ndim for batch in found}
    assert {"hard": 3, "soft": 4, "none": None}[targets[-1]] in seen


@pytest.mark.parametrize("kind", Varied.kinds)
@pytest.mark.parametrize("cache", ["on", "off"])
def test_batches_of_one_kind(kind: str, cache: str) -> None:
    found = compare(varied, kinds=(kind,), cache=cache)
    has = {name for batch in found for name in Batch._fields if getattr(batch, name) is not None}
    if kind == "masks":
        assert "box_masks" in has
    assert ("boxes" in has) == (kind in ("boxes", "masks", "mixed"))


@pytest.mark.parametrize(
    "loading",
    [
        {"colour": 0.0},
        {"scale": (1.0, 1.0)},
        {"crop": None},
        {"crop": None, "scale": (1.0, 1.0), "colour": 0.0, "batch_size": 3},
        {"crop": None, "scale": (1.0, 1.0), "colour": 0.0, "flip": False},
        {"crop": 70},
    ],
)
def test_batches_of_every_augmentation(loading: dict[str, Any]) -> None:
    compare(varied, **loading)


def test_what_a_person_has_drawn_comes_along(tmp_path: Path) -> None:
    height, width = SIZES[1]
    drawn = (stroke("dark", (2, 2), (9, 9)), paint("bright", (4, 20)))
    correct(tmp_path, "image 1", *drawn, size=(width, height))
    found = compare(varied, corrections=tmp_path)
    assert all(batch.drawn is not None for batch in found)
    assert any(bool((batch.drawn != IGNORE).any()) for batch in found)


def test_pseudo_labelled_images_come_along(tmp_path: Path) -> None:
    folder = labelled_folder(tmp_path, 5)
    for targets in ("hard",), ("soft",):
        found = compare(varied, targets=targets, pseudo=folder, pseudo_weight=0.5)
        for batch in found:
            assert batch.pseudo is not None
            assert batch.pseudo.image.shape == (2, 3, 25, 25)
            assert batch.pseudo.target.ndim == 3


def test_images_without_annotation_with_soft_labels_come_along(tmp_path: Path) -> None:
    def made(**loading: Any) -> Varied:
        data = varied(annotated=0.5, unlabelled="own", **loading)
        store = LabelStore(tmp_path)
        images = data.unlabelled_images
        assert images is not None
        for place, id in enumerate(images.ids):
            size = data.unlabelled_evidence(place).image.shape[-2:]
            store.write(id, "key", torch.full((3, *size), 0.25))
        data.use_predictions(store, dict.fromkeys(images.ids, "key"))
        return data

    for batch in compare(made):
        assert batch.pseudo is not None
        assert batch.pseudo.target.shape == (2, 3, 25, 25)
    # while they wait for their labels
    compare(lambda **loading: varied(annotated=0.5, unlabelled="own", **loading))


@pytest.mark.parametrize("targets", [("hard",), ("hard", "soft")])
def test_all_of_it_is_on_the_device_and_nothing_is_asked_of_it(
    tmp_path: Path, targets: Any
) -> None:
    """Tensors on "meta" have no numbers that could be read, and go with none on the CPU."""
    folder = labelled_folder(tmp_path, 5)
    loading = {**LOADING, "targets": targets, "pseudo": folder, "batch_size": 8}
    meta = batches(varied(**loading, augment_on="device"), torch.device("meta"))
    for batch, expected in zip(meta, batches(varied(**loading)), strict=True):
        tensors = leaves(batch)
        for one, other in zip(tensors, leaves(expected), strict=True):
            assert one.device.type == "meta"
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
        # what decides how a loss goes on is known without asking
        for name in ("tags", "marks", "valid"):
            if getattr(expected, name) is not None:
                assert torch.equal(host_copy(getattr(batch, name)), getattr(expected, name))
        if expected.boxes is not None:
            assert torch.equal(host_copy(batch.boxes[0]), expected.boxes[0])
        if targets == ("hard",):
            assert torch.equal(host_copy(batch.target), expected.target)


def leaves(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return (
        [leaf for part in value for leaf in leaves(part)] if isinstance(value, tuple | list) else []
    )


@pytest.mark.parametrize("targets", [("hard",), ("hard", "soft")])
def test_augmenting_on_a_device_does_not_wait(tmp_path: Path, targets: Any) -> None:
    waits = Waits()
    data = varied(
        **LOADING, targets=targets, pseudo=labelled_folder(tmp_path, 5), augment_on="device"
    )
    with on_a_gpu(waits):
        list(batches(data, epochs=1))
        taken: list[Tensor] = []
        for batch in unmoved(data):
            before = len(waits.found)
            with waits.of_copies():
                moved = data.transfer_batch_to_device(batch, CPU, 0)
            assert waits.holds(moved.image)
            assert len(waits.found) == before, waits.found
            taken.append(moved.image)
        assert taken
        with waits.of_copies():  # one who asks is found
            assert bool(taken[0].sum() > 0)
    assert [found.split()[0] for found in waits.found] == ["_local_scalar_dense"]


def unmoved(data: Any) -> list[Unaugmented]:
    return list(data.train_dataloader())


def test_loaders_that_pin_memory_pin_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[int] = []

    def pin(tensor: Tensor) -> Tensor:
        copy = tensor.clone()
        pinned.append(copy.data_ptr())
        return copy

    monkeypatch.setattr(Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    from torch.utils.data._utils.pin_memory import pin_memory

    data = varied(**LOADING, augment_on="device")
    expected = list(batches(data, epochs=1))
    for batch, like in zip(unmoved(data), expected, strict=True):
        before = len(pinned)
        copied = pin_memory(batch)
        tensors = [*leaves(copied.batch), copied.pixels.buffer, copied.targets.buffer]
        assert {each.data_ptr() for each in tensors if each.numel()} <= set(pinned[before:])
        assert_same(data.transfer_batch_to_device(copied, CPU, 0), like)


def test_tensors_packed_into_one_lie_as_they_did() -> None:
    values = torch.arange(60).view(3, 4, 5)
    given = [
        values.byte(),
        values.float().permute(2, 0, 1),
        values[:, ::2],
        values[:0].bool(),
        values[0, 0].expand(7, 5).double(),
        torch.tensor(3.5),
    ]
    made = packed(given)
    assert made.buffer.dtype == torch.uint8
    for one, other in zip(made.unpacked(made.buffer.clone()), given, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    assert made.unpacked(made.buffer)[1].stride() == given[1].stride()
    assert len(packed([]).buffer) == 0


def test_a_batch_that_nobody_has_augmented_says_so() -> None:
    data = varied(augment_on="device", **LOADING)
    list(batches(data, epochs=1))
    (batch, *_) = unmoved(data)
    with pytest.raises(AttributeError, match=r"augment_on=device has no image yet: .*=host"):
        _ = batch.image
    again = pickle.loads(pickle.dumps(batch))
    assert_same(*(data.transfer_batch_to_device(each, CPU, 0) for each in (batch, again)))


# trainings


class Sized(Strategy):
    """Learns from all pixels of image and target."""

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        assert batch.target is not None
        size = (logits - batch.image[:, :1].float() / 255).square().mean()
        target = batch.target[:, None] / 255 if batch.target.ndim == 3 else batch.target
        return {"size": size, "target": (logits * target).mean()}


def trained(folder: Path, ckpt: Path | None = None, **loading: Any) -> dict[str, Tensor]:
    """The weights after three epochs; `stop` ends before a step."""
    stop = loading.pop("stop", None)
    settings = loading.pop("settings", {})
    pl.seed_everything(3, verbose=False)
    callbacks: list[Any] = [Checkpoints(folder / "ckpt", every=1)]
    callbacks += [KillBefore(stop)] if stop else []
    segmenter = Segmenter(TinyNet(), Sized(), Varied.classes)
    made = trainer(folder, 9, callbacks=callbacks, limit_val_batches=0, **settings)
    data = varied(**{**LOADING, **loading})
    try:
        made.fit(segmenter, data, ckpt_path=ckpt, weights_only=True)
    finally:
        data.teardown("fit")
    return segmenter.state_dict()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", ["on", "off"])
def test_trainings_on_a_cpu_are_the_same_bit_for_bit(
    tmp_path: Path, workers: int, cache: str
) -> None:
    expected = trained(tmp_path / "host")
    loading = {"augment_on": "device", "workers": workers, "cache": cache}
    for name, value in trained(tmp_path / "device", **loading).items():
        assert torch.equal(value, expected[name]), name
    with pytest.raises(Killed):
        trained(tmp_path / "killed", stop=5, **loading)
    # it may even go on elsewhere
    for where in ("host", "device"):
        last = tmp_path / "killed" / "ckpt" / "last.ckpt"
        found = trained(tmp_path / where / "on", last, **{**loading, "augment_on": where})
        assert all(torch.equal(value, expected[name]) for name, value in found.items())
    assert any(
        not torch.equal(value, expected[name])
        for name, value in trained(tmp_path / "plain", colour=0.0).items()
    )


def test_other_precisions_are_those_of_the_trainer(tmp_path: Path) -> None:
    half = HalfPrecision("bf16-true")
    expected = next(batches(varied(**LOADING, targets=("soft",))))
    data = varied(**LOADING, targets=("soft",), augment_on="device")
    list(batches(data, epochs=1))
    data.trainer.precision_plugin = half  # type: ignore[union-attr]
    batch = half.convert_input(unmoved(data)[0])
    moved = data.transfer_batch_to_device(batch, CPU, 0)
    assert moved.target.dtype == torch.bfloat16
    assert_same(moved, half.convert_input(expected))
    doubled = [
        trained(tmp_path / where, augment_on=where, settings={"precision": "64-true"})
        for where in ("host", "device")
    ]
    for name, value in doubled[0].items():
        assert torch.equal(value, doubled[1][name]), name


def test_a_recipe_says_where(tmp_path: Path) -> None:
    def run(where: str) -> dict[str, Any]:
        words = ["recipe=boxes_rect", "network=tests.small.TinyNet", "network.classes=5"]
        words += ["data.train=8", "data.val=2", "data.size=40", "data.crop=28", "data.colour=0.2"]
        words += ["trainer.max_steps=3", "trainer.accelerator=cpu", "rounds.workers=0"]
        words += [f"trainer.default_root_dir={tmp_path / where}", f"data.augment_on={where}"]
        folder = fit(words)
        assert f"augment_on: {where}" in (folder / "recipe.yaml").read_text()
        state: dict[str, Any] = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
        return state["state_dict"]

    both = [run(where) for where in ("host", "device")]
    assert all(torch.equal(value, both[1][name]) for name, value in both[0].items())


def test_another_place_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        fit(["recipe=boxes_rect", "data.augment_on=gpu"])
    said = capsys.readouterr().err
    assert "data.augment_on: expected host or device, but it is 'gpu'" in said


# what people have written themselves


class OwnItem(Varied):
    def training_item(self, time: int, index: int) -> Any:
        return super().training_item(time, index)


class OwnTransfer(Varied):
    def transfer_batch_to_device(self, *given: Any) -> Any:
        return super().transfer_batch_to_device(*given)


class OwnBefore(Varied):
    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch


class OwnAugmented(Varied):
    def __init__(self, **loading: Any) -> None:
        super().__init__(**loading)
        self.augmentation = Upright(25)


class Upright(Augmentation):
    def __call__(self, evidence: Any, target: Any, generator: Any) -> Any:
        return super().__call__(evidence, target, generator)


class OwnModule(Segmenter):
    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch


@pytest.mark.parametrize(
    ("kind", "module", "says"),
    [
        (OwnItem, Segmenter, r"OwnItem has a training_item of its .* change unaugmented_item"),
        (OwnTransfer, Segmenter, r"a transfer_batch_to_device .* in on_after_batch_transfer"),
        (OwnBefore, Segmenter, r"OwnBefore has a on_before_batch_transfer"),
        (OwnAugmented, Segmenter, r"Upright has a __call__ of its own"),
        (Varied, OwnModule, r"OwnModule has a on_before_batch_transfer"),
    ],
)
def test_code_that_counts_on_augmented_images_is_not_passed_over(
    tmp_path: Path, kind: type[Varied], module: type[Segmenter], says: str
) -> None:
    for where in ("host", "device"):
        data = kind(train=8, val=0, augment_on=where, **{**LOADING, "batch_size": 4})
        data.targets = ("soft",)
        made = trainer(tmp_path, 1, limit_val_batches=0)
        segmenter = module(TinyNet(), Sized(), data.classes)
        if where == "host":
            made.fit(segmenter, data)
        else:
            with pytest.raises(ValueError, match=says):
                made.fit(segmenter, data)


class Inverted(Varied):
    """Changes batches where it is given augmented ones."""

    seen = 0

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        self.seen += 1
        return batch._replace(image=255 - batch.image)


def test_a_hook_behind_the_transfer_is_given_augmented_batches(tmp_path: Path) -> None:
    data = Inverted(train=8, val=0, augment_on="device", **LOADING)
    data.targets = ("soft",)
    segmenter = Segmenter(TinyNet(), Sized(), data.classes)
    trainer(tmp_path, 2, limit_val_batches=0).fit(segmenter, data)
    assert data.seen == 2


def test_single_images_are_augmented_for_who_asks() -> None:
    one, other = (varied(augment_on=where, **LOADING) for where in ("host", "device"))
    assert_same(one.training_item(0, 3), other.training_item(0, 3))


def test_torch_loaders_of_their_own_take_them() -> None:
    """Batches of augmented images are moved as they are."""
    data = varied(**LOADING)
    host = list(batches(data, epochs=1))
    data.augment_on = "device"
    loader: Any = DataLoader(host, batch_size=None)  # type: ignore[arg-type]
    for batch, expected in zip(loader, host, strict=True):
        assert_same(data.transfer_batch_to_device(batch, CPU, 0), expected)
