"""What rounds query a network for: the prediction for an image that a strategy is given."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
import torch.nn.functional as F
from torch import Tensor

from weakseg.evidence import Prediction
from weakseg.foundation.frozen_encoder import CPU, FrozenEncoder
from weakseg.functional.resolution import downsample
from weakseg.inference.multiscale import infer_batch
from weakseg.training.estimation import can_copy
from weakseg.training.image_work import Job, Samples
from weakseg.training.segmenter import DIVERGED, PLAIN, Segmenter, intermediate_features
from weakseg.utils.array_cache import ArrayCache, Arrays
from weakseg.utils.fingerprint import code_fingerprint, fingerprint, homes, is_own

AHEAD = 8  # images that are read while the network is busy
MOST_TOGETHER = 8  # images that a network sees at once
MOST_PIXELS = 2**21  # of these together
MOST_HELD = 32  # images that wait for others of their size


def network_fingerprint(segmenter: Segmenter) -> str:
    """All that the prediction for an image depends on beside the image: the weights of the network,
    what the strategy wants of it, and the code."""
    own = [
        home
        for home in homes(*dict.fromkeys(map(type, segmenter.network.modules())))
        if is_own(home)
    ]
    code = code_fingerprint(__name__, *own)
    return fingerprint(segmenter.network.state_dict(), segmenter.strategy.wants, code)


def query_untrained(
    segmenter: Segmenter, image: Tensor, network: str, cache: ArrayCache
) -> Prediction:
    """The prediction in round 0: intermediate features of the encoder, which may have been trained
    before, and the same probability for every class.

    Args:
        network: its fingerprint.
        cache: of the features, for the next iteration of a fit.
    """

    def make() -> Arrays:
        return {"features": intermediate_features(segmenter, image).half().numpy()}

    features = cache.get_or_make(("intermediate", network, image), make)["features"]
    return Prediction(
        torch.full((len(segmenter.classes), *image.shape[1:]), 1 / len(segmenter.classes)),
        intermediate=torch.from_numpy(features).float(),
    )


def queried_jobs(
    data: Samples, jobs: Iterable[Job], segmenter: Segmenter, network: str, cache: ArrayCache
) -> Iterator[Job]:
    """The jobs with what was read of their images and the prediction for each, in any order. Images
    are read while the network is busy, and workers estimate meanwhile.

    Args:
        data: the images.
        jobs: without what is read.
        segmenter: with the network.
        network: its fingerprint in round 0, in which only features are queried; "" in later rounds.
        cache: of these features.
    """
    read = _read_ahead(data, jobs)
    if network:
        for job in read:
            image = _image_of(job)
            yield job._replace(prediction=query_untrained(segmenter, image, network, cache))
        return
    for batch in _batches(read, segmenter.device.type != "cpu"):
        predictions = predict_together(segmenter, [_image_of(job) for job in batch])
        for job, prediction in zip(batch, predictions, strict=True):
            yield job._replace(prediction=prediction)


def encoded_jobs(data: Samples, jobs: Iterable[Job], encoder: FrozenEncoder) -> Iterator[Job]:
    """The jobs with what was read of their images, each once its encoding is kept on disk: workers
    find it there, and leave the device to this process.

    Args:
        data: the images.
        jobs: with or without what is read.
        encoder: on its device, of which it leaves the memory to the training at the end.
    """
    waiting: list[Job] = []
    try:
        for job in _read_ahead(data, jobs):
            waiting.append(job)
            if len(waiting) == encoder.most:
                encoder.encode_ahead([_image_of(each) for each in waiting])
                yield from waiting
                waiting = []
        encoder.encode_ahead([_image_of(each) for each in waiting])
        yield from waiting
    finally:
        encoder.use(CPU)


def predict_together(segmenter: Segmenter, images: Sequence[Tensor]) -> list[Prediction]:
    """The predictions for images uint8 [3,H,W] of one size, each queried once and whole.

    The network always sees as many at once, the last one again where there are fewer: so the
    prediction for an image does not depend on which others come with it, to the last digit.
    """
    count = batch_size(images[0], segmenter.device.type != "cpu")
    if count == 1:
        return [segmenter.predict(image, plain=True) for image in images]
    padded = [*images, *[images[-1]] * (count - len(images))]
    return _predicted(segmenter, torch.stack(padded))[: len(images)]


@torch.no_grad()
def _predicted(segmenter: Segmenter, images: Tensor) -> list[Prediction]:
    """As `Segmenter.predict` with `plain`, for images uint8 [B,3,H,W]."""
    training = segmenter.training
    segmenter.eval()
    seen = downsample(images, segmenter.long_side).to(segmenter.device)
    probs = infer_batch(seen, segmenter, PLAIN, torch.device("cpu"))
    if probs.shape[-2:] != images.shape[-2:]:
        probs = F.interpolate(probs, images.shape[-2:], mode="bilinear")
    features: Sequence[Tensor | None] = [None] * len(images)
    if segmenter.strategy.wants.features:
        features = segmenter.adapter.features(segmenter.normalise(seen)).float().cpu().unbind()
    intermediate: Sequence[Tensor | None] = [None] * len(images)
    if segmenter.strategy.wants.intermediate:
        intermediate = [intermediate_features(segmenter, image) for image in seen]
    segmenter.train(training)
    if not bool(probs.isfinite().all()):
        raise FloatingPointError(f"the prediction is not finite: {DIVERGED}")
    return [Prediction(*each) for each in zip(probs, features, intermediate, strict=True)]


def batch_size(image: Tensor, accelerator: bool) -> int:
    """How many images of this size a network sees at once: one on a CPU, where more are slower
    (measured: 119 ms for an image of 375 x 500 and 229 ms for each of four, MobileNetV2), and
    several on a device that would be idle otherwise."""
    pixels = image.shape[-2] * image.shape[-1]
    return max(1, min(MOST_TOGETHER, MOST_PIXELS // pixels)) if accelerator else 1


def _read_ahead(data: Samples, jobs: Iterable[Job]) -> Iterator[Job]:
    """The jobs with what was read of their images: in a thread, if the data set is one that may be
    used in another place than where it was made."""
    if not can_copy(getattr(data, "samples", data)):
        for job in jobs:
            yield with_sample(data, job)
        return
    with ThreadPoolExecutor(1) as reader:
        waiting: deque[Future[Job]] = deque()
        for job in jobs:
            waiting.append(reader.submit(with_sample, data, job))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def with_sample(data: Samples, job: Job) -> Job:
    """A job with what this process has read of the image."""
    if job.evidence is not None:
        return job
    evidence, truth = data.corrected(job.number)
    return job._replace(evidence=evidence, truth=truth)


def _batches(jobs: Iterable[Job], accelerator: bool) -> Iterator[list[Job]]:
    """Jobs whose images are of one size, as many as a network sees at once; at the end fewer."""
    groups: dict[tuple[int, ...], list[Job]] = {}
    held = 0
    for job in jobs:
        image = _image_of(job)
        group = groups.setdefault(tuple(image.shape), [])
        group.append(job)
        held += 1
        if len(group) < batch_size(image, accelerator) and held < MOST_HELD:
            continue
        # where every image has a size of its own, the largest group goes as it is
        largest = max(groups, key=lambda size: len(groups[size]))
        held -= len(groups[largest])
        yield groups.pop(largest)
    yield from groups.values()


def _image_of(job: Job) -> Tensor:
    assert job.evidence is not None
    return job.evidence.image
