"""What a validation measures: with truth or without, by the names of the classes, at the resolution
of the training, or not at all."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.small import SIZE, Everything, Refine, Squares, TinyNet, trainer
from weakseg.data.base import WeakData
from weakseg.evidence import Evidence
from weakseg.fit import main
from weakseg.functional.crf import DenseCRF
from weakseg.functional.resolution import downsample
from weakseg.inference.multiscale import Inference
from weakseg.training.checkpoints import Checkpoints
from weakseg.training.estimation import EstimationError
from weakseg.training.label_quality import Agreement
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter

CLASSES = Squares.classes


class Unmeasured(Everything):
    """Without truth, and with some kinds of evidence alone."""

    def __init__(self, *kinds: str, **loading: Any) -> None:
        super().__init__(**loading)
        self.kinds = kinds

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, _ = super().sample(index)
        fields = {"boxes": ("boxes", "box_classes"), "marks": ("marks",), "tags": ("tags", "large")}
        gone = [field for kind, own in fields.items() if kind not in self.kinds for field in own]
        return evidence._replace(**dict.fromkeys(gone)), None


class Levels(nn.Module):
    """Knows Squares: bright pixels are class 1, dark ones class 2; an order of the classes may be
    given."""

    def __init__(self, order: Sequence[int] = (0, 1, 2)) -> None:
        super().__init__()
        self.order = list(order)

    def forward(self, image: Tensor) -> Tensor:
        level = image.mean(1, keepdim=True)
        scores = torch.cat([0.5 - level.abs(), level - 0.5, -level - 0.5], 1)
        return scores[:, self.order]


def validate(
    folder: Path, segmenter: Segmenter, data: WeakData, **arguments: Any
) -> dict[str, float]:
    made = trainer(folder, **arguments)
    made.validate(segmenter, datamodule=data, verbose=False)
    return {
        name: float(value)
        for name, value in made.callback_metrics.items()
        if name.startswith("val/")
    }


# without truth


@pytest.mark.parametrize(
    ("kinds", "expected", "chosen"),
    [
        (
            ["boxes", "marks", "tags"],
            {"val/box_extent_iou", "val/marks_accuracy", "val/tags_f1"},
            "val/box_extent_iou",
        ),
        (["boxes"], {"val/box_extent_iou"}, "val/box_extent_iou"),
        (["marks", "tags"], {"val/marks_accuracy", "val/tags_f1"}, "val/marks_accuracy"),
        (["tags"], {"val/tags_f1"}, "val/tags_f1"),
        ([], set(), None),
    ],
)
def test_without_truth_the_evidence_measures(
    tmp_path: Path, kinds: list[str], expected: set[str], chosen: str | None
) -> None:
    segmenter = Segmenter(Levels(), Refine(), CLASSES)
    found = validate(tmp_path, segmenter, Unmeasured(*kinds))
    assert {name for name in found if name.count("/") == 1} == expected
    # a network that knows all agrees with all of it
    assert all(found[name] > 0.95 for name in expected)
    assert (segmenter.measured is None) == (chosen is None)
    assert segmenter.measured is None or segmenter.measured == (
        chosen,
        pytest.approx(found[chosen or ""]),
    )
    assert sorted(segmenter.scores) == (list(Unmeasured().validation) if kinds else [])


def test_a_network_that_knows_nothing_agrees_with_nothing(tmp_path: Path) -> None:
    found = validate(
        tmp_path,
        Segmenter(Levels(order=(2, 0, 1)), Refine(), CLASSES),
        Unmeasured("boxes", "marks", "tags"),
    )
    assert all(found[name] < 0.6 for name in ("val/box_extent_iou", "val/marks_accuracy"))


def test_figures_are_of_the_whole_data_set_and_of_each_class(tmp_path: Path) -> None:
    """The clicks of one class are all right, those of the other all wrong, and of the background
    all but the pixels of noise."""
    order = (0, 1, 0)  # scores of dark things are those of the background, which comes first
    found = validate(
        tmp_path, Segmenter(Levels(order), Refine(), CLASSES), Unmeasured("marks", "tags")
    )
    assert found["val/marks_accuracy/bright"] == 1
    assert found["val/marks_accuracy/dark"] == 0
    assert found["val/marks_accuracy"] == pytest.approx(
        (found["val/marks_accuracy/background"] + 1) / 3
    )
    assert found["val/tags_f1/bright"] == 1
    assert found["val/tags_f1/dark"] == 0
    assert "val/tags_f1/background" not in found


def test_with_truth_nothing_else_is_measured(tmp_path: Path) -> None:
    found = validate(tmp_path, Segmenter(Levels(), Refine(), CLASSES), Everything())
    assert set(found) == {"val/miou", *(f"val/iou/{name}" for name in CLASSES)}


class SomeTruth(Unmeasured):
    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, _ = super().sample(index)
        return evidence, Squares.sample(self, index)[1] if index % 2 else None


def test_some_truth_is_enough_for_the_usual_figures(tmp_path: Path) -> None:
    segmenter = Segmenter(Levels(), Refine(), CLASSES)
    found = validate(tmp_path, segmenter, SomeTruth("boxes"))
    assert {name for name in found if name.count("/") == 1} == {"val/miou"}
    assert sorted(segmenter.scores) == [index for index in SomeTruth().validation if index % 2]


def test_ranks_count_as_if_they_were_one(monkeypatch: pytest.MonkeyPatch) -> None:
    data, network = Unmeasured("boxes", "marks", "tags"), Levels()
    whole, parts = Agreement(CLASSES), [Agreement(CLASSES), Agreement(CLASSES)]
    for place, index in enumerate(data.validation):
        evidence, _ = data.sample(index)
        guess = Segmenter(network, Refine(), CLASSES)(evidence.image[None])[0].argmax(0)
        guess[: index % 7] = place % 3  # not all right
        if place == 0:
            evidence = evidence._replace(marks=None)  # kinds of evidence differ between ranks, too
        whole.add(index, guess, evidence)
        parts[place > 0].add(index, guess, evidence)
    expected = whole.figures()
    monkeypatch.setattr(
        "weakseg.training.label_quality.gather",
        lambda _: [(part.counts, part.scores) for part in parts],
    )
    together = Agreement(CLASSES)
    assert together.figures() == pytest.approx(expected, nan_ok=True)
    assert together.scores == whole.scores


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("classes", [CLASSES, ("background", "dark", "bright")], ids=str)
@pytest.mark.parametrize("evidence_alone", [False, True])
def test_a_gpu_measures_the_same(
    tmp_path: Path, classes: tuple[str, ...], evidence_alone: bool
) -> None:
    segmenter = Segmenter(Levels(), Refine(), CLASSES)
    expected = validate(tmp_path, segmenter, Other(classes, evidence_alone))
    made = pl.Trainer(
        default_root_dir=tmp_path,
        accelerator="gpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
    )
    made.validate(segmenter, datamodule=Other(classes, evidence_alone), verbose=False)
    assert {name: float(made.callback_metrics[name]) for name in expected} == pytest.approx(
        expected, nan_ok=True
    )


# the best network


def train(
    folder: Path, data: WeakData, steps: int = 9, **arguments: Any
) -> tuple[pl.Trainer, Segmenter]:
    pl.seed_everything(3, verbose=False)
    segmenter = Segmenter(TinyNet(), Refine(), CLASSES)
    last, *more = [Checkpoints(folder / "checkpoints"), *arguments.pop("callbacks", [])]
    made = trainer(folder, steps=steps, callbacks=[Rounds(workers=0), last, *more], **arguments)
    made.fit(segmenter, datamodule=data, weights_only=True)
    return made, segmenter


def best(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    return found


def test_without_truth_there_is_a_best_network_and_it_says_by_what(tmp_path: Path) -> None:
    values: list[float] = []

    class Listen(pl.Callback):
        def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
            values.append(float(trainer.callback_metrics["val/box_extent_iou"]))

    train(tmp_path, Unmeasured("boxes"), callbacks=[Listen()])
    assert len(values) == 3
    known = best(tmp_path)["weakseg"]["validation"]
    assert known["figure"] == "val/box_extent_iou"
    assert known["value"] == pytest.approx(max(values))
    assert known["step"] == 3 * (1 + values.index(max(values)))


class Scored(nn.Module):
    """Knows the discs as well as it is told to: its parameter is the part of the columns in which
    it sees anything."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Parameter(torch.zeros(()))
        self.knows = Levels()

    def forward(self, image: Tensor) -> Tensor:
        scores = self.knows(image) + 0 * self.part
        blind = torch.arange(image.shape[-1]) >= float(self.part.detach()) * image.shape[-1]
        return scores.where(~blind, torch.tensor([1.0, 0.0, 0.0])[:, None, None])


