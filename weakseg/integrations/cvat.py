"""A trained network as a function that CVAT annotates tasks with, by the interface of `cvat_sdk`:

    cvat-cli task auto-annotate 137 --function-module weakseg.integrations.cvat \\
        -p run=str:runs/boxes/latest

CVAT sends the images, and gets a mask for each class that is found on one, or for each object.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from PIL import Image

from weakseg.data.formats.images import read_opened
from weakseg.data.formats.writing.labels import IGNORED, Region, regions_of
from weakseg.data.formats.writing.polygons import polygons_of
from weakseg.prediction.one_image import labelled_image
from weakseg.trained.loading import load_model
from weakseg.trained.model import TrainedModel


def create(run: str, checkpoint: str = "best", device: str = "auto") -> NetworkFunction:
    """What `cvat-cli` calls with the values of its `-p`.

    Args:
        run: the trained network: a run folder, a checkpoint, an exported graph, or a published
            folder.
        checkpoint: of a run folder: best, last or a file.
        device: cpu, cuda or the like; auto for a GPU where there is one.
    """
    return NetworkFunction(load_model(run, checkpoint, device=device))


class NetworkFunction:
    """A function of CVAT that detects with a trained network.

    Args:
        model: the network; its classes apart from the background are the labels, which a task has
            under the same names.
    """

    def __init__(self, model: TrainedModel) -> None:
        self.model = model
        self.cvat = cvat = auto_annotation()
        self.spec = cvat.DetectionFunctionSpec(
            labels=[
                cvat.label_spec(name, label, type="mask")
                for label, name in list(enumerate(model.classes))[1:]
            ]
        )

    def detect(self, context: Any, image: Image.Image) -> list[Any]:
        """The shapes on one image: masks, or polygons where CVAT wants these.

        Args:
            context: of the image, from CVAT. Pixels and objects whose probability is below its
                `conf_threshold` are left out.
            image: as CVAT has it.
        """
        name = context.frame_name
        pixels = read_opened(image, name)
        labelled = labelled_image(self.model, pixels, name, context.conf_threshold or 0.0)
        shapes = self._polygons if context.conv_mask_to_poly else self._masks
        regions = regions_of(labelled, self.model.classes)
        return [shape for region in regions if region.name != IGNORED for shape in shapes(region)]

    def _masks(self, region: Region) -> Iterator[Any]:
        yield self.cvat.mask(region.label, mask_points(region), **_score(region))

    def _polygons(self, region: Region) -> Iterator[Any]:
        for ring in polygons_of(region.mask, region.left, region.top):
            yield self.cvat.polygon(region.label, ring.ravel().tolist(), **_score(region))


def mask_points(region: Region) -> list[float]:
    """A mask as CVAT keeps it: the runs along the rows of its box, and the corner pixels of
    that."""
    runs = region.runs
    last = [runs.left + runs.width - 1, runs.top + runs.height - 1]
    return [*runs.counts.tolist(), runs.left, runs.top, *last]


def _score(region: Region) -> dict[str, float]:
    """That of an object; classes have none."""
    return {} if region.score is None else {"score": round(region.score, 6)}


def auto_annotation() -> Any:
    """CVAT's package, which is an extra."""
    try:
        import cvat_sdk.auto_annotation
    except ImportError as error:
        raise ModuleNotFoundError(
            'cvat-sdk is not installed; run: pip install "weakseg[cvat]"'
        ) from error
    return cvat_sdk.auto_annotation
