"""`face-assets prune`: space on the disk of the state directory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import dagster as dg

from face_assets.automation.pruning_candidates import PruningCandidate, bytes_on_disk
from face_assets.automation.retention import Pruned, Reason, plan_pruning
from face_assets.core.errors import UserError
from face_assets.core.outside_text import shown_lines
from face_assets.event_log.instance import open_instance
from face_assets.event_log.runs import UNDER_WAY
from face_assets.registry.workspace import Log, Workspace

SAFE_DAYS = 7
"""Days that no run lasts; below them a run under way could lose what it has made."""


def prune_home(days: int, dry_run: bool, log: Log | None = None) -> dict[str, Any]:
    """Removes unused files; returns the removed ones by kind, the freed bytes, and what stays and why.

    log: gets the plan before anything goes, for fewer days than SAFE_DAYS. Raises UserError where production is unknown, and for so few
    days while a run is under way.
    """
    workspace = Workspace.load()
    if days < SAFE_DAYS and not dry_run:
        _require_no_run(workspace)
    plan = plan_pruning(workspace, days)
    planned = _facts(plan.as_done(), days, dry_run=True)
    if dry_run:
        return planned
    if log and days < SAFE_DAYS and planned["removed"]:
        log(pruning_text({**planned, "notes": []}))
    return _facts(plan.carry_out(), days, dry_run=False)


def _require_no_run(workspace: Workspace) -> None:
    with open_instance(workspace.home) as instance:
        runs = instance.get_runs(dg.RunsFilter(statuses=list(UNDER_WAY)), limit=5)
    if runs:
        names = ", ".join(f"{run.job_name} ({run.run_id[:8]})" for run in runs)
        raise UserError(f"{names} may still read what would go: wait for the end, or cancel it, or keep {SAFE_DAYS} days.")


def _facts(done: Pruned, days: int, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "days": days,
        "removed": _by_kind(done.removed),
        "paths": sorted(str(candidate.paths[0]) for candidate in done.removed),
        "freed_bytes": done.freed,
        "kept": {reason.name.lower(): _kept(done, reason) for reason in Reason},
        "notes": done.notes,
        "store": asdict(done.store) if done.store else None,
    }


def _kept(done: Pruned, reason: Reason) -> dict[str, Any]:
    staying = [candidate for candidate, why in done.kept if why == reason]
    return {"kinds": _by_kind(staying), "bytes": bytes_on_disk(staying)}


def _by_kind(candidates: Sequence[PruningCandidate]) -> dict[str, int]:
    return dict(Counter(candidate.kind for candidate in candidates))


def pruning_text(found: dict[str, Any]) -> str:
    """Returns the report as text."""
    what = _listed(found["removed"])
    if not what:
        said = f"Nothing has been unused for {found['days']} days." if found["days"] else "Nothing is there that is not needed."
    elif found["dry_run"]:
        said = f"{found['freed_bytes'] / 1e6:,.0f} MB would be free: {what}."
    else:
        said = f"{found['freed_bytes'] / 1e6:,.0f} MB are free: removed {what}."
    kept = [
        f"Kept, {reason.value}: {_listed(of_reason['kinds'])} ({of_reason['bytes'] / 1e6:,.0f} MB)."
        for reason in Reason
        if found["dry_run"] and (of_reason := found["kept"][reason.name.lower()])["kinds"]
    ]
    return shown_lines([*found["notes"], said, *kept, *_of_store(found)])


def _listed(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in kinds.items())


def _of_store(found: dict[str, Any]) -> list[str]:
    """The sentence on the store that machines share; none without one."""
    store = found["store"]
    if store is None:
        return []
    words = "would go" if found["dry_run"] else "are gone"
    return [
        f"The store: {store['artifacts']} artifacts and {store['content_stores']} content stores {words}, {store['freed'] / 1e6:,.0f} MB; "
        f"{store['merged']} parts {'would be ' if found['dry_run'] else ''}merged."
    ]
