"""The page about two releases: what became a mistake, and of what this cannot be known."""

from pathlib import Path

from face_assets.cli.comparison_page import as_markdown
from face_assets.evaluation.hardest_pairs import Pair, worst_regressions
from face_assets.registry.releases import Digests, Release
from face_assets.release.comparison import Comparison, Side, stress_rows

RATES = {"tar": 0.7, "tar_low": 0.6, "tar_high": 0.8, "fta": 0.1, "fta_low": 0.0, "fta_high": 0.2}
DIGESTS = Digests(embeddings="s", recognition="r", packaging="p")


def side(version: str) -> Side:
    release = Release(version, "c" * 40, "t" * 40, "i", DIGESTS, {})
    return Side(version, release, "t" * 40, Path(), "d.dir", {"people": 9}, (0.5, 0.5), {}, frozenset(), {})


def page(before: list[Pair], after: list[Pair]) -> str:
    worse = worst_regressions(before, after, (0.5, 0.5), most=20)
    return as_markdown(Comparison(side("v1.0.0"), side("v2.0.0"), [], [], {}, worse, []))


def test_conditions_of_both_releases_stand_side_by_side_with_a_picture() -> None:
    rows = [{"condition": "turned", "strength": 30, "photos": 9, "people": 9, "fmr": 0.001, **RATES}]
    new = [*rows, {**rows[0], "condition": "mask", "strength": None, "tar": None}]
    found = Comparison(side("v1.0.0"), side("v2.0.0"), [], [], {}, [], [], stress_rows(rows, new))
    text = as_markdown(found, {"On bad photos": ("by condition", "some.png")})
    assert "| turned 30 | 70.0 % (60 to 80) | 70.0 % (60 to 80) | 10.0 % (0 to 20) | 10.0 % (0 to 20) |" in text
    assert "| mask |  | cannot be told |  | 10.0 % (0 to 20) |" in text and "![by condition](some.png)" in text
    assert "On bad photos" not in as_markdown(Comparison(side("v1.0.0"), side("v2.0.0"), [], [], {}, [], []))


def test_a_mistake_is_new_only_where_the_older_release_was_known_to_be_right() -> None:
    before = [Pair("genuine", "a", "b", 0.7), Pair("genuine", "a", "c", 0.6), Pair("impostor", "a", "x", 0.6)]
    after = [
        Pair("genuine", "a", "b", 0.4),
        Pair("genuine", "d", "e", 0.3),
        Pair("impostor", "b", "x", 0.9),
        Pair("impostor", "a", "x", 0.7),
    ]
    found = page(before, after)
    assert "2 are mistakes at v2.0.0's threshold that were none before. Of 1 more mistakes v1.0.0 kept no score" in found
    (unknown,) = [line for line in found.splitlines() if "under 0.600" in line]
    assert unknown.endswith("| mistake, before unknown |")
    assert "kept no score" not in page(before[:2], after[:2])
