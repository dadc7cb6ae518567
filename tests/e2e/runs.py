"""What a webserver says of runs, by GraphQL: cheap enough to be asked again and again, as `face-assets history` is not."""

import json
import urllib.request
from typing import Any

RUNS = "{ runsOrError(limit: 100) { ... on Runs { results { runId status jobName tags { key value } } } } }"
ENDED = ("SUCCESS", "FAILURE", "CANCELED")


def runs_of(port: str) -> list[dict[str, Any]]:
    """The last runs, newest first: runId, status, jobName, and tags by key. Raises OSError, KeyError or TypeError where it cannot say."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql", json.dumps({"query": RUNS}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        found = json.load(answer)["data"]["runsOrError"]["results"]
    return [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found]
