"""Rounds in which a network labels images that nobody has annotated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from tests.pseudo import write_photo
from tests.small import KillBefore, Killed, Squares, TinyNet, trainer
from weakseg.data.label_store import LabelStore
from weakseg.evidence import Batch
from weakseg.fit import main as fit
from weakseg.reporting.dataset_check import check_dataset
from weakseg.strategies.base import Strategy
from weakseg.strategies.boxes_instances import BoxesInstances
from weakseg.strategies.boxes_rect import BoxesRect
from weakseg.training.checkpoints import Checkpoints
from weakseg.training.estimation import EstimationError
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import PSEUDO, Segmenter
from weakseg.training.self_training import predicted_labels

HALF = {"train": 8, "val": 2, "annotated": 0.5, "unlabelled": "own"}


class LossAlone(Strategy):
    """Estimates nothing."""

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"anything": logits.square().mean()}


class Seen(pl.Callback):
    """Keeps batches, terms and the figures of rounds."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.terms: list[dict[str, float]] = []

    def on_train_batch_end(self, _: Any, __: Any, outputs: Any, batch: Batch, ___: int) -> None:
        self.batches.append(batch)
        self.terms.append({name: float(term) for name, term in outputs["terms"].items()})


def train(
    folder: Path,
    data: Squares | None = None,
    strategy: Strategy | None = None,
    steps: int = 6,
    network: nn.Module | None = None,
    callbacks: list[Any] | None = None,
    ckpt: Path | None = None,
    **rounds: Any,
) -> tuple[Segmenter, Seen, Rounds]:
    data = data or Squares(**HALF)
    data.seed = 3  # as a program has it that makes data set and network with one seed
    pl.seed_everything(3, verbose=False)
    segmenter = Segmenter(network or TinyNet(3), strategy or BoxesRect(), data.classes)
    seen = Seen()
    made = Rounds(**{"when": "epochs", "workers": 0, **rounds})
    its_trainer = trainer(folder, steps, callbacks=[made, seen, *(callbacks or [])])
    its_trainer.fit(segmenter, datamodule=data, ckpt_path=ckpt, weights_only=True)
    return segmenter, seen, made


def test_the_first_round_has_annotated_images_alone_and_later_ones_have_both(
    tmp_path: Path,
) -> None:
    data = Squares(**HALF)
    images = data.unlabelled_images
    assert images is not None
    _, seen, rounds = train(tmp_path, data)
    # an epoch is as long as if each of the eight came once: two batches of four
    for batch in seen.batches[:2]:
        assert batch.pseudo is None
        assert len(batch.ids) == 4
    for batch in seen.batches[2:]:
        assert batch.pseudo is not None
        assert batch.pseudo.target.shape == (2, 3, 24, 24)
        assert len(batch.ids) == 2
        assert set(batch.pseudo.ids) <= set(images.ids)
        assert not set(batch.ids) & set(images.ids)
    assert all(PSEUDO in terms for terms in seen.terms[2:])
    assert 0 <= rounds.figures["unlabelled/weight"] <= 1
    assert rounds.figures["unlabelled/miou"] == pytest.approx(
        sum(rounds.figures[f"unlabelled/iou/{name}"] for name in data.classes) / 3
    )


def test_they_are_predicted_anew_in_each_round(tmp_path: Path) -> None:
    train(tmp_path, steps=6)
    stored = list((tmp_path / "labels").glob("??/*.npz"))
    assert len(stored) == 2 * 4  # two later rounds of four images


def test_a_strategy_without_targets_trains_in_rounds_as_well(tmp_path: Path) -> None:
    _, seen, rounds = train(tmp_path, strategy=LossAlone())
    assert rounds.round == 2
    assert seen.batches[0].pseudo is None
    assert set(seen.terms[-1]) == {"anything", PSEUDO}


