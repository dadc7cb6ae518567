"""`face-assets feedback`: judged results, written to the inbox of a working tree."""

import csv
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from face_assets.cli.recognition import identify_photos
from face_assets.core.errors import UserError
from face_assets.core.outside_text import shown_lines
from face_assets.monitoring.feedback import (
    SOMEBODY_ELSE,
    STRANGER,
    Estimate,
    Feedback,
    Rate,
    estimates,
    read_feedback,
    require_working_tree,
    write_feedback,
)

COLUMNS = ("answered", "truth", "release")
YES = ("1", "true", "yes")


def give_feedback(repo: Path, photo: Path, truth: str, sampled: bool, keep_photo: bool, note: str) -> tuple[Feedback, Path]:
    """Sends the photo to the live server, and writes its result and the truth as feedback. Raises UserError."""
    tree = require_working_tree(repo)
    (answer,) = identify_photos([photo])
    if "error" in answer:
        raise UserError(f"{photo}: {answer['error']}")
    if not answer["faces"]:
        raise UserError(f"{photo}: {answer['release']} finds no face in it, so there is no answer to judge.")
    face = answer["faces"][0]
    answered = face["identity"] if face["accepted"] else None
    feedback = Feedback(answered, truth, answer["release"], time.time(), sampled, face["score"], note=note)
    kept = photo.read_bytes() if keep_photo else None
    return feedback, write_feedback(tree, feedback, kept, photo.suffix)


def import_feedback(repo: Path, file: Path) -> list[Path]:
    """Writes every row of a CSV file as feedback (answered, truth, release; sampled, score, note), or none.

    Raises UserError that names the row.
    """
    tree = require_working_tree(repo)
    try:
        with open(file, encoding="utf-8-sig", newline="") as opened:
            rows = csv.DictReader(opened)
            missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise UserError(f"{file}: the column {missing[0]!r} is missing; {', '.join(COLUMNS)} are needed.")
            found = [_row(row, f"{file}, line {rows.line_num}") for row in rows]
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text: {error}") from error
    return [write_feedback(tree, feedback) for feedback in found]


def _row(row: Mapping[str, str | None], where: str) -> Feedback:
    values = {name: (value or "").strip() for name, value in row.items() if isinstance(value, str) and name}
    if not values.get("truth") or not values.get("release"):
        raise UserError(f"{where}: `truth` (a name, {STRANGER} or {SOMEBODY_ELSE}) and `release` are needed.")
    try:
        score = float(values["score"]) if values.get("score") else None
    except ValueError as error:
        raise UserError(f"{where}: `score` is no number: {values['score']!r}") from error
    return Feedback(
        values.get("answered") or None,
        values["truth"],
        values["release"],
        time.time(),
        values.get("sampled", "").lower() in YES,
        score,
        note=values.get("note", ""),
    )


def feedback_report(repo: Path) -> dict[str, Any]:
    """Returns the estimates by release, and the problems of unreadable files."""
    found, problems = read_feedback(require_working_tree(repo))
    rows = [
        {**asdict(one), "false_accept_rate": one.false_accepts.rate, "false_reject_rate": one.false_rejects.rate}
        for one in estimates(found)
    ]
    return {"feedback": len(found), "releases": rows, "problems": problems, "text": _text(estimates(found), problems)}


def _text(found: list[Estimate], problems: list[str]) -> str:
    lines = list(problems)
    for one in found:
        lines += [
            one.release,
            f"  {_rate(one.false_accepts, 'faces identified as somebody', 'false accepts')}",
            f"  {_rate(one.false_rejects, 'faces identified as nobody', 'false rejects')}",
            f"  reported besides: {one.reported_false_accepts} false accepts, {one.reported_false_rejects} false rejects (no rate: people "
            "report what is wrong)",
        ]
    return shown_lines(lines) or "No feedback yet: face-assets feedback PHOTO --is NAME."


def _rate(rate: Rate, of: str, what: str) -> str:
    if rate.rate is None:
        return f"{what}: unknown, none of the {of} was sampled (--sampled)"
    return f"{what}: {rate.rate:.1%} ({rate.low:.1%} to {rate.high:.1%} with 95 %), {rate.wrong} of {rate.of} {of}"
