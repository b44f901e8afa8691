from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

from tests.data.corrections.events import correct, stroke
from weakseg.fit import main as fit

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_loading_is_measured_whatever_the_words_say_of_steps_and_processes(tmp_path: Path) -> None:
    words = [
        "trainer.max_steps=9",
        "data.workers=1",
        "data.size=64",
        "data.train=12",
        "data.val=2",
        "data.batch_size=2",
    ]
    command = [
        sys.executable,
        ROOT / "benchmarks" / "loading.py",
        "--steps",
        "3",
        "--repeats",
        "1",
        "--workers",
        "0",
        *words,
    ]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("| none |")


def test_a_run_with_another_figure_target_or_weight_is_not_the_same() -> None:
    compared = benchmark("same_results")
    figures = [{"step": "0", "loss/total": "1.5"}, {"step": "1", "val/miou": "0.25"}]
    results = compared.Results(figures, Counter({("a", b"123"): 1}), {"weight": torch.ones(3)})
    assert compared.differences(results, results) == []

    worse = [figures[0], {"step": "1", "val/miou": "0.125"}]
    assert compared.differences(results, results._replace(figures=worse)) == [
        "val/miou at step 1: 0.25, then 0.125"
    ]
    assert compared.differences(results, results._replace(figures=figures[:1])) == [
        "2 rows of figures, then 1"
    ]
    other = Counter({("a", b"124"): 1})
    assert compared.differences(results, results._replace(targets=other)) == [
        "1 of 1 targets differ or are gone; there are 1 now"
    ]
    moved = {"weight": torch.tensor([1.0, 1.0, 1.0000001])}
    assert compared.differences(results, results._replace(weights=moved)) == [
        "1 of 1 tensors of weights"
    ]


def test_what_only_one_checkout_logs_is_not_compared() -> None:
    compared = benchmark("same_results")
    before = compared.Results([{"step": "0", "loss/total": "1.5"}], Counter(), {})
    after = compared.Results(
        [{"step": "0", "loss/total": "1.5", "val/marks": "0.5"}], Counter(), {}
    )
    assert compared.differences(before, after) == []


@pytest.mark.parametrize("name", ["flip", "scale 0.5 to 1.5, crop 321, flip"])
def test_torchvision_augments_as_weakseg_does_but_for_where_labels_are(name: str) -> None:
    compared = benchmark("transforms")
    settings = compared.SETTINGS[name]
    centred = partial(compared.by_tv_tensors, centred=True)
    assert compared.differing(compared.ours, centred, settings, 3) == {}
    found = compared.differing(compared.ours, compared.by_tv_tensors, settings, 3)
    assert set(found) <= {"marks", "box_masks", "target"}
    assert ("target" in found) == ("scale" in name)


