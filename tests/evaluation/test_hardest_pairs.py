"""The hardest pairs, and what became worse from one embedder to the next."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from face_assets.evaluation import hardest_pairs as pairs
from face_assets.evaluation.hardest_pairs import Pair, hardest_pairs, read_pairs, worst_regressions, write_pairs


def vectors(count: int, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def test_the_hardest_are_those_of_all_pairs_scored_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, people = vectors(70), np.arange(70) // 5
    ids = [f"{person}/{number}.jpg" for number, person in enumerate(people)]
    scores = embeddings @ embeddings.T
    first, second = np.triu_indices(70, 1)
    same = people[first] == people[second]
    expected = {
        "genuine": np.sort(scores[first, second][same])[:9],
        "impostor": np.sort(scores[first, second][~same])[::-1][:9],
    }
    monkeypatch.setattr(pairs, "rows_at_once", lambda columns: 16)
    found = hardest_pairs(embeddings, people, ids, kept=9)
    for kind, best in expected.items():
        mine = [pair for pair in found if pair.kind == kind]
        np.testing.assert_allclose([pair.score for pair in mine], best, atol=1e-5)
        for pair in mine:
            assert abs(scores[ids.index(pair.first), ids.index(pair.second)] - pair.score) < 1e-5
    write_pairs(tmp_path / "pairs.csv", found)
    assert list(read_pairs(tmp_path / "pairs.csv")) == found


def test_the_places_of_a_block_of_scores_are_not_kept() -> None:
    count = 3000
    embeddings = vectors(count)
    tracemalloc.start()
    hardest_pairs(embeddings, np.arange(count) // 5, [""] * count)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * 1024 * count, "some bytes for each score of a block, and not the places of all"


def test_new_mistakes_come_first_and_what_was_easy_before_is_bounded() -> None:
    before = [
        Pair("genuine", "a", "b", 0.2),
        Pair("genuine", "a", "c", 0.5),
        Pair("impostor", "a", "x", 0.6),
        Pair("impostor", "b", "x", 0.3),
    ]
    after = [
        Pair("genuine", "b", "a", 0.1),  # was a mistake, and is a worse one
        Pair("genuine", "d", "e", 0.3),  # was above 0.5
        Pair("impostor", "c", "x", 0.9),  # was below 0.3
        Pair("impostor", "x", "a", 0.4),  # better than before
    ]
    found = worst_regressions(before, after, (0.4, 0.4), most=10)
    assert [(one.first, one.second, one.before, one.bound, one.wrong, one.was_wrong) for one in found] == [
        ("c", "x", None, 0.3, True, False),
        ("d", "e", None, 0.5, True, False),
        ("b", "a", 0.2, None, True, True),
    ]


def test_what_may_have_been_a_mistake_before_is_not_called_new() -> None:
    before = [Pair("genuine", "a", "b", 0.3), Pair("impostor", "a", "x", 0.6)]
    after = [
        Pair("genuine", "c", "d", 0.1),  # was above 0.3: at a threshold of 0.5 right or wrong
        Pair("genuine", "b", "a", 0.2),
        Pair("impostor", "b", "x", 0.9),  # was below 0.6
        Pair("impostor", "x", "a", 0.61),
    ]
    found = worst_regressions(before, after, (0.5, 0.5), most=10)
    assert {(one.first, one.second): (one.wrong, one.was_wrong, one.new_mistake) for one in found} == {
        ("b", "x"): (True, None, False),
        ("c", "d"): (True, None, False),
        ("b", "a"): (True, True, False),
        ("x", "a"): (True, True, False),
    }
    known = [Pair("genuine", "e", "f", 0.6), *before]  # of which the bound is right
    (first, *rest) = worst_regressions(known, [*after, Pair("genuine", "e", "f", 0.49)], (0.5, 0.5), most=10)
    assert (first.first, first.second, first.new_mistake) == ("c", "d", True)
    assert [one.new_mistake for one in rest].count(True) == 1
    impostors = [one for one in rest if one.kind == "impostor"]
    assert [(one.first, one.was_wrong) for one in impostors] == [("b", None), ("x", True)]
