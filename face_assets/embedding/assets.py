"""The assets face_embedder and exported_embedder, and the checks of its parity and precision."""

from collections.abc import Iterator

import dagster as dg

from face_assets.core.step_versions import step_version
from face_assets.embedding import export_steps as engine
from face_assets.embedding import steps
from face_assets.orchestration.conditions import REMAKE
from face_assets.orchestration.metadata import ARTIFACT, commit_check, commit_of, enforce_checks, materialized, user_errors
from face_assets.orchestration.partitions import commits
from face_assets.orchestration.pools import TRAINING
from face_assets.orchestration.tags import is_training_asked
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.storage.artifacts import Artifact

GROUP = "embedder"


@dg.asset(
    group_name=GROUP,
    partitions_def=commits,
    automation_condition=REMAKE,
    dagster_type=ARTIFACT,
    kinds={"pytorch"},
    code_version=step_version("face_embedder"),
    pool=TRAINING,
)
def face_embedder(context: dg.AssetExecutionContext, platform: WorkspaceResource, label_audit: Artifact) -> dg.MaterializeResult:
    """InceptionResnetV1, trained with a margin softmax on the people of the train split; production's where the commit adds little to
    them; the starting weights where these are too few."""
    workspace = platform.workspace()
    with user_errors(context):
        commit = commit_of(context, workspace)
        artifact = steps.train_embedder(workspace, commit, label_audit, context.log.info, is_training_asked(context.run.tags))
        return materialized(context, workspace, artifact, plots=["learning_curve"])


@dg.asset(
    group_name=GROUP,
    partitions_def=commits,
    automation_condition=REMAKE,
    dagster_type=ARTIFACT,
    kinds={"onnx", "openvino"},
    code_version=f"{step_version('export')}-{step_version('precision')}",
    check_specs=[
        commit_check("exported_embedder", "parity", "in f32 the engines give torch's embeddings on real crops, and a GPU those of the CPU"),
        commit_check("exported_embedder", "precision", "the requested precision loses little enough accuracy to be served", blocking=False),
    ],
)
def exported_embedder(
    context: dg.AssetExecutionContext, platform: WorkspaceResource, label_audit: Artifact, face_embedder: Artifact
) -> Iterator[dg.MaterializeResult]:
    """The embedder as ONNX and OpenVINO in its precision, preprocessing inside: uint8 RGB in, unit vector out."""
    workspace = platform.workspace()
    with user_errors(context):
        commit = commit_of(context, workspace)
        artifact = engine.export_embedder(workspace, commit, label_audit, face_embedder, context.log.info)
        floor = workspace.params(commit).export.min_cosine
        yield from enforce_checks(
            context, materialized(context, workspace, artifact, checks=lambda: [_parity(artifact, floor), _precision(artifact)])
        )


def _parity(artifact: Artifact, floor: float) -> dg.AssetCheckResult:
    found = artifact.summary["parity"]
    worst = min(engine["min"] for engine in found.values())
    return dg.AssetCheckResult(
        check_name="parity",
        passed=worst >= floor,
        metadata={"cosine": found, "floor": floor, "crops": artifact.summary["parity_crops"]},
        description=f"worst cosine {worst:.7f} on {artifact.summary['parity_crops']} crops; export.min_cosine asks for {floor}",
    )


def _precision(artifact: Artifact) -> dg.AssetCheckResult:
    found = artifact.summary
    refused = [f"{trial['precision']}: {trial['reason']}" for trial in found["precisions"] if not trial["accepted"]]
    return dg.AssetCheckResult(
        check_name="precision",
        passed=found["precision"] == found["precision_asked"],
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"asked": found["precision_asked"], "served": found["precision"], "tried": found["precisions"]},
        description="; ".join([f"{found['precision']} is served", *refused]),
    )