class Sets(pl.Callback):
    """Makes the network as good as it is to be after each step."""

    def __init__(self, *parts: float) -> None:
        self.parts = parts

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        pl_module.network.part.data.fill_(self.parts[trainer.global_step - 1])


def run_scored(
    folder: Path, *parts: float, data: WeakData | None = None, **arguments: Any
) -> tuple[pl.Trainer, Segmenter, WeakData]:
    """A step per part; a validation every three steps, and one at the end."""
    segmenter, data = Segmenter(Scored(), Refine(), CLASSES), data or Squares()
    callbacks = [Rounds(workers=0), Sets(*parts), Checkpoints(folder / "checkpoints")]
    made = trainer(folder, steps=len(parts), callbacks=callbacks)
    made.fit(segmenter, datamodule=data, weights_only=True, **arguments)
    if segmenter.validated_at != made.global_step:
        made.validate(segmenter, datamodule=data, verbose=False)
    return made, segmenter, data


def step_of_best(folder: Path) -> tuple[int, float]:
    found = best(folder)
    return found["weakseg"]["validation"]["step"], float(found["state_dict"]["network.part"])


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((0, 0, 0.6, 0.9), (4, 0.9)),  # the last is the best
        ((0, 0, 0.9, 0.6), (3, 0.9)),
        ((0.4,), (1, 0.4)),  # the only validation is the one at the end
        ((0, 0, 0.9, 0, 0, 0.4, 0.6), (3, 0.9)),
    ],
    ids=str,
)
@pytest.mark.parametrize("data", [Squares, lambda: Unmeasured("boxes")], ids=["truth", "boxes"])
def test_best_is_the_best_of_all_validations_the_last_one_too(
    tmp_path: Path,
    parts: tuple[float, ...],
    expected: tuple[int, float],
    data: Callable[[], WeakData],
) -> None:
    run_scored(tmp_path, *parts, data=data())
    assert step_of_best(tmp_path) == (expected[0], pytest.approx(expected[1]))


