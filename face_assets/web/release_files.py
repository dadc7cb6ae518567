"""Facts of a release, from its folder of the Triton model repository: people, thresholds, rates of strangers."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.stranger_rates import StrangerRates
from face_assets.core.files import read_json
from face_assets.gallery.search import Gallery
from face_assets.serving.model_repository import RECOGNIZER, VERSIONS, ModelVersion, versions
from face_assets.web.problems import WebError

KEPT = 2  # a deployment answers with two releases for a while


@dataclass(frozen=True)
class Nearest:
    """A person who is enrolled, the cosine of a face with their template, and how often a stranger's photo reaches it."""

    name: str
    score: float
    rate: float | None


@dataclass(frozen=True)
class ReleaseFiles:
    """Facts of a release. rates: None for a release of earlier versions."""

    release: str
    identification_threshold: float
    verification_threshold: float
    gallery: Gallery
    rates: StrangerRates | None

    def nearest(self, embedding: npt.NDArray[np.float32], count: int) -> list[Nearest]:
        """The `count` nearest people, the nearest first. embedding: float32 (d,) of unit length."""
        scores = self.gallery.templates @ embedding
        count = min(count, len(scores))
        places = np.argpartition(scores, len(scores) - count)[len(scores) - count :] if count else np.empty(0, np.int64)
        ordered = places[np.argsort(-scores[places], kind="stable")]
        return [Nearest(self.gallery.names[place], float(scores[place]), self.rate(float(scores[place]))) for place in ordered]

    def rate(self, score: float) -> float | None:
        """Returns the share of strangers' photos that reach a score among all people."""
        return self.rates.at(score) if self.rates else None


class ReleaseFolders:
    """The version folders of a model repository, the last ones kept in memory. Not thread-safe."""

    def __init__(self, models: Path):
        self.models = models
        self._kept: OrderedDict[tuple[int, str], ReleaseFiles] = OrderedDict()
        self._listed: tuple[object, list[ModelVersion]] = None, []

    def read(self, release: str) -> ReleaseFiles:
        """Returns the facts of a release. Raises WebError where it is not in the repository of this machine."""
        written = [version for version in self._versions() if version.release == release]
        if not written:
            raise WebError(503, f"{release} is live, and its files are not on this machine.", "unknown_release")
        key = (written[-1].number, release)
        if key not in self._kept:
            folder = self.models / RECOGNIZER / str(written[-1].number)
            stated = read_json(folder / "recognizer.json")
            self._kept[key] = ReleaseFiles(
                release,
                stated["identification_threshold"],
                stated["verification_threshold"],
                Gallery.load(folder),
                StrangerRates.from_json(stated.get("stranger_rates")),
            )
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _versions(self) -> list[ModelVersion]:
        """The written versions, read again once their file was replaced."""
        try:
            found = (self.models / VERSIONS).stat()
        except FileNotFoundError:
            return []
        state = found.st_ino, found.st_mtime_ns, found.st_size
        if state != self._listed[0]:
            self._listed = state, versions(self.models)
        return self._listed[1]
