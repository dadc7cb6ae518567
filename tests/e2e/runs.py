"""Runs from a webserver, by GraphQL, which is cheap enough for polling, unlike `face-assets history`."""

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

RUNS = "{ runsOrError(limit: 100) { ... on Runs { results { runId status jobName tags { key value } } } } }"
ENDED = ("SUCCESS", "FAILURE", "CANCELED")


def runs_of(port: str, headers: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """The last runs, newest first: runId, status, jobName, tags by key. Raises OSError, KeyError or TypeError without a valid response."""
    found = _asked(port, RUNS, headers)["runsOrError"]["results"]
    return [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found]


ASSETS = """{ assetNodes { assetKey { path } partitionStats { numFailed } assetChecksOrError { ... on AssetChecks { checks {
    executionForLatestMaterialization { status evaluation { severity } } } } } } }"""
LATEST = "{ assetsLatestInfo(assetKeys: [%s]) { assetKey { path } latestRun { status } } }"


def red_assets(port: str) -> set[str]:
    """The assets that Dagster shows red: by a failed partition, a failed check that is no warning, or, without partitions, the last run."""
    nodes = {node["assetKey"]["path"][0]: node for node in _asked(port, ASSETS)["assetNodes"]}
    keys = ", ".join(f'{{path: ["{name}"]}}' for name, node in nodes.items() if node["partitionStats"] is None)
    latest = {one["assetKey"]["path"][0]: one["latestRun"] for one in _asked(port, LATEST % keys)["assetsLatestInfo"]}
    return {name for name, node in nodes.items() if _is_red(node) or ((latest.get(name) or {}).get("status") == "FAILURE")}


LOOKS = """{ sensorOrError(sensorSelector: { repositoryLocationName: "face-assets", repositoryName: "__repository__", sensorName: "%s" }) {
    ... on Sensor { sensorState { ticks(limit: 20) { timestamp status } } } } }"""


def ended_looks(port: str, sensor: str) -> list[float]:
    """When each of the last looks of a sensor that are over began: seconds since 1970."""
    ticks = _asked(port, LOOKS % sensor)["sensorOrError"]["sensorState"]["ticks"]
    return [tick["timestamp"] for tick in ticks if tick["status"] != "STARTED"]


def _is_red(node: dict[str, Any]) -> bool:
    results = [check["executionForLatestMaterialization"] or {} for check in node["assetChecksOrError"].get("checks", [])]
    severe = [one for one in results if one.get("status") == "FAILED" and one["evaluation"]["severity"] == "ERROR"]
    return bool(severe) or (node["partitionStats"] or {}).get("numFailed", 0) > 0


def _asked(port: str, query: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    stated = {"Content-Type": "application/json", **(headers or {})}
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", json.dumps({"query": query}).encode(), stated)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)["data"]
    return found