def test_a_run_that_goes_on_knows_how_good_its_last_validation_was(tmp_path: Path) -> None:
    run_scored(tmp_path, 0, 0, 0.5, 0.7)
    assert step_of_best(tmp_path) == (4, pytest.approx(0.7))
    last = tmp_path / "checkpoints" / "last.ckpt"
    run_scored(tmp_path, 0, 0, 0.5, 0.7, 0, 0.6, ckpt_path=last)
    assert step_of_best(tmp_path) == (4, pytest.approx(0.7))
    run_scored(tmp_path, 0, 0, 0.5, 0.7, 0, 0.6, 0, 0, 1, ckpt_path=last)
    assert step_of_best(tmp_path) == (9, pytest.approx(1))


def test_another_run_in_the_same_folder_begins_anew(tmp_path: Path) -> None:
    run_scored(tmp_path, 0, 0, 0.9)
    run_scored(tmp_path, 0, 0, 0.4)
    assert step_of_best(tmp_path) == (3, pytest.approx(0.4))


def test_measuring_on_other_data_makes_no_network_the_best(tmp_path: Path) -> None:
    made, segmenter, _ = run_scored(tmp_path, 0, 0, 0.4)
    segmenter.network.part.data.fill_(1.0)
    made.validate(segmenter, datamodule=Squares(), verbose=False)
    assert step_of_best(tmp_path) == (3, pytest.approx(0.4))


