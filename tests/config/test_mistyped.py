"""One line for every mistake on a command line, and what to write instead; all of them at once."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.config.parts import errors

ROOT = Path(__file__).resolve().parents[2]

MISTYPED = [
    (
        "strategy.crf.bilateral_rbg=5",
        "strategy.crf.bilateral_rbg: no such key; did you mean bilateral_rgb?",
    ),
    ("strategy.srgb=5", "strategy.srgb: no such key; did you mean crf.srgb?"),
    ("strategy.shrae=1", "strategy.shrae: no such key; did you mean share?"),
    (
        "strategy.crf.zzz=1",
        "strategy.crf.zzz: no such key; the keys are srgb, bilateral_rgb, steps, grid",
    ),
    ("strategy=boxs", "strategy.name: there is no boxs; did you mean boxes?"),
    ("strategy=xyz", "strategy.name: there is no xyz; there are boxes, tags"),
    ("stategy.share=1", "stategy.share: no such section; did you mean strategy?"),
    ("max_steps=5", "max_steps: no such section; did you mean trainer.max_steps?"),
    ("crf.srgb=5", "crf.srgb: no such section; did you mean strategy.crf.srgb?"),
    ("lr=0.1", "lr: no such section; did you mean optimizer.lr?"),
    (
        "foo=1",
        "foo: no such section; the sections are strategy, network, data, rounds, optimizer, "
        "trainer, logger, seed, recipe, resume, init_from, processes",
    ),
    ("trainer.max_steps=abc", "trainer.max_steps: expected a whole number, but it is 'abc'"),
    ("trainer.max_steps=1.5", "trainer.max_steps: expected a whole number, but it is '1.5'"),
    ("trainer.max_steps=null", "trainer.max_steps: expected a whole number, but it is 'null'"),
    ("trainer.max_steps=true", "trainer.max_steps: expected a whole number, but it is 'true'"),
    ("trainer.logger=x", "trainer.logger: weakseg sets this itself; leave it out"),
    (
        "trainer.name=x",
        "trainer.name: no such key; the keys are max_steps, devices, limit_train_batches, "
        "default_root_dir",
    ),
    ("trainer=5", "trainer: expected keys below it, such as trainer.<key>=5"),
    (
        "strategy.rule=fil",
        "strategy.rule: expected fill or shrink, but it is 'fil'; did you mean fill?",
    ),
    ("strategy.crf=5", "strategy.crf: expected keys below it, such as srgb, but it is '5'"),
    ("strategy.crf.srgb=-1", "strategy.crf: srgb should be above 0, but it is -1.0"),
    ("strategy.crf.srgb=nan", "strategy.crf.srgb: expected a number, but it is 'nan'"),
    (
        "strategy.crf.grid.offsets=1,2,3",
        "strategy.crf.grid.offsets: expected 2 values (a number, a number), but it is '1,2,3'",
    ),
    (
        "network.rates=6,x",
        "network.rates: expected a list (each entry a whole number) or none, but it is '6,x'",
    ),
    (
        "network.rates=6,,7",
        "network.rates: '6,,7' has an empty entry; write a list as a,b,c or, with nothing in it, "
        "as []",
    ),
    ("network.rates=[6", "network.rates: '[6' cannot be read; write a list as [a, b, c]"),
    ("optimizer.lr=-1", "optimizer: lr should be above 0"),
    ("data=voc", "data.root: missing; expected a path"),
    ("data.flip=maybe", "data.flip: expected true or false, but it is 'maybe'"),
    ("seed=x", "seed: expected a whole number from 0 to 4294967295, but it is 'x'"),
    ("seed=-1", "seed: expected a whole number from 0 to 4294967295, but it is '-1'"),
    ("seed.x=1", "seed.x: seed has no keys below it; write seed=<value>"),
    (
        "--foo",
        "--foo: no such flag; the flags are --help, --list, --show, and all else is written "
        "key=value",
    ),
    ("--lst", "--lst: no such flag; did you mean --list?"),
    ("--trainer.max_steps=5", "--trainer.max_steps=5: write trainer.max_steps=5, without dashes"),
    ("--trainer.max_steps 5", "--trainer.max_steps: write trainer.max_steps=5, without dashes"),
    ("trainer.max_steps = 5", "trainer.max_steps = 5: write trainer.max_steps=5 without spaces"),
    ("trainer.max_steps= 5", "trainer.max_steps= 5: write trainer.max_steps=5 without spaces"),
    ("trainer.max_steps =5", "trainer.max_steps =5: write trainer.max_steps=5 without spaces"),
    (
        "trainer.max_steps=",
        "trainer.max_steps: there is nothing after =; write trainer.max_steps=<value>, or "
        "trainer.max_steps=null for none",
    ),
    ("=5", "=5: there is no key before =; write key=value"),
    ("=", "=: there is no key before =; write key=value"),
    ("boxes", "boxes: not key=value; did you mean recipe=boxes?"),
    ("strategy", "strategy: not key=value; did you mean strategy=<name>?"),
    ("help", "help: not key=value; did you mean --help?"),
    (
        "strategy..share=1",
        "strategy..share: a dot too many; write section.key=value, such as trainer.max_steps=2000",
    ),
    (
        "strategy.=1",
        "strategy.: a dot too many; write section.key=value, such as trainer.max_steps=2000",
    ),
    ("seed=1 seed=2", "seed: given twice, as 1 and as 2; keep one"),
    ("data=toy data.name=toy", "data.name: given twice, as toy and as toy; keep one"),
    (
        "strategy.extra=null strategy.extra.srgb=1",
        "strategy.extra: given as a value, and with a key below it (strategy.extra.srgb); keep one",
    ),
    (
        "data.name=toy",
        "data.root: no such key; the keys are images, batch_size, scale, flip; "
        "data=toy without .name drops the recipe's keys (boxes.yaml line 10)",
    ),
    (
        "strategy=recipe_pats.all.Boxes",
        "strategy.name: there is no module recipe_pats; did you mean recipe_parts?",
    ),
    (
        "strategy=recipe_parts.al.Boxes",
        "strategy.name: there is no module recipe_parts.al; did you mean recipe_parts.all?",
    ),
    (
        "strategy=recipe_parts.all.Boxs",
        "strategy.name: the module recipe_parts.all has no Boxs; did you mean Boxes?",
    ),
    (
        "strategy=recipe_parts.all.Quiet",
        "strategy.name: recipe_parts.all.Quiet is not a subclass of recipe_parts.all.Base",
    ),
    ("strategy=a..b", "strategy.name: a..b is no module and class; write my_module.MyClass"),
    ("init_from=none.ckpt", "init_from: there is no file none.ckpt"),
    (
        "init_from=built_in/boxs.yaml",
        "init_from: there is no file built_in/boxs.yaml; did you mean built_in/boxes.yaml?",
    ),
]


@pytest.mark.parametrize(("words", "expected"), MISTYPED, ids=[words for words, _ in MISTYPED])
def test_every_mistake_has_one_line(words: str, expected: str) -> None:
    assert errors("recipe=boxes", *words.split(" ")) == [expected]


# everything at once


def test_all_mistakes_that_need_classes_come_together() -> None:
    words = [
        "strategy.crf.srgb=x",
        "strategy.crf.bilateral_rbg=1",
        "network.rates=a",
        "trainer.max_stps=1",
        "optimizer.lr=fast",
    ]
    keys = [
        "strategy.crf.srgb",
        "strategy.crf.bilateral_rbg",
        "network.rates",
        "optimizer.lr",
        "trainer.max_stps",
    ]
    assert [line.partition(":")[0] for line in errors("recipe=boxes", *words)] == keys


def test_mistyped_names_bring_along_mistyped_keys_without_importing_classes() -> None:
    sys.modules.pop("recipe_parts.all", None)
    words = (
        "strategy=boxs network.rats=1 data.spilt=x data.batchsize=4 optimizer.zz=1 "
        "trainer.logger=x trainer.mx_steps=1 foo"
    )
    assert errors("recipe=boxes", *words.split()) == [
        "foo: not key=value; write key=value, such as trainer.max_steps=2000",
        "strategy.name: there is no boxs; did you mean boxes?",
        "network.rats: no such key; did you mean rates?",
        "data.spilt: no such key; did you mean split?",
        "data.batchsize: no such key; did you mean batch_size?",
        "optimizer.zz: no such key; the keys are lr, betas",
        "trainer.logger: weakseg sets this itself; leave it out",
        "trainer.mx_steps: no such key; did you mean max_steps?",
    ]
    assert "recipe_parts.all" not in sys.modules


def test_a_mistyped_name_is_answered_without_torch(here: Path) -> None:
    """In a process of its own: what is imported at all."""
    code = """
        import sys
        sys.path[:0] = PATHS
        import weakseg.config.recipe, weakseg.config.sections, weakseg.config.words, pathlib
        weakseg.config.words.built_in = lambda: pathlib.Path("built_in")
        S = weakseg.config.recipe.Section
        homes = dict(strategy="strategies", network="networks", data="datasets")
        homes |= dict(optimizer="optimizers", logger="loggers")
        sections = {name: S("recipe_parts." + home) for name, home in homes.items()}
        sections |= {"trainer": S(target="pytorch_lightning.Trainer", fixed=("logger",))}
        weakseg.config.sections.SECTIONS = sections
        try:
            weakseg.config.recipe.load(["recipe=boxes", "strategy=boxs", "trainer.mx_steps=1"])
        except weakseg.config.recipe.RecipeError as error:
            print(error.errors[0], *(line for line in error.errors if "trainer" in line), sep="|")
        print(sorted({"torch", "pytorch_lightning", "numpy"} & set(sys.modules)))
    """
    code = textwrap.dedent(code).replace("PATHS", repr([str(ROOT), sys.path[0]]))
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert answer[0] == (
        "strategy.name: there is no boxs; did you mean boxes?|trainer.mx_steps: no such key; "
        "did you mean max_steps?"
    )
    assert answer[1] == "[]"
