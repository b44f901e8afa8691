"""Whatever happens to a stored target, what is trained on is what was estimated: it is computed
again where the damage changes it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from tests.small import SIZE, Refine, Squares, TinyNet, trainer
from weakseg.data.label_store import DamagedTarget, LabelStore
from weakseg.evidence import Evidence
from weakseg.strategies.base import Context, Strategy, Wants
from weakseg.training.estimation import EstimationError
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter

pytestmark = pytest.mark.slow

# what is done to the file of a target, beside that of another image
Damage = Callable[[Path, Path], None]


class Soft(Refine):
    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        return (
            torch.nn.functional.one_hot(super().estimate(evidence, context).long(), 3).permute(
                2, 0, 1
            )
            * 0.5
        )


class Masks(Refine):
    wants = Wants(box_masks=True)

    def estimate(self, evidence: Evidence, context: Context) -> Tensor:
        return super().estimate(evidence, context)[None] > 0


def train(folder: Path, strategy: Strategy) -> None:
    pl.seed_everything(3, verbose=False)
    data = Squares(train=4, val=1)
    trainer(folder, 1, callbacks=[Rounds()]).fit(
        Segmenter(TinyNet(), strategy, data.classes), datamodule=data
    )


def stored(folder: Path) -> dict[str, Tensor]:
    """The targets by their keys."""
    names = [file.stem.rpartition("-") for file in folder.glob("??/*")]
    return {key: LabelStore(folder).read(name.replace("_", "/"), key) for name, _, key in names}


def flip(place: float, bit: int) -> Damage:
    def damage(file: Path, _: Path) -> None:
        content = bytearray(file.read_bytes())
        content[int(place * (len(content) - 1))] ^= 1 << bit
        file.write_bytes(content)

    return damage


def cut(share: float) -> Damage:
    def damage(file: Path, _: Path) -> None:
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])

    return damage


def rewrite(change: Callable[[Tensor], Tensor]) -> Damage:
    """A file that is whole and says of itself that it is right: only what is in it does not fit."""

    def damage(file: Path, _: Path) -> None:
        id, key = "disc/2", file.stem.rpartition("-")[2]
        store = LabelStore(file.parents[1])
        store.write(id, key, change(store.read(id, key)))
        assert store.verify(id, key)

    return damage


def smaller(target: Tensor) -> Tensor:
    return target[..., :-2, :-2].clone()


def other_class(target: Tensor) -> Tensor:
    if target.ndim == 2:
        return target.clone().fill_(7)
    return torch.cat([target, target[:1]])  # a class or a mask too many


def replaced(make: Callable[[Path], None]) -> Damage:
    def damage(file: Path, _: Path) -> None:
        file.unlink()
        make(file)

    return damage


def linked(to: Callable[[Path, Path], Path]) -> Damage:
    def damage(file: Path, other: Path) -> None:
        file.unlink()
        file.symlink_to(to(file, other))

    return damage


def unreadable(file: Path, _: Path) -> None:
    file.chmod(0)


DAMAGES: dict[str, Damage] = {
    **{
        f"bit {bit} flipped at {place}": flip(place, bit)
        for place, bit in [(0.0, 0), (0.2, 3), (0.4, 7), (0.6, 1), (0.8, 5), (0.97, 2)]
    },
    **{f"cut to {share}": cut(share) for share in (0.0, 0.01, 0.5, 0.99)},
    "missing": lambda file, _: file.unlink(),
    "another image's": lambda file, other: shutil.copyfile(other, file) and None,
    "another size": rewrite(smaller),
    "another class": rewrite(other_class),
    "another kind": rewrite(
        lambda target: (
            torch.zeros(3, SIZE, SIZE) if target.dtype == torch.bool else torch.ones(2, 3, 3).bool()
        )
    ),
    "text": lambda file, _: file.write_text("no image") and None,
    "a pipe": replaced(os.mkfifo),
    "unreadable": unreadable,
    "a link to nothing": linked(lambda file, _: file.with_name("nothing")),
    "a link to itself": linked(lambda file, _: file),
    "a link to another image's": linked(lambda _, other: other),
    "a link to a device": linked(lambda file, _: Path("/dev/zero")),
}


@pytest.mark.parametrize("strategy", [Refine, Soft, Masks])
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_target_is_computed_again(
    tmp_path: Path, name: str, strategy: type[Strategy]
) -> None:
    train(tmp_path, strategy())
    before = stored(tmp_path / "labels")
    assert len(before) == 4
    file, other = (next((tmp_path / "labels").glob(f"??/disc_{number}-*")) for number in (2, 3))
    DAMAGES[name](file, other)
    train(tmp_path, strategy())
    after = stored(tmp_path / "labels")
    assert after.keys() == before.keys()
    assert all(torch.equal(target, after[key]) for key, target in before.items())
    assert not file.is_symlink()


def test_a_link_to_the_same_content_serves(tmp_path: Path) -> None:
    train(tmp_path, Refine())
    file = next((tmp_path / "labels").glob("??/disc_2-*"))
    shutil.move(file, tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    train(tmp_path, Refine())
    assert file.is_symlink()


def test_a_folder_in_the_place_of_a_target_is_named(tmp_path: Path) -> None:
    train(tmp_path, Refine())
    file = next((tmp_path / "labels").glob("??/disc_2-*"))
    file.unlink()
    file.mkdir()
    with pytest.raises(
        EstimationError,
        match=r"image disc/2: IsADirectoryError: .*disc_2-.*\.png is a folder.* move it away",
    ):
        train(tmp_path, Refine())
    file.rmdir()
    train(tmp_path, Refine())
    assert file.is_file()


class Meddles(pl.Callback):
    """Damages a target when the training has begun, after all of them have been looked at."""

    def __init__(self, folder: Path, damage: Damage) -> None:
        self.folder, self.damage = folder, damage

    def on_train_start(self, *_: Any) -> None:
        files = (
            sorted(self.folder.glob("labels/??/disc_2-*")),
            sorted(self.folder.glob("labels/??/disc_3-*")),
        )
        self.damage(files[0][0], files[1][0])


@pytest.mark.parametrize(
    "name", ["bit 3 flipped at 0.2", "cut to 0.5", "missing", "another image's", "another size"]
)
def test_a_target_that_is_damaged_while_it_is_in_use_is_named(tmp_path: Path, name: str) -> None:
    data = Squares(train=4, val=1)
    fit = trainer(tmp_path, 1, callbacks=[Rounds(), Meddles(tmp_path, DAMAGES[name])])
    with pytest.raises(DamagedTarget, match=r"disc_2-|image disc/2"):
        fit.fit(Segmenter(TinyNet(), Refine(), data.classes), datamodule=data)