def test_the_labels_are_those_of_image_and_mirror_image() -> None:
    torch.manual_seed(0)
    segmenter = Segmenter(TinyNet(3), BoxesRect(), Squares.classes).eval()
    image = Squares().sample(0)[0].image
    found = predicted_labels(segmenter, image, 0.0)
    torch.testing.assert_close(predicted_labels(segmenter, image.flip(-1), 0.0).flip(-1), found)
    assert predicted_labels(segmenter, image, 1.0).sum() == 0


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("strategy", [BoxesRect, LossAlone])
@pytest.mark.parametrize("killed", [3, 4, 7])
def test_a_resumed_run_is_the_same_run(
    killed: int, strategy: type[Strategy], restart: bool, tmp_path: Path
) -> None:
    whole, _, _ = train(tmp_path / "whole", strategy=strategy(), steps=8, restart_network=restart)
    saves = [Checkpoints(tmp_path / "ckpt", every=1)]
    with pytest.raises(Killed):
        train(
            tmp_path / "a",
            strategy=strategy(),
            steps=8,
            callbacks=[*saves, KillBefore(killed)],
            restart_network=restart,
        )
    resumed, _, _ = train(
        tmp_path / "a",
        strategy=strategy(),
        steps=8,
        callbacks=[Checkpoints(tmp_path / "ckpt", every=1)],
        ckpt=tmp_path / "ckpt" / "last.ckpt",
        restart_network=restart,
    )
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_lost_targets_of_a_network_that_has_trained_on_are_named(tmp_path: Path) -> None:
    saves = [Checkpoints(tmp_path / "ckpt", every=1)]
    with pytest.raises(Killed):
        train(tmp_path, steps=6, callbacks=[*saves, KillBefore(3)])
    next((tmp_path / "labels").glob("??/*.npz")).unlink()
    with pytest.raises(FileNotFoundError, match="1 targets of unlabelled images of round 1"):
        train(
            tmp_path,
            callbacks=[Checkpoints(tmp_path / "ckpt", every=1)],
            ckpt=tmp_path / "ckpt" / "last.ckpt",
        )


def test_a_resumed_run_wants_the_same_images(tmp_path: Path) -> None:
    train(tmp_path, steps=2, callbacks=[Checkpoints(tmp_path / "ckpt", every=1)])
    other = Squares(**{**HALF, "annotated": 0.25})
    with pytest.raises(ValueError, match="are not those that this run was trained on"):
        train(
            tmp_path,
            other,
            callbacks=[Checkpoints(tmp_path / "ckpt", every=1)],
            ckpt=tmp_path / "ckpt" / "last.ckpt",
        )


def test_a_second_run_with_the_same_network_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path)
    written: list[str] = []

    def write(_: LabelStore, id: str, *__: Any) -> None:
        written.append(id)

    monkeypatch.setattr(LabelStore, "write", write)
    train(tmp_path)
    assert written == []


def test_one_round_would_never_come_to_them(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is only one; use rounds"):
        train(tmp_path, when="once")


def test_files_that_cannot_be_read_are_named_before_training(tmp_path: Path) -> None:
    write_photo(tmp_path / "more" / "a.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
    (tmp_path / "more" / "b.png").write_bytes(b"no image")
    data = Squares(unlabelled=tmp_path / "more")
    with pytest.raises(EstimationError, match="cannot be read on 1 image"):
        train(tmp_path / "run", data)
    problems = check_dataset(Squares(unlabelled=tmp_path / "more")).problems
    assert [problem.what for problem in problems] == ["a whole image"]
    assert check_dataset(Squares(**HALF)).errors == 0


def test_a_network_with_losses_of_its_own_is_refused(tmp_path: Path) -> None:
    class OwnLosses(TinyNet):
        def losses(self, image: Tensor, batch: Batch) -> dict[str, Tensor]:
            return {"own": self(image).mean()}

    with pytest.raises(ValueError, match=r"data\.unlabelled: OwnLosses learns from a mask"):
        train(tmp_path, strategy=BoxesInstances(), network=OwnLosses(3))


WORDS = [
    "strategy=boxes_rect",
    "data=tests.small.Squares",
    "data.annotated=0.5",
    "network=tests.small.TinyNet",
    "rounds.workers=0",
    "rounds.every=1",
    "trainer.log_every_n_steps=1",
    "trainer.accelerator=cpu",
]


def test_figures_are_logged_and_the_report_names_the_images(tmp_path: Path) -> None:
    words = [*WORDS, "data.unlabelled=own", "trainer.max_steps=5"]
    run = fit(["recipe=self_training", *words, f"trainer.default_root_dir={tmp_path}"])
    assert "unlabelled images of own: 6 images to train on" in (run / "report.html").read_text()
    head = (run / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"unlabelled/weight", "unlabelled/miou", "unlabelled/share/dark"} <= set(head)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["data.unlabelled=nowhere"], "data.unlabelled: expected own or a folder of images, but"),
        (
            ["data.unlabelled=own", "rounds.when=once", "rounds.count=1"],
            "data.unlabelled: images without annotation are trained on from the second round on",
        ),
    ],
)
def test_mistakes_are_told_before_there_is_a_run_folder(
    words: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = f"trainer.default_root_dir={tmp_path / 'runs'}"
    with pytest.raises(SystemExit) as caught:
        fit(["recipe=self_training", *WORDS, *words, place])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(expected)
    assert not list((tmp_path / "runs").glob("*/*"))
