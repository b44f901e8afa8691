"""Every rule, by tables: facts and what is known, and the value that comes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from weakseg.config.auto import KEYS
from weakseg.planning.facts import Facts, Machine
from weakseg.planning.rules import RULES, epochs_of, training_images

PHOTOS = ((500, 375), (375, 500), (500, 333))
ANIMALS = Facts(
    images=309, annotated=309, sizes=PHOTOS, objects=(0.2, 0.5, 0.7), bytes_per_pixel=2000
)
GPU = Machine("cuda", 80e9, 16, 1)
TRAINED = {"network.weights": "imagenet"}

CASES: list[tuple[str, dict[str, Any], dict[str, Any], Any]] = [
    # a data set that says itself what is held out; nothing to measure on; enough for figures
    ("data.val_share", {}, {}, None),
    ("data.val_share", {"split": False}, {}, 0.2),
    ("data.val_share", {"split": False, "annotated": 20_000}, {}, 0.025),
    ("data.val_share", {"split": False, "annotated": 49}, {}, 0.0),
    ("data.val_share", {"split": False, "masked": 10}, {}, 1.0),
    ("data.val_share", {"split": False, "masked": 309}, {}, 0.2),
    ("data.val_share", {"split": False, "masked": 309, "shown": {"cat": 0.04}}, {}, 0.405),
    ("data.val_share", {"split": False, "masked": 309, "learns_masks": True}, {}, 0.2),
    ("data.val_share", {"split": False, "masked": 10, "learns_masks": True}, {}, 0.5),
    ("data.val_share", {"split": False, "masked": 20_000, "annotated": 20_000}, {}, 0.025),
    # never enlarged, larger on a GPU and for small objects, within bounds
    ("data.long_side", {}, {}, 256),
    ("data.long_side", {"machine": GPU}, {}, None),
    ("data.long_side", {"machine": GPU, "sizes": ((4000, 3000),)}, {}, 512),
    ("data.long_side", {"sizes": ((96, 96),)}, {}, None),
    ("data.long_side", {"objects": (0.08, 0.5)}, {}, 320),
    ("data.long_side", {"sizes": ((4000, 3000),), "objects": (0.001,)}, {}, 512),
    ("data.long_side", {"objects": ()}, {}, 256),
    # a multiple of the stride, where images are larger
    ("data.crop", {}, {"data.long_side": 256}, 224),
    ("data.crop", {}, {"data.long_side": 200}, None),
    ("data.crop", {"machine": GPU}, {"data.long_side": None}, 448),
    ("data.crop", {"sizes": ((96, 64),)}, {"data.long_side": None}, None),
    ("data.crop", {"evidence": "tags"}, {"data.long_side": 256}, None),
    ("data.scale", {}, {"data.crop": 224}, [0.75, 1.5]),
    ("data.scale", {}, {"data.crop": None}, [1.0, 1.0]),
    ("data.scale", {"evidence": "tags"}, {"data.crop": None}, [0.75, 1.0]),
    ("data.workers", {}, {}, 0),
    ("data.workers", {"machine": GPU}, {}, 8),
    ("data.workers", {"remote": True}, {}, 8),
    ("data.workers", {"sizes": ((4000, 3000),), "machine": Machine(cores=2)}, {}, 2),
    ("data.workers", {"sizes": ((4000, 3000),)}, {}, 0),
    # halved until it fits, and no more than there are images
    ("data.batch_size", {}, {"data.crop": 224}, 8),
    ("data.batch_size", {"machine": GPU}, {"data.crop": 448}, 16),
    ("data.batch_size", {"machine": Machine(memory=1e9)}, {"data.crop": 224}, 4),
    ("data.batch_size", {"machine": Machine(memory=1e6)}, {"data.crop": 224}, 1),
    ("data.batch_size", {"images": 3}, {"data.crop": 224}, 2),
    ("data.batch_size", {"images": 1}, {"data.crop": 224}, 2),
    # weights that are at hand
    ("network.width", {}, {}, 1.0),
    ("network.encoder", {"at_hand": {"mobilenet_v2": "downloaded"}}, {}, "mobilenet_v2"),
    ("network.encoder", {"at_hand": {"tu-regnetx_002": "downloaded"}}, {}, "tu-regnetx_002"),
    ("network.encoder", {}, {}, "tu-regnetx_002"),
    ("network.encoder", {}, {"network.weights": None}, "tu-regnetx_002"),
    ("network.encoder", {}, {"network.weights": "imagenet"}, "mobilenet_v2"),
    (
        "network.weights",
        {"at_hand": {"resnet18": "x"}},
        {"network.encoder": "resnet18"},
        "imagenet",
    ),
    ("network.weights", {"at_hand": {None: "x"}}, {}, "imagenet"),
    ("network.weights", {}, {"network.encoder": "resnet18"}, None),
    ("network.weights", {"pretrained": True, "at_hand": {None: "x"}}, {}, None),
    # how they are learned from
    ("optimizer.lr", {}, TRAINED, 1e-4),
    ("optimizer.lr", {"pretrained": True}, {}, 1e-4),
    ("optimizer.lr", {}, {}, 1e-3),
    ("optimizer.lr", {"names": {"optimizer": "sgd"}}, TRAINED, 1e-3),
    ("optimizer.lr", {"names": {"optimizer": "sgd"}}, {}, 1e-2),
    ("optimizer.head_multiplier", {}, TRAINED, 10.0),
    ("optimizer.head_multiplier", {"has_body": False}, TRAINED, 1.0),
    ("optimizer.head_multiplier", {}, {}, 1.0),
    ("optimizer.freeze_batchnorm", {}, TRAINED, True),
    ("optimizer.freeze_batchnorm", {"has_body": False}, TRAINED, False),
    ("optimizer.freeze_batchnorm", {}, {}, False),
    ("strategy.together", {}, TRAINED, True),
    ("strategy.together", {}, {}, False),
    ("strategy.together", {"has_stages": False}, TRAINED, False),
    ("strategy.prior_sigma", {}, {}, 0.5),
    ("strategy.shrink", {}, {"data.long_side": 256}, 4),
    ("strategy.shrink", {"sizes": ((112, 112),)}, {}, 2),
    ("strategy.shrink", {"sizes": ((24, 24),)}, {}, 1),
    # ten times each image, but some thousands in all
    ("trainer.max_steps", {}, TRAINED | {"data.batch_size": 8}, 400),
    ("trainer.max_steps", {}, {"data.batch_size": 8}, 800),
    ("trainer.max_steps", {"images": 3}, TRAINED | {"data.batch_size": 2}, 150),
    ("trainer.max_steps", {"images": 2000}, TRAINED | {"data.batch_size": 8}, 2500),
    ("trainer.max_steps", {"images": 2000}, TRAINED | {"data.batch_size": 16}, 1250),
    ("trainer.max_steps", {"images": 10**6}, TRAINED | {"data.batch_size": 16}, 10_000),
    (
        "trainer.max_steps",
        {"images": 2000, "machine": GPU._replace(devices=4)},
        TRAINED | {"data.batch_size": 16},
        320,
    ),
    ("strategy.warmup", {"names": {"strategy": "tags"}}, {"trainer.max_steps": 400}, 200),
    ("strategy.warmup", {"names": {"strategy": "boxes_em"}}, {"trainer.max_steps": 400}, 160),
    (
        "strategy.warmup",
        {"names": {"strategy": "boxes_em"}},
        TRAINED | {"trainer.max_steps": 400},
        0,
    ),
    # of 38 steps an epoch
    ("rounds.every", {}, {"trainer.max_steps": 400, "data.batch_size": 8}, 3),
    ("trainer.check_val_every_n_epoch", {}, {"trainer.max_steps": 400, "data.batch_size": 8}, 1),
    ("trainer.check_val_every_n_epoch", {}, {"trainer.max_steps": 800, "data.batch_size": 8}, 3),
    ("trainer.log_every_n_steps", {}, {"trainer.max_steps": 400}, 10),
    ("trainer.log_every_n_steps", {}, {"trainer.max_steps": 20}, 1),
    ("trainer.log_every_n_steps", {}, {"trainer.max_steps": 10_000}, 50),
]


@pytest.mark.parametrize(("key", "facts", "known", "value"), CASES, ids=str)
def test_each_rule(key: str, facts: dict[str, Any], known: dict[str, Any], value: Any) -> None:
    choice = RULES[key](replace(ANIMALS, **facts), known)
    assert choice.value == value
    assert choice.reason
    assert "\n" not in choice.reason


def test_every_key_that_may_be_auto_has_a_rule_in_the_same_order() -> None:
    assert [key for key in KEYS if key != "data.format"] == list(RULES)
    assert {key for key, *_ in CASES} == set(RULES)


def test_an_optimizer_of_somebodys_own_needs_a_number() -> None:
    facts = replace(ANIMALS, names={"optimizer": "mine.Lion"})
    with pytest.raises(ValueError, match="auto is known of adamw and sgd"):
        RULES["optimizer.lr"](facts, {})


def test_what_a_plan_holds_out_is_not_trained_on() -> None:
    facts = replace(ANIMALS, split=False, images=247)
    assert training_images(facts, {"data.val_share": 0.0}) == 309
    assert training_images(replace(facts, masked=60), {"data.val_share": 1.0}) == 249
    assert training_images(facts, {}) == 247  # nothing is planned


def test_epochs_of_few_images() -> None:
    assert epochs_of(replace(ANIMALS, images=3), {"trainer.max_steps": 400}) == 400
