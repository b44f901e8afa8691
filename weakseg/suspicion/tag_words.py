"""Which tags of a data set CLIP doubts: images are ranked by how well the words for a class
describe them, with its tag and without."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.evidence import Evidence
from weakseg.foundation.clip import ClipEncoder
from weakseg.foundation.clip_words import BACKGROUND, background_beside, words_of
from weakseg.functional.tag_doubts import tag_doubts
from weakseg.utils.progress import track

DOUBTFUL = 0.8  # from here on a person is told; not chosen by any measurement


class TagDoubt(NamedTuple):
    """What speaks against the tags of an image, as far as one class is concerned."""

    image: str
    label: str
    is_tagged: bool
    doubt: float
    """from 0 to 1, see `tag_doubts`"""

    @property
    def told(self) -> tuple[str, str]:
        """What a tag should be, and what came, for a message."""
        how = f"(doubt {self.doubt:.2f} of 1); look at it"
        if self.is_tagged:
            return (
                "of an image that looks like it",
                f"of one that looks less like it than others do, even without it {how}",
            )
        return (
            "on every image that looks like it",
            f"not on this one, which looks as much like it as those with it {how}",
        )

    @property
    def signal(self) -> str:
        """Its name in `weakseg.suspicion.queue.SIGNALS`."""
        return f"{'unlike' if self.is_tagged else 'alike'}/{self.label}"


def doubts_of_tags(
    images: Iterable[Evidence], classes: Sequence[str], encoder: ClipEncoder
) -> list[TagDoubt]:
    """What CLIP says of the tags of all images, in their order; of an image that has boxes and no
    tags, of the classes of these. Classes with too few images to compare with are left out.

    Args:
        images: read one after the other; those without tags and boxes are passed over.
        classes: their names, the background first.
        encoder: on the device that is to be used.
    """
    words = words_of(classes, {})
    features = encoder.words([*words, *background_beside(classes, BACKGROUND)])
    ids: list[str] = []
    scores: list[Tensor] = []
    tags: list[Tensor] = []
    for evidence in images:
        named = _named(evidence, len(classes))
        if named is None:
            continue
        cosines = encoder.described(encoder.encoding(evidence.image), features)
        ids.append(evidence.id)
        # some images are like all words
        scores.append(cosines[: len(words)] - cosines.mean())
        tags.append(named[1:])
    if not ids:
        return []
    found = tag_doubts(torch.stack(scores), torch.stack(tags))
    return [
        TagDoubt(image, classes[label + 1], bool(own[label]), float(doubts[label]))
        for image, own, doubts in zip(ids, tags, found, strict=True)
        for label in range(len(words))
        if not bool(doubts[label].isnan())
    ]


def readable(data: WeakData) -> Iterator[Evidence]:
    """The evidence of the training images, without those that cannot be read."""
    for index in track(data.training, len(data.training), "looking at the tags"):
        try:
            evidence, _ = data.corrected(index)
            evidence.check(len(data.classes))
        except Exception:  # the user's own reader may raise anything; a check has reported it
            continue
        yield evidence


def signals_of_tags(doubts: Iterable[TagDoubt]) -> dict[str, dict[str, float]]:
    """The same as signals by image, for `rank`."""
    found: dict[str, dict[str, float]] = {}
    for doubt in doubts:
        found.setdefault(doubt.image, {})[doubt.signal] = doubt.doubt
    return found


def _named(evidence: Evidence, classes: int) -> Tensor | None:
    """Which classes an image is said to show, bool [C]; None if nobody says."""
    if evidence.tags is not None:
        return evidence.tags
    if evidence.box_classes is None:
        return None
    named = torch.zeros(classes, dtype=torch.bool)
    named[evidence.box_classes] = True
    return named
