"""Altered copies of crops: mated pairs of people with one photo each, by which weights are measured before they are served.

They show whether weights tell these faces apart at all, and not how well: two photos of a person differ more than a photo and its copy.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DEGREES, CUT, LIGHT, CONTRAST, BLUR = 8.0, 0.1, 0.6, 0.8, 0.01  # CUT and BLUR: shares of the crop's side

Crops = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Separation:
    """Separation of one person's faces from those of two, by given weights.

    people: in the sample; auc: share of (mated, non-mated) pairs in which the mated score is higher; gap: between the mean scores of both
    kinds, in cosine; decidability: that gap in standard deviations (Daugman 2004).
    """

    people: int
    auc: float
    gap: float
    decidability: float


def with_copies(crops: Crops) -> Crops:
    """The crops uint8 (n, s, s, 3), RGB, then a copy of each that is mirrored, turned, cut, darkened, of less contrast, and blurred."""
    return np.concatenate([crops, np.stack([_altered(crop) for crop in crops])])


def _altered(crop: Crops) -> Crops:
    from PIL import Image, ImageEnhance, ImageFilter, ImageOps

    side = len(crop)
    cut = round(CUT * side)
    image = ImageOps.mirror(Image.fromarray(crop)).rotate(DEGREES, Image.Resampling.BILINEAR)
    image = image.crop((cut, cut, side - cut // 2, side - cut // 2)).resize((side, side), Image.Resampling.BILINEAR)
    image = ImageEnhance.Contrast(ImageEnhance.Brightness(image).enhance(LIGHT)).enhance(CONTRAST)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(BLUR * side)))


def separation(embeddings: npt.NDArray[np.float32], people: npt.NDArray[np.int64]) -> Separation:
    """The separation of two or more people. embeddings: (n, d) of unit length; people: (n,), at least one of them twice."""
    from sklearn.metrics import roc_auc_score

    first, second = np.triu_indices(len(people), 1)
    scores = (embeddings[first] * embeddings[second]).sum(axis=1)
    same = people[first] == people[second]
    mated, others = scores[same], scores[~same]
    gap = float(mated.mean() - others.mean())
    deviation = float(np.sqrt((mated.var() + others.var()) / 2 + 1e-12))
    return Separation(len(np.unique(people)), float(roc_auc_score(same, scores)), gap, gap / deviation)
