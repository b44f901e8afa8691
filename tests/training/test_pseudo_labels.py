"""Training on pseudo-labelled images beside those of the data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from tests.pseudo import labelled_folder, write_photo
from tests.small import Everything, KillBefore, Killed, Squares, TinyNet, trainer
from weakseg.data.base import Shares
from weakseg.data.transforms import collate
from weakseg.evidence import IGNORE, Batch
from weakseg.fit import main as fit
from weakseg.functional.losses import cross_entropy
from weakseg.reporting.dataset_check import check_dataset
from weakseg.strategies.base import Strategy
from weakseg.strategies.boxes_instances import BoxesInstances
from weakseg.strategies.boxes_rect import BoxesRect
from weakseg.training.checkpoints import Checkpoints
from weakseg.training.estimation import EstimationError
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import PSEUDO, Segmenter


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_folder(tmp_path_factory.mktemp("pseudo"), 9)


class Watching(Strategy):
    """Fails if a batch has an image that is none of the data set."""

    def loss(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        assert len(logits) == len(batch.ids) == len(batch.image) == 2
        assert all(id.startswith("disc/") for id in batch.ids)
        assert batch.boxes is not None
        assert [len(boxes) for boxes in batch.boxes] == [1, 1]
        return {"anything": logits.square().mean()}


class Pixelwise(nn.Module):
    """Without batch norm and dropout: images do not depend on each other."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.layer(image)
        return out


class Terms(pl.Callback):
    """Keeps the terms of every step, and the batches."""

    def __init__(self) -> None:
        self.terms: list[dict[str, float]] = []
        self.batches: list[Batch] = []

    def on_train_batch_end(self, _: Any, __: Any, outputs: Any, batch: Batch, ___: int) -> None:
        self.terms.append({name: float(term) for name, term in outputs["terms"].items()})
        self.batches.append(batch)


def train(
    folder: Path,
    data: Squares,
    strategy: Strategy | None = None,
    steps: int = 4,
    network: nn.Module | None = None,
    callbacks: list[Any] | None = None,
    ckpt: Path | None = None,
) -> tuple[Segmenter, Terms]:
    data.seed = 3  # as a program has it that makes data set and network with one seed
    pl.seed_everything(3, verbose=False)
    segmenter = Segmenter(network or TinyNet(3), strategy or BoxesRect(), data.classes)
    terms = Terms()
    its_trainer = trainer(folder, steps, callbacks=[Rounds(workers=0), terms, *(callbacks or [])])
    its_trainer.fit(segmenter, datamodule=data, ckpt_path=ckpt, weights_only=True)
    return segmenter, terms


def test_strategies_see_images_of_the_data_set_alone(labels: Path, tmp_path: Path) -> None:
    _, found = train(tmp_path, Squares(pseudo=labels), Watching())
    assert all(set(terms) == {"anything", PSEUDO} for terms in found.terms)
    for batch in found.batches:
        assert batch.pseudo is not None
        assert batch.pseudo.image.shape == (2, 3, 24, 24)
        assert all(id.startswith("labels/") for id in batch.pseudo.ids)


def test_the_term_is_the_weighted_cross_entropy(labels: Path) -> None:
    data = Squares(pseudo=labels, pseudo_weight=0.25)
    segmenter = Segmenter(Pixelwise(), BoxesRect(), data.classes)
    items = [data.training_item(0, place) for place in (0, 12, 13)]
    items[0] = items[0]._replace(target=torch.ones(24, 24, dtype=torch.uint8))
    batch = collate(items, 3, pseudo=2, weight=data.pseudo_weight)
    assert batch.pseudo is not None
    logits = segmenter(torch.cat([batch.image, batch.pseudo.image]))
    terms = segmenter._loss(logits, batch).terms
    assert torch.equal(terms["cross_entropy"], cross_entropy(logits[:1], batch.target))
    assert torch.equal(terms[PSEUDO], 0.25 * cross_entropy(logits[1:], batch.pseudo.target))
    nothing = batch.pseudo._replace(target=torch.full_like(batch.pseudo.target, IGNORE))
    assert segmenter._loss(logits, batch._replace(pseudo=nothing)).terms[PSEUDO].item() == 0


def test_of_weight_0_they_teach_nothing(labels: Path, tmp_path: Path) -> None:
    with_them = Squares(batch_size=4, pseudo=labels, pseudo_weight=0)
    _, found = train(tmp_path, with_them, network=Pixelwise(), steps=1)
    assert found.terms[0][PSEUDO] == 0
    assert found.terms[0]["cross_entropy"] > 0


def test_each_of_them_comes(labels: Path, tmp_path: Path) -> None:
    data = Squares(batch_size=4, pseudo=labels)
    _, found = train(tmp_path, data, steps=5)
    batches = [batch.pseudo for batch in found.batches]
    seen = [id for batch in batches if batch is not None for id in batch.ids]
    assert len(seen) == 10
    assert len(set(seen)) == 9


@pytest.mark.parametrize(("share", "batch", "expected"), [(0.01, 4, 1), (0.75, 4, 3), (0.99, 4, 3)])
def test_the_share_leaves_one_image_of_each_kind(
    share: float, batch: int, expected: int, labels: Path
) -> None:
    extra = Squares(batch_size=batch, pseudo=labels, pseudo_share=share)._extra()
    assert extra == (9, expected)


