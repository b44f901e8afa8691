"""The bar of the queue: the first tenth holds at least four times as many planted faults as
chance."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from weakseg.suspicion.queue import rank
from weakseg.suspicion.review_file import NAME, read_queue

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
BAR = 4.0
SMALL = [
    "data.size=64",
    "data.train=120",
    "data.val=4",
    "rounds.workers=0",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "trainer.limit_val_batches=0",
    "trainer.max_steps=120",
    "tags:strategy.warmup=60",
]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark of planted faults."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = spec_from_file_location("planted", BENCHMARKS / "planted.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "planted", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "fault"),
    [("boxes", "box_moved"), ("boxes", "box_missing"), ("tags", "tag_swapped")],
)
def test_the_first_tenth_finds_four_times_as_many_faults_as_chance(
    planted: ModuleType, tmp_path: Path, recipe: str, fault: str
) -> None:
    (cause,) = (each for each in planted.CAUSES if each[:2] == (recipe, fault))
    found = planted.found_by(cause, 1, SMALL, tmp_path)
    assert 0.05 < found.planted / found.images < 0.15
    assert found.times[planted.QUEUE] >= BAR
    assert found.times[planted.TRAINED] >= BAR
    # nothing is trained again
    assert planted.found_by(cause, 1, SMALL, tmp_path) == found
    (run,) = tmp_path.glob(f"*/{recipe}/[0-9]*/{NAME}")
    assert len(read_queue(run)) == found.images


def test_an_order_without_meaning_finds_what_chance_does(planted: ModuleType) -> None:
    images = [f"image {number:03d}" for number in range(200)]
    faults = set(images[::10])
    assert planted.times_chance(images, faults) == 1
    assert planted.times_chance(sorted(images, key=lambda name: name not in faults), faults) == 10


def test_faults_are_told_apart_from_careful_annotation(planted: ModuleType) -> None:
    words = ["recipe=boxes", "data.train=30", "data.val=2", "data.size=48"]
    assert planted.planted_in(words, "box_moved") == set()
    some = planted.planted_in([*words, "data.annotator.box_moved=0.2"], "box_moved")
    more = planted.planted_in([*words, "data.annotator.box_moved=0.6"], "box_moved")
    assert set() < some < more


def test_the_queue_of_planted_doubts_finds_them(planted: ModuleType) -> None:
    signals = {f"image {number:03d}": {"unnamed/cat": number % 7 / 20} for number in range(100)}
    faults = {f"image {number:03d}" for number in range(0, 100, 10)}
    for image in faults:
        signals[image] = {"missing/dog": 0.9}
    assert planted.times_chance([found.image for found in rank(signals)], faults) == 10