class BoxesAlone(Unmeasured):
    """As a recipe takes it."""

    def __init__(self, **loading: Any) -> None:
        super().__init__("boxes", **loading)


class NothingHeldOut(BoxesAlone):
    def __init__(self, **loading: Any) -> None:
        super().__init__(val=0, **loading)


def fit_words(folder: Path, data: type[WeakData]) -> Path:
    words = [
        "recipe=boxes_rect",
        "network=tests.small.TinyNet",
        "network.classes=3",
        f"data={__name__}.{data.__name__}",
        "data.batch_size=4",
    ]
    trainer_words = [
        "trainer.max_steps=4",
        "trainer.accelerator=cpu",
        "trainer.enable_progress_bar=false",
    ]
    return main([*words, *trainer_words, "rounds.workers=0", f"trainer.default_root_dir={folder}"])


def test_a_run_without_any_mask_tells_how_good_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fit_words(tmp_path, BoxesAlone)
    printed, report = capsys.readouterr().out, (run / "report.html").read_text()
    assert "boxes (IoU)" in printed
    said = re.findall(r"best\.ckpt: val/box_extent_iou (0\.\d+), .* after step (\d+)", printed)[0]
    value = float(said[0])
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert value == pytest.approx(best["weakseg"]["validation"]["value"], abs=1e-3)
    assert int(said[1]) == best["global_step"]
    assert f"best.ckpt: val/box_extent_iou {value:.3f}" in report
    # 5 and 12 images, and the 10 most suspicious of the latter
    assert [
        report.count(f'alt="{name}"') for name in ("evidence", "target", "prediction", "truth")
    ] == [27, 27, 27, 0]


def test_a_damaged_best_network_costs_no_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fit_words(tmp_path, BoxesAlone)
    path = run / "checkpoints" / "best.ckpt"
    path.write_bytes(path.read_bytes()[:-100])
    (run / "report.html").unlink()
    assert main([f"resume={run}"]) == run  # it is finished: nothing is left to do but to tell
    assert "best.ckpt: " in capsys.readouterr().out
    assert (run / "report.html").is_file()


def test_a_run_that_holds_nothing_out_shows_its_training_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fit_words(tmp_path, NothingHeldOut)
    printed, report = capsys.readouterr().out, (run / "report.html").read_text()
    assert "nothing was measured" in printed
    assert "best.ckpt" not in printed
    assert [
        report.count(f'alt="{name}"') for name in ("evidence", "target", "prediction", "truth")
    ] == [22, 22, 22, 0]


# numbers that are none


class Spoils(pl.Callback):
    """Batch norm's statistics, which training does not read, become NaN or infinite."""

    def __init__(self, value: float) -> None:
        self.value = value

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        pl_module.network.encoder[1].running_mean.fill_(self.value)


@pytest.mark.parametrize(
    "inference",
    [None, Inference(flip=True, validation=True), Inference(crf=DenseCRF(), validation=True)],
    ids=str,
)
@pytest.mark.parametrize(
    "data", [Squares, lambda **loading: Unmeasured("boxes", **loading)], ids=["truth", "boxes"]
)
def test_predictions_that_are_no_numbers_stop_the_run(
    tmp_path: Path, inference: Inference | None, data: Callable[..., WeakData]
) -> None:
    segmenter = Segmenter(TinyNet(), Refine(), CLASSES, inference=inference)
    made = trainer(tmp_path, callbacks=[Rounds(workers=0), Spoils(math.nan), Checkpoints(tmp_path)])
    with pytest.raises(
        FloatingPointError,
        match=r"validation after step 3 .* not finite, on the images disc/12, .*disc/16 and 1 more",
    ):
        made.fit(segmenter, datamodule=data(val=6))
    assert not (tmp_path / "best.ckpt").exists()


