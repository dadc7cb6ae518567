"""Exact search in the gallery: a scan in eight bits for many people, whose candidates are then scored in float32."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from face_assets.core.inference import compile_network

SCORES_AT_ONCE = 16_000_000
SCANNED_FROM = 4096  # people; for fewer a full product is as fast

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Gallery:
    """A gallery. names: one for each person; templates: float32 (people, d) of unit length; threads: of the scan."""

    names: list[str]
    templates: Floats
    threads: int = 1

    @staticmethod
    def load(directory: Path, threads: int = 1) -> "Gallery":
        """The gallery of a folder with gallery.npz."""
        with np.load(directory / "gallery.npz", allow_pickle=False) as stored:
            return Gallery([str(name) for name in stored["names"]], np.ascontiguousarray(stored["templates"]), threads)

    def search(self, embeddings: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
        """Index of the nearest person and the cosine with its template, (n,) each; -1 and -1 if nobody is enrolled."""
        nearest = np.full(len(embeddings), -1, np.int64)
        scores = np.full(len(embeddings), -1, np.float32)
        if not len(self.templates):
            return nearest, scores
        find = self._multiply if len(self.templates) < SCANNED_FROM else self._scan
        step = max(1, SCORES_AT_ONCE // len(self.templates))
        for start in range(0, len(embeddings), step):
            nearest[start : start + step], scores[start : start + step] = find(embeddings[start : start + step])
        return nearest, scores

    def prepare(self) -> None:
        """Compiles the scan, for which the first search would wait."""
        if len(self.templates) >= SCANNED_FROM:
            _ = self.codes

    def _multiply(self, embeddings: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
        every = embeddings @ self.templates.T
        return every.argmax(axis=1), every.max(axis=1)

    def _scan(self, embeddings: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
        nearest, scores = np.empty(len(embeddings), np.int64), np.empty(len(embeddings), np.float32)
        for row, places in enumerate(self.codes.candidates(embeddings)):
            if not len(places):  # the embedding is not finite: as numpy has it
                (nearest[row],), (scores[row],) = self._multiply(embeddings[row : row + 1])
                continue
            exact = self.templates[places] @ embeddings[row]
            best = int(exact.argmax())
            nearest[row], scores[row] = places[best], exact[best]
        return nearest, scores

    @cached_property
    def codes(self) -> "Codes":
        """The templates in eight bits."""
        return Codes(self.templates, self.threads)


class Codes:
    """Templates t as eight-bit codes c with a scale s for each row, and a bound of the error of a score by codes.

    |q.t - q.(s c)| <= |q| |t - s c| (Cauchy-Schwarz), so the nearest person is among those whose score by codes is within twice the
    bound of the best score.
    """

    def __init__(self, templates: Floats, threads: int):
        import openvino as ov
        from openvino import opset13 as ops

        scale = np.maximum(np.abs(templates).max(axis=1, keepdims=True), np.float32(1e-30)) / np.float32(127)
        codes = np.rint(templates / scale).astype(np.int8)
        # the second term is for float32's rounding of sums of as many products as a template is long, here and in the full score
        self.slack = float(np.linalg.norm(templates - codes * scale, axis=1).max()) + templates.shape[1] * 2.0**-22
        asked = ops.parameter([-1, templates.shape[1]], np.float32)
        # scaled before the product: OpenVINO keeps this form in eight bits and unfolds others to float32
        scaled = ops.multiply(ops.convert(ops.constant(codes), "f32"), ops.constant(scale))
        network = ov.Model([ops.matmul(asked, scaled, False, True)], [asked], "scan")
        # embeddings stay in float32
        self._compiled = compile_network(network, threads, 1, DYNAMIC_QUANTIZATION_GROUP_SIZE=0)

    def candidates(self, embeddings: Floats) -> list[npt.NDArray[np.int64]]:
        """Places of all people who can be the nearest, for each of float32 (n, d); none for one that is not finite."""
        request = self._compiled.create_infer_request()  # several threads may search at once
        request.infer({0: embeddings})
        scores = request.get_output_tensor(0).data
        reach = 2 * self.slack * np.linalg.norm(embeddings, axis=1)
        floors = scores.max(axis=1) - reach
        return [np.flatnonzero(row >= floor) for row, floor in zip(scores, floors, strict=True)]
