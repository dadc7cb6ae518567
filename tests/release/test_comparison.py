"""Comparison of two releases: the groups of both, and no figure for a group that is too small."""

from face_assets.release.comparison import group_rows

RATES = {"accept_rate": {"value": 0.9, "low": 0.8, "high": 0.95}, "false_accept_rate": {"value": None, "low": None, "high": None}}


def test_groups_of_both_releases_stand_side_by_side() -> None:
    before = {"age": {"old": {"with_pairs": 5, "figures": {}}}}
    after = {"age": {"old": {"with_pairs": 12, "figures": RATES}, "young": {"with_pairs": 30, "figures": RATES}}}
    rows = {(one.group, one.figure): (one.first, one.second) for one in group_rows(before, after)}
    assert rows["old", "accept_rate"] == ("too few: 5 people with two photos", "0.9000 (0.8000 to 0.9500)")
    assert rows["young", "false_accept_rate"] == ("", "not measurable")
    assert group_rows({}, {}) == []