def test_folders_may_be_given_as_text(labels: Path) -> None:
    data: Any = {"pseudo": str(labels), "pseudo_images": str(labels.parent / "photos")}
    found = Squares(**data).pseudo_labels
    assert found is not None
    assert found.problem(0) == ""


def test_a_batch_of_one_image_has_no_room(labels: Path) -> None:
    with pytest.raises(ValueError, match="batch_size should be 2 or more with pseudo"):
        Squares(batch_size=1, pseudo=labels)


def test_a_resumed_run_is_the_same_run(labels: Path, tmp_path: Path) -> None:
    data = {"batch_size": 4, "pseudo": labels}
    whole, _ = train(tmp_path / "whole", Squares(**data), steps=7)
    saves = [Checkpoints(tmp_path / "ckpt", every=1)]
    with pytest.raises(Killed):
        train(tmp_path / "a", Squares(**data), steps=7, callbacks=[*saves, KillBefore(4)])
    last = tmp_path / "ckpt" / "last.ckpt"
    saves = [Checkpoints(tmp_path / "ckpt", every=1)]
    resumed, _ = train(tmp_path / "a", Squares(**data), steps=7, callbacks=saves, ckpt=last)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_resumed_run_wants_the_same_images(tmp_path: Path) -> None:
    folder = labelled_folder(tmp_path, 5)
    saves = [Checkpoints(tmp_path / "ckpt", every=1)]
    train(tmp_path / "a", Squares(pseudo=folder), steps=2, callbacks=saves)
    other = labelled_folder(tmp_path, 4)
    with pytest.raises(ValueError, match="are not those that this run was trained on"):
        train(
            tmp_path / "a",
            Squares(pseudo=other),
            steps=4,
            callbacks=[Checkpoints(tmp_path / "ckpt", every=1)],
            ckpt=tmp_path / "ckpt" / "last.ckpt",
        )


def test_what_is_wrong_with_their_files_is_told_before_training(tmp_path: Path) -> None:
    folder = labelled_folder(tmp_path, 3)
    write_photo(tmp_path / "photos" / "0.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
    (tmp_path / "photos" / "2.png").unlink()
    with pytest.raises(EstimationError, match="do not fit their images on 2 images") as caught:
        train(tmp_path / "run", Squares(pseudo=folder))
    assert "8 by 8, but it is 24 by 24" in str(caught.value)
    assert "missing" in str(caught.value)


def test_a_network_with_losses_of_its_own_is_refused(labels: Path, tmp_path: Path) -> None:
    class OwnLosses(TinyNet):
        def losses(self, image: Tensor, batch: Batch) -> dict[str, Tensor]:
            return {"own": self(image).mean()}

    with pytest.raises(ValueError, match=r"data\.pseudo: OwnLosses learns from a mask for each"):
        train(tmp_path, Squares(pseudo=labels), BoxesInstances(), network=OwnLosses(3))


def test_shares_of_kinds_hold_among_the_other_images(labels: Path, tmp_path: Path) -> None:
    data = Everything(batch_size=4, pseudo=labels, shares=Shares(boxes=1))
    _, found = train(tmp_path, data, steps=3)
    assert all(len(batch.ids) == 2 for batch in found.batches)


def test_the_check_looks_at_them(tmp_path: Path) -> None:
    folder = labelled_folder(tmp_path, 3)
    assert check_dataset(Squares(pseudo=folder)).errors == 0
    (tmp_path / "photos" / "2.png").unlink()
    found = check_dataset(Squares(pseudo=folder))
    assert found.remarks == [f"pseudo-labels of {folder}: 3 images to train on"]
    (problem,) = found.problems
    assert str(problem).startswith("error: pseudo-label of 2.png: image and mask should be whole")
    nowhere = check_dataset(Squares(pseudo=tmp_path / "nowhere"))
    assert "there is no such folder" in str(nowhere.problems[0])


def test_the_report_names_them(labels: Path, tmp_path: Path) -> None:
    run = fit(
        [
            "recipe=distil",
            "strategy=boxes_rect",
            "data=tests.small.Squares",
            f"data.pseudo={labels}",
            "network=tests.small.TinyNet",
            "rounds.workers=0",
            "trainer.max_steps=2",
            "trainer.log_every_n_steps=1",
            "trainer.accelerator=cpu",
            f"trainer.default_root_dir={tmp_path}",
        ]
    )
    report = (run / "report.html").read_text()
    assert f"pseudo-labels of {labels}: 9 images to train on; 0.5 of each batch" in report
    assert f"loss/{PSEUDO}" in (run / "metrics.csv").read_text().splitlines()[0]


@pytest.mark.parametrize("wrong", ["nowhere", "empty", "other classes"])
def test_a_folder_that_cannot_be_one_of_labels_is_refused_before_there_is_a_run_folder(
    wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    names = ("background", "bright", "cat")
    labelled_folder(tmp_path / "cats", 2, classes=names).rename(tmp_path / "other classes")
    words = ["recipe=boxes_rect", "data=tests.small.Squares", "network=tests.small.TinyNet"]
    words += [f"data.pseudo={tmp_path / wrong}", f"trainer.default_root_dir={tmp_path / 'runs'}"]
    with pytest.raises(SystemExit) as caught:
        fit([*words, "data.batch_size=2"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("data.pseudo: ")
    assert not list((tmp_path / "runs").glob("*/*"))
