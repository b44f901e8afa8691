"""What the report of a run shows beside its figures: images with their errors, the commands that
have trained it, and where its initial weights come from."""

from __future__ import annotations

from html import escape, unescape
from pathlib import Path

import pytest

from weakseg.fit import main
from weakseg.networks.parts.weights import read_weights
from weakseg.suspicion.review_file import read_queue
from weakseg.training.run_folder import read_commands

WORDS = [
    "recipe=boxes_rect",
    "network=tests.small.TinyNet",
    "rounds.workers=0",
    "trainer.enable_progress_bar=false",
    "trainer.accelerator=cpu",
    "data.train=4",
    "data.val=2",
]
SQUARES = "data=tests.small.Squares"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    folder = main([*WORDS, SQUARES, "trainer.max_steps=1", f"trainer.default_root_dir={root}"])
    return main([f"resume={folder}", "trainer.max_steps=2", "trainer.profiler=null"])


def test_the_commands_of_a_run_are_its_start_and_each_resume(run: Path) -> None:
    first, second = read_commands(run)
    assert first.startswith(f"python -m weakseg.fit {' '.join(WORDS)} {SQUARES} ")
    assert second.startswith(f"python -m weakseg.fit resume={run} trainer.max_steps=2 ")
    page = unescape((run / "report.html").read_text())
    assert f"{first}\n{second}</pre>" in page


def test_nobody_asked_for_a_profile(run: Path) -> None:
    assert not list(run.glob("*profile*"))


def test_a_run_of_an_older_version_has_no_commands(tmp_path: Path) -> None:
    assert read_commands(tmp_path) == []


def test_training_images_with_truth_show_the_worst_targets(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert "the worst targets of the 4 training images" in page
    assert page.count("label error: target against truth</figcaption>") == 4 + 2
    training = page[page.index("Training images") :]
    scores = [part[:5] for part in training.split("IoU of the target ")[1:]]
    assert len(scores) == 4
    assert scores == sorted(scores)


def test_the_most_suspicious_images_are_shown_with_their_reasons(run: Path) -> None:
    page = (run / "report.html").read_text()
    section = page[page.index("Worst first") : page.index("Training images")]
    assert 'href="review.csv"' in section
    assert f"python -m weakseg.review run={run}" in unescape(section)
    queue = read_queue(run / "review.csv")
    assert len(queue) == 4
    names = [found.image for found in queue]
    assert sorted(names, key=section.index) == names
    for found in queue:
        assert f"suspicion {found.score:.3f}"[:-1] in section
        assert escape("; ".join(found.reasons)) in section
    assert "label error" not in section


def test_training_images_without_any_mask_are_for_the_eye(tmp_path: Path) -> None:
    words = [*WORDS, "data=tests.small.NoTruth", "trainer.max_steps=1"]
    page = (main([*words, f"trainer.default_root_dir={tmp_path}"]) / "report.html").read_text()
    assert "check them by eye" in page
    assert "label error" not in page


def test_weights_of_another_run_are_told_with_those_that_it_began_with(
    run: Path, tmp_path: Path
) -> None:
    last = run / "checkpoints" / "last.ckpt"
    words = [*WORDS, SQUARES, "trainer.max_steps=1", f"trainer.default_root_dir={tmp_path}"]
    second = main([*words, f"init_from={last}"])
    assert read_weights(last)["weakseg"]["initial_weights"] == "as TinyNet makes them"
    told = read_weights(second / "checkpoints" / "last.ckpt")["weakseg"]["initial_weights"]
    assert told.startswith(f"run {last} (SHA-256 ")
    assert told.endswith("whose initial weights were: as TinyNet makes them")
    assert told in (second / "report.html").read_text()
