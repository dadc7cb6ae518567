"""Approximate search of millions of templates: faiss proposes people, whose scores are then computed exactly.

A gallery with an index has two files more: the index as faiss writes it, and what it is, with its recall. Where they cannot be used, the
search is exact.
"""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

INDEX, FACTS = FILES = ("gallery.index", "index.json")
FORMAT = 1
CANDIDATES = 16
"""People that are proposed for a face. In eight bits, a nearest person is not among so many others that seem nearer."""
BLOCK = 1 << 22

Floats = npt.NDArray[np.float32]


class UnusableIndexError(Exception):
    """An index that cannot be used. Its message says why."""


class TemplateIndex:
    """An index of faiss. inner: of kind IVF; searched: number of lists that a search reads."""

    def __init__(self, inner: Any, searched: int):
        import faiss

        self.inner = inner
        self.parameters = faiss.SearchParametersIVF()
        self.parameters.nprobe = searched

    @staticmethod
    def load(directory: Path, templates: Floats) -> "TemplateIndex":
        """The index of a gallery's folder. Raises UnusableIndexError where it is damaged, of another version or of other templates."""
        try:
            facts = json.loads((directory / FACTS).read_bytes())
            version, digest, size = facts["format"], facts["sha256"], facts["bytes"]
            searched, lists = int(facts["searched_lists"]), int(facts["lists"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnusableIndexError(f"{FACTS} is damaged ({type(error).__name__})") from error
        if version != FORMAT:
            raise UnusableIndexError(f"it has format {str(version)[:20]}, and this version of the platform reads {FORMAT}")
        if not 1 <= searched <= lists:
            raise UnusableIndexError(f"{FACTS} is damaged: {searched} of {lists} lists")
        file = directory / INDEX
        if not file.is_file() or file.stat().st_size != size or sha256_of(file) != digest:
            raise UnusableIndexError(f"{INDEX} is damaged or missing")
        try:
            import faiss

            inner = faiss.read_index(str(file))
        except ImportError as error:
            raise UnusableIndexError("faiss is not installed") from error
        except RuntimeError as error:  # of faiss, for a file of another version
            raise UnusableIndexError(f"faiss {faiss.__version__} does not read what {str(facts.get('library'))[:40]} wrote") from error
        if (inner.ntotal, inner.d) != templates.shape:
            raise UnusableIndexError(f"it is of {inner.ntotal:,} people of {inner.d} values, and the gallery of {templates.shape}")
        return TemplateIndex(inner, searched)

    def candidates(self, embeddings: Floats) -> list[npt.NDArray[np.int64]]:
        """Places of people near each of float32 (n, d), at most CANDIDATES; none for an embedding that is not finite."""
        finite = np.atleast_1d(np.isfinite(embeddings).all(axis=1))
        asked = np.ascontiguousarray(np.where(finite[:, None], embeddings, 0), np.float32)
        _, places = self.inner.search(asked, min(CANDIDATES, self.inner.ntotal), params=self.parameters)
        return [row[row >= 0] if is_finite else row[:0] for row, is_finite in zip(places, finite, strict=True)]


def usable_index(directory: Path, templates: Floats) -> TemplateIndex | None:
    """The index of a gallery's folder; None where it cannot be used, which is logged."""
    try:
        return TemplateIndex.load(directory, templates)
    except UnusableIndexError as error:
        logging.getLogger(__name__).warning("The gallery is searched exactly, without its index: %s.", error)
        return None


def sha256_of(file: Path) -> str:
    """The digest of a file."""
    digest = hashlib.sha256()
    with open(file, "rb") as content:
        while block := content.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
