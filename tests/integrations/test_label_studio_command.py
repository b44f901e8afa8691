"""The command that serves Label Studio: its words, and a real server with a trained network."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.integrations.projects import request, task
from tests.prediction.fakes import Colours, save_photo
from tests.trained.runs import make_run
from weakseg.config.verb import read_words
from weakseg.data.formats.brush import unpack_brush
from weakseg.data.formats.writing.label_studio import interface_of
from weakseg.integrations.label_studio import serving
from weakseg.integrations.label_studio.__main__ import VERB, command, main
from weakseg.integrations.label_studio.backend import Backend
from weakseg.integrations.label_studio.interface import read_interface
from weakseg.integrations.label_studio.task_images import TaskImages
from weakseg.utils.serving import listening

uvicorn = pytest.importorskip("uvicorn", reason="an extra")

ROOT = Path(__file__).parents[2]
MODULE = "weakseg.integrations.label_studio"
PAGE = (ROOT / "docs" / "how-to" / "annotation-tools.md").read_text()


def mistakes(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    assert caught.value.code == 2
    return capsys.readouterr().err.splitlines()


def test_mistakes_are_answered_together_before_torch_is_imported(tmp_path: Path) -> None:
    words = ["run=x", "imags=y", "port=99999", "--nosuchflag"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", MODULE, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert "imags: no such word; did you mean images?" in done.stderr
    assert "port: it should lie from 0 to 65535, but it is 99999" in done.stderr
    assert "--nosuchflag" in done.stderr
    assert "| torch\n" not in done.stderr
    assert "Traceback" not in done.stderr


def test_without_words_it_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: python -m {MODULE} run=<...> ")
    assert "port=9090" in shown


def test_the_page_has_words_that_the_command_takes_and_the_lines_that_it_prints(
    tmp_path: Path,
) -> None:
    [words] = re.findall(rf"^python -m {re.escape(MODULE)} (.*)$", PAGE, re.MULTILINE)
    assert read_words(VERB, shlex.split(words)).values == {
        "run": "runs/boxes/latest",
        "images": Path("photos"),
    }
    shown = re.search(r"^network: .*\n(?:\w+: .*\n)+", PAGE, re.MULTILINE)
    assert shown is not None
    heads = [line.partition(": ")[0] for line in shown[0].splitlines()]
    assert heads == ["network", "classes", "version", "backend"]


def test_the_smart_tools_of_the_page_fit_the_interface_that_weakseg_writes() -> None:
    classes = ("background", "fish", "leaf", "umbrella", "wheel")
    [tools] = re.findall(r"```xml\n(.*?)```", PAGE, re.DOTALL)
    interface = read_interface(interface_of(classes).replace("</View>", f"{tools}</View>"), classes)
    assert [control.name for control in interface.controls] == ["tag", "box", "click"]
    assert interface.output.name == "tag"
    assert interface.class_of("leaf", "box") == interface.class_of("leaf", "click") == 2


def test_images_must_come_from_somewhere(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert mistakes(capsys, "run=x")[0].startswith("images, url: expected a folder in which")
    assert mistakes(capsys, "run=x", f"images={tmp_path / 'no'}", "url=ftp://x") == [
        f"images: expected a folder, but {tmp_path / 'no'} is none",
        "url: expected an address such as http://localhost:8080, but it is ftp://x",
    ]
    assert mistakes(capsys, "run=x", "url=http://x:99999")[0].startswith("url: ")


def test_a_run_that_is_none_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = mistakes(capsys, f"run={tmp_path / 'gone'}", f"images={tmp_path}")
    assert found[0].startswith(f"run: there is no {tmp_path / 'gone'}")


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = make_run(tmp_path, {"name": "fcn32s", "width": 0.05})
    with listening("127.0.0.1", 0, 8) as taken:
        port = taken.getsockname()[1]
        words = [f"run={run}", f"images={tmp_path}", f"port={port}", "device=cpu"]
        assert command(words) == 1
    assert f"error: port: {port} is taken on 127.0.0.1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "user", "warned"),
    [("127.0.0.1", "", False), ("::1", "", False), ("0.0.0.0", "", True), ("0.0.0.0", "me", False)],
)
def test_whoever_lets_others_in_is_warned(
    host: str, user: str, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASIC_AUTH_USER", user)
    assert bool(serving.warning_of(host)) is warned


class Process:
    """The command in a process of its own."""

    def __init__(self, *words: str, **environment: str) -> None:
        self.running = subprocess.Popen(
            [sys.executable, "-m", MODULE, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.running.stdout is not None
        self.lines: list[str] = []
        for line in self.running.stdout:
            self.lines.append(line.rstrip("\n"))
            if line.startswith("backend: "):
                break
        self.url = self.lines[-1].split()[1].rstrip(";")

    def post(self, path: str, body: Any) -> Any:
        asked = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    run = make_run(tmp_path, {"name": "fcn32s", "width": 0.05})
    save_photo(tmp_path / "photos" / "a.png", 40, 60)
    started = Process(f"run={run}", f"images={tmp_path / 'photos'}", "port=0", "device=cpu")
    yield started
    started.running.kill()
    started.running.communicate()


@pytest.mark.slow
def test_a_real_server_predicts_and_ends_with_the_code_of_its_signal(process: Process) -> None:
    classes = ("background", "leaf", "wheel")
    assert process.lines[1] == "classes: leaf, wheel"
    version = process.post("/setup", {"project": "1.1", "schema": interface_of(classes)})
    body = request([task(1, "a.png")], interface_of(classes))
    body["tasks"][0]["data"] = {"image": "/data/local-files/?d=a.png"}
    [answer] = process.post("/predict", body)["results"]
    assert answer["model_version"] == version["model_version"]
    covered = np.zeros((40, 60), int)
    for result in answer["result"]:
        stream = np.array(result["value"]["rle"], np.uint8)
        covered += unpack_brush(stream, 60, 40).unpack()
    assert covered.max() <= 1
    process.running.send_signal(signal.SIGTERM)
    _, errors = process.running.communicate(timeout=20)
    assert process.running.returncode == 143
    assert errors == "stopped by SIGTERM\n"


def test_many_requests_at_once_are_all_answered(tmp_path: Path) -> None:
    save_photo(tmp_path / "a.png")
    backend = Backend(Colours(), TaskImages(tmp_path))
    listener = listening("127.0.0.1", 0, 8)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = serving.make_server(backend, "127.0.0.1")
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    answers: list[Any] = []
    body = json.dumps(request([task(1, "a.png")])).encode()

    def ask() -> None:
        asked = urllib.request.Request(f"{url}/predict", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            answers.append(json.load(answer)["results"][0]["score"])

    askers = [threading.Thread(target=ask) for _ in range(12)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    server.should_exit = True
    thread.join()
    assert len(answers) == 12
    assert len(set(answers)) == 1