def test_nothing_is_estimated_from_what_is_no_number(tmp_path: Path) -> None:
    """A round asks the network, too, and there may be no validation before it."""
    callbacks = [Rounds("epochs", workers=0), Spoils(math.nan)]
    with pytest.raises(
        EstimationError,
        match=r"targets of round 1 .*\n.*the prediction is not finite: .* lower optimizer\.lr",
    ):
        trainer(tmp_path, callbacks=callbacks, limit_val_batches=0).fit(
            Segmenter(TinyNet(), Refine(), CLASSES), datamodule=Squares()
        )


def test_a_prediction_that_is_no_number_is_refused() -> None:
    segmenter = Segmenter(TinyNet(), Refine(), CLASSES)
    segmenter.network.head.bias.data[1] = math.nan
    with pytest.raises(FloatingPointError, match=r"the prediction is not finite: .* optimizer\.lr"):
        segmenter.predict(torch.zeros(3, 8, 8, dtype=torch.uint8))


def test_bad_numbers_of_another_rank_stop_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = Segmenter(Levels(), Refine(), CLASSES)
    monkeypatch.setattr(
        "weakseg.training.segmenter.gather",
        lambda value: [value, ["theirs"]] if value == [] else [value],
    )
    with pytest.raises(FloatingPointError, match="not finite, on the images theirs: "):
        validate(tmp_path, segmenter, Squares())


def test_certainty_is_no_bad_number(tmp_path: Path) -> None:
    """Mask R-CNN is certain that a class is nowhere: its score is minus infinity."""

    class Certain(Levels):
        def forward(self, image: Tensor) -> Tensor:
            return (
                super()
                .forward(image)
                .masked_fill(torch.tensor([False, True, True])[:, None, None], -math.inf)
            )

    assert (
        validate(tmp_path, Segmenter(Certain(), Refine(), CLASSES), Squares())["val/iou/bright"]
        == 0
    )


# classes by name


class Other(Everything):
    """The same images with classes of other numbers."""

    def __init__(self, classes: tuple[str, ...], evidence_alone: bool = False) -> None:
        super().__init__()
        self.classes, self.evidence_alone = classes, evidence_alone

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        table = torch.full((256,), 255, dtype=torch.uint8)
        for number, name in enumerate(CLASSES):
            table[number] = self.classes.index(name) if name in self.classes else 0
        assert truth is not None
        assert evidence.box_classes is not None
        assert evidence.marks is not None
        assert evidence.tags is not None
        known = [
            name in self.classes and bool(evidence.tags[number])
            for number, name in enumerate(CLASSES)
        ]
        tags = torch.zeros(len(self.classes), dtype=torch.bool)
        tags[
            [self.classes.index(name) for name, there in zip(CLASSES, known, strict=True) if there]
        ] = True
        numbered = table[evidence.box_classes].long()
        own = numbered > 0
        evidence = evidence._replace(
            boxes=None if evidence.boxes is None else evidence.boxes[own],
            box_classes=numbered[own],
            marks=table[evidence.marks.long()],
            tags=tags,
            large=None,
        )
        return evidence, None if self.evidence_alone else table[truth.long()]


@pytest.mark.parametrize(
    ("classes", "evidence_alone"),
    [
        (("background", "dark", "bright"), False),
        (("background", "dark", "bright"), True),
        (("dark", "background", "bright"), False),
    ],
    ids=str,
)
def test_classes_are_matched_by_their_names(
    tmp_path: Path, classes: tuple[str, ...], evidence_alone: bool
) -> None:
    segmenter = Segmenter(Levels(), Refine(), CLASSES)
    ours = validate(tmp_path, segmenter, Other(CLASSES, evidence_alone))
    assert validate(tmp_path, segmenter, Other(classes, evidence_alone)) == ours


