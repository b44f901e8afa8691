"""What a network answers Label Studio: predictions of tasks, as its results."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from weakseg.data.formats.writing.labels import LabelledImage
from weakseg.integrations.label_studio.drawing import prompt_of
from weakseg.integrations.label_studio.interface import Interface, read_interface
from weakseg.integrations.label_studio.refusals import Refusal
from weakseg.integrations.label_studio.results import results_of
from weakseg.integrations.label_studio.task_images import TaskImages
from weakseg.integrations.prompts import PromptedNetwork, Seen
from weakseg.prediction.one_image import labelled_image
from weakseg.trained.model import TrainedModel
from weakseg.utils.messages import one_line, quoted

SHORT = 8  # characters of the digest in the version
Json = dict[str, Any]


class Backend:
    """A trained network that predicts the tasks of projects, whatever their labelling interface.

    Args:
        model: the network.
        images: where the images of tasks are read.
        threshold: pixels and objects whose probability is below it have no label.
    """

    def __init__(self, model: TrainedModel, images: TaskImages, threshold: float = 0.0) -> None:
        self.model = model
        self.images = images
        self.threshold = threshold
        self.prompted = PromptedNetwork(model)
        self._looked: tuple[object, Seen] | None = None
        self._lock = threading.Lock()  # one image at a time, whatever the number of requests

    @property
    def version(self) -> str:
        """Of the network: Label Studio predicts a task again when it has changed."""
        origin = self.model.origin
        return f"{origin.recipe or 'weakseg'}-{origin.sha256[:SHORT]}"

    def check(self, body: Mapping[str, Any]) -> None:
        """A Refusal if the interface of a project has no place for predictions.

        Args:
            body: `schema` and more, from Label Studio, when the model is connected and before each
                prediction.
        """
        if body.get("schema"):
            _interface(body["schema"], self.model.classes)

    def predict(self, body: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
        """One answer for each task of a request, and what was wrong with those whose answer is
        empty; a Refusal if all are.

        Args:
            body: `tasks`, `label_config` and more, from Label Studio.
        """
        tasks = body.get("tasks")
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
            raise Refusal("tasks: expected a list of tasks", 400)
        interface = _interface(body.get("label_config"), self.model.classes)
        drawn = _drawn(body)
        answers: list[Any] = []
        reasons: list[str] = []
        for task in tasks:
            try:
                answers.append(
                    self._predicted(task, interface)
                    if drawn is None
                    else self._found(task, interface, drawn)
                )
            except Exception as error:  # one image may be broken in any way
                answers.append([])
                reasons.append(f"task {quoted(task.get('id'))}: {one_line(error)}")
        if reasons and len(reasons) == len(tasks):
            raise Refusal(reasons[0])
        return answers, reasons

    def _predicted(self, task: Json, interface: Interface) -> Json:
        pixels = self.images.read(address_of(task, interface))
        with self._lock:
            labelled = labelled_image(self.model, pixels, threshold=self.threshold)
        assert labelled.score is not None
        return self._answer(results_of(labelled, self.model.classes, interface), labelled.score)

    def _found(self, task: Json, interface: Interface, drawn: object) -> Json:
        """The object that a person has drawn a box around, or clicked on."""
        with self._lock:
            seen = self._look_at(address_of(task, interface))
            prompt = prompt_of(drawn, interface, seen.size)
            found = self.prompted.find(seen, prompt)
        labels = found.mask.astype(np.uint8) * np.uint8(found.label)
        results = results_of(LabelledImage("image", labels), self.model.classes, interface)
        if not results:
            name = self.model.classes[found.label]
            raise Refusal(f"<{interface.output.name}> has no label for the class {name}")
        return {"model_version": self.version, "result": results}

    def _look_at(self, address: object) -> Seen:
        """The last image is kept: a person draws more than once on it."""
        if self._looked is None or self._looked[0] != address:
            self._looked = (address, self.prompted.look_at(self.images.read(address)))
        return self._looked[1]

    def _answer(self, results: Sequence[Json], score: float) -> Json:
        return {
            "model_version": self.version,
            "score": round(score, 6),
            "result": list(results),
        }


def _drawn(body: Mapping[str, Any]) -> object:
    """The regions that a person has just drawn, if the request is about any; None for none."""
    params = body.get("params")
    context = params.get("context") if isinstance(params, dict) else None
    return context.get("result") if isinstance(context, dict) else None


def _interface(config: object, classes: Sequence[str]) -> Interface:
    """A labelling interface that has a place for predictions."""
    interface = read_interface(config, classes)
    assert interface.output.labels
    return interface


def address_of(task: Json, interface: Interface) -> object:
    """Where the image of a task is."""
    data = task.get("data")
    if not isinstance(data, dict) or interface.field not in data:
        raise Refusal(f"its data has no field {interface.field}, which the interface shows")
    return data[interface.field]
