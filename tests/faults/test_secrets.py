"""Secrets that are given to a run stand in its recipe.yaml, which its owner alone can read, and in
no other file of its folder."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.test_fit import SMALL, TINY
from weakseg.config.recipe import load
from weakseg.data.toy.dataset import Toy
from weakseg.evidence import Batch
from weakseg.fit import command, main
from weakseg.strategies.base import Strategy

SECRETS = [
    "canaryToken",
    "canaryPassword",
    "canaryPat",
    "canaryUser",
    "canaryQuery",
    "canaryInText",
    "canaryInNest",
    "ghp_canary012345",
]
SECRETS += ["canaryFlag", "canaryPair", "canaryCamel", "canaryShort"]
WORDS = [
    f"data={__name__}.Guarded",
    "data.token=canaryToken",
    "data.password=canaryPassword",
    "data.pat=canaryPat",
    "data.root=https://canaryUser:canaryPassword@host/x?sig=canaryQuery",
    "data.login={user: me, passwd: canaryInText}",
    "data.options={nested: {api_key: canaryInNest}, command: [login, --password, canaryFlag], "
    "pairs: [[user, me], [password, canaryPair]]}",
    "data.note=ghp_canary012345 AccountName=me;AccountKey=canaryCamel; mysql -u me -p canaryShort",
]


class Guarded(Toy):
    """Toy images that are behind a log-in, and hyper-parameters that Lightning stores wherever it
    can."""

    def __init__(
        self,
        token: str = "",
        password: str = "",
        pat: str = "",
        root: str = "",
        login: str = "",
        options: dict[str, Any] | None = None,
        note: str = "",
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        self.save_hyperparameters()


class Fails(Strategy):
    """Says the secrets when the second step begins."""

    def loss(self, logits: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls == 2:
            raise RuntimeError(
                f"cannot reach the images with {' and '.join(SECRETS)}, password: {SECRETS[1]}"
            )
        return {"mean": logits.square().mean()}


class FailsAtOnce(Fails):
    """Says them in the first step, before there is anything to keep."""

    calls = 1


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def leaks(folder: Path) -> Iterator[str]:
    for file in folder.rglob("*"):
        if file.is_file() and file.name != "recipe.yaml":
            content = file.read_bytes()
            yield from (f"{secret} in {file}" for secret in SECRETS if secret.encode() in content)


@pytest.mark.slow
@pytest.mark.parametrize("logger", ["none", "tensorboard", "wandb"])
def test_no_file_of_a_run_but_its_recipe_holds_a_secret(
    logger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if logger == "tensorboard":
        pytest.importorskip("tensorboard")
    words = ["recipe=boxes_rect", *TINY, *SMALL, *WORDS, f"logger={logger}", "trainer.max_steps=2"]
    monkeypatch.setattr("sys.argv", ["fit", *words])  # which dashboards look at
    run = main(words)
    if logger == "wandb":
        import wandb

        wandb.teardown()
    assert list(leaks(run)) == []
    assert "***" in (run / "report.html").read_text()


def test_the_recipe_can_run_again_and_is_its_owners_alone() -> None:
    run = main(["recipe=boxes_rect", *TINY, *SMALL, *WORDS, "trainer.max_steps=1"])
    file = run / "recipe.yaml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith("# Readable by its owner only")
    assert load([f"recipe={file}"]).sections["data"]["password"] == "canaryPassword"
    assert list(leaks(run)) == []


@pytest.mark.parametrize("when", ["Fails", "FailsAtOnce"])
def test_nothing_on_the_screen_holds_a_secret(when: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert (
        command(
            [
                "recipe=boxes_rect",
                *TINY,
                *SMALL,
                *WORDS,
                f"strategy={__name__}.{when}",
                "trainer.max_steps=9",
            ]
        )
        == 1
    )
    shown = "".join(capfd.readouterr())
    assert "cannot reach the images with ***" in shown
    assert [secret for secret in SECRETS if secret in shown] == []


@pytest.mark.parametrize("word", ["init_from", "recipe", "resume", "data.root"])
def test_a_refused_word_is_told_without_its_secret(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"recipe": "boxes_rect"} | {
        word: "s3://canaryUser:canaryPassword@host/x?token=canaryToken"
    }
    words |= {} if word != "data.root" else {"data": "voc"}
    given = [f"{name}={value}" for name, value in words.items() if word != "resume" or name == word]
    with pytest.raises(SystemExit):
        main([*given, *(() if word in ("resume", "data.root") else (*TINY, *SMALL))])
    shown = "".join(capsys.readouterr())
    assert word.partition(".")[0] in shown
    assert "canary" not in shown


def test_the_traceback_of_a_failure_holds_no_secret() -> None:
    with pytest.raises(RuntimeError, match="cannot reach the images"):
        main(
            [
                "recipe=boxes_rect",
                *TINY,
                *SMALL,
                *WORDS,
                f"strategy={__name__}.Fails",
                "trainer.max_steps=9",
            ]
        )
    (error,) = Path("runs").glob("boxes_rect/[0-9]*/error.txt")
    assert "cannot reach the images with *** and ***" in error.read_text()
    assert list(leaks(error.parent)) == []
