"""A run as an interactor of CVAT: a person draws a box around an object, or clicks on it, and gets
its mask. By the interface of `cvat_sdk`, for an agent beside the server:

    cvat-cli function create-native boxes --function-module weakseg.integrations.cvat_interactor \\
        -p run=str:runs/boxes/latest
    cvat-cli function run-agent 12 --function-module weakseg.integrations.cvat_interactor \\
        -p run=str:runs/boxes/latest
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from weakseg.data.formats.images import read_opened
from weakseg.data.formats.writing.labels import LabelledImage, regions_of
from weakseg.integrations.cvat import auto_annotation, mask_points
from weakseg.integrations.prompts import Prompt, PromptedNetwork, Seen
from weakseg.trained.loading import load_model
from weakseg.trained.model import TrainedModel


def create(run: str, checkpoint: str = "best", device: str = "auto") -> PromptFunction:
    """What `cvat-cli` calls with the values of its `-p`.

    Args:
        run: the trained network; from a run folder, boxes go to its strategy.
        checkpoint: of a run folder: best, last or a file.
        device: cpu, cuda or the like; auto for a GPU where there is one.
    """
    return PromptFunction(load_model(run, checkpoint, device=device))


class PromptFunction:
    """A function of CVAT that finds the object in a box, or under clicks.

    Args:
        model: the network.
    """

    def __init__(self, model: TrainedModel) -> None:
        self.network = PromptedNetwork(model)
        self.cvat = cvat = auto_annotation()
        self.spec = cvat.InteractionFunctionSpec(
            min_pos_points=0, min_neg_points=0, min_bounding_boxes=0
        )

    def preprocess_image(self, context: Any, image: Image.Image) -> Seen:
        """What CVAT keeps of an image between clicks."""
        return self.network.look_at(read_opened(image, "image"))

    def detect(self, context: Any, pp_image: Seen, prompts: Any) -> list[Any]:
        """The mask of the object; none where nothing is found. Its class is the one that the person
        has chosen in CVAT, which says nothing of it here.

        Args:
            context: from CVAT.
            pp_image: what `preprocess_image` has returned.
            prompts: box and clicks.
        """
        box = prompts.bounding_box
        boxes = () if box is None else ((*box[0], *box[1]),)
        prompt = Prompt(boxes, tuple(prompts.pos_points), tuple(prompts.neg_points))
        try:
            found = self.network.find(pp_image, prompt)
        except ValueError:
            return []
        labelled = LabelledImage("image", found.mask.astype(np.uint8))
        return [
            self.cvat.InteractionResultShape(type="mask", points=mask_points(region))
            for region in regions_of(labelled, ("background", "object"))
        ]
