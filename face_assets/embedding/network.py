"""InceptionResnetV1 in the parts that features, training and export use: input normalization, trunk, head."""

# ruff: noqa: TID253  (defines torch Modules; imported inside functions only)

import math
from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from face_assets.detection.facenet_pytorch import import_facenet_pytorch

FEATURES = 1792  # values of the trunk for a crop
TRUNK = (
    "conv2d_1a",
    "conv2d_2a",
    "conv2d_2b",
    "maxpool_3a",
    "conv2d_3b",
    "conv2d_4a",
    "conv2d_4b",
    "repeat_1",
    "mixed_6a",
    "repeat_2",
    "mixed_7a",
    "repeat_3",
    "block8",
    "avgpool_1a",
)

InputNormalization = Literal["fixed", "per_image"]


def build(embedding_size: int) -> nn.Module:
    """An InceptionResnetV1 of facenet-pytorch, without classifier, initialised from torch's global generator."""
    model: nn.Module = import_facenet_pytorch().InceptionResnetV1(classify=False)
    model.last_linear = nn.Linear(FEATURES, embedding_size, bias=False)
    model.last_bn = nn.BatchNorm1d(embedding_size, eps=0.001, momentum=0.1)
    return model


class Trunk(nn.Module):
    """The network before dropout and last_linear, with `model`'s weights: float (n, 3, s, s) -> (n, 1792)."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.blocks = nn.Sequential(OrderedDict((name, model.get_submodule(name)) for name in TRUNK))

    def forward(self, images: Tensor) -> Tensor:
        """Features of normalized images."""
        features: Tensor = self.blocks(images)
        return features.flatten(1)


class Head(nn.Module):
    """last_linear and last_bn with `model`'s weights: (n, 1792) -> (n, d), not normalised."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.last_linear = model.get_submodule("last_linear")
        self.last_bn = model.get_submodule("last_bn")

    def forward(self, features: Tensor) -> Tensor:
        """Embeddings of trunk features, of any length."""
        embeddings: Tensor = self.last_bn(self.last_linear(features))
        return embeddings


def split(trunk: Trunk, unfreeze: str) -> tuple[nn.Sequential, nn.Sequential]:
    """The blocks of `trunk` before the block named `unfreeze` and those from it on; `all` or `head` for one empty part."""
    blocks = OrderedDict(trunk.blocks.named_children())
    names = list(blocks)
    first = {"all": 0, "head": len(names)}.get(unfreeze)
    if first is None:
        first = names.index(unfreeze)
    return (
        nn.Sequential(OrderedDict((name, blocks[name]) for name in names[:first])),
        nn.Sequential(OrderedDict((name, blocks[name]) for name in names[first:])),
    )


def normalize_input(crops: Tensor, normalization: InputNormalization) -> Tensor:
    """Normalizes the input of the network: uint8 (n, s, s, 3), RGB -> float (n, 3, s, s), in channels_last memory.

    fixed: (x - 127.5) / 128, what facenet-pytorch's weights were trained on. per_image: (x - mean) / max(std, 1 / sqrt(count)) over
    the crop's values, std of the population: prewhiten of facenet (Schroff et al. 2015, as implemented by D. Sandberg).
    """
    images = crops.permute(0, 3, 1, 2).to(torch.float32)
    if normalization == "fixed":
        return (images - 127.5) / 128.0
    centred = images - images.mean((1, 2, 3), keepdim=True)
    deviation = centred.square().mean((1, 2, 3), keepdim=True).sqrt()
    return centred / deviation.clamp(min=1.0 / math.sqrt(math.prod(crops.shape[1:])))


class TrunkFeatures(nn.Module):
    """Input normalization and trunk in one graph: uint8 (n, s, s, 3) -> (n, 1792)."""

    def __init__(self, model: nn.Module, normalization: InputNormalization):
        super().__init__()
        self.normalization = normalization
        self.trunk = Trunk(model)

    def forward(self, crops: Tensor) -> Tensor:
        """Trunk features of crops."""
        features: Tensor = self.trunk(normalize_input(crops, self.normalization))
        return features


class FrozenBlocks(nn.Module):
    """The first blocks in one graph, for crops or their mirror images: uint8 (n, s, s, 3) -> (n, channels, h, w)."""

    def __init__(self, blocks: nn.Module, normalization: InputNormalization, mirrored: bool):
        super().__init__()
        self.normalization, self.mirrored, self.blocks = normalization, mirrored, blocks

    def forward(self, crops: Tensor) -> Tensor:
        """Activations of crops."""
        activations: Tensor = self.blocks(normalize_input(crops.flip(2) if self.mirrored else crops, self.normalization))
        return activations


class ServedEmbedder(nn.Module):
    """The network of embeddings alone: uint8 (n, s, s, 3), RGB -> (n, d) of unit length."""

    def __init__(self, model: nn.Module, normalization: InputNormalization):
        super().__init__()
        self.features = TrunkFeatures(model, normalization)
        self.head = Head(model)

    def forward(self, crops: Tensor) -> Tensor:
        """Unit embeddings of crops."""
        return F.normalize(self.head(self.features(crops)))


class QualityHead(nn.Module):
    """Raw quality of faces: length that the head of the starting weights keeps of their trunk features, divided by the features' length.

    A head keeps what tells people apart. The less of its features' length a face keeps, the less the network found in it by which it could
    be told apart. The head of the starting weights, for a trained one stretches what tells the people of this data set apart:
    docs/explanation/quality.md has the measurement.
    """

    def __init__(self, weights: Tensor):
        """weights: (k, 1793), of `quality_head`."""
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, features: Tensor) -> Tensor:
        """Raw qualities (n,) of trunk features (n, 1792)."""
        weights = self.get_buffer("weights")
        kept = torch.linalg.vector_norm(features @ weights[:, :-1].T + weights[:, -1], dim=1)
        quality: Tensor = kept / torch.linalg.vector_norm(features, dim=1).clamp(min=1e-12)
        return quality


def quality_head(model: nn.Module) -> Tensor:
    """The head of `model` as one affine map, (k, 1793): factors of the features, and a constant."""
    head = Head(model).eval()
    with torch.no_grad():
        constant = head(torch.zeros(1, FEATURES))[0]
        return torch.cat([(head(torch.eye(FEATURES)) - constant).T, constant[:, None]], dim=1)


class ServedFaces(nn.Module):
    """The network that is exported and served: uint8 (n, s, s, 3), RGB -> (n, d) of unit length, and raw qualities (n,)."""

    def __init__(self, model: nn.Module, quality: Tensor, normalization: InputNormalization):
        """quality: (k, 1793), of `quality_head`."""
        super().__init__()
        self.features = TrunkFeatures(model, normalization)
        self.head = Head(model)
        self.quality = QualityHead(quality)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Unit embeddings and raw qualities of crops."""
        features = self.features(crops)
        return F.normalize(self.head(features)), self.quality(features)
