"""What is done with each image of a folder: read it, have the network predict it, write what was
found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.data.formats.images import Window, read_image
from weakseg.evidence import Instances
from weakseg.functional.resolution import downsample
from weakseg.inference.multiscale import Inference, infer_batch, refine
from weakseg.prediction.deciding import Decision, decide
from weakseg.prediction.outputs import Wanted, places_of, write_results
from weakseg.prediction.steps import Broken, Done, Found, Loaded
from weakseg.trained.model import TrainedModel
from weakseg.training.memory_budget import ran_out
from weakseg.utils.memory import free
from weakseg.utils.messages import one_line
from weakseg.utils.output_folder import OutputFolder

Precision = Literal["auto", "float32", "bfloat16", "float16"]
LARGE = 2**22  # pixels of a batch for which it is worth to look how much memory is free
DIGITS = 6  # of shares and confidence: single precision has no more


class PredictImages:
    """The work on each image, for `overlapped`.

    Args:
        model: the trained network.
        files: of the images, by their names.
        folder: of the results; what is done is noted there by whoever receives it.
        wanted: which files are written.
        precision: of the network's numbers; auto: half of single on a GPU.
        window: the values of images of 16 bits that become black and white, as in the training.
    """

    def __init__(
        self,
        model: TrainedModel,
        files: Mapping[str, Path],
        folder: OutputFolder,
        wanted: Wanted,
        precision: Precision,
        window: Window | None,
    ) -> None:
        self.model = model
        self.files = files
        self.folder = folder
        self.wanted = wanted
        self.window = window
        # it is on the CPU, so the threads that write do it
        self.before_crf = replace(model.inference, crf=None)
        self.half = half_precision(precision, model.device)

    def read(self, name: str) -> Loaded | Broken:
        """The image of a file."""
        start = perf_counter()
        try:
            image = read_image(self.files[name], window=self.window)
        except (ValueError, OSError, MemoryError) as error:
            return Broken(name, one_line(error).removeprefix(f"{self.files[name]}: "))
        seen = downsample(image, self.model.long_side).contiguous()
        size = (image.shape[1], image.shape[2])
        needed = self.wanted.overlay or self.wanted.objects
        return Loaded(name, seen, size, image if needed else None, perf_counter() - start)

    def query(self, batch: list[Loaded]) -> Iterator[Found | Broken]:
        """What the network finds on images that have one size for it; one by one those of a batch
        that fails."""
        try:
            found = self._predict(batch)
        except (RuntimeError, ValueError, MemoryError) as error:
            if len(batch) == 1:
                yield Broken(batch[0].name, self._failure(error, batch[0]))
                return
            for loaded in batch:
                yield from self.query([loaded])
        else:
            yield from found

    @torch.no_grad()
    def _predict(self, batch: list[Loaded]) -> list[Found]:
        self._check_memory(batch)
        clock = start_clock(self.model.device)
        images = torch.stack([loaded.seen for loaded in batch])
        if self.model.device.type == "cuda":
            images = images.pin_memory().to(self.model.device, non_blocking=True)
        kind = self.model.device.type
        plain = is_plain(self.model.inference, max(images.shape[-2:]))
        with torch.autocast(kind, self.half) if self.half is not None else nullcontext():
            if plain:
                scores = self.model.logits(images)
            else:
                scores = infer_batch(images, self.model.logits, self.before_crf)
        found = [self._found(*each, plain) for each in zip(batch, scores, strict=True)]
        taken = clock()
        return [each._replace(seconds=lambda: taken() / len(batch)) for each in found]

    def _check_memory(self, batch: list[Loaded]) -> None:
        """A MemoryError for images whose scores do not fit into what is free: the system would only
        notice when they are used, and end the process."""
        pixels = sum(loaded.seen[0].numel() for loaded in batch)
        if pixels < LARGE:
            return
        # at the image's size, and without windows once more while they are brought to it
        copies = 1 if self.model.inference.window else 2
        needed = copies * 4 * len(self.model.classes) * pixels
        left = free(self.model.device)
        if left is not None and needed > left:
            raise MemoryError(f"{needed} bytes are needed, but {left} are free")

    def _found(self, loaded: Loaded, scores: Tensor, logits: bool) -> Found:
        objects = self._objects(loaded)
        if self.model.inference.crf is not None:
            return Found(loaded, None, scores.cpu(), objects, float)
        decision = self._decide(scores, loaded.size, logits)
        return Found(loaded, decision, None, objects, float)

    def _objects(self, loaded: Loaded) -> Instances | None:
        if not self.wanted.objects:
            return None
        assert loaded.picture is not None
        return self.model.objects(loaded.picture)

    def write(self, found: Found) -> Done | Broken:
        """Write the results of an image."""
        name, _, (height, width), picture, seconds = found.loaded
        start = perf_counter()
        decision = found.decision or self._refined(found)
        labels = decision.labels.cpu().numpy()
        confidence = float(decision.confidence)
        if not isfinite(confidence):
            return Broken(name, "its prediction is not finite: the network has diverged")
        places = places_of(self.folder, name, self.wanted)
        write_results(
            self.folder, places, labels, picture, decision.probs, found.objects, decision.sure
        )
        entry: dict[str, Any] = {"name": name, "width": width, "height": height}
        entry["shares"] = self._shares(labels)
        entry["confidence"] = round(confidence, DIGITS)
        if found.objects is not None:
            entry["objects"] = len(found.objects.classes)
        seconds += found.seconds() + perf_counter() - start
        return Done(name, {**entry, "seconds": round(seconds, 4)})

    def _refined(self, found: Found) -> Decision:
        crf = self.model.inference.crf
        assert crf is not None
        assert found.probs is not None
        probs = refine(found.loaded.seen, found.probs, crf)
        return self._decide(probs, found.loaded.size)

    def _decide(self, scores: Tensor, size: tuple[int, int], logits: bool = False) -> Decision:
        return decide(scores, size, self.wanted.probabilities, self.wanted.confidence, logits)

    def _shares(self, labels: NDArray[np.uint8]) -> dict[str, float]:
        """The part of the image that each class has which it shows."""
        # here and not on a GPU, which would have to be waited for
        counts = torch.bincount(torch.from_numpy(labels).flatten(), minlength=256).tolist()
        named = zip(self.model.classes, counts, strict=False)
        return {name: round(count / labels.size, DIGITS) for name, count in named if count}

    def _failure(self, error: Exception, loaded: Loaded) -> str:
        height, width = loaded.seen.shape[1:]
        if not ran_out(error):
            return f"the network fails on {width} by {height} pixels: {one_line(error)[:300]}"
        window = "a smaller predict.window" if self.before_crf.window else "predict.window=513"
        return f"too little memory for {width} by {height} pixels; try {window}"


def is_plain(inference: Inference, side: int) -> bool:
    """Whether the prediction of images whose longer side has so many pixels is nothing but the
    softmax of the logits, which is then left to `decide`."""
    whole = inference.window is None or side <= inference.window
    return whole and inference.scales == (1.0,) and not inference.flip and inference.crf is None


def half_precision(precision: Precision, device: torch.device) -> torch.dtype | None:
    """The type in which the network mostly computes; None for its own, single precision."""
    if precision == "auto":
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    kinds = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
    return kinds[precision]


def start_clock(device: torch.device) -> Callable[[], Callable[[], float]]:
    """Measures what a device does from now on: called at the end of it, it returns the seconds, to
    be looked at when the results have arrived. Nobody waits for a GPU here."""
    if device.type == "cuda":
        make: Any = torch.cuda.Event
        first, last = (make(enable_timing=True) for _ in range(2))
        first.record()

        def end_on_gpu() -> Callable[[], float]:
            last.record()
            return lambda: float(first.elapsed_time(last)) / 1000

        return end_on_gpu
    start = perf_counter()

    def end() -> Callable[[], float]:
        seconds = perf_counter() - start
        return lambda: seconds

    return end
