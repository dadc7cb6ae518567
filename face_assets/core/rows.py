"""Rows of texts kept in columns: millions of them take some fifty bytes a text, a tenth of as many Python objects."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

from face_assets.core.batches import batched

BLOCK = 65_536
"""Rows that are Python objects at a time."""
Places = npt.NDArray[Any]
Row = TypeVar("Row")


@dataclass(frozen=True)
class Distinct:
    """A column of texts that hardly repeat. values: (n,) of numpy's StringDType."""

    values: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.values)

    def texts(self, part: slice) -> list[str]:
        """The texts of some rows."""
        found: list[str] = self.values[part].tolist()
        return found

    def at(self, places: Places | slice) -> "Distinct":
        """The column of these rows."""
        return Distinct(self.values[places])


@dataclass(frozen=True)
class Repeated:
    """A column of few texts, each of many rows. names: the texts; codes: int32 (n,), places of `names`."""

    names: Sequence[str]
    codes: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.codes)

    def texts(self, part: slice) -> list[str]:
        """The texts of some rows."""
        return [self.names[code] for code in self.codes[part].tolist()]

    def at(self, places: Places | slice) -> "Repeated":
        """The column of these rows."""
        return Repeated(self.names, self.codes[places])


Column = Distinct | Repeated


class Rows(Sequence[Row], Generic[Row]):
    """A sequence of rows, each made when it is read. make: a row of its texts, which stand in `columns` by the names of its fields."""

    def __init__(self, make: Callable[..., Row], columns: dict[str, Column]):
        self.make, self.columns = make, columns
        self._length = len(next(iter(columns.values())))

    @staticmethod
    def of(make: Callable[..., Row], fields: Sequence[str], rows: Iterable[Sequence[str]], repeated: Sequence[str] = ()) -> "Rows[Row]":
        """Rows of their texts in the order of `fields`. repeated: fields of few different texts."""
        names: dict[str, dict[str, int]] = {field: {} for field in repeated}
        parts: dict[str, list[npt.NDArray[Any]]] = {field: [np.empty(0, np.int32) if field in names else _texts([])] for field in fields}
        for block in batched(rows, BLOCK):
            for field, texts in zip(fields, zip(*block, strict=True), strict=True):
                if field in names:
                    known = names[field]
                    parts[field].append(np.array([known.setdefault(text, len(known)) for text in texts], np.int32))
                else:
                    parts[field].append(_texts(texts))
        columns: dict[str, Column] = {}
        for field in fields:
            joined = np.concatenate(parts.pop(field))
            columns[field] = Repeated(list(names.pop(field)), joined) if field in names else Distinct(joined)
        return Rows(make, columns)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Row]:
        for start in range(0, self._length, BLOCK):
            part = slice(start, start + BLOCK)
            yield from map(self.make, *(column.texts(part) for column in self.columns.values()))

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> "Rows[Row]": ...
    def __getitem__(self, place: int | slice) -> "Row | Rows[Row]":
        if isinstance(place, slice):
            return self.at(place)
        start = range(self._length)[place]
        return self.make(*(column.texts(slice(start, start + 1))[0] for column in self.columns.values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def at(self, places: Places | slice) -> "Rows[Row]":
        """The rows at these places, in their order."""
        return Rows(self.make, {field: column.at(places) for field, column in self.columns.items()})

    def text(self, field: str) -> npt.NDArray[Any]:
        """The texts of a field that hardly repeats, (n,) of numpy's StringDType."""
        column = self.columns[field]
        assert isinstance(column, Distinct)
        return column.values

    def names(self, field: str) -> Repeated:
        """The column of a field of few different texts."""
        column = self.columns[field]
        assert isinstance(column, Repeated)
        return column

    def each(self, field: str) -> Iterator[str]:
        """The texts of one field."""
        column = self.columns[field]
        for start in range(0, self._length, BLOCK):
            yield from column.texts(slice(start, start + BLOCK))


def _texts(texts: Sequence[str]) -> npt.NDArray[Any]:
    return np.array(texts, np.dtypes.StringDType())
