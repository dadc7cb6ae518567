"""`face-assets prune`: space on the disk of the state directory."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from face_assets.automation.retention import prune
from face_assets.core.outside_text import shown_lines
from face_assets.registry.workspace import Workspace


def prune_home(days: int, dry_run: bool) -> dict[str, Any]:
    """Removes unused files; returns the removed ones by kind, and the freed bytes. Raises UserError where production is unknown."""
    done = prune(Workspace.load(), days, dry_run)
    return {
        "dry_run": dry_run,
        "days": days,
        "removed": dict(Counter(candidate.kind for candidate in done.removed)),
        "paths": sorted(str(candidate.paths[0]) for candidate in done.removed),
        "freed_bytes": done.freed,
        "notes": done.notes,
        "store": asdict(done.store) if done.store else None,
    }


def pruning_text(found: dict[str, Any]) -> str:
    """Returns the report as text."""
    what = ", ".join(f"{kind} {count}" for kind, count in found["removed"].items())
    if not what:
        said = f"Nothing has been unused for {found['days']} days."
    elif found["dry_run"]:
        said = f"{found['freed_bytes'] / 1e6:,.0f} MB would be free: {what}."
    else:
        said = f"{found['freed_bytes'] / 1e6:,.0f} MB are free: removed {what}."
    return shown_lines([*found["notes"], said, *_of_store(found)])


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
