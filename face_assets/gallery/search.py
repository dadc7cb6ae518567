"""Search in the gallery: a scan in eight bits for many people, or an index for millions, whose candidates are then scored in float32.

With the scan the search is exact; an index has a recall, by which its gallery was published.
"""

import math
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.core.inference import compile_network
from face_assets.gallery.template_index import FACTS, TemplateIndex, usable_index

SCORES_AT_ONCE = 16_000_000
SCANNED_FROM = 4096  # people; for fewer a full product is as fast
SEARCHES_AT_ONCE = 1024  # by an index
FILE = "gallery.npz"
LOCAL_HEADER = "<26xHH"  # of a member of a ZIP archive: the lengths of its name and of its extra field

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Gallery:
    """A gallery. names: one for each person; templates: float32 (people, d) of unit length; threads: of the scan; index: in its place."""

    names: Sequence[str]
    templates: Floats
    threads: int = 1
    index: TemplateIndex | None = None

    @staticmethod
    def load(directory: Path, threads: int = 1) -> "Gallery":
        """The gallery of a folder with gallery.npz. With an index, names and templates stay on the disk until they are looked at."""
        file = directory / FILE
        index = usable_index(directory, mapped(file, "templates")) if (directory / FACTS).exists() else None
        if index:
            return Gallery(Names(mapped(file, "names")), mapped(file, "templates"), threads, index)
        with np.load(file, allow_pickle=False) as stored:
            return Gallery([str(name) for name in stored["names"]], np.ascontiguousarray(stored["templates"]), threads)

    def search(self, embeddings: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
        """Index of the nearest person and the cosine with its template, (n,) each; -1 and -1 if nobody is enrolled."""
        nearest = np.full(len(embeddings), -1, np.int64)
        scores = np.full(len(embeddings), -1, np.float32)
        if not len(self.templates):
            return nearest, scores
        find = self._multiply if len(self.templates) < SCANNED_FROM else self._scan
        step = SEARCHES_AT_ONCE if self.index else max(1, SCORES_AT_ONCE // len(self.templates))
        for start in range(0, len(embeddings), step):
            nearest[start : start + step], scores[start : start + step] = find(embeddings[start : start + step])
        return nearest, scores

    def prepare(self) -> None:
        """Compiles the scan, for which the first search would wait."""
        if len(self.templates) >= SCANNED_FROM and not self.index:
            _ = self.codes

    def _multiply(self, embeddings: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
        every = embeddings @ self.templates.T
        return every.argmax(axis=1), every.max(axis=1)

    def _scan(self, embeddings: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
        nearest, scores = np.empty(len(embeddings), np.int64), np.empty(len(embeddings), np.float32)
        for row, places in enumerate((self.index or self.codes).candidates(embeddings)):
            if not len(places):  # the embedding is not finite: as numpy has it. Or the lists of the index are empty
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


class Names(Sequence[str]):
    """Names in an array of numpy, each a text when it is read."""

    def __init__(self, stored: npt.NDArray[np.str_]):
        self.stored = stored

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, place: Any) -> Any:
        return [str(name) for name in self.stored[place]] if isinstance(place, slice) else str(self.stored[place])


def mapped(file: Path, name: str) -> npt.NDArray[Any]:
    """An array of an .npz file whose members are not compressed, as the file's memory."""
    with zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as member:
        place = archive.getinfo(f"{name}.npy").header_offset
        np.lib.format.read_magic(member)
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        header = member.tell()
    with open(file, "rb") as content:
        content.seek(place)
        lengths = struct.unpack(LOCAL_HEADER, content.read(struct.calcsize(LOCAL_HEADER)))
    start = place + struct.calcsize(LOCAL_HEADER) + sum(lengths) + header
    return np.memmap(file, dtype, "r", start, shape) if math.prod(shape) else np.empty(shape, dtype)


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
