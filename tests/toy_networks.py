"""Small networks in ONNX of the families of detectors, and an embedder, for pictures in which a magenta frame stands for a face.

The detector's box is the frame's, to the pixel, and its five points lie at fixed places within. A real detector is not at hand in tests.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from face_assets.detection.detector_families import CENTRE_VARIANCE, FAMILIES, PRIOR_SIDES, SIZE_VARIANCE, STRIDES

PLACES = ((0.3, 0.35), (0.7, 0.35), (0.5, 0.55), (0.35, 0.75), (0.65, 0.75))
"""Of the five points, in shares of the box."""
OUTPUTS = {
    "scrfd": [f"{kind}_{stride}" for kind in ("score", "bbox", "kps") for stride in STRIDES],
    "yunet": [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES],
    "retinaface": ["loc", "conf", "landms"],
}
FRAME = (255, 0, 255)


class ToyDetector(nn.Module):
    """One face in a picture: the box around all magenta pixels, found by the cell at its centre."""

    def __init__(self, family: str, side: int, anchors: int = 1, broken: float = 0.0):
        """broken: added to the probabilities."""
        super().__init__()
        self.family, self.side, self.anchors, self.broken = family, side, anchors, broken
        normalization = FAMILIES[family]
        self.channels = [0, 1, 2] if normalization.channels == "rgb" else [2, 1, 0]
        self.mean, self.divisor = normalization.mean, normalization.divisor

    def forward(self, images: Tensor) -> list[Tensor]:
        """Outputs of the family for normalized squares (1, 3, s, s)."""
        red, green, blue = (images[0, channel] * self.divisor + self.mean[channel] for channel in self.channels)
        frame = ((red > 200) & (green < 60) & (blue > 200)).float()
        steps = torch.arange(self.side, dtype=torch.float32)
        columns, rows = frame.amax(0), frame.amax(1)
        left, top = (self.side - (line * (self.side - steps)).amax() for line in (columns, rows))
        right, bottom = ((line * (steps + 1)).amax() for line in (columns, rows))
        box = torch.stack([left, top, right, bottom])
        found = frame.amax()
        parts = [self._grid(stride, sides, box, found) for stride, sides in zip(STRIDES, PRIOR_SIDES, strict=True)]
        kinds = [list(kind) for kind in zip(*parts, strict=True)]
        if self.family == "retinaface":
            return [torch.cat(kind)[None] for kind in kinds]
        return [one[None] if self.family == "yunet" else one for kind in kinds for one in kind]

    def _grid(self, stride: int, sides: tuple[int, int], box: Tensor, found: Tensor) -> list[Tensor]:
        count = self.side // stride
        steps = torch.arange(count, dtype=torch.float32)
        cells = torch.stack([steps.repeat(count), steps.repeat_interleave(count)], dim=1)
        centre, size = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).clamp(min=1)
        mine = ((cells * stride <= centre) & (centre < (cells + 1) * stride)).all(1).float()[:, None] * found + self.broken
        points = box[:2] + torch.tensor(PLACES) * size
        if self.family == "scrfd":
            corner = (cells * stride).repeat_interleave(self.anchors, 0)
            offsets = ((points - corner[:, None]) / stride).flatten(1)
            distances = torch.cat([corner - box[:2], box[2:] - corner], 1) / stride
            return [mine.repeat_interleave(self.anchors, 0), distances, offsets]
        if self.family == "yunet":
            offsets = (points / stride - cells[:, None]).flatten(1)
            return [mine, mine.sqrt(), torch.cat([centre / stride - cells, (size / stride).log().expand(len(cells), 2)], 1), offsets]
        priors = (cells + 0.5).mul(stride).repeat_interleave(2, 0)
        prior_sides = torch.tensor(sides, dtype=torch.float32).repeat(len(cells))[:, None]
        loc = [(centre - priors) / prior_sides / CENTRE_VARIANCE, (size / prior_sides).log() / SIZE_VARIANCE]
        probability = mine.repeat_interleave(2, 0)
        landmarks = ((points - priors[:, None]) / prior_sides[:, None] / CENTRE_VARIANCE).flatten(1)
        return [torch.cat(loc, 1), torch.cat([1 - probability, probability], 1), landmarks]


class ToyEmbedder(nn.Module):
    """The colours of a grid of patches, around grey: (n, 3, s, s) -> (n, 3 * cells²), of any length."""

    def __init__(self, side: int, cells: int = 6):
        super().__init__()
        self.pool = nn.Conv2d(3, 3, side // cells, stride=side // cells, groups=3, bias=False)
        nn.init.constant_(self.pool.weight, 3.0 / (side // cells) ** 2)

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings, not normalized to unit length."""
        found: Tensor = self.pool(images).flatten(1)
        return found


def write_detector(path: Path, family: str, side: int = 160, anchors: int = 1, broken: float = 0.0) -> Path:
    """Writes a toy detector for squares of that side."""
    return _write(ToyDetector(family, side, anchors, broken), torch.zeros(1, 3, side, side), path, OUTPUTS[family])


def write_embedder(path: Path, side: int, cells: int = 6) -> Path:
    """Writes a toy embedder for crops of that side, in batches of any size."""
    return _write(ToyEmbedder(side, cells), torch.zeros(1, 3, side, side), path, ["embedding"], batch=True)


def _write(network: nn.Module, example: Tensor, path: Path, outputs: list[str], batch: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = {name: {0: "n"} for name in ("input", *outputs)} if batch else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(), (example,), path, dynamo=False, input_names=["input"], output_names=outputs, dynamic_axes=axes, opset_version=17
        )
    return path


def framed(person: int, photo: int, size: tuple[int, int] = (240, 200), box: tuple[int, int, int, int] | None = None) -> Image.Image:
    """A picture (width, height) with a person's pattern of colours in a magenta frame, at `box` or at a place by chance, and noise."""
    chance = np.random.default_rng((person, photo))
    side = int(chance.integers(80, 120))
    left, top = (int(chance.integers(0, length - side)) for length in size)
    x1, y1, x2, y2 = box or (left, top, left + side, top + side)
    colours = np.random.default_rng(person).integers(0, 200, (4, 4, 3)).astype(np.float64)
    colours += chance.normal(0, 12, colours.shape)
    pattern = Image.fromarray(colours.clip(0, 199).astype(np.uint8)).resize((x2 - x1 - 8, y2 - y1 - 8), Image.Resampling.BICUBIC)
    picture = Image.new("RGB", size, (90, 120, 100))
    picture.paste(FRAME, (x1, y1, x2, y2))
    picture.paste(pattern, (x1 + 4, y1 + 4))
    return picture