def test_a_data_set_may_lack_classes_of_the_network(tmp_path: Path) -> None:
    """A network is not worse for what is nowhere to be seen."""
    perfect = Segmenter(Levels(), Refine(), CLASSES)
    bright = Other(("background", "bright"))
    # those of bright discs
    bright.validation = [index for index in range(len(bright)) if index % 2 == 0]
    found = validate(tmp_path, perfect, bright)
    assert found["val/miou"] > 0.95
    assert math.isnan(found["val/iou/dark"])


def test_a_data_set_with_strange_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"cat is none of the classes background, bright, dark; give .*data\.rename",
    ):
        validate(
            tmp_path, Segmenter(Levels(), Refine(), CLASSES), Other(("background", "bright", "cat"))
        )


@pytest.mark.parametrize(
    "classes", [("background", "dark", "bright"), ("background", "bright", "cat")], ids=str
)
def test_training_wants_the_same_classes_in_the_same_order(
    tmp_path: Path, classes: tuple[str, ...]
) -> None:
    with pytest.raises(
        ValueError,
        match=(
            r"has the classes background, bright, dark, but the data set has background, "
            r".*data\.classes"
        ),
    ):
        trainer(tmp_path, callbacks=[Rounds(workers=0)]).fit(
            Segmenter(TinyNet(), Refine(), CLASSES), datamodule=Other(classes)
        )


# resolution


class Shrunk(Squares):
    """Reads images at half their size, as data sets of photographs do with `long_side`."""

    def __init__(self, **loading: Any) -> None:
        super().__init__(**loading)
        self.long_side = SIZE // 2

    def sample(self, index: int) -> tuple[Evidence, Tensor | None]:
        evidence, truth = super().sample(index)
        assert evidence.boxes is not None
        assert truth is not None
        return evidence._replace(
            image=downsample(evidence.image, self.long_side), boxes=evidence.boxes / 2
        ), truth[::2, ::2].contiguous()


def trained_small(folder: Path) -> Segmenter:
    segmenter = Segmenter(TinyNet(dropout=0.0), Refine(), CLASSES)
    callbacks = [Rounds(workers=0), Checkpoints(folder)]
    trainer(folder, steps=3, callbacks=callbacks).fit(
        segmenter, datamodule=Shrunk(), weights_only=True
    )
    return segmenter


def test_a_network_is_asked_at_the_resolution_that_it_was_trained_at(tmp_path: Path) -> None:
    segmenter = trained_small(tmp_path)
    large = torch.randint(0, 256, (3, 50, 36), dtype=torch.uint8)
    small = downsample(large, SIZE // 2)
    assert small.shape == (3, 12, 9)
    own = segmenter.predict(small).probs
    answer = segmenter.predict(large).probs
    assert torch.equal(answer, F.interpolate(own[None], (50, 36), mode="bilinear")[0])
    # a small image is not enlarged
    assert segmenter.predict(large[:, :12, :12]).probs.shape == (3, 12, 12)
    segmenter.long_side = None
    assert not torch.equal(segmenter.predict(large).probs, answer)


def test_a_network_is_measured_at_the_resolution_that_it_was_trained_at(tmp_path: Path) -> None:
    segmenter = trained_small(tmp_path)
    data = Squares()
    validate(tmp_path, segmenter, data)
    counts = torch.zeros(3, 3, dtype=torch.int64)
    for index in data.validation:
        evidence, truth = data.sample(index)
        assert truth is not None
        guess = segmenter.predict(evidence.image).probs.argmax(0)
        counts += torch.bincount(truth.long().flatten() * 3 + guess.flatten(), minlength=9).view(
            3, 3
        )
    assert torch.equal(segmenter.confusion, counts)


def test_a_checkpoint_remembers_the_resolution(tmp_path: Path) -> None:
    trained_small(tmp_path)
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert content["weakseg"]["long_side"] == SIZE // 2
    again = Segmenter(TinyNet(), Refine(), CLASSES)
    again.on_load_checkpoint(content)
    assert again.long_side == SIZE // 2