def test_what_a_loader_takes_per_photograph(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name in ("a.jpg", "below/b.jpg"):
        Image.new("RGB", (50, 37)).save(tmp_path / name)
    found = benchmark("transforms").loading(tmp_path, 3, 2)
    assert list(found) == ["read", "read, augment", "read, leave to the device"]
    assert all(milliseconds > 0 for milliseconds in found.values())


def benchmark(name: str) -> ModuleType:
    """A script of the folder benchmarks, as a module."""
    spec = spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_pseudo_labels_are_measured_against_the_masks_alone(tmp_path: Path) -> None:
    words = ["trainer.max_steps=2", "data.size=64", "data.val=2", "rounds.workers=0"]
    command = [sys.executable, ROOT / "benchmarks" / "semi_supervised.py", *words]
    options = ["--masks", "4", "--others", "6", "--seeds", "1", "--folder", str(tmp_path)]
    done = subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()[-4:]
    names = ["the masks alone", "and all predictions", "and predictions", "and the true masks"]
    assert [row.startswith(f"| {name}") for row, name in zip(rows, names, strict=True)] == [
        True
    ] * 4


@pytest.mark.slow
def test_unlabelled_images_are_measured_against_the_annotated_ones_alone(tmp_path: Path) -> None:
    words = ["trainer.max_steps=4", "data.train=16", "data.val=2", "data.size=64"]
    words += ["rounds.workers=0", "rounds.every=1", "--seeds", "1", "--shares", "0.5,1"]
    command = [sys.executable, ROOT / "benchmarks" / "unlabelled.py", *words]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    half, whole = (tmp_path / "unlabelled.md").read_text().splitlines()[-2:]
    assert half.startswith("| 50% | 0.")
    assert whole.startswith("| 100% | 0.")
    assert whole.endswith("| - |  |")
    assert "polyline" in (tmp_path / "unlabelled.svg").read_text()


@pytest.mark.slow
def test_ways_of_a_later_round_are_measured(tmp_path: Path) -> None:
    small = ["data.train=4", "data.val=2", "data.size=64", "trainer.max_steps=2"]
    run = fit(["recipe=boxes", *small, f"trainer.default_root_dir={tmp_path}", "rounds.workers=0"])
    command = [sys.executable, ROOT / "benchmarks" / "later_rounds.py", str(run)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    figures = {row[0].removeprefix("| "): row[1] for row in table[1:]}
    assert figures["round 0"] != figures["the network alone, in the boxes"]
    assert len(figures) == 13


@pytest.mark.slow
def test_suspicion_is_measured_for_every_measure(tmp_path: Path) -> None:
    words = ["recipe=boxes", "data.train=12", "data.val=2", "data.size=64", "rounds.workers=0"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "suspicion.py", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [row.split(" | ")[0] for row in done.stdout.splitlines()[-3:]] == [
        "| score",
        "| colours",
        "| evidence",
    ]


@pytest.mark.slow
def test_corrections_pay_and_those_of_suspicious_images_pay_more(tmp_path: Path) -> None:
    options = ["--seeds", "1", "--rounds", "1", "--each", "16", "--orders", "worst,random"]
    command = [sys.executable, ROOT / "benchmarks" / "review_loop.py", *options, "--no-masks"]
    command += ["--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(", round ") == 3  # both orders begin with the same run
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ", round " not in again.stdout
    table = (tmp_path / "review_loop.md").read_text()
    assert again.stdout.startswith(f"\n{table}")
    rows = [row.split("|")[1:-1] for row in table.splitlines() if row.startswith("| ")]
    assert [row[0].strip() for row in rows[1:]] == ["worst"] * 2 + ["random"] * 2
    (before, worst, _, random) = ([float(each) for each in row[1:]] for row in rows[1:])
    assert before[:2] == [0, 0]
    for corrections, looks, hours, miou, target in (worst, random):
        assert corrections == 16
        assert looks >= 16
        # a look takes three seconds, a stroke eleven
        assert 16 * 13 < 3600 * (hours - before[2]) < 16 * 30
        assert miou > before[3]
        assert target > before[4]
    assert worst[4] > before[4] + 0.05
    assert worst[4] > random[4]
    assert worst[3] > random[3] - 0.05
    assert (tmp_path / "review_loop.svg").read_text().startswith("<svg")


def test_a_curve_needs_so_much_for_a_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # scripts import each other
    loop = benchmark("review_loop")
    assert loop.needed([(0, 0.5), (8, 0.7), (16, 0.6)], 0.6) == 4
    assert loop.needed([(0, 0.5)], 0.5) == 0
    assert loop.needed([(0, 0.5), (8, 0.7)], 0.8) is None


def test_the_picture_of_a_review_has_a_curve_per_order_and_panel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    loop = benchmark("review_loop")
    seeds = [[loop.Point(0, 0, 0.1, 0.5, 0.5), loop.Point(8, 9, 0.2, 0.6, 0.7)]] * 2
    chart = benchmark("review_chart")
    curves = [chart.Curve("worst", seeds), chart.Curve("random", seeds)]
    svg = chart.review_chart(curves, [loop.Point(0, 6, 0.15, 0.4, 1)])
    assert svg.count("<polyline") == 9
    assert svg.count(">worst</text>") == 4
    assert svg.count(">full masks</text>") == 1


@pytest.mark.slow
def test_hours_of_a_persons_own_work_are_drawn(tmp_path: Path) -> None:
    own = tmp_path / "own"
    for number in range(2):
        line = stroke("leaf", (3, 3), (9, 9), seconds=1800)
        correct(own, f"toy-{number:05d}", line, size=(64, 64))
    words = ["trainer.max_steps=2", "data.train=4", "data.size=64", "data.val=2"]
    script = ROOT / "benchmarks" / "label_efficiency.py"
    options = ["--only", "scribbles,boxes", "--seeds", "1", "--folder", str(tmp_path / "runs")]
    done = subprocess.run(
        [
            *(sys.executable, script, *words, "rounds.workers=0", *options),
            *("--corrections", str(own), "--measured", str(own)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "runs" / "label_efficiency.md").read_text()
    cells = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| `")]
    rows = [row for row in cells if len(row) == 7]  # the others are by the size of objects
    done_by = "2 images corrected, in 60.0 minutes"
    assert [[row[0], row[1], row[5], row[6]] for row in rows] == [
        ["`boxes`", "boxes", "39.6", "0.0"],
        ["`boxes`, corrected", f"boxes; {done_by}", "39.6", "1.0"],
        ["`scribbles`", "scribbles", "1800.0", "2.0"],
        ["`scribbles`, corrected", f"scribbles; {done_by}", "1800.0", "3.0"],
    ]
    assert "measured by weakseg.review: scribbles 1800.0 s per image, on 2 images" in table


@pytest.mark.slow
def test_models_of_others_are_measured_beside_recipes_without(tmp_path: Path) -> None:
    """With tiny models that know nothing: two of the hub, which is one of the tests, and one in a
    folder."""
    from tests.foundation.tiny_sams import SAMS, save

    folder = save(SAMS["sam"], tmp_path / "own")
    words = ["data.train=4", "data.val=2", "data.size=48", "data.batch_size=2"]
    quick = ["rounds.workers=0", "data.workers=0"]
    script = ROOT / "benchmarks" / "foundation.py"
    options = [f"--sam=facebook/sam2.1-hiera-tiny,{folder}", "--only=masks,boxes,tags"]
    network = ["network=tests.small.TinyNet", "network.classes=5", "--provenance=nothing"]
    command = [sys.executable, script, *words, *quick, *options, *network, "--steps=2"]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *more],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

    done = run()
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "runs" / "foundation" / "foundation.md").read_text()
    assert text in done.stdout
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert [(row[0], row[1], row[2].partition(",")[0]) for row in cells] == [
        ("`full`", "masks", "-"),
        ("`boxes`", "boxes", "-"),
        ("`boxes_sam`", "boxes", "facebook/sam2.1-hiera-tiny"),
        ("`boxes_sam`", "boxes", str(folder)),
        ("`boxes_coseg`", "boxes", "timm/vit_small_patch14_dinov2.lvd142m"),
        ("`tags`", "tags", "-"),
        ("`tags_coseg`", "tags", "-"),
        ("`tags_clip`", "tags", "openai/clip-vit-base-patch16"),
        ("`tags_coseg`", "tags", "timm/vit_small_patch14_dinov2.lvd142m"),
    ]
    full = cells[0]
    assert full[3:5] == ["1.000", "1.000"]
    assert full[6] == "1.000"
    assert "licence mit" in cells[2][2]
    assert all(0 < float(row[4]) <= 1 for row in cells if row[4] != "-")
    # finished runs are looked up, and a model that is none is said before anything is trained
    again = run()
    assert again.returncode == 0
    assert "val/miou" not in again.stdout
    wrong = run("--clip=nosuch/model")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("model nosuch/model is not on this machine")
    other = run("--only=masks,words")
    assert other.returncode == 2
    assert "words is no kind of evidence" in other.stderr


@pytest.mark.slow
def test_targets_are_measured_by_size_after_each_iteration(tmp_path: Path) -> None:
    words = ["data.train=9", "data.val=2", "data.size=64", "data.batch_size=2", "rounds.workers=0"]
    options = ["--recipes", "points_coseg,full", "--places", "even", "--by", "pieces"]
    own = ["points_coseg:strategy.iterations=1", "points_coseg:strategy.long_side=64"]
    command = [sys.executable, ROOT / "benchmarks" / "target_sizes.py", *options, *words, *own]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].endswith("even places; sizes by pieces")
    assert "points_coseg: targets of 5 images" in lines
    clicks, masks = done.stdout.split("full: targets of 5 images")
    # two tables each, by size and by class
    assert [line[:4] for line in clicks.splitlines() if line.startswith(("| 0", "| 1"))] == [
        "| 0 ",
        "| 1 ",
    ] * 2
    assert masks.count("1.000, area 1.00") >= 6


def test_an_evaluation_is_counted_by_the_size_of_its_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from weakseg.evaluation.results import Evaluation

    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    by_size = benchmark("by_size")
    # image 0: 2 of 100 pixels are an object, one of them found; image 1: 50 of 100, all found
    cells = [[0, 0, 0, 98], [0, 1, 1, 1], [0, 1, 0, 1], [1, 0, 0, 50], [1, 2, 2, 50]]
    evaluation = Evaluation(
        classes=("background", "cat", "dog"),
        figures={},
        per_class=[],
        images=[{"name": "a"}, {"name": "b"}, {"name": "nothing"}],
        measured_on="",
        model={},
        data={},
        reliability=[],
        cells=torch.tensor([*cells, [2, 0, 0, 100]]),
    )
    rows = by_size.counted(evaluation).rows()
    assert [(row.images, row.area) for row in (rows[0], rows[3])] == [(1, 0.5), (1, 1.0)]
    assert [rows[0].iou, rows[3].iou] == [0.5, 1.0]
    assert rows[1].images == rows[2].images == 0


def test_a_table_by_size_has_ratios_to_full_masks_of_the_same_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    by_size = benchmark("by_size")
    small, _, _, large = by_size.NAMES
    images = {by_size.IMAGES[0]: 7.0, by_size.IMAGES[3]: 3.0}
    full = [{small: 0.4, large: 0.8, **images}, {small: 0.6, large: 0.8, **images}]
    boxes = [{small: 0.25, large: 0.8, **images}]
    head, _, first, second = by_size.size_table({"full": full, "boxes": boxes}).splitlines()
    assert "below 5 % (7 images)" in head
    assert first == "| `full` | 0.500 ± 0.100 (1.00) | - | - | 0.800 ± 0.000 (1.00) |"
    assert second == "| `boxes` | 0.250 (0.50) | - | - | 0.800 (1.00) |"


def test_schedules_are_numbers_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    efficiency = benchmark("label_efficiency")
    assert efficiency.schedules_of("150,400") == [150, 400]
    for wrong in ("", "1.5", "0", "many", "3,,4"):
        with pytest.raises(SystemExit, match="--steps should be numbers above 0"):
            efficiency.schedules_of(wrong)


@pytest.mark.slow
def test_two_schedules_are_two_tables_with_figures_by_size(tmp_path: Path) -> None:
    words = ["data.train=4", "data.size=64", "data.val=2", "data.kind=grey", "rounds.workers=0"]
    script = ROOT / "benchmarks" / "label_efficiency.py"
    options = ["--only", "full,boxes", "--seeds", "1", "--steps", "1,2", "--chosen-on", "nothing"]
    done = subprocess.run(
        [sys.executable, script, *words, *options, "--folder", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "label_efficiency.md").read_text()
    assert [line for line in text.splitlines() if line.endswith("steps:")] == [
        "1 steps:",
        "2 steps:",
    ]
    assert text.count("| `boxes` |") == 4
    assert "chosen by looking at: nothing." in text
    assert (tmp_path / "label_efficiency-2.svg").read_text().startswith("<svg")
    assert not list(tmp_path.glob("runs/**/*.ckpt"))


def test_a_million_images_are_divided_by_the_cores_and_begin_late() -> None:
    machines = benchmark("machines")
    _, _, row = machines.table_of_a_million({"read": machines.Cost(0.0036, 20.0)}, start=40.0)
    assert row == "| read | 0.004 | 1.0 h | 8 min | 2 min | 1 min |"
    assert machines.in_words(3 * 86400) == "3.0 d"
    kinds = {kind: machines.annotated(0, kind)[0] for kind in ("boxes", "points", "scribbles")}
    assert kinds["boxes"]["boxes"].shape == (3, 4)
    labels = kinds["points"]["marks"], machines.annotated(0, "points")[1]
    assert (labels[0][labels[0] != 255] == labels[1][labels[0] != 255]).all()
