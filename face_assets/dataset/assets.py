"""The asset dataset_version and its checks."""

from collections.abc import Iterator

import dagster as dg

from face_assets.core.params import Params
from face_assets.core.step_versions import step_version
from face_assets.dataset import steps as dataset
from face_assets.orchestration.conditions import REMAKE
from face_assets.orchestration.jobs import COMMIT_TO_LIVE, includes
from face_assets.orchestration.metadata import ARTIFACT, commit_check, commit_of, enforce_checks, materialized, user_errors
from face_assets.orchestration.partitions import commits
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.storage.artifacts import Artifact

GROUP = "dataset"
WARN = dg.AssetCheckSeverity.WARN


@dg.asset(
    group_name=GROUP,
    partitions_def=commits,
    automation_condition=REMAKE,
    dagster_type=ARTIFACT,
    deps=["photos", "parameters"],
    kinds={"dvc", "csv"},
    code_version=f"{step_version('dataset_version')}-{step_version('training_plan')}",
    check_specs=[
        commit_check("dataset_version", "readable", "few enough photos are unreadable"),
        commit_check("dataset_version", "enough_people", "there are people to tell apart, and as many as a training takes"),
        commit_check("dataset_version", "no_shared_photos", "no photo is filed under two people, exactly or nearly", blocking=False),
        commit_check("dataset_version", "one_name_a_person", "no person has several spellings of a name", blocking=False),
        commit_check("dataset_version", "splits_stable", "nobody moved between splits since the release in production", blocking=False),
    ],
)
def dataset_version(context: dg.AssetExecutionContext, platform: WorkspaceResource) -> Iterator[dg.MaterializeResult]:
    """The manifest of the commit's photos: path, md5, identity and split of each."""
    workspace = platform.workspace()
    with user_errors(context):
        commit = commit_of(context, workspace)
        if includes(context.run, "face_embedder"):
            platform.check_plan(workspace, commit, registers=context.run.job_name == COMMIT_TO_LIVE)
        artifact = dataset.version_dataset(workspace, commit, context.log.info)
        moved = dataset.moved_since_production(workspace, artifact)
        yield from enforce_checks(
            context, materialized(context, workspace, artifact, checks=lambda: _dataset_checks(artifact, workspace.params(commit), moved))
        )


def _dataset_checks(artifact: Artifact, params: Params, moved: list[str]) -> list[dg.AssetCheckResult]:
    found = artifact.summary
    rate = found["unreadable"] / found["photos"]
    not_compared = found.get("near_duplicates_not_compared", 0)
    plan, testable = found["training"], found["test_people_with_pairs"]
    return [
        dg.AssetCheckResult(
            check_name="readable",
            passed=rate <= params.photos.max_unusable,
            metadata={
                "unreadable": found["unreadable"],
                "rate": rate,
                "allowed": params.photos.max_unusable,
                "examples": found["unreadable_examples"],
            },
            description=f"{found['unreadable']} of {found['photos']} photos are unreadable; "
            f"photos.max_unusable allows {params.photos.max_unusable:.1%}",
        ),
        dg.AssetCheckResult(
            check_name="enough_people",
            passed=plan["refusal"] is None,
            metadata={"people_to_train_on": plan["trainable"], "test_people_with_pairs": testable, "trains": plan["trains"]},
            description=plan["refusal"] or f"{plan['reason']}; {testable:,} test people have two photos or more",
        ),
        dg.AssetCheckResult(
            check_name="no_shared_photos",
            passed=not found["exact_duplicates"] and not found["near_duplicates"] and not not_compared,
            severity=WARN,
            metadata={
                "exact": found["exact_duplicates"],
                "near": found["near_duplicates"],
                "not_compared": not_compared,
                "examples": found["near_duplicate_examples"],
            },
            description=f"{found['exact_duplicates']} files are filed under several people (left out), "
            f"{found['near_duplicates']} pairs nearly so (kept){_incomplete(not_compared)}",
        ),
        dg.AssetCheckResult(
            check_name="one_name_a_person",
            passed=not found["people_with_several_spellings"],
            severity=WARN,
            metadata={"spellings": found["spellings"]},
            description=f"{found['people_with_several_spellings']} people have several spellings of a name and are taken for one each: "
            + "; ".join(f"{name!r} for {spelled}" for name, spelled in found["spellings"].items()),
        ),
        dg.AssetCheckResult(
            check_name="splits_stable",
            passed=not moved,
            severity=WARN,
            metadata={"moved": moved[: dataset.LISTED], "count": len(moved)},
            description=f"{len(moved)} people are in another split than in the release in production",
        ),
    ]


def _incomplete(not_compared: int) -> str:
    """A clause on the pairs that the search for near duplicates left out at its limit."""
    if not not_compared:
        return ""
    advice = "lower photos.near_duplicate_distance to compare all, or remove the near duplicates found"
    return f"; the search is incomplete: {not_compared:,} pairs of similar photos were not compared: {advice}"
