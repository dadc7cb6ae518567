"""Every evaluated commit, with its figures, its release and the decisions about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from face_assets.core.identifiers import COMMIT_ID
from face_assets.registry.artifact_references import artifact_of
from face_assets.registry.git import GitError
from face_assets.registry.releases import Release
from face_assets.registry.stages import Assignment
from face_assets.registry.workspace import Workspace

FIGURES = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "tar": "TAR at the gate's threshold",
    "far": "FAR there",
    "fnir": "FNIR",
    "fpir": "FPIR",
    "failures_to_acquire": "photos without a face",
}
"""Figures of the table by their keys in the evaluation's record of recognition."""


@dataclass(frozen=True)
class EvaluatedCommit:
    """An evaluated commit. when: of the commit, ISO 8601; release: the newest of it; stage: production, candidate or "";
    passed: the gate, None where the evaluation is not on this machine; figures: key of FIGURES → value."""

    commit: str
    when: str
    subject: str
    branches: tuple[str, ...]
    release: Release | None
    stage: str
    passed: bool | None
    figures: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The release's version, or the commit."""
        return self.release.version if self.release else self.commit[:12]


def evaluated_commits(workspace: Workspace) -> list[EvaluatedCommit]:
    """The commits that were evaluated on this machine or have a release, the newest first. Raises UserError."""
    repository = workspace.repository
    folder = workspace.home.artifact_references / "embedder_evaluation"
    releases = {release.trained_commit: release for release in workspace.releases.all()}
    production = workspace.stages.production()
    candidate = workspace.stages.candidate()
    stages = {candidate.release.version: "candidate"} if candidate else {}
    stages |= {production.release.version: "production"} if production else {}
    names = {file.stem for file in folder.glob("*.json") if COMMIT_ID.fullmatch(file.stem)} | releases.keys()
    found = []
    for commit in names:
        try:
            info = repository.commit_info(commit)
        except GitError:  # of another data repository, or pruned
            continue
        release, artifact = releases.get(commit), artifact_of(workspace, "embedder_evaluation", commit)
        summary: Mapping[str, Any] = artifact.summary if artifact else {}
        recognized = summary.get("recognition", {}).get("trained") or (release.metrics if release else {})
        figures = {key: recognized.get(key) if isinstance(recognized.get(key), int | float) else None for key in FIGURES}
        stage = stages.get(release.version, "") if release else ""
        found.append(EvaluatedCommit(commit, info.time, info.subject, info.branches, release, stage, summary.get("passed"), figures))
    return sorted(found, key=lambda one: (one.when, one.commit), reverse=True)


def decisions_about(workspace: Workspace, release: Release) -> list[Assignment]:
    """The assignments by which a release came into production or left it, the newest first."""
    return [one for one in reversed(workspace.stages.history()) if one.release.version == release.version]
