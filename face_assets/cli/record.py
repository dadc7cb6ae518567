"""`face-assets record`: verification and export of the record of use."""

import sys
from datetime import date
from pathlib import Path
from typing import Any

from face_assets.core.errors import UserError
from face_assets.registry.machines import machine_state
from face_assets.registry.workspace import Workspace
from face_assets.serving.machine_state import machine_name
from face_assets.serving.record_of_use import export, verify
from face_assets.serving.runtime.use_record import Place


def verify_record(kept: str | None) -> dict[str, Any]:
    """Returns the report on this machine's record. kept: NUMBER:HASH that was kept elsewhere. Raises UserError without a record."""
    workspace = Workspace.load()
    folder = _folder(workspace)
    anchors, note = {}, ""
    if kept:
        anchors["what was kept elsewhere"] = _place(kept)
    if workspace.settings.repo:
        try:
            workspace.repository.refresh()
            published = machine_state(workspace.repository, machine_name(workspace))
        except UserError as error:
            note = f"The data repository could not be read, so what it keeps of the record was not compared: {error}"
        else:
            if published and published.record:
                anchors["the data repository"] = _place(published.record)
    report = verify(folder, anchors)
    return {
        "whole": not report.problems,
        "records": report.records,
        "first": report.first,
        "last": report.last,
        "end": f"{report.end.number}:{report.end.digest}",
        "not_recorded": report.not_recorded,
        "compared_with": sorted(anchors),
        "problems": report.problems,
        "sentences": report.sentences,
        "note": note,
    }


def verify_text(report: dict[str, Any]) -> list[str]:
    """Returns a report as lines of text."""
    period = f" from {report['first']} to {report['last']}" if report["records"] else ""
    compared = f", and agrees with {' and '.join(report['compared_with'])}" if report["compared_with"] and report["whole"] else ""
    verdict = f"The chain is whole{compared}." if report["whole"] else f"The chain is broken in {report['problems']:,} places:"
    lines = [f"{report['records']:,} records{period}. {verdict}", *report["sentences"]]
    if report["problems"] > len(report["sentences"]):
        lines.append(f"and {report['problems'] - len(report['sentences']):,} more")
    if report["not_recorded"]:
        lines.append(f"{report['not_recorded']:,} answers were given without a record, as the chain itself states.")
    return [*lines, *([report["note"]] if report["note"] else []), f"End: {report['end']}"]


def export_record(since: date | None, until: date | None, form: str, output: Path | None) -> int:
    """Writes the records of a period to a file, or to standard output; returns their number. Raises UserError."""
    folder = _folder(Workspace.load())
    if since and until and until < since:
        raise UserError(f"--until {until} is before --since {since}.")
    if output is None:
        return export(folder, since, until, form, sys.stdout)
    try:
        with open(output, "x", encoding="utf-8", newline="") as file:
            return export(folder, since, until, form, file)
    except FileExistsError as error:
        raise UserError(f"{output} is there already: name another file.") from error


def _folder(workspace: Workspace) -> Path:
    folder = workspace.home.record
    if not folder.is_dir():
        raise UserError(f"There is no record of use in {folder}: FACE_ASSETS_RECORD=on, or `required`, begins one with the next answer.")
    return folder


def _place(text: str) -> Place:
    number, _, digest = text.partition(":")
    if not (number.isdecimal() and number.isascii() and len(digest) == 64 and not set(digest) - set("0123456789abcdef")):
        raise UserError(f"--end: {text[:80]!r} is no NUMBER:HASH, as `face-assets record verify` prints it.")
    return Place(int(number[:20]), digest)
