"""`face-assets lineage`."""

import time
from typing import Any

from face_assets.cli.commit_runs import headline
from face_assets.core.outside_text import shown_lines
from face_assets.core.settings import load_settings
from face_assets.event_log.instance import open_instance
from face_assets.event_log.lineage import lineage
from face_assets.storage.home import Home


def lineage_report(version: str) -> dict[str, Any]:
    """Returns the lineage of a release, from the event log alone. Raises UserError."""
    with open_instance(Home(load_settings().home)) as instance:
        return lineage(instance, version)


def lineage_text(found: dict[str, Any]) -> str:
    """Returns the lineage as text, photos first."""
    release = found["chain"][-1]["facts"]
    lines = [
        f"{found['release']} was made from commit {found['commit']}",
        f"  dataset version {release.get('dataset_version')}, seed {release.get('seed')}",
    ]
    for made in found["chain"]:
        lines.append(f"  {made['asset']:<22} {_when(made['time'])}  run {made['run'][:8]}  {made['facts'].get('fingerprint', '')}")
        lines.append(f"  {'':<22} {headline(made['asset'], made['facts'])}")
        lines.append(f"  {'':<22} {made['facts'].get('path', '')}")
    for deployed in reversed(found["deployments"]):
        facts = deployed["facts"]
        lines.append(f"  deployed {_when(deployed['time'])} by {facts['tag']} ({facts['assigned_by']}): {facts['reason']}")
    return shown_lines(lines)


def _when(timestamp: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(timestamp))
