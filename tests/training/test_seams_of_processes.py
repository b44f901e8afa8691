"""Plans, self-training and consistent targets in processes of their own: several, and killed."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

from tests.data.layouts import photo, text, voc_xml
from tests.faults.test_signals import free_port
from tests.training.test_processes import (
    SMALL,
    TWO,
    WORDS,
    figures,
    printed,
    run,
    start,
    steps,
    targets,
    wait_for_steps,
    weights,
)

pytestmark = pytest.mark.slow

OTHERS = WORDS[len(SMALL) + 1 :]
SELF_TRAINING = [
    *("recipe=self_training", *SMALL, *OTHERS),
    *("data.annotated=0.5", "data.batch_size=2", "rounds.every=2", "rounds.count=4"),
    "trainer.max_steps=32",
]


def torchrun(folder: Path, *words: str) -> str:
    """What a run of two processes that torchrun starts has printed; it must go well."""
    launcher = ["torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    return printed(folder, "-m", *launcher, "-m", "weakseg.fit", *words)


def photographs(folder: Path) -> None:
    for name in "abcdefghijkl":
        photo(folder / "photos" / "images" / f"{name}.png")
        boxes = voc_xml("dog", (3, 2, 8, 7))
        text(folder / "photos" / "annotations" / f"{name}.xml", boxes)


def test_processes_take_leave_of_each_other_before_python_ends(tmp_path: Path) -> None:
    # or threads of gloo abort one of them, now and then, though the run has gone well
    program = tmp_path / "train.py"
    program.write_text(
        "import atexit\n"
        "import torch.distributed as dist\n"
        "atexit.register(lambda: print('left:', not dist.is_initialized(), flush=True))\n"
        "from weakseg.fit import command\n"
        "raise SystemExit(command())\n"
    )
    launcher = ["torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    words = ["recipe=boxes_rect", *SMALL, *OTHERS, *TWO, "trainer.max_steps=1"]
    lines = printed(tmp_path, "-m", *launcher, str(program), *words)
    assert lines.count("left: True") == 2, lines


def test_processes_of_torchrun_train_by_one_plan_and_resume_with_its_numbers(
    tmp_path: Path,
) -> None:
    photographs(tmp_path)
    words = [
        *("recipe=boxes_rect", "data=folder", "data.root=photos", "rounds.workers=0"),
        *("network=tests.small.TinyNet", "network.classes=2", *OTHERS, *TWO),
    ]
    printed = torchrun(tmp_path, *words, "trainer.max_steps=4")
    assert printed.count("plan for boxes_rect on photos") == 1
    (folder,) = (tmp_path / "runs").glob("boxes_rect/[0-9]*")
    content = (folder / "recipe.yaml").read_text()
    assert ": auto" not in content
    assert steps(folder) == list(range(4))
    # what the plan was made from is another data set now
    for name in "abc":
        (tmp_path / "photos" / "annotations" / f"{name}.xml").unlink()
        (tmp_path / "photos" / "images" / f"{name}.png").unlink()
    printed = torchrun(tmp_path, f"resume={folder.relative_to(tmp_path)}", "trainer.max_steps=6")
    assert "plan for" not in printed
    assert (folder / "recipe.yaml").read_text() == content
    assert steps(folder) == list(range(6))


@pytest.mark.parametrize("extra", [[], TWO], ids=["alone", "ranks"])
def test_self_training_that_is_killed_in_a_later_round_ends_with_the_same_weights(
    tmp_path: Path, extra: list[str]
) -> None:
    whole = self_trained(tmp_path / "whole", *SELF_TRAINING, *extra)
    process = start(tmp_path / "killed", *SELF_TRAINING, *extra)
    # of rounds of eight steps the third
    wait_for_steps(tmp_path / "killed", 19 if not extra else 11, "self_training")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (killed,) = (tmp_path / "killed" / "runs").glob("self_training/[0-9]*")
    assert not (killed / "report.html").exists()
    place = killed.relative_to(tmp_path / "killed")
    resumed = self_trained(tmp_path / "killed", f"resume={place}")
    assert resumed == killed
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name
    assert steps(whole) == steps(resumed) == list(range(32))
    assert targets(tmp_path / "whole") == targets(tmp_path / "killed")


def self_trained(folder: Path, *words: str) -> Path:
    process = start(folder, *words)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    (found,) = (folder / "runs").glob("self_training/[0-9]*")
    return found


def test_two_processes_find_targets_as_consistent_as_one_does(tmp_path: Path) -> None:
    """Features are those of first weights that were trained, so that they tell something."""
    words = [word for word in WORDS if not word.startswith(("network=", "data.train"))]
    words += ["network=tests.tuning.methods.Sees", "data.train=24", "optimizer.lr=1e-30"]
    words += ["optimizer.weight_decay=0", "trainer.max_steps=1", "data.batch_size=2"]
    first = run(tmp_path / "first", *words)
    shutil.copy(first / "checkpoints" / "last.ckpt", tmp_path / "first.ckpt")
    words.append(f"init_from={tmp_path / 'first.ckpt'}")
    one = figures(run(tmp_path / "one", *words), "label/consistency")
    two = figures(run(tmp_path / "two", *words, *TWO), "label/consistency")
    assert float(one["label/consistency"]) > 0
    assert len(one) > 2
    assert two == one
