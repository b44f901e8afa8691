"""Which file a recipe is read from, and one line for every mistake in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.parts import PLAIN, errors, ready
from weakseg.config.recipe import load, resolve, to_yaml

FILES = [
    ("", "r.yaml: the file is empty; a recipe names at least a strategy, a network and data"),
    (
        "# only a comment",
        "r.yaml: the file is empty; a recipe names at least a strategy, a network and data",
    ),
    ("- a", "r.yaml line 1: expected sections such as `strategy:`, but it is ['a']"),
    ("boxes", "r.yaml line 1: expected sections such as `strategy:`, but it is 'boxes'"),
    (PLAIN + "a: [1", "r.yaml line 14: expected ',' or ']', but got '<stream end>'"),
    (PLAIN + "\tseed: 1", "r.yaml line 14: found character '\\t' that cannot start any token"),
    (PLAIN + "seed: 8", "r.yaml line 14: seed is given in line 13 already; keep one"),
    (
        PLAIN.replace("share: 0.3", "share: 1\n  share: 2"),
        "r.yaml line 5: strategy.share is given in line 4 already; keep one",
    ),
    (
        PLAIN.replace("share: 0.3", "share: !!python/name:os.system"),
        "could not determine a constructor",
    ),
    (
        PLAIN.replace("share: 0.3", "crf: &a {srgb: 5}\n  extra: *a"),
        "r.yaml line 4: this value is used again by a reference",
    ),
    (
        PLAIN.replace("share: 0.3", "crf: &a [*a]"),
        "r.yaml line 4: this value is used again by a reference",
    ),
    (PLAIN.replace("share: 0.3", "[a]: 1"), "r.yaml line 4: a key must be text"),
    (
        PLAIN + "optimiser: {lr: 1}",
        "optimiser: no such section; did you mean optimizer? (r.yaml line 14)",
    ),
    (
        PLAIN + "strategy.rule: fill",
        "strategy.rule: dots are for the command line; in a file write rule in a line of its own, "
        "indented, below strategy: (r.yaml line 14)",
    ),
    (
        PLAIN + "recipe: boxes",
        "recipe: belongs on the command line, not into a recipe (r.yaml line 14)",
    ),
    (PLAIN + "optimizer: [1]", "optimizer: expected keys below it, but it is [1] (r.yaml line 14)"),
    (PLAIN + "optimizer: 5", "optimizer: expected keys below it, but it is 5 (r.yaml line 14)"),
    (
        PLAIN.replace("boxes\n", "boxs\n"),
        "strategy.name: there is no boxs; did you mean boxes? (r.yaml line 3)",
    ),
    (
        PLAIN.replace("name: boxes", "name: 5"),
        "strategy.name: expected a name, but it is 5; there are boxes, tags (r.yaml line 3)",
    ),
    (PLAIN.replace("  name: boxes\n", ""), "strategy.name: missing; there are boxes, tags"),
    ("{}", "strategy.name: missing; there are boxes, tags"),
    (
        PLAIN.replace("seed: 7", "seed: seven"),
        "seed: expected a whole number from 0 to 4294967295, but it is 'seven' (r.yaml line 13)",
    ),
    (
        PLAIN.replace("seed: 7", "seed: yes"),
        "seed: expected a whole number from 0 to 4294967295, but it is true (r.yaml line 13)",
    ),
    (
        PLAIN.replace("share", "shar"),
        "strategy.shar: no such key; did you mean share? (r.yaml line 4)",
    ),
    (
        PLAIN.replace("share: 0.3", "crf.srgb: 3"),
        "strategy.crf.srgb: dots are for the command line; in a file write srgb below crf (r.yaml "
        "line 4)",
    ),
    (
        PLAIN.replace("share: 0.3", "crf: {srbg: 3}"),
        "strategy.crf.srbg: no such key; did you mean srgb? (r.yaml line 4)",
    ),
    (
        PLAIN.replace("share: 0.3", "share: yes"),
        "strategy.share: expected a number, but it is true (r.yaml line 4)",
    ),
    (
        PLAIN.replace("share: 0.3", "share: .nan"),
        "strategy.share: expected a number, but it is nan (r.yaml line 4)",
    ),
    (
        PLAIN.replace("voc\n  root", "voc\n  split: 2008_000008\n  root"),
        "data.split: expected text, but it is 2008000008; write what is meant as text in quotes "
        "(r.yaml line 10)",
    ),
    (
        PLAIN.replace("voc\n  root", "voc\n  split: yes\n  root"),
        "data.split: expected text, but it is true; write what is meant as text in quotes (r.yaml "
        "line 10)",
    ),
    (
        PLAIN.replace("[6, 12]", "6"),
        "network.rates: expected a list (each entry a whole number) or none, but it is 6 (r.yaml "
        "line 7)",
    ),
    (
        PLAIN.replace("[6, 12]", "[6, a]"),
        "network.rates: expected a list (each entry a whole number) or none, but it is [6, 'a'] "
        "(r.yaml line 7)",
    ),
    (
        PLAIN.replace("share: 0.3", "1: 2"),
        "strategy.1: no such key; the keys are crf, share, rule, extra (r.yaml line 4)",
    ),
    (
        PLAIN.replace("share: 0.3", "on: 2"),
        "strategy.on: no such key; the keys are crf, share, rule, extra (r.yaml line 4)",
    ),
    (PLAIN.replace("share: 0.3", "share: 2020-13-45"), "r.yaml: month must be in 1..12"),
    ("\x00", "r.yaml: unacceptable character #x0000: special characters are not allowed"),
    (
        PLAIN.replace("share: 0.3", "share: \x80"),
        "r.yaml: byte 62 is not UTF-8 text; save the file as UTF-8",
    ),
]


@pytest.mark.parametrize(("text", "expected"), FILES)
def test_every_mistake_in_a_file_has_one_line(text: str, expected: str, here: Path) -> None:
    (here / "r.yaml").write_bytes(text.encode("latin-1"))
    found = errors("recipe=r.yaml")
    assert len(found) == (3 if text == "{}" else 1)
    assert expected in found[0]
    assert "\n" not in found[0]


def test_files_with_a_byte_order_mark_or_the_line_ends_of_another_system(here: Path) -> None:
    (here / "r.yaml").write_bytes(b"\xef\xbb\xbf" + PLAIN.replace("\n", "\r\n").encode())
    resolve(load(["recipe=r.yaml"]))


# which recipe, which run


def run_folder(here: Path) -> Path:
    folder = here / "runs" / "boxes" / "20260101-000000-ab"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"")
    (folder / "recipe.yaml").write_text(to_yaml(ready("strategy.crf.srgb=5")))
    return folder


def test_resume_reads_the_recipe_of_the_run(here: Path) -> None:
    folder = run_folder(here)
    recipe = resolve(
        load([f"resume={folder}", "trainer.max_steps=200", "rounds.workers=0", "logger=none"])
    )
    assert (recipe.name, recipe.resume, recipe.sections["trainer"]["max_steps"]) == (
        "boxes",
        str(folder),
        200,
    )
    assert recipe.sections["strategy"]["crf"]["srgb"] == 5.0
    assert load([f"recipe={folder}/recipe.yaml"]).name == "boxes"


def test_a_new_run_may_start_from_weights(here: Path) -> None:
    start = run_folder(here) / "checkpoints" / "last.ckpt"
    assert load(["recipe=boxes", f"init_from={start}"]).init_from == str(start)


def test_what_a_run_that_goes_on_may_not_change(here: Path) -> None:
    folder = run_folder(here)
    only = (
        "resume= goes on with the same run, where only trainer.*, callbacks.*, logger.*, "
        "predict.* and rounds.workers may change; "
    )
    only += "init_from= starts a new one from its weights"
    found = errors(f"resume={folder}", "seed=2", "rounds.when=epochs", "data=toy")
    assert found == [f"{key}: {only}" for key in ("seed", "rounds.when", "data.name")]
    assert errors(f"resume={folder}", "recipe=boxes") == [
        "recipe: resume= reads the recipe of the run itself; leave one of them out"
    ]
    weights = f"init_from={folder}/checkpoints/last.ckpt"
    assert errors(f"resume={folder}", weights) == [
        "init_from: resume= goes on with the weights of the run; leave one of them out"
    ]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (
            "trainer.max_steps=5",
            "recipe: missing; write recipe=<name> or recipe=<path to a YAML file>; there are "
            "boxes, points",
        ),
        ("recipe=boxs", "recipe: there is no boxs; did you mean boxes?"),
        ("recipe=zzz", "recipe: there is no zzz; there are boxes, points"),
        ("recipe=boxes.yaml", "recipe: there is no file boxes.yaml; did you mean recipe=boxes?"),
        (
            "recipe=built_in/boxs.yaml",
            "recipe: there is no file built_in/boxs.yaml; did you mean built_in/boxes.yaml?",
        ),
        ("recipe=none/there.yaml", "recipe: there is no file none/there.yaml"),
        ("recipe=own", "recipe: there is no own; did you mean own.yaml?"),
        (
            "recipe=RUN",
            "recipe: RUN is the folder of a run; write resume=RUN to go on, or "
            "recipe=RUN/recipe.yaml",
        ),
        (
            "resume=RUN/..",
            "resume: RUN/.. has no recipe.yaml, so it is not the folder of a run; did you mean "
            "resume=",
        ),
        (
            "resume=RUN/checkpoints/last.ckpt",
            "resume: RUN/checkpoints/last.ckpt is a file; write the folder of the run, resume=RUN",
        ),
        ("resume=run", "resume: there is no folder run; did you mean runs?"),
        (
            "init_from=RUN/.. recipe=boxes",
            "init_from: expected the file of a checkpoint, but RUN/.. is a folder with neither a "
            "checkpoint of a run nor published weights; did you mean init_from=RUN",
        ),
        ("recipe.x=1 recipe=boxes", "recipe.x: recipe has no keys below it; write recipe=<value>"),
    ],
)
def test_the_wrong_recipe_or_run(word: str, expected: str, here: Path) -> None:
    folder = str(run_folder(here))
    (here / "own.yaml").write_text(PLAIN)
    found = errors(*word.replace("RUN", folder).split(" "))
    assert len(found) == 1
    assert found[0].startswith(expected.replace("RUN", folder))
