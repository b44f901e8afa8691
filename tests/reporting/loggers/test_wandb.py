import http.server
import os
import pty
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import wandb
from PIL import Image
from pytorch_lightning.utilities import rank_zero_only

from weakseg.evidence import IGNORE, Evidence
from weakseg.functional.painting import paint_evidence
from weakseg.reporting.drawing import Case
from weakseg.reporting.loggers import Wandb
from weakseg.reporting.loggers.wandb import answers, has_key, log_pictures

KEY = "0123456789" * 4
HOST = "https://wandb.example"


@pytest.fixture(autouse=True)
def nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    wandb.teardown()  # it remembers the environment that it saw first
    for name in [name for name in os.environ if name.startswith("WANDB_")] + ["NETRC"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    (tmp_path / "home").mkdir()
    yield
    wandb.teardown()


@pytest.fixture
def refusing_host() -> Iterator[str]:
    class Refuse(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def silent_host() -> Iterator[str]:
    """Takes a call and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def everything(folder: Path) -> bytes:
    """The content of all files, that of wandb's own log without the headers that may split a text
    in two."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return b"".join(
        payload(file.read_bytes()) if file.suffix == ".wandb" else file.read_bytes()
        for file in files
    )


def payload(log: bytes) -> bytes:
    """LevelDB's log format: blocks of 32 KiB of chunks, each behind a checksum (4 bytes), its
    length (2) and a kind (1)."""
    parts, place = [], 7  # wandb's own header
    while place < len(log):
        left = 32768 - place % 32768
        if left >= 7:
            length = int.from_bytes(log[place + 4 : place + 6], "little")
            parts.append(log[place + 7 : place + 7 + length])
        place += left if left < 7 else 7 + length
    return b"".join(parts)


def disc() -> Case:
    rows, columns = torch.meshgrid(torch.arange(20), torch.arange(30), indexing="ij")
    truth = ((rows - 10) ** 2 + (columns - 15) ** 2 < 36).to(torch.uint8)
    target = torch.where(columns > 20, torch.tensor(IGNORE, dtype=torch.uint8), truth)
    image = torch.full((3, 20, 30), 90, dtype=torch.uint8)
    evidence = Evidence(
        "disc/1", image, boxes=torch.tensor([[9.0, 4.0, 21.0, 17.0]]), box_classes=torch.tensor([1])
    )
    return Case(evidence, target=target, prediction=1 - truth, truth=truth, score=0.25)


def test_an_offline_run_keeps_figures_and_mask_layers_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["fit", "data.password=hunter2"])
    folder = tmp_path / "boxes" / "20260102-030405-ab12"
    folder.mkdir(parents=True)
    (logger,) = Wandb(mode="offline").build(
        folder, {"data": {"api_key": "hunter2", "root": "https://me:hunter2@host/x"}}
    )
    logger.log_metrics({"val/miou": 0.5}, step=3)
    logger.log_hyperparams({"token": "hunter2", "crop": 64})
    log_pictures(logger, 3, [disc()], ("background", "disc"))
    # as at the end of a program: waits until its helper process has written everything
    wandb.teardown()

    content = everything(folder)
    assert sys.argv[1] == "data.password=hunter2"
    assert b"hunter2" not in content
    for text in (
        b"val/miou",
        b"data.password=***",
        b"trainer/global_step",
        b"no label",
        b"disc/1: IoU 0.250",
        b"20260102-030405-ab12",
    ):
        assert text in content
    written = {
        str(np.array(Image.open(file)).tolist())
        for file in folder.rglob("media/images/mask/**/*.png")
    }
    case = disc()
    layers = [case.target, case.prediction, case.truth, paint_evidence(case.evidence, 2)]
    assert written == {str(layer.tolist()) for layer in layers}
    assert list(tmp_path.glob("home/wandb")) == []


def test_a_resumed_run_is_the_same_run(tmp_path: Path) -> None:
    ids = []
    for _ in range(2):
        (logger,) = Wandb(mode="offline").build(tmp_path, {})
        ids.append((logger.version, logger.name))
    assert ids[0] == ids[1]
    assert ids[0][1] == "weakseg"


def test_other_ranks_start_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    (logger,) = Wandb(mode="offline").build(tmp_path / "run", {})
    logger.log_metrics({"a": 1.0}, step=0)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("variable", "key", "host", "mode"),
    [
        ("", False, True, "offline"),
        ("", True, False, "offline"),
        ("", True, True, "online"),
        ("online", False, True, "offline"),
        ("offline", True, True, "offline"),
        ("dryrun", True, True, "offline"),
        ("disabled", True, True, "disabled"),
    ],
)
def test_auto_is_online_only_with_a_key_and_a_host_that_answers(
    variable: str, key: bool, host: bool, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    monkeypatch.setattr("weakseg.reporting.loggers.wandb.has_key", lambda _: key)
    monkeypatch.setattr("weakseg.reporting.loggers.wandb.answers", lambda _: host)
    assert Wandb()._choose()[0] == mode


def test_online_without_a_key_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="wandb login"):
        Wandb(mode="online")


def test_project_and_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Wandb().project == "weakseg"
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    assert Wandb().project == "mine"
    assert Wandb(project="other").project == "other"


def test_a_key_is_found_where_wandb_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not has_key(HOST)
    netrc = tmp_path / "home" / ".netrc"
    for text, found in (
        ("machine other.example login user password x", False),
        ("not a netrc file", False),
        (f"machine wandb.example login user password {KEY}", True),
    ):
        netrc.write_text(text)
        netrc.chmod(0o600)
        assert has_key(HOST) is found
    monkeypatch.setenv("NETRC", str(tmp_path / "nowhere"))
    assert not has_key(HOST)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert has_key(HOST)


def test_refusing_is_answering_and_silence_is_not(refusing_host: str, silent_host: str) -> None:
    assert answers(refusing_host)
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    for host in (f"http://127.0.0.1:{closed}", silent_host, "http://", "nonsense"):
        start = time.monotonic()
        assert not answers(host, patience=0.3)
        assert time.monotonic() - start < 1


@pytest.mark.slow
def test_a_refused_key_becomes_an_offline_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refusing_host: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", refusing_host)
    start = time.monotonic()
    (logger,) = Wandb().build(tmp_path, {})
    logger.log_metrics({"val/miou": 0.5}, step=3)
    wandb.teardown()
    assert time.monotonic() - start < 20
    assert "kept offline" in capsys.readouterr().err
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert KEY.encode() not in everything(tmp_path)


@pytest.mark.slow
def test_a_terminal_is_never_asked(tmp_path: Path, silent_host: str) -> None:
    code = (
        "from pathlib import Path; from weakseg.reporting.loggers import Wandb; "
        "Wandb().build(Path('run'), {})"
    )
    for more in ({}, {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": silent_host}):
        main, terminal = pty.openpty()
        root = str(Path(__file__).parents[3])
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from pathlib import Path; Path('run').mkdir(exist_ok=True)\n" + code,
            ],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path / "home"),
                "PYTHONPATH": root,
                "OMP_NUM_THREADS": "1",
                **more,
            },
            stdin=terminal,
            stdout=terminal,
            stderr=subprocess.PIPE,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert b"kept offline" in done.stderr
        os.close(terminal)
        os.close(main)
