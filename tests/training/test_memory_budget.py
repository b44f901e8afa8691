"""What a training step costs is said before it is made, to a factor of two, and too much of it ends
in one line with what to change."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from tests.data.layouts import photo, text, voc_xml
from tests.small import Squares, TinyNet, trainer
from weakseg.config.recipe import load, resolve
from weakseg.data.base import WeakData
from weakseg.data.files.folder import Folder
from weakseg.evidence import Batch
from weakseg.fit import main
from weakseg.strategies.boxes_rect import BoxesRect
from weakseg.training import memory_budget as budget
from weakseg.training.memory_budget import (
    Memory,
    Plan,
    Unit,
    check_memory,
    describe_cost,
    in_bytes,
    in_time,
    measure,
    memory_of,
    plan_of,
    plan_text,
    proposed,
)
from weakseg.training.rounds import Rounds
from weakseg.training.segmenter import Segmenter

ROOT = Path(__file__).resolve().parents[2]
PHOTOGRAPHS = Plan(8, 3000, 4000)


def tiny(data: WeakData) -> Segmenter:
    return Segmenter(TinyNet(len(data.classes)), BoxesRect(), data.classes)


def photographs(root: Path, width: int, height: int) -> Folder:
    for number in range(4):
        photo(root / "images" / f"{number}.jpg", number, width, height)
        text(root / "annotations" / f"{number}.xml", voc_xml("dog", (3, 2, 8, 7), width, height))
    return Folder(root, "voc_xml")


def test_measuring_changes_neither_the_network_nor_the_streams_of_chance() -> None:
    segmenter = tiny(Squares())
    before = {name: tensor.clone() for name, tensor in segmenter.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    unit = measure(segmenter)
    assert torch.equal(torch.rand(4), expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in segmenter.state_dict().items())
    assert all(parameter.grad is None for parameter in segmenter.parameters())
    # by hand: 8 float32 channels out of the convolution, and again out of batch norm, ReLU and
    # dropout, are kept at the least once
    assert 3 * 8 * 4 < unit.per_pixel < 1000
    assert unit.seconds > 0


@pytest.mark.slow
def test_networks_that_find_objects_are_measured_too() -> None:
    recipe = resolve(load(["recipe=boxes_instances"]))
    network, strategy = (recipe.build(section, classes=3) for section in ("network", "strategy"))
    assert measure(Segmenter(network, strategy, ["a", "b", "c"])).per_pixel > 50


def test_a_plan_knows_crop_scale_and_size(tmp_path: Path) -> None:
    assert plan_of(Squares(batch_size=3), [(20, 10), (10, 24)]).pixels == 3 * 20 * 24
    assert plan_of(Squares(batch_size=3, crop=16, scale=(1, 2)), [(20, 10)]).pixels == 3 * 16 * 16
    assert plan_of(Squares(batch_size=1, scale=(0.5, 2)), [(20, 10)]).size == (20, 40)
    assert budget.sizes_of(photographs(tmp_path, 80, 60)) == [(80, 60)] * 3
    assert budget.sizes_of(Squares()) == [(24, 24)]


@pytest.mark.parametrize(
    ("per_pixel", "free", "words"),
    [
        (1000, 20e9, ["data.long_side=512"]),
        (1000, 2e9, ["data.long_side=512", "data.crop=320"]),
        (8000, 2e9, ["data.long_side=512", "data.crop=320", "data.batch_size=1"]),
        (1000, math.inf, ["data.long_side=512"]),
    ],
)
def test_words_are_proposed_that_fit_into_half_of_the_memory(
    per_pixel: float, free: float, words: list[str]
) -> None:
    unit = Unit(0, per_pixel, 1e-7, "cpu")
    better, found = proposed(PHOTOGRAPHS, unit, free)
    assert found == words
    assert unit.memory(better.pixels) <= free / 2
    assert proposed(Plan(8, 300, 400), unit, 20e9)[1] == []


def test_words_are_proposed_for_slow_steps_and_images_with_tags_stay_whole() -> None:
    slow = Unit(0, 1, 1e-5, "cpu")
    assert proposed(Plan(8, 400, 500), slow, 1e12)[1] == ["data.crop=320"]
    assert proposed(Plan(8, 400, 500, whole=True), slow, 1e12)[1] == ["data.long_side=320"]
    tagged = Squares()
    tagged.evidence = "tags"  # type: ignore[attr-defined]
    assert plan_of(tagged, [(24, 24)]).whole
    assert "crop" not in budget.hint_for(tagged)


def test_sizes_and_times_are_said_with_two_digits() -> None:
    assert [in_bytes(number) for number in (5e6, 123e6, 1.26e9, 113.7e9)] == [
        "5 MB",
        "120 MB",
        "1.3 GB",
        "114 GB",
    ]
    assert [in_time(number) for number in (0.031, 1.24, 80, 100, 7000, 3e5)] == [
        "0.03 s",
        "1.2 s",
        "80 s",
        "1.7 min",
        "1.9 h",
        "3.5 days",
    ]
    assert plan_text(PHOTOGRAPHS, Unit(0, 1000, 1e-6, "cpu")).startswith(
        "8 images of 4000 by 3000 pixels: about 96 GB of memory and 1.6 min"
    )


def test_steps_that_cannot_fit_are_refused_before_training_and_others_cost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = photographs(tmp_path, 640, 480)
    monkeypatch.setattr(budget, "memory_of", lambda device: Memory(1 << 20, 2 << 20))
    excess = check_memory(tiny(data), data)
    assert "a training step on 8 images of 640 by 480 pixels: about " in excess
    assert "1 MB free of 2 MB; data.long_side=512 data.crop=320 data.batch_size=" in excess
    monkeypatch.setattr(budget, "memory_of", lambda device: Memory(1 << 20, 1 << 40))
    with pytest.warns(UserWarning, match="a training step on 8 images of 640 by 480 pixels"):
        assert check_memory(tiny(data), data) == ""
    monkeypatch.setattr(budget, "measure", lambda *arguments: pytest.fail("measured for nothing"))
    monkeypatch.setattr(budget, "memory_of", lambda device: Memory(1 << 40, 1 << 40))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_memory(tiny(data), data) == ""


def test_fit_refuses_in_one_line_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(budget, "memory_of", lambda device: Memory(1000, 1000))
    small = [
        "data.train=4",
        "data.val=1",
        "data.size=64",
        "data.batch_size=4",
        "rounds.workers=0",
        "trainer.max_steps=1",
    ]
    with pytest.raises(SystemExit) as stop:
        main(["recipe=boxes_rect", *small, f"trainer.default_root_dir={tmp_path / 'runs'}"])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("data: a training step on 4 images of 64 by 64 pixels: about ")
    assert "data.batch_size=1 would take about " in line
    assert not (tmp_path / "runs").exists()


def test_the_memory_of_this_machine_is_found() -> None:
    memory = memory_of()
    assert memory is None or 0 < memory.free <= memory.total


def test_what_a_network_of_ones_own_cannot_do_is_said_and_stops_nothing() -> None:
    class Odd(TinyNet):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("needs a key")

    segmenter = Segmenter(Odd(), BoxesRect(), Squares.classes)
    lines, excess = describe_cost(segmenter, Squares(), [(24, 24)], "mine", {})
    assert lines == ["what a training step takes could not be measured: RuntimeError: needs a key"]
    assert excess is None


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"max_steps": 7}, 7),
        ({"max_epochs": 2}, 6),
        ({"max_epochs": 2, "max_steps": 5}, 5),
        ({}, 3000),
    ],
)
def test_all_steps_of_a_training_are_counted(settings: dict[str, int], steps: int) -> None:
    assert budget.steps_of(settings, Squares()) == (3, steps)


class Greedy(BoxesRect):
    """Runs out of memory in its first step."""

    def loss(self, logits: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
            "memory: you tried 3121348608 bytes"
        )


def test_too_little_memory_in_a_step_is_answered_with_what_to_change(tmp_path: Path) -> None:
    data = Squares()
    with pytest.raises(RuntimeError, match="can't allocate memory") as caught:
        trainer(tmp_path, steps=1, callbacks=[Rounds(workers=0), budget.OutOfMemory()]).fit(
            Segmenter(TinyNet(), Greedy(), data.classes), data
        )
    (note,) = caught.value.__notes__
    assert note.startswith(
        "each step was on 4 images of 24 by 24 pixels; try data.batch_size=2 data.crop=12"
    )
    assert budget.ran_out(torch.OutOfMemoryError("CUDA out of memory"))
    assert not budget.ran_out(RuntimeError("shapes do not fit"))


PEAK = """
import sys, threading, time
import torch
import torch.nn.functional as F
from weakseg.training.memory_budget import Plan, measure
from weakseg.config.recipe import load, resolve
from weakseg.training.segmenter import Segmenter

