"""A GraphQL client of the UI's webserver: loaded assets, materialized partitions, and launches of runs."""

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from face_assets.automation.services import ui_address
from face_assets.core.direct_connections import open_url
from face_assets.core.errors import UserError
from face_assets.core.settings import Settings
from face_assets.orchestration.partitions import commits

LOCATION = "face-assets"
"""Name of definitions.py in workspace.yaml."""
REPOSITORY = "__repository__"
SELECTOR: dict[str, Any] = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY}
SECONDS = 60.0

LOCATIONS = """{
  workspaceOrError {
    __typename
    ... on PythonError { message }
    ... on Workspace {
      locationEntries { name loadStatus locationOrLoadError { __typename ... on PythonError { message causes { message } } } }
    }
  }
}"""
ASSETS = """{
  assetNodes {
    assetKey { path }
    dependencyKeys { path }
    groupName
    kinds
    tags { key value }
    jobNames
    isMaterializable
    isObservable
    isPartitioned
    partitionDefinition { name }
  }
}"""
MADE = """query Made($assets: [AssetKeyInput!]!, $commit: String!) {
  assetNodes(assetKeys: $assets) {
    assetKey { path }
    latestMaterializationByPartition(partitions: [$commit]) { runId }
  }
}"""
ADD_PARTITION = """mutation AddCommit($repository: RepositorySelector!, $partitions: String!, $commit: String!) {
  addDynamicPartition(repositorySelector: $repository, partitionsDefName: $partitions, partitionKey: $commit) {
    __typename
    ... on PythonError { message }
    ... on UnauthorizedError { message }
  }
}"""
LAUNCH = """mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on Error { message }
  }
}"""


@dataclass(frozen=True)
class AssetNode:
    """An asset of the code location."""

    name: str
    upstream: tuple[str, ...]
    group: str
    tags: dict[str, str]
    jobs: tuple[str, ...]
    materializable: bool
    observable: bool
    partitions: str | None
    """Name of its partitions: "commit" for all assets but those that follow the stage; None if it has none."""

    @property
    def by_commit(self) -> bool:
        """True if the asset is partitioned by commit."""
        return self.partitions == commits.name


@dataclass(frozen=True)
class Webserver:
    """The webserver that `face-assets up` starts. Methods raise UserError if it does not respond or returns an error."""

    settings: Settings

    @property
    def address(self) -> str:
        """URL of the webserver."""
        return ui_address(self.settings)

    def assets(self) -> list[AssetNode]:
        """The assets of the code location. Raises UserError if it did not load."""
        self._require_location()
        return [_node(found) for found in self._ask(ASSETS)["assetNodes"]]

    def _require_location(self) -> None:
        found = self._ask(LOCATIONS)["workspaceOrError"]
        entries = {entry["name"]: entry for entry in found.get("locationEntries", [])}
        if LOCATION not in entries:
            said = found.get("message") or f"it has {', '.join(sorted(entries)) or 'none'}"
            raise UserError(f"The webserver at {self.address} has no code location {LOCATION}: {said}.")
        loaded = entries[LOCATION]["locationOrLoadError"]
        if loaded is None:
            raise UserError(f"The code location {LOCATION} is still loading: try again in a moment.")
        if loaded["__typename"] == "PythonError":
            reason = [loaded, *loaded["causes"]][-1]["message"].strip().splitlines()[0]
            raise UserError(f"The code location {LOCATION} did not load: {reason} ({self.address}/locations says more).")

    def not_made(self, assets: Sequence[str], commit: str) -> list[str]:
        """Those of `assets` that are not materialized for the commit."""
        if not assets:
            return []
        found = self._ask(MADE, assets=_keys(assets), commit=commit)["assetNodes"]
        return [_name(node["assetKey"]) for node in found if not any(node["latestMaterializationByPartition"])]

    def add_commit(self, commit: str) -> None:
        """Adds the partition of the commit (full sha) if it is missing."""
        answer = self._ask(ADD_PARTITION, repository=SELECTOR, partitions=commits.name, commit=commit)["addDynamicPartition"]
        if answer["__typename"] not in ("AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError"):
            raise UserError(f"The partition {commit} could not be added: {answer.get('message') or answer['__typename']}")

    def launch(self, job: str, assets: Sequence[str] | None, tags: dict[str, str]) -> str:
        """Launches a run of the job, or of these assets of it. Returns the run's id; the run is queued."""
        # dagster-graphql's client sends the deprecated launchPipelineExecution, and raises KeyError for an invalid selection
        selector = SELECTOR | {"jobName": job}
        if assets is not None:
            selector |= {"assetSelection": _keys(assets)}
        run_tags = [{"key": key, "value": value} for key, value in tags.items()]
        answer = self._ask(LAUNCH, params={"selector": selector, "executionMetadata": {"tags": run_tags}})["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            reasons = [answer, *answer.get("errors", [])]
            said = "; ".join(reason["message"].strip() for reason in reasons if "message" in reason)
            raise UserError(f"The webserver at {self.address} rejected the launch of {job}: {said or answer['__typename']}")
        return str(answer["run"]["runId"])

    def _ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.address}/graphql", body, {"Content-Type": "application/json"})
        try:
            with open_url(request, timeout=SECONDS) as answer:
                found = json.load(answer)
        except (urllib.error.HTTPError, ValueError) as error:
            raise UserError(f"What answers at {self.address} is not Dagster's webserver ({error}): set FACE_ASSETS_UI_PORT.") from error
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            raise UserError(f"The webserver does not answer at {self.address} ({reason}): `face-assets up` starts it.") from error
        if found.get("errors"):
            raise UserError(f"The webserver at {self.address} rejected a query: {found['errors'][0]['message']}")
        return found["data"]


def _node(found: dict[str, Any]) -> AssetNode:
    kinds = {f"dagster/kind/{kind}": "" for kind in found["kinds"]}
    return AssetNode(
        name=_name(found["assetKey"]),
        upstream=tuple(_name(key) for key in found["dependencyKeys"]),
        group=found["groupName"],
        tags={tag["key"]: tag["value"] for tag in found["tags"]} | kinds,
        jobs=tuple(found["jobNames"]),
        materializable=found["isMaterializable"],
        observable=found["isObservable"],
        partitions=(found["partitionDefinition"]["name"] or "other partitions") if found["isPartitioned"] else None,
    )


def _keys(names: Sequence[str]) -> list[dict[str, Any]]:
    return [{"path": name.split("/")} for name in names]


def _name(key: dict[str, Any]) -> str:
    return "/".join(key["path"])
