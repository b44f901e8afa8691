"""How long a person waits on the review page: from an edit to the new target.

    python benchmarks/review.py                       a drawn photograph of 500 by 375 pixels
    python benchmarks/review.py --voc VOCdevkit/VOC2012       the first photograph of PASCAL VOC
    python benchmarks/review.py --profile boxes_crf           where the time goes

A real server on 127.0.0.1, on one core, and a client that does what the page does: it posts an
event, waits until it is saved, and takes the new target as PNG. Twelve strokes and boxes for each
strategy that estimates; the image has boxes, scribbles and tags of four classes out of 21.
"""

from __future__ import annotations

import argparse
import cProfile
import http.client
import json
import os
import platform
import pstats
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, NamedTuple

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor

from weakseg.data.base import WeakData
from weakseg.data.formats.images import read_image, read_mask
from weakseg.data.label_store import LabelStore
from weakseg.data.simulate.annotator import Annotator
from weakseg.data.toy.drawing import draw_scene
from weakseg.evidence import Evidence
from weakseg.reviewing.material import Material
from weakseg.reviewing.refusals import StillWorking
from weakseg.reviewing.serving import Address, serving
from weakseg.reviewing.session import ReviewSession
from weakseg.strategies.mixed import Mixed

CLASSES = 21


class OnePhotograph(WeakData):
    """One image with every kind of evidence."""

    classes = ("background", *(f"class {number}" for number in range(1, CLASSES)))

    def __init__(self, image: Tensor, truth: Tensor) -> None:
        super().__init__()
        self.image = image
        self.truth = truth

    def __len__(self) -> int:
        return 1

    def sample(self, index: int) -> tuple[Evidence, Tensor]:
        fields: dict[str, Any] = {}
        for kind in ("boxes", "scribbles"):
            stream = np.random.default_rng(0)
            fields |= Annotator().annotate(kind, self.truth, None, (), CLASSES, stream)
        return Evidence("photograph", self.image, **fields), self.truth

    def id_of(self, index: int) -> str:
        return "photograph"


def photograph(voc: Path | None) -> tuple[Tensor, Tensor]:
    """An image of about 500 by 375 pixels with its truth."""
    if voc is None:
        scene = draw_scene(np.random.default_rng(3), 500)
        noise = np.random.default_rng(4).normal(0, 6, scene.image.shape)
        pixels = (scene.image + noise).clip(0, 255).astype(np.uint8)[60:435]
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), torch.from_numpy(
            scene.truth[60:435].copy()
        )
    for mask in sorted((voc / "SegmentationClass").glob("*.png")):
        image = read_image(voc / "JPEGImages" / f"{mask.stem}.jpg")
        if tuple(image.shape[1:]) == (375, 500):
            return image, read_mask(mask)
    raise SystemExit(f"{voc}: no photograph of 500 by 375 pixels has a mask")


class Wait(NamedTuple):
    """Milliseconds."""

    clock: float
    processor: float
    """of the whole process: on a busy machine, what is left of the clock"""


class Client:
    """Does what the page does."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.connection = http.client.HTTPConnection(address.host, address.port)
        self.cookie = ""
        self.cookie = self.ask("GET", f"/?secret={address.secret}")[1]["set-cookie"].split(";")[0]
        self.image = json.loads(self.ask("GET", "/api/images/0")[2])

    def ask(self, method: str, path: str, content: Any = None) -> tuple[int, Any, bytes]:
        headers = {"Cookie": self.cookie, "Origin": self.address.origin}
        if content is not None:
            headers["Content-Type"] = "application/json"
        body = None if content is None else json.dumps(content)
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def edit(self, event: dict[str, Any], strategy: str) -> Wait:
        """The time from an edit to the new target."""
        start, used = perf_counter(), process_time()
        content = {"revision": self.image["revision"], "event": event}
        status, _, body = self.ask("POST", "/api/images/0/events", content)
        assert status == 200, body
        self.image = json.loads(body)
        path = f"{self.image['layers']['target']}&strategy={strategy}"
        status, _, body = self.ask("GET", path)
        assert status == 200, body
        return Wait((perf_counter() - start) * 1000, (process_time() - used) * 1000)


def events(image: dict[str, Any], turns: int) -> Iterator[dict[str, Any]]:
    """Scribbles and boxes at places that depend on the turn alone."""
    random = np.random.default_rng(7)
    labels = [box["class"] for box in image["boxes"]]
    for turn in range(turns):
        x, y = (random.uniform(0.1, 0.7, 2) * (image["width"], image["height"])).tolist()
        label = labels[turn % len(labels)]
        if turn % 3 == 2:
            yield {"action": "add_box", "class": label, "points": [[x, y], [x + 90, y + 70]]}
        else:
            points = [[x + 4 * step, y + 3 * np.sin(step)] for step in range(20)]
            yield {"action": "scribble", "class": label, "points": points, "width": 6}


@contextmanager
def session(image: Tensor, truth: Tensor) -> Iterator[ReviewSession]:
    """A session about the photograph, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        data = OnePhotograph(image, truth)
        place = Path(folder)
        store = LabelStore(place / "labels")
        yield ReviewSession(
            Material("mixed", data, place / "corrections", "mixed", Mixed(), [], store)
        )


def measure(image: Tensor, truth: Tensor, strategy: str, turns: int) -> list[Wait]:
    """The time of each turn of a strategy."""
    with session(image, truth) as review:
        while True:  # what is compiled and fitted first is not measured
            try:
                review.picture(0, "target", strategy)
                break
            except StillWorking:
                pass
        with serving(review) as address:
            client = Client(address)
            return [client.edit(event, strategy) for event in events(client.image, turns)]


def profile(image: Tensor, truth: Tensor, strategy: str) -> None:
    """Where the time of a strategy goes, without the server."""
    with session(image, truth) as review:
        review.picture(0, "target", strategy)
        shown = review.image(0)
        profiler = cProfile.Profile()
        profiler.enable()
        for event in events(shown, 6):
            shown = review.add(0, shown["revision"], event)
            review.picture(0, "target", strategy)
        profiler.disable()
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--voc", type=Path, help="the folder VOC2012")
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--only", help="strategies, with commas between them")
    parser.add_argument("--profile", help="a strategy")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    image, truth = photograph(options.voc)
    if options.profile:
        profile(image, truth, options.profile)
        return
    print(f"{platform.processor() or platform.machine()}, one core, {date.today()}")
    print(f"{image.shape[2]} by {image.shape[1]} pixels, {options.turns} edits each\n")
    with session(image, truth) as review:
        names = [choice.name for choice in review.targets.choices]
    chosen = options.only.split(",") if options.only else names
    print(
        "| strategy | median, ms | slowest, ms | of the processor, median, ms |\n|---|---|---|---|"
    )
    for name in chosen:
        times = measure(image, truth, name, options.turns)
        clock = [time.clock for time in times]
        used = median(time.processor for time in times)
        print(f"| `{name}` | {median(clock):.0f} | {max(clock):.0f} | {used:.0f} |", flush=True)


if __name__ == "__main__":
    main()
