"""What a correction does in every strategy: it reaches the target, or the gradient at its pixels,
and leaves what is far away alone; a run trains with all kinds of them, and goes on with them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.contract.test_dashboards import SMALLER, WORDS, makes_targets
from tests.data.corrections.events import (
    EXCLUDE,
    box,
    click,
    correct,
    erase,
    history,
    outline,
    paint,
    stroke,
    tag,
    unbox,
    untag,
)
from tests.small import SIZE, Everything, TinyNet
from weakseg.data.corrections.events import Event
from weakseg.data.corrections.overlay import lay_over
from weakseg.data.transforms import Item, collate
from weakseg.evidence import Batch, Evidence, Prediction
from weakseg.fit import main
from weakseg.functional.instances import paint_masks
from weakseg.strategies import NAMES
from weakseg.strategies.base import Context, Strategy, estimates
from weakseg.training.metrics_file import read_record
from weakseg.training.segmenter import Segmenter
from weakseg.training.targets import target_of

CLASSES = Everything.classes
DARK = 2
# whose targets come from boxes: one of marks decides itself how far a mark reaches
OF_BOXES = ("boxes_rect", "boxes_crf", "boxes_instances", "mixed")
every_strategy = pytest.mark.parametrize("name", NAMES)

# on the object that nobody has annotated
CORNER = {
    "scribble": stroke("dark", (18, 3), (22, 3), width=2),
    "click": click("dark", 20, 3, width=4),
    "paint": paint("dark", (18, 3), (22, 3), width=2),
    "fill": outline("dark", (18, 2), (22, 2), (22, 5), (18, 5)),
}


def build(name: str) -> Strategy:
    module, _, kind = NAMES[name].rpartition(".")
    strategy = getattr(import_module(module), kind)()
    assert isinstance(strategy, Strategy)
    return strategy


def an_image() -> Evidence:
    """With everything, the masks of boxes, too, and with a dark object in the corner that nobody
    has annotated."""
    evidence, _ = Everything().sample(3)
    image = evidence.image.clone()
    image[:, 1:8, 16:23] = 10
    return evidence._replace(
        image=image, box_masks=None if evidence.boxes is None else mask_of(evidence.boxes)[None]
    )


def mask_of(boxes: Tensor) -> Tensor:
    mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    left, top, right, bottom = boxes[0].int().tolist()
    mask[top:bottom, left:right] = True
    return mask


def corrected(*events: Event) -> Evidence:
    own = history(*events, size=(SIZE, SIZE), image="disc/3")
    return lay_over(an_image(), own, CLASSES).evidence


def drawn_in_corner(name: str, action: str) -> Evidence:
    """A correction of background; in a box, where a strategy has nothing but masks of boxes."""
    around = (box("dark", 14, 1, 23, 9),) if build(name).wants.box_masks else ()
    return corrected(*around, CORNER[action])


def drawn_pixels(evidence: Evidence) -> Tensor:
    drawn = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    for layer in (evidence.strokes, evidence.painted):
        if layer is not None:
            drawn |= layer == DARK
    return drawn


def batch_of(strategy: Strategy, evidence: Evidence) -> Batch:
    """The image alone, with its target, as a loader makes it."""
    if not estimates(strategy):
        batch = collate([Item(evidence, None)], len(CLASSES))
        wanted = strategy.wants.features_in_loss
        return batch._replace(
            features=F.avg_pool2d(batch.image.float() / 255, 4) if wanted else None
        )
    seen = evidence.image.float() / 255
    prediction = Prediction(
        torch.full((len(CLASSES), SIZE, SIZE), 1 / len(CLASSES)),
        F.avg_pool2d(seen, 4),
        F.avg_pool2d(seen, 4),
    )
    context = Context(prediction if strategy.wants.intermediate else None, classes=CLASSES)
    target = target_of(strategy, evidence, context, len(CLASSES)).labels
    if target.dtype == torch.bool:
        assert evidence.box_classes is not None
        evidence = evidence._replace(box_masks=target)
        target = paint_masks(target, evidence.box_classes)
    return collate([Item(evidence, target)], len(CLASSES))


def gradient(name: str, evidence: Evidence, noise: float = 1.0) -> Tensor:
    """Of all terms of the loss, [C,H,W]."""
    strategy = build(name)
    segmenter = Segmenter(TinyNet(), strategy, CLASSES)
    torch.manual_seed(0)
    logits = (noise * torch.randn(1, len(CLASSES), SIZE, SIZE)).requires_grad_()
    terms = segmenter._loss(logits, batch_of(strategy, evidence)).terms
    (found,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), logits)
    return found[0]


@every_strategy
@pytest.mark.parametrize("action", CORNER)
def test_what_is_drawn_is_learned_where_it_is_drawn(name: str, action: str) -> None:
    evidence = drawn_in_corner(name, action)
    drawn = drawn_pixels(evidence)
    assert 6 <= drawn.sum() <= 16
    towards = -gradient(name, evidence, noise=0.0)[:, drawn]
    assert bool((towards[DARK] > 0).all())
    assert bool((towards[:DARK] < 0).all())


@pytest.mark.parametrize("name", OF_BOXES)
@pytest.mark.parametrize("action", CORNER)
def test_what_is_far_away_stays(name: str, action: str) -> None:
    strategy = build(name)
    event = CORNER[action]
    after = drawn_in_corner(name, action)
    before = corrected(box("dark", 14, 1, 23, 9)) if strategy.wants.box_masks else an_image()
    targets = [batch_of(strategy, evidence).target for evidence in (before, after)]
    changed = (targets[0] != targets[1])[0]
    object_alone = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    object_alone[1:8, 16:23] = True
    assert not (changed & ~object_alone).any()
    exact = event.action in ("paint", "fill")
    assert torch.equal(targets[1][0] == DARK, (targets[0][0] == DARK) | changed)
    # all of the object where a stroke carries on, and no more than it where pixels are exact
    if not strategy.wants.box_masks:
        assert changed.sum() == (drawn_pixels(after).sum() if exact else object_alone.sum())


@pytest.mark.parametrize("action", CORNER)
def test_masks_of_single_objects_have_what_is_drawn(action: str) -> None:
    """From these Mask R-CNN learns."""
    strategy = build("boxes_instances")
    evidence = drawn_in_corner("boxes_instances", action)
    (masks,) = batch_of(strategy, evidence).box_masks or []
    first, added = masks[:, drawn_pixels(evidence)]
    assert bool(added.all())
    assert not first.any()
    away = corrected(box("dark", 14, 1, 23, 9), stroke("background", (18, 3), (22, 3), width=2))
    (masks,) = batch_of(strategy, away).box_masks or []
    assert not masks[:, drawn_pixels(evidence) & (away.strokes == 0)].any()


@every_strategy
@pytest.mark.parametrize(
    "events",
    [
        (box("dark", 14, 1, 23, 9),),
        (unbox("dark", *Everything().sample(3)[0].boxes[0].tolist()),),
    ],
    ids=["add_box", "remove_box"],
)
def test_boxes_are_learned_by_all_that_learn_from_boxes(
    name: str, events: tuple[Event, ...]
) -> None:
    changed = not torch.equal(gradient(name, an_image()), gradient(name, corrected(*events)))
    assert changed or "boxes" not in build(name).needs


@every_strategy
@pytest.mark.parametrize("event", [tag("bright"), untag("dark")], ids=["add_tag", "remove_tag"])
def test_tags_are_learned_by_all_that_learn_from_tags(name: str, event: Event) -> None:
    before, after = gradient(name, an_image()), gradient(name, corrected(event))
    assert not torch.equal(before, after) or "tags" not in build(name).needs


@every_strategy
def test_erased_marks_are_learned_no_longer(name: str) -> None:
    marks = an_image().marks
    assert marks is not None
    (row, column) = (marks == DARK).nonzero()[0].tolist()
    after = corrected(erase((column + 0.5, row + 0.5), width=1))
    assert after.marks is not None
    assert not (after.marks == DARK).any()
    changed = not torch.equal(gradient(name, an_image()), gradient(name, after))
    assert changed or "marks" not in build(name).needs


def every_kind(folder: Path) -> None:
    """All kinds of edits and verdicts, over the images of a data set."""
    for number, event in enumerate(CORNER.values()):
        correct(folder, f"disc/{number}", event, size=(SIZE, SIZE))
    edges = Everything().sample(4)[0].boxes
    assert edges is not None
    others = (
        box("dark", 14, 1, 23, 9),
        unbox("bright", *edges[0].tolist()),
        tag("dark"),
        erase((0, 0), (3, 0), width=2),
        stroke("background", (2, 20), (8, 20)),
    )
    correct(folder, "disc/4", *others, size=(SIZE, SIZE))
    correct(
        folder, "disc/5", box("dark", 1, 1, 9, 9), tag("bright"), untag("bright"), size=(SIZE, SIZE)
    )
    correct(folder, "disc/6", EXCLUDE, size=(SIZE, SIZE))


@pytest.mark.filterwarnings("ignore:in epoch")  # so small a network finds little
@every_strategy
def test_a_run_trains_with_corrections_and_goes_on_with_them(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "corrections"
    every_kind(folder)
    words = [
        *(word for word in WORDS if word != "data.train=4"),
        "data=tests.small.Everything",
        "data.train=7",
        f"data.corrections={folder}",
        f"strategy={name}",
        f"trainer.default_root_dir={tmp_path}",
        *SMALLER.get(name, []),
    ]
    run = main(words)
    rows = read_record(run / "metrics.csv")
    assert [row["round"] for row in rows if row.get("round")] == (
        ["0", "1"] if makes_targets(name) else []
    )
    learned = [float(row["loss/corrections"]) for row in rows if row.get("loss/corrections")]
    own_term = not makes_targets(name) and "marks" not in build(name).needs
    assert any(learned) == own_term
    main([f"resume={run}", "trainer.max_steps=7"])
    steps = {
        float(row["step"]) for row in read_record(run / "metrics.csv") if row.get("loss/total")
    }
    assert max(steps) >= 6
