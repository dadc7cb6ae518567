"""Facts of the platform from Dagster's storages, each by a query whose cost does not grow with history."""

import json
from collections.abc import Iterable
from typing import Any

import dagster as dg

from face_assets.event_log.runs import plain_metadata
from face_assets.monitoring.facts import DatasetFacts, SensorFacts, WaitingFacts, flat_figures

COMMIT_SENSOR, HEALTH_SENSOR = "commit_sensor", "health_sensor"
FAILURE = "FAILURE"
DATASET = dg.AssetKey("dataset_version")
ALIGNED = dg.AssetKey("aligned_faces")
DRIFT = dg.AssetKey("drift_report")


def datasets(instance: dg.DagsterInstance, production_commit: str | None) -> Iterable[DatasetFacts]:
    """Facts of the data set of production and of the latest one."""
    for of, commit in (("production", production_commit), ("latest", None)):
        if of == "latest" or commit:
            found = _dataset(instance, of, commit)
            if found:
                yield found


def _dataset(instance: dg.DagsterInstance, of: str, commit: str | None) -> DatasetFacts | None:
    facts = last_facts(instance, DATASET, commit)
    if facts is None:
        return None
    aligned = last_facts(instance, ALIGNED, commit or str(facts.get("commit"))) or {}
    unusable = sum(int(aligned.get(name, 0)) for name in ("none", "unusable")) if aligned else int(facts.get("unreadable", 0))
    return DatasetFacts(of, str(facts["dataset_version"]), int(facts["photos"]), facts.get("people_by_split", {}), unusable)


def last_facts(instance: dg.DagsterInstance, asset: dg.AssetKey, commit: str | None = None) -> dict[str, Any] | None:
    """Metadata of the asset's last materialization (for a commit); None if there is none."""
    record = _last(instance, asset, commit)
    return plain_metadata(dict(record.asset_materialization.metadata)) if record and record.asset_materialization else None


def _last(instance: dg.DagsterInstance, asset: dg.AssetKey, commit: str | None = None) -> dg.EventLogRecord | None:
    chosen = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[commit] if commit else None)
    return next(iter(instance.fetch_materializations(chosen, limit=1).records), None)


def last_drift(instance: dg.DagsterInstance) -> tuple[float, dict[str, float]] | None:
    """Time and figures of the last drift report; None if there is none."""
    record = _last(instance, DRIFT)
    if record is None or record.asset_materialization is None:
        return None
    return record.timestamp, flat_figures(plain_metadata(dict(record.asset_materialization.metadata)))


def drift_verdict(instance: dg.DagsterInstance) -> dict[str, Any] | None:
    """Verdict of the last drift report, its sentence on the release with most photos, and its time; None if there is none."""
    record = _last(instance, DRIFT)
    if record is None or record.asset_materialization is None:
        return None
    facts = plain_metadata(dict(record.asset_materialization.metadata))
    said = facts.get("sentences", {}).get(facts.get("release"), "")
    return {"time": record.timestamp, "window": record.partition_key, "verdict": facts.get("verdict", "no traffic"), "said": said}


def sensors(instance: dg.DagsterInstance) -> list[SensorFacts]:
    """The last tick of each sensor and schedule."""
    found = []
    for state in instance.all_instigator_state():
        tick = next(iter(instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)), None)
        if tick:
            found.append(SensorFacts(state.name, tick.timestamp, tick.status.value == FAILURE))
    return found


def heartbeats(instance: dg.DagsterInstance) -> dict[str, float]:
    """The last heartbeat of each of Dagster's daemons."""
    return {name: beat.timestamp for name, beat in instance.get_daemon_heartbeats().items()}


def waiting(instance: dg.DagsterInstance) -> WaitingFacts:
    """Number and age of the commits that wait, by the commit sensor's cursor."""
    since = [one["since"] for one in waiting_commits(instance)]
    return WaitingFacts(len(since), min(since, default=None))


def waiting_commits(instance: dg.DagsterInstance) -> list[dict[str, Any]]:
    """The waiting commits of the commit sensor's cursor: commit, branch, since, and its other fields."""
    return list(_cursor(instance, COMMIT_SENSOR).get("waiting", []))


def repairs(instance: dg.DagsterInstance) -> dict[str, Any] | None:
    """The number of deployments that the health sensor requested in vain, and the time of the next one; None where all is well."""
    kept = _cursor(instance, HEALTH_SENSOR)
    return {"attempts": kept["asked"], "next": kept["next_try"]} if kept.get("asked") else None


def _cursor(instance: dg.DagsterInstance, sensor: str) -> dict[str, Any]:
    """The cursor of a sensor; empty before its first tick."""
    for state in instance.all_instigator_state():
        if state.name == sensor:
            cursor = getattr(state.instigator_data, "cursor", None)
            kept: dict[str, Any] = json.loads(cursor) if cursor else {}
            return kept
    return {}
