"""The words by which CLIP is asked for the classes of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

TEMPLATE = "a clean origami {}."
BACKGROUND = (
    *("ground", "land", "grass", "tree", "building", "wall", "sky", "lake", "water", "river"),
    *("sea", "railway", "railroad", "keyboard", "helmet", "cloud", "house", "mountain", "ocean"),
    *("road", "rock", "street", "valley", "bridge", "sign"),
)
"""what is around objects in photographs, as CLIP-ES has it"""
SHARPER: Mapping[str, str] = {
    "person": "person with clothes,people,human",
    "bird": "bird avian",
    "chair": "chair seat",
    "tvmonitor": "tvmonitor screen",
    "tv": "tvmonitor screen",
    "backpack": "backpack,bag",
    "umbrella": "umbrella,parasol",
    "handbag": "handbag,purse",
    "tie": "necktie",
    "baseball glove": "glove",
    "remote": "remote control",
    "hair drier": "hairdrier,blowdrier",
}
"""what says more clearly to CLIP what is meant, for classes of Pascal VOC and COCO, of CLIP-ES"""


def words_of(
    classes: Sequence[str], own: Mapping[str, str], known: Mapping[str, str] = SHARPER
) -> list[str]:
    """A word or some words for each class but the background.

    Args:
        classes: names, the background first.
        own: words for some of them, which come before those that are known.
        known: words that say more clearly what some names mean.

    >>> words_of(["background", "person", "traffic_light", "crack"], {"crack": "crack in a wall"})
    ['person with clothes,people,human', 'traffic light', 'crack in a wall']
    """
    if unknown := [name for name in own if name not in classes]:
        raise ValueError(
            f"words are given for {unknown[0]}, which is no class of the data set; expected some "
            f"of {', '.join(classes[1:])}"
        )
    plain = {name: name.replace("_", " ") for name in classes}
    return [own.get(name, known.get(plain[name], plain[name])) for name in classes[1:]]


def background_beside(classes: Sequence[str], background: Sequence[str]) -> list[str]:
    """The words for background that name no class of the data set.

    >>> background_beside(["background", "tree", "cat"], ["sky", "tree"])
    ['sky']
    """
    taken = {name.replace("_", " ").lower() for name in classes}
    return [word for word in background if word.lower() not in taken]
