"""The step gallery_verdict: the gallery of a commit, judged by its difference to production's under one embedder."""

from pathlib import Path
from typing import Any

from face_assets.core.errors import UserError
from face_assets.core.fingerprint import fingerprint
from face_assets.core.step_versions import step_version
from face_assets.gallery.acknowledged import acknowledged_people
from face_assets.gallery.comparison import Comparison
from face_assets.gallery.decision import Scope, decide
from face_assets.gallery.earlier_names import earlier_releases
from face_assets.gallery.enrolled_photos import source_of
from face_assets.registry.stages import Assignment, Stages
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact


def judge_gallery(workspace: Workspace, commit: str, evaluation: Artifact, exported: Artifact, gallery: Artifact, log: Log) -> Artifact:
    """The verdict on a gallery: summary `checks` (name → passed, description, findings), and what it was compared with.

    Only people whom the commit adds, changes or removes are judged, against production's gallery under production's embedder, and among
    one another and the others under the new one.
    """
    params, assignment = workspace.params(commit), workspace.stages.production()
    accepted = sorted(acknowledged_people(workspace, commit, assignment, log))
    earlier, line = (earlier_releases(workspace.stages), _line(workspace.stages, assignment)) if assignment else ([], [])
    against = assignment.release.commit if assignment else None
    before = [*(release.commit for release in earlier), "line", *(one.release.commit for one in line)]
    decided_by = (against, *before, accepted, params.gallery.fingerprint(), *([] if _is_listed(workspace, assignment) else ["no list"]))
    name = fingerprint(gallery.fingerprint, evaluation.fingerprint, *decided_by, step_version("gallery_verdict"))

    def fill(directory: Path) -> dict[str, Any]:
        case = Comparison(workspace, commit, params, line, earlier, accepted, evaluation, exported, gallery, log)
        changes = case.changes
        enrolled = len(case.before.names) if case.before else None
        scope = Scope(len(changes.touched), enrolled, is_curated=case.is_curated)
        outcomes = decide(case.findings(), accepted, scope, params.gallery)
        for check, outcome in outcomes.items():
            if outcome.open:
                log(f"{check}: {outcome.description}")
        return {
            "production": assignment.release.version if assignment else None,
            "checks": {check: outcome.to_json() for check, outcome in outcomes.items()},
            "new": len(changes.new),
            "changed": len(changes.changed),
            "vanished": len(changes.vanished),
            "renamed": len(changes.renamed),
            "acknowledged": accepted,
        }

    return workspace.home.artifacts.make("gallery_verdict", name, fill)


def _line(stages: Stages, production: Assignment) -> list[Assignment]:
    """The line of the assignment in production."""
    line = stages.line()
    return line if line and line[0].release.commit == production.release.commit else [production]


def refusals(verdict: Artifact) -> list[str]:
    """The sentences of the checks that failed."""
    return [f"{name}: {found['description']}" for name, found in verdict.summary["checks"].items() if not found["passed"]]


def _is_listed(workspace: Workspace, assignment: Assignment | None) -> bool:
    """False where the list of production's people is not to be had now, which the verdict does without."""
    if assignment is None:
        return True
    repository, commit = workspace.repository, assignment.release.trained_commit
    try:
        repository.files(commit, source_of(repository, commit))
    except UserError:
        return False
    return True
