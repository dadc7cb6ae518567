"""The record of use, read: is its chain whole, and which answers were given in a period."""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import IO, Any

from face_assets.serving.runtime.sealed_photos import PHOTOS
from face_assets.serving.runtime.use_record import FILES, HEAD, NOTHING, Place, digest_of, read_head

COLUMNS = (
    "number",
    "time",
    "caller",
    "release",
    "gallery",
    "photos",
    "faces",
    "accepted",
    "too_poor",
    "photo",
    "error",
    "not_recorded",
    "before",
)
MOST_SENTENCES = 20
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Line:
    """A line of the record. where: its file and number there; facts: None where it is no JSON of a record."""

    where: str
    content: bytes
    facts: Mapping[str, Any] | None

    @property
    def number(self) -> int | None:
        """The record's number."""
        found = self.facts.get("number") if self.facts else None
        return found if isinstance(found, int) else None


@dataclass
class Report:
    """The result of a verification. not_recorded: answers that the chain itself says were given without a record."""

    records: int = 0
    first: str = ""
    last: str = ""
    end: Place = field(default_factory=Place)
    not_recorded: int = 0
    problems: int = 0
    sentences: list[str] = field(default_factory=list)

    def add(self, sentence: str) -> None:
        """Counts a problem, and keeps the first MOST_SENTENCES sentences."""
        self.problems += 1
        if len(self.sentences) < MOST_SENTENCES:
            self.sentences.append(sentence)


def lines_of(folder: Path) -> Iterator[Line]:
    """The lines in their order. One without an end is left out: its answer was never given, and the server cuts it off."""
    for file in sorted(folder.glob(FILES)):
        with open(file, "rb") as opened:
            for number, content in enumerate(opened, 1):
                if content.endswith(b"\n"):
                    yield Line(f"{file.name}, line {number}", content[:-1], _facts(content))


def _facts(content: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def verify(folder: Path, anchors: Mapping[str, Place]) -> Report:
    """Verifies the chain of a folder, and returns what was found. anchors: places that were kept elsewhere, by words for where."""
    report = Report()
    anchors = dict(anchors)
    if head := read_head(folder):
        anchors[f"the file {HEAD}"] = head
    wanted: dict[int, list[str]] = {}
    for where, place in anchors.items():
        wanted.setdefault(place.number, []).append(where)
    place = Place()
    for line in lines_of(folder):
        place = _verify_line(line, place, report)
        _verify_photo(folder, line, report)
        for where in wanted.pop(place.number, ()):
            if anchors[where].digest != place.digest:
                report.add(f"{line.where}: {where} has another hash of record {place.number:,}: it was changed.")
    report.end = place
    if report.records and head is None:
        report.add(f"The file {HEAD} is missing or unreadable, so a removed end is found only by what was kept elsewhere.")
    for number, places in sorted(wanted.items()):
        if number > place.number:
            report.add(
                f"The end is missing: by {' and '.join(places)} there were {number:,} records, and the last one is {place.number:,}."
            )
    return report


def _verify_line(line: Line, before: Place, report: Report) -> Place:
    """Verifies a line after the place before it, and returns its own place."""
    here, expected = digest_of(line.content), before.number + 1
    if line.facts is None or line.number is None:
        report.add(f"{line.where}: this is no record, and {expected:,} was expected.")
        return Place(expected, here)
    report.records += 1
    report.first = report.first or str(line.facts.get("time", ""))
    report.last = str(line.facts.get("time", ""))
    lost = line.facts.get("not_recorded")
    report.not_recorded += lost if isinstance(lost, int) else 0
    if line.number > expected:
        missing = f"record {expected:,} is" if line.number == expected + 1 else f"records {expected:,} to {line.number - 1:,} are"
        report.add(f"{line.where}: {missing} missing before record {line.number:,}.")
    elif line.number < expected:
        report.add(f"{line.where}: record {line.number:,} stands where {expected:,} was expected: it was moved or copied.")
    elif line.facts.get("before") != before.digest:
        what = "the chain does not begin with it" if before.digest == NOTHING else f"record {before.number:,} or this one was changed"
        report.add(f"{line.where}: {what}.")
    return Place(line.number, here)


def _verify_photo(folder: Path, line: Line, report: Report) -> None:
    """Verifies the encrypted photo of a record, where it is kept still."""
    digest = str((line.facts or {}).get("photo", ""))
    if not DIGEST.fullmatch(digest):
        return
    day = str((line.facts or {}).get("time", ""))[:10]
    for name in (day, _day_before(day)):  # it is written before its line
        file = folder / PHOTOS / name / f"{digest}.age"
        if name and file.is_file() and digest_of(file.read_bytes()) != digest:
            report.add(f"{line.where}: the photo of record {line.number} was changed.")


def _day_before(day: str) -> str:
    try:
        return (date.fromisoformat(day) - timedelta(days=1)).isoformat()
    except (ValueError, OverflowError):
        return ""


def in_period(folder: Path, since: date | None, until: date | None) -> Iterator[Line]:
    """The lines of the days from `since` to `until`, both included, by their own times in UTC."""
    for line in lines_of(folder):
        day = str(line.facts.get("time", ""))[:10] if line.facts else ""
        if (since is None or day >= since.isoformat()) and (until is None or day <= until.isoformat()):
            yield line


def export(folder: Path, since: date | None, until: date | None, form: str, output: IO[str]) -> int:
    """Writes the records of a period as `csv` or `jsonl`, lines as they are; returns their number."""
    written = 0
    table = csv.writer(output, lineterminator="\n")
    if form == "csv":
        table.writerow(COLUMNS)
    for line in in_period(folder, since, until):
        if form == "csv":
            table.writerow([_cell((line.facts or {}).get(name)) for name in COLUMNS])
        else:
            output.write(line.content.decode("utf-8", "replace") + "\n")
        written += 1
    return written


def _cell(value: Any) -> Any:
    """A cell's value; a text that a spreadsheet would compute gets a quote before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
