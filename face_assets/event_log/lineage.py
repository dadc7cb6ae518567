"""Lineage of a release from the event log alone, asset by asset, down to the dataset version."""

from typing import Any

import dagster as dg

from face_assets.core.errors import UserError
from face_assets.event_log.runs import plain_metadata

RELEASE = "recognizer_release"
DEPLOYMENT = "triton_deployment"
CHAIN = (
    *("dataset_version", "aligned_faces", "label_audit", "face_embedder", "exported_embedder", "embedder_evaluation"),
    *("gallery_audit", "face_gallery"),
    RELEASE,
)
PAGE = 500


def lineage(instance: dg.DagsterInstance, version: str) -> dict[str, Any]:
    """The materializations behind `version`: "v1.2.0", or "live" for the live release.

    Raises UserError if the event log has no such release.
    """
    deployments = _materializations(instance, DEPLOYMENT)
    if version == "live":
        if not deployments or deployments[0]["facts"].get("live") in (None, "none"):
            raise UserError("The event log has no deployment: nothing has gone live from this state directory.")
        version = str(deployments[0]["facts"]["live"])
    version = version if version.startswith("v") else f"v{version}"
    made = [found for found in _materializations(instance, RELEASE) if found["facts"].get("release") == version]
    if not made:
        raise UserError(f"The event log of this state directory has no {version}; `face-assets releases` lists what is registered.")
    release = next((found for found in made if found["facts"].get("new")), made[-1])
    chain = [_before(instance, asset, release) for asset in CHAIN[:-1]]
    return {
        "release": version,
        "commit": release["partition"],
        "chain": [found for found in chain if found] + [release],
        "deployments": [found for found in deployments if found["facts"].get("live") == version],
    }


def _before(instance: dg.DagsterInstance, asset: str, release: dict[str, Any]) -> dict[str, Any] | None:
    """The asset's last materialization for the release's commit before the release was made."""
    found = [one for one in _materializations(instance, asset, release["partition"]) if one["time"] <= release["time"]]
    return found[0] if found else None


def _materializations(instance: dg.DagsterInstance, asset: str, partition: str | None = None) -> list[dict[str, Any]]:
    """The materializations of an asset, newest first."""
    chosen = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[partition] if partition else None)
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = instance.fetch_materializations(chosen, limit=PAGE, cursor=cursor)
        for record in page.records:
            materialization = record.asset_materialization
            assert materialization is not None
            facts = plain_metadata(dict(materialization.metadata))
            found.append(
                {"asset": asset, "partition": record.partition_key, "run": record.run_id, "time": record.timestamp, "facts": facts}
            )
        if not page.has_more:
            return found
        cursor = page.cursor
