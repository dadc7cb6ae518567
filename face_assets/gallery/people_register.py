"""people.csv of the data repository: the basis on which each person may be enrolled, and the time for which it holds."""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from face_assets.core.errors import RefusedError, UserError
from face_assets.core.identifiers import quoted
from face_assets.core.outside_text import one_line
from face_assets.dataset.photo_folders import identity_of, person_key
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.watch import REGISTER

COLUMNS = ("identity", "basis", "since", "until")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
MOST_BYTES = 64_000_000
SOON = timedelta(days=30)
SAVE = "Save it as UTF-8 text with commas."
State = Literal["in force", "soon", "no entry", "not yet", "past"]


@dataclass(frozen=True)
class Entry:
    """A person's entry. basis: such as `consent of 2026-02-01` or `contract`; until: the last day, None without an end; line: its line."""

    identity: str
    basis: str
    since: date
    until: date | None
    line: int

    def state(self, today: date) -> State:
        """The entry's state on a day."""
        if today < self.since:
            return "not yet"
        if self.until is None or today <= self.until - SOON:
            return "in force"
        return "soon" if today <= self.until else "past"


@dataclass(frozen=True)
class Standing:
    """A person on a day. entry: None for one without."""

    name: str
    state: State
    entry: Entry | None

    @property
    def is_in_force(self) -> bool:
        """True for a person who may be enrolled."""
        return self.state in ("in force", "soon")


@dataclass(frozen=True)
class PeopleRegister:
    """The entries by the key of a person."""

    entries: Mapping[str, Entry]

    def standing(self, name: str, today: date) -> Standing:
        """The standing of a person on a day."""
        entry = self.entries.get(person_key(name))
        return Standing(name, entry.state(today) if entry else "no entry", entry)

    def require(self, names: Iterable[str], today: date) -> None:
        """Raises RefusedError for people who may not be enrolled on a day."""
        for name in names:
            found = self.standing(name, today)
            if found.entry is None:
                raise RefusedError(f"{name} has no entry in {REGISTER}: add a line with basis, since and until, and commit it first.")
            if not found.is_in_force:
                when = f"holds from {found.entry.since} on" if found.state == "not yet" else f"ended on {found.entry.until}"
                raise RefusedError(f"{name}: the entry in line {found.entry.line} of {REGISTER} {when}, so nobody is enrolled by it today.")


def today() -> date:
    """The day in UTC."""
    return datetime.now(UTC).date()


def read_register(repository: DataRepository, commit: str) -> PeopleRegister | None:
    """The register of a commit; None where there is none, and anybody may be enrolled. Raises UserError that names the line."""
    content = repository.read(commit, REGISTER, MOST_BYTES)
    return None if content is None else parse_register(content, f"{REGISTER} at commit {commit[:12]}")


def parse_register(content: bytes, where: str) -> PeopleRegister:
    """The register of a file's bytes. Other columns may follow. Raises UserError that names the line."""
    entries: dict[str, Entry] = {}
    for entry in _entries(_text(content, where), where):
        key = person_key(entry.identity)
        if key in entries:
            same = "" if entries[key].identity == entry.identity else f", as {quoted(entries[key].identity)},"
            raise UserError(f"{where}, line {entry.line}: {quoted(entry.identity)} has an entry in line {entries[key].line}{same} too.")
        entries[key] = entry
    return PeopleRegister(entries)


def _text(content: bytes, where: str) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{where} is UTF-16 text. {SAVE}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{where}, line {line}: byte {content[error.start]:#04x} is no UTF-8. {SAVE}") from error


def _entries(text: str, where: str) -> Iterator[Entry]:
    """The entries in the order of the lines. Raises UserError."""
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in first and "," not in first else ",", strict=True)
    columns: list[str] | None = None
    line = 1
    try:
        for row in reader:
            if columns is None:
                columns = _columns(row, where)
            elif any(cell.strip() for cell in row):
                yield _entry(dict(zip(columns, row, strict=False)), len(row), len(columns), line, f"{where}, line {line}")
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{where}, line {line}: {error}. {SAVE}") from error
    if columns is None:
        _columns([], where)


def _columns(row: list[str], where: str) -> list[str]:
    columns = [cell.strip().lower() for cell in row]
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise UserError(f"{where}, line 1: no column {' and no '.join(missing)}. Begin it with the line `{','.join(COLUMNS)}`.")
    if twice := [name for name in COLUMNS if columns.count(name) > 1]:
        raise UserError(f"{where}, line 1: the column {twice[0]} is there twice.")
    return columns


def _entry(cells: Mapping[str, str], found: int, asked: int, line: int, where: str) -> Entry:
    if found != asked:
        raise UserError(f"{where}: {found} cells, and line 1 has {asked}. A comma within a cell needs quotes around the cell.")
    try:
        identity = identity_of(cells["identity"])
    except UserError as error:
        shown = one_line(cells["identity"], 40)
        raise UserError(f"{where}: {shown!r} is no name of a person: not blank, at most 255 bytes, no control characters.") from error
    basis = " ".join(cells["basis"].split())
    if not basis:
        raise UserError(f"{where}: no basis, such as `consent` or `contract`.")
    since, until = _date(cells["since"], "since", where), _date(cells["until"], "until", where)
    if since is None:
        raise UserError(f"{where}: no day in since. Write it as 2026-02-28.")
    if until and until < since:
        raise UserError(f"{where}: until {until} is before since {since}.")
    return Entry(identity, basis, since, until, line)


def _date(cell: str, column: str, where: str) -> date | None:
    """The day; None for an empty cell."""
    text = cell.strip()
    if not text:
        return None
    try:
        if not DATE.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise UserError(f"{where}: {one_line(text, 40)!r} in {column} is no day. Write it as 2026-02-28.") from None
