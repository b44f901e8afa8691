"""The masks of a folder once more, for the writer of another format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from weakseg.data.formats.images import read_mask
from weakseg.data.formats.writing.labels import LabelledImage
from weakseg.prediction.outputs import Wanted, places_of, read_objects
from weakseg.utils.output_folder import OutputFolder


def labelled_images(
    folder: OutputFolder, names: Iterable[str], wanted: Wanted
) -> Iterator[LabelledImage]:
    """What was found on each of the images that have a line in the summary, one after the other."""
    for name in names:
        entry = folder.entry(name)
        places = places_of(folder, name, wanted)
        # one that is broken now may have been predicted by an earlier call
        if entry is None or not places.mask.is_file():
            continue
        objects = None if places.objects is None else read_objects(places.objects)
        labels = np.asarray(read_mask(places.mask))
        yield LabelledImage(name, labels, entry["confidence"], objects)
