"""Rows in columns: the same rows as a list of them, one by one, sliced and reordered."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_assets.core import rows as rows_module
from face_assets.core.rows import Rows

# "\0" at either end, characters beyond the first plane, and no surrogates, which no file system's UTF-8 has
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


class Pair(NamedTuple):
    path: str
    person: str


def columns(pairs: list[Pair]) -> Rows[Pair]:
    return Rows.of(Pair, Pair._fields, pairs, repeated=("person",))


@given(st.lists(st.builds(Pair, TEXTS, TEXTS), max_size=20), st.slices(20))
def test_rows_are_those_of_the_list(pairs: list[Pair], part: slice) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "BLOCK", 3)
        found = columns(pairs)
        assert (list(found), list(found[part])) == (pairs, pairs[part])
        assert [found[place] for place in range(-len(pairs), len(pairs))] == pairs + pairs
        assert list(found.at(np.argsort(found.text("path"), kind="stable"))) == sorted(pairs, key=lambda pair: pair.path)
        assert list(found.each("person")) == [pair.person for pair in pairs]
        assert found == pairs and found != [*pairs, Pair("", "")]


def test_a_place_that_is_not_there_is_an_error() -> None:
    with pytest.raises(IndexError):
        columns([Pair("a", "b")])[1]
