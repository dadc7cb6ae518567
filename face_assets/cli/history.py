"""`face-assets history`: the runs of this state directory and how they ended."""

import time
from dataclasses import asdict
from typing import Any

from face_assets.core.outside_text import shown_lines
from face_assets.core.settings import load_settings
from face_assets.event_log.instance import open_instance
from face_assets.event_log.outcomes import read_outcomes
from face_assets.notification.message import plain
from face_assets.storage.home import Home


def history_report(limit: int, failed: bool) -> list[dict[str, Any]]:
    """Returns the last runs (or those that failed), newest first, as JSON-able values."""
    home = Home(load_settings().home)
    if not home.dagster.is_dir():
        return []
    with open_instance(home) as instance:
        outcomes = read_outcomes(instance, limit, failed)
    return [
        plain(
            {**asdict(outcome), "status": outcome.status.value, "outcome": outcome.word, "seconds": outcome.seconds, "where": outcome.where}
        )
        for outcome in outcomes
    ]


def history_text(rows: list[dict[str, Any]], failed: bool) -> str:
    """Returns the runs as text, one a line."""
    if not rows:
        return "No run failed." if failed else "Nothing has run yet: face-assets run makes the first."
    return shown_lines(_line(row) for row in rows)


def _line(row: dict[str, Any]) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["started"])) if row["started"] else "not started"
    took = f"{row['seconds']:,.1f} s" if row["seconds"] is not None else ""
    what = row["job"] if row["outcome"] not in ("failed", "refused") else " ".join(f"{row['where']}: {row['reason']}".split())
    what += f"; {row['decision'] or row['name']}" if row["decision"] or row["name"] else ""
    commit = f"{row['commit'][:12]:<12} {row['branch']:<12}"
    return f"{when:<19} {row['run_id'][:8]} {row['trigger']:<8} {commit} {row['outcome']:<8} {took:>9}  {what}"
