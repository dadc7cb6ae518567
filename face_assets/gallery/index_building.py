"""The index of a gallery of millions: built by faiss, with as many lists searched as the requested recall takes, and measured."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.score_blocks import groups_of
from face_assets.core.files import write_json
from face_assets.core.params import Search
from face_assets.gallery.enrolment import Enrolled, nearest_people
from face_assets.gallery.search import Gallery
from face_assets.gallery.template_index import FACTS, FORMAT, INDEX, TemplateIndex, sha256_of

POINTS_A_LIST = 64
ROUNDS = 10
LISTS_BY_ROOT = 2
MOST_SEARCHES = 4000
CONFIDENCE = 0.95
PEOPLE_AT_ONCE = 500_000

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Recall:
    """The share of searches whose nearest person the index finds, with the interval of Clopper and Pearson at CONFIDENCE."""

    value: float
    low: float
    high: float
    searches: int

    @staticmethod
    def of(same: npt.NDArray[np.bool_]) -> "Recall | None":
        """That of searches (n,) which find the same person as an exact one; None without any."""
        from scipy import stats

        if not len(same):
            return None
        interval = stats.binomtest(int(same.sum()), len(same)).proportion_ci(CONFIDENCE)
        return Recall(float(same.mean()), float(interval.low), float(interval.high), len(same))


def write_index(
    enrolled: Enrolled, probes: Floats, people: Sequence[str], threshold: float, asked: Search, directory: Path, log: Callable[[str], None]
) -> dict[str, Any]:
    """Writes the index of a gallery of `asked.index_from` people or more, and returns its facts; nothing for a smaller one.

    probes: float32 (n, d), of `people`. Half of the people choose how many lists are searched, by the photos that find somebody, and the
    others measure the recall.
    """
    if not asked.index_from or len(enrolled.names) < asked.index_from or not len(probes):
        return {}
    chosen = np.linspace(0, len(probes) - 1, min(len(probes), MOST_SEARCHES)).round().astype(np.int64)
    probes, people = probes[chosen], [people[row] for row in chosen.tolist()]
    log(f"building the index of {len(enrolled.names):,} templates")
    inner = _built(enrolled.templates)
    places, scores = nearest_people(enrolled, probes)
    names = sorted(set(people))
    halves = dict(zip(names, groups_of(names, 2).tolist(), strict=True))
    measures, finds = np.array([halves[name] == 1 for name in people], bool), scores >= threshold
    choosing = _some(~measures & finds, ~measures, np.ones(len(people), bool))
    searched, same = 1, np.zeros(len(people), bool)
    while True:
        gallery = Gallery(enrolled.names, enrolled.templates, index=TemplateIndex(inner, searched))
        found, found_scores = gallery.search(probes)
        same = (found == places) | (found_scores >= scores)  # twins have one score
        if same[choosing].mean() >= asked.recall or searched >= inner.nlist:
            break
        searched = min(2 * searched, inner.nlist)
    measuring = measures if measures.any() else np.ones(len(people), bool)
    matches, everybody = Recall.of(same[measuring & finds]), Recall.of(same[measuring])
    return _write(inner, directory, searched, matches, everybody)


def _write(inner: Any, directory: Path, searched: int, matches: Recall | None, everybody: Recall | None) -> dict[str, Any]:
    import faiss

    file = directory / INDEX
    faiss.write_index(inner, str(file))
    file.chmod(0o600)
    facts = {
        "library": f"faiss {faiss.__version__}",
        "people": inner.ntotal,
        "lists": inner.nlist,
        "searched_lists": searched,
        "recall": asdict(matches) if matches else None,
        "recall_of_all": asdict(everybody) if everybody else None,
        "bytes": file.stat().st_size,
    }
    write_json(directory / FACTS, facts | {"format": FORMAT, "sha256": sha256_of(file)})
    return facts


def _built(templates: Floats) -> Any:
    """An index of inverted lists (IVF), with templates in eight bits a value."""
    import faiss

    people, size = templates.shape
    lists = 2 ** max(0, round(math.log2(LISTS_BY_ROOT * math.sqrt(people))))
    lists = min(lists, people)
    inner: Any = faiss.index_factory(size, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    inner.cp.niter, inner.cp.min_points_per_centroid, inner.cp.max_points_per_centroid = ROUNDS, 1, POINTS_A_LIST
    points = np.random.default_rng(0).choice(people, min(people, POINTS_A_LIST * lists), replace=False)
    inner.train(templates[np.sort(points)])
    for start in range(0, people, PEOPLE_AT_ONCE):
        inner.add(np.ascontiguousarray(templates[start : start + PEOPLE_AT_ONCE], np.float32))
    return inner


def _some(*masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The first of the masks that is true anywhere."""
    return next(mask for mask in masks if mask.any())