recipe = resolve(load(["recipe=full", *sys.argv[1:]]))
names = [str(number) for number in range(6)]
network = recipe.build("network", classes=6)
strategy = recipe.build("strategy", classes=6)
segmenter = Segmenter(network, strategy, names)
unit = measure(segmenter)
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096

def step(side, batch):
    optimizer = torch.optim.AdamW(segmenter.parameters())
    image = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8)
    F.cross_entropy(segmenter(image), torch.randint(0, 6, (batch, side, side))).backward()
    optimizer.step()
    segmenter.zero_grad()

def peak(side, batch):
    base, highest, done = resident(), [0], threading.Event()
    def watch():
        while not done.is_set():
            highest[0] = max(highest[0], resident())
            time.sleep(0.002)
    watcher = threading.Thread(target=watch)
    watcher.start()
    step(side, batch)
    done.set()
    watcher.join()
    return highest[0] - base

for side, batch in ((192, 4), (384, 3)):
    print(unit.memory(Plan(batch, side, side).pixels) / peak(side, batch))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="measured with Linux's own figures"
)
@pytest.mark.parametrize(
    "network", ["network.encoder=tu-regnetx_002", "network.encoder=mobilenet_v2"]
)
def test_memory_is_estimated_within_a_factor_of_two(network: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, network], capture_output=True, text=True, check=True, cwd=ROOT
    )
    ratios = [float(line) for line in done.stdout.split()]
    assert len(ratios) == 2
    assert all(0.5 < ratio < 2 for ratio in ratios), ratios
