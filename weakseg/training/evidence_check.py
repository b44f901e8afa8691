"""The check of all evidence before anything long begins: every problem of every image is found at
once."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from weakseg.data.base import WeakData
from weakseg.data.files.photos import KINDS_OF, Photos
from weakseg.strategies.base import Strategy
from weakseg.training.checked_images import CheckedImages
from weakseg.training.corrections_check import report_corrections
from weakseg.training.estimation import (
    POOL_PAYS_TO_READ,
    Failure,
    can_copy,
    can_send,
    for_each,
    raise_together,
)
from weakseg.training.image_records import (
    NOTHING_KNOWN,
    ImageRecords,
    record_keys,
    rule_of_checks,
)
from weakseg.training.image_work import Check, Checked
from weakseg.utils.processes import anywhere, gather
from weakseg.utils.progress import track

# to begin with
RECIPES = {
    "masks": "full",
    "boxes": "boxes",
    "points": "points",
    "scribbles": "scribbles",
    "tags": "tags",
}
SAMPLED = 100  # images, to name what there is in place of what is wanted
HINT = (
    "data.wrong=skip leaves out single objects that cannot be right; python -m weakseg.check "
    "data=... shows all of them"
)


def check_evidence(
    data: WeakData,
    strategy: Strategy,
    classes: Sequence[str],
    rank: int,
    world: int,
    records: ImageRecords = NOTHING_KNOWN,
    workers: int = 0,
) -> CheckedImages:
    """Check this rank's share of all images; problems of any rank are raised on all. Returns what
    its training images hold.

    It is a pass of its own, though targets are made from the same files: a broken image is named
    before anything long begins, and the next start reads only what has changed since.

    Args:
        data: the images.
        strategy: what needs their evidence.
        classes: names, the background first.
        rank: this one.
        world: how many ranks there are.
        records: of earlier starts: what is known to be right is not read again.
        workers: processes that read, where there are many images.
    """
    if not data.training:
        raise ValueError(why_none(data))
    mine = data.training[rank::world]
    # nothing is estimated for these, so they need not have what the strategy needs
    others = list(data.validation)[rank::world]
    looking = _Looking(data, strategy, tuple(classes), mine, others, records)
    for _ in track(looking.work(workers), looking.open, "reading the evidence", world):
        pass
    hint = f" ({HINT})" if anywhere(looking.objects) else ""
    raise_together(looking.failures, f"the evidence does not fit {type(strategy).__name__}{hint}")
    seen = looking.seen
    trained_on = [seen[index] for index in mine]
    _expect_boxes(strategy, _everywhere(image.boxed for image in trained_on))
    _expect_objects(_everywhere(image.shows for image in trained_on), data)
    _expect_own_ids(image.id for image in seen.values())
    # a share of images that there are none of is refused now, not after long estimations
    data.groups  # noqa: B018
    check_pseudo_labels(data, rank, world)
    report_corrections(data, [image.id for image in seen.values()], _remarks(data, seen), rank)
    return looking.of_training()


class _Looking:
    """One pass over the images of a rank."""

    def __init__(
        self,
        data: WeakData,
        strategy: Strategy,
        classes: tuple[str, ...],
        mine: Sequence[int],
        others: Sequence[int],
        records: ImageRecords,
    ) -> None:
        self.data = data
        self.strategy = strategy
        self.classes = classes
        self.mine = mine
        self.others = others
        self.records = records
        self.seen = CheckedImages([*mine, *others])
        self.failures: list[Failure] = []
        self.objects = False
        self._keys = self._record_keys()
        for index, image in records.checked(self._keys):
            self.seen.add(index, image)
        self._unknown = [index for index in [*mine, *others] if index not in self.seen]

    @property
    def open(self) -> int:
        """How many images are to be read."""
        return len(self._unknown)

    def of_training(self) -> CheckedImages:
        """What the training images hold."""
        images = CheckedImages(self.mine)
        for index in self.mine:
            images.add(index, self.seen[index])
        return images

    def work(self, workers: int) -> Iterator[int]:
        """Read what is not known; yields the number of each image."""
        check = Check(self.data, self.strategy, self.classes, frozenset(self.others))
        able = can_copy(self.data) and can_send(self.strategy)
        most = workers if able else 0
        found = for_each(check, self._unknown, self.open, most, POOL_PAYS_TO_READ, light=True)
        for checked in found:
            self._keep(checked)
            yield checked.number
        self.records.flush()

    def _keep(self, checked: Checked) -> None:
        if checked.image is None:
            assert checked.wrong is not None
            self.failures.append(checked.wrong)
            self.objects |= checked.of_object
            return
        self.seen.add(checked.number, checked.image)
        if key := self._keys.get(checked.number):
            self.records.keep_checked(key, checked.image)

    def _record_keys(self) -> dict[int, str]:
        found: dict[int, str] = {}
        for indices, held_out in ((self.mine, False), (self.others, True)):
            rule = rule_of_checks(self.strategy, self.classes, held_out)
            found |= record_keys(self.data, indices, rule)
        return found


def _everywhere(flags: Iterable[bool]) -> list[bool]:
    return [flag for part in gather(list(flags)) for flag in part]


def _expect_own_ids(ids: Iterable[str]) -> None:
    counts = Counter(id for part in gather(list(ids)) for id in part)
    if twice := [id for id, count in counts.items() if count > 1]:
        raise ValueError(
            f"{len(twice)} ids belong to more than one image: {', '.join(twice[:5])}; every image "
            "needs an id of its own"
        )


def _remarks(data: WeakData, seen: CheckedImages) -> list[str]:
    """Which corrections of these images have no effect."""
    histories = data.histories
    corrected = [index for index, image in seen.items() if image.id in histories]
    return [effect for index in corrected for effect in data.lay_over(data.sample(index)[0])[1]]


def why_none(data: WeakData) -> str:
    """Why there is no image to train on."""
    return f"there is no image to train on: {_reason(data)}"


def _reason(data: WeakData) -> str:
    held_out = set(data.validation)
    others = [index for index in range(len(data)) if index not in held_out]
    if not others:
        return (
            f"all {len(data)} images are only measured on; leave some out of data.val or "
            "data.val_share"
        )
    if any(map(data.is_annotated, others)):
        return f"those that are not only measured on are all excluded in {data.corrections}"
    return (
        "nothing is annotated; draw on some images with python -m weakseg.review data=... and give "
        "data.corrections"
    )


def check_pseudo_labels(data: WeakData, rank: int, world: int) -> None:
    """Look at the headers of this rank's share of the pseudo-labelled images, if there are any;
    problems of any rank are raised on all."""
    labels = data.pseudo_labels
    if labels is None:
        return
    if rank == 0:
        print(f"pseudo-labels of {labels.folder}: {labels.counts}", file=sys.stderr)
    mine = range(rank, len(labels), world)
    failures = [
        Failure(labels.images[place].name, problem)
        for place in track(mine, len(mine), "looking at the pseudo-labels", world)
        if (problem := labels.problem(place))
    ]
    raise_together(failures, f"the pseudo-labels of {labels.folder} do not fit their images")


def _expect_boxes(strategy: Strategy, boxed: Sequence[bool]) -> None:
    """The projection loss is of boxes alone."""
    if strategy.terms.projection and boxed and not any(boxed):
        raise ValueError(
            f"terms.projection is a loss of boxes, but none of the {len(boxed)} training images "
            "has a list of boxes; leave it out, or take a recipe and data.evidence with boxes"
        )


def _expect_objects(shown: Sequence[bool], data: WeakData) -> None:
    """An image without an object is background. All images without one are a mistake, such as files
    without the kind that is wanted."""
    if shown and not any(shown):
        raise ValueError(
            f"none of the {len(shown)} training images has a box, or a marked pixel: all would be "
            f"background. {_there_is(data)}"
        )


def _there_is(data: WeakData) -> str:
    """What the files hold in place of what is wanted, and how to train on it."""
    kinds = Counter[str]()
    if isinstance(data, Photos):
        for index in data.training[:SAMPLED]:
            kinds += data.shapes_of(index)
    words = [word for word, shapes in KINDS_OF.items() if any(kinds[shape] for shape in shapes)]
    if not words:
        return (
            "If the files hold something else, say what, such as data.evidence=masks; python -m "
            "weakseg.check data=... shows what there is"
        )
    recipes = " or ".join(f"recipe={RECIPES[word]}" for word in words)
    return (
        f"The files hold {' and '.join(words)}: write {recipes} (or a recipe of yours, with "
        f"data.evidence={words[0]})"
    )
