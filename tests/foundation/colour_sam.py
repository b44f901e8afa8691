"""A SAM that answers with the truth on pictures that are drawn for it, so that transposed axes and
points beside their places show."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from weakseg.evidence import Evidence
from weakseg.foundation.model_files import ModelFiles
from weakseg.foundation.sam import SamEncoder

SIDE = 256  # of the square that it sees


def stub_folder(folder: Path, kind: str = "sam2") -> Path:
    """What is on the disk of a model that `ColourSam` stands for."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return folder


class ColourModel(nn.Module):
    """Knows no object but by its colour: answers with all pixels that have the colour in the middle
    of a box, within it, or that of the first point. Its three masks of points are everything, the
    right one, and nothing."""

    def __init__(self, padded: bool) -> None:
        super().__init__()
        self.padded = padded
        self.prompt_encoder = SimpleNamespace(input_image_size=SIDE)

    def get_image_embeddings(self, pixels: Tensor) -> Tensor | list[Tensor]:
        assert pixels.shape[1:] == (3, SIDE, SIDE)
        return pixels if self.padded else [pixels[:, :, ::2, ::2], pixels]

    def forward(
        self,
        image_embeddings: Tensor | list[Tensor],
        multimask_output: bool,
        input_boxes: Tensor | None = None,
        input_points: Tensor | None = None,
        input_labels: Tensor | None = None,
    ) -> Any:
        pixels = image_embeddings[-1] if isinstance(image_embeddings, list) else image_embeddings
        (seen,) = pixels
        places = torch.arange(SIDE) + 0.5
        if input_boxes is not None:
            (corners,) = input_boxes
            left, top, right, bottom = corners.T[:, :, None]
            x, y = (corners[:, :2] + corners[:, 2:]).T / 2
            columns = ((places > left) & (places < right))[:, None, :]
            inside = columns & ((places > top) & (places < bottom))[:, :, None]
        else:
            assert input_points is not None
            assert input_labels is not None
            assert (input_labels[0, :, 0] == 1).all()
            x, y = input_points[0, :, 0].T
            inside = torch.ones(len(x), SIDE, SIDE, dtype=torch.bool)
        bright = seen > 0.2  # halfway between the two levels of a channel
        own = bright[:, y.long().clamp(max=SIDE - 1), x.long().clamp(max=SIDE - 1)].T
        alike = (bright == own[:, :, None, None]).all(1)
        right = torch.where(alike & inside, 1.0, -1.0)
        if not multimask_output:
            return SimpleNamespace(
                pred_masks=right[None, :, None], iou_scores=torch.ones(1, len(x), 1)
            )
        three = torch.stack([torch.ones_like(right), right, -torch.ones_like(right)], 1)
        scores = torch.tensor([0.95, 0.9, 0.97]).expand(1, len(x), 3)
        return SimpleNamespace(pred_masks=three[None], iou_scores=scores)


class ColourSam(SamEncoder):
    """With a `ColourModel`."""

    def load(self, files: ModelFiles) -> nn.Module:
        return ColourModel(padded=files.config["model_type"] == "sam")


def drawn_picture(height: int, width: int, seed: int) -> tuple[Evidence, Tensor]:
    """A picture of ellipses and bars, each of a colour of its own, some on top of others: with a
    box around what is to be seen of each and a click on it; and its truth."""
    random = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    numbers = torch.zeros(height, width, dtype=torch.int64)
    # the large one first, so that what is on top is smaller
    wide, high = width * 0.42, height * 0.4
    oval = ((columns - width * 0.45) / wide) ** 2 + ((rows - height * 0.5) / high) ** 2
    numbers[oval < 1] = 1
    numbers[int(height * 0.4) : int(height * 0.75), int(width * 0.55) : int(width * 0.8)] = 2
    numbers[int(height * 0.02) : int(height * 0.3), int(width * 0.72) :] = 3
    oval = ((columns - width * 0.15) / (width * 0.1)) ** 2 + (
        (rows - height * 0.88) / (height * 0.1)
    ) ** 2
    numbers[oval < 1] = 4
    classes = torch.tensor([0, 1, 2, 3, 1])
    # corners of a cube: no two are near each other
    order = torch.randperm(8, generator=random)
    colours = torch.tensor([[each >> bit & 1 for bit in range(3)] for each in range(8)])[order]
    image = (colours[numbers] * 200 + 25).permute(2, 0, 1).to(torch.uint8)
    marks = torch.full((height, width), 255, dtype=torch.uint8)
    boxes = []
    for number in range(1, 5):
        places = (numbers == number).nonzero()
        (top, left), (bottom, right) = places.amin(0).tolist(), (places.amax(0) + 1).tolist()
        boxes.append([left, top, right, bottom])
        x, y = places[len(places) // 3].flip(0).tolist()
        marks[y, x] = classes[number]
    free = (numbers == 0).nonzero()
    marks[tuple(free[len(free) // 2].tolist())] = 0
    evidence = Evidence(
        f"picture/{seed}",
        image,
        boxes=torch.tensor(boxes, dtype=torch.float32),
        box_classes=classes[1:],
        marks=marks,
    )
    return evidence, classes[numbers].to(torch.uint8)
