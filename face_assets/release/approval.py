"""Approval of a candidate by a second person, which puts it into production."""

from face_assets.core import identifiers
from face_assets.core.errors import RefusedError
from face_assets.registry.approval import objection
from face_assets.registry.decision import approval_message
from face_assets.registry.person import Person
from face_assets.registry.stages import Assignment
from face_assets.registry.workspace import Workspace
from face_assets.release.consent import require_entries_in_force
from face_assets.release.promotion import is_of_production


def approve(workspace: Workspace, version: str, note: str, who: Person) -> Assignment:
    """Approves the release in the name of `who`, and returns the stage tag that puts it into production.

    Raises RefusedError where no approval is required, for a person who may not approve it, for a release that the gate did not let
    through against what is in production now, or whose commit left the branches of production, and for one that is approved already;
    UserError for an unknown version.
    """
    workspace.repository.refresh()
    stages = workspace.stages
    release = workspace.releases.get(identifiers.version(version if version.startswith("v") else f"v{version}"))
    if not stages.approval_required:
        raise RefusedError(
            f"No approval is required here, so none is recorded: FACE_ASSETS_PRODUCTION_APPROVAL=required requires it, "
            f"and `face-assets promote {release.version}` puts the release into production."
        )
    if reason := objection(workspace.repository, release, who):
        raise RefusedError(f"{release.version} is not approved: {reason}.")
    if approval := stages.approval(release):
        raise RefusedError(
            f"{release.version} was approved by {approval}. `face-assets promote {release.version}` puts it into production."
        )
    passed = next((one for one in reversed(stages.by_gate(release)) if is_of_production(workspace, one.commit)), None)
    if passed is None:
        raise RefusedError(
            f"{release.version} is no candidate: the gate did not let it through, or its commit is on no branch of production. "
            f"`face-assets promote {release.version} --reason WHY` puts it there all the same, as a decision of yours."
        )
    now = stages.production()
    if now and now.place > passed.place:
        raise RefusedError(
            f"{release.version} is not approved: the gate judged it before {now.release.version} went into production, by {now.tag}. "
            f"`face-assets run --commit {passed.commit[:12]}` has it judged again."
        )
    require_entries_in_force(workspace, release.version)
    assigned = stages.assign(release.version, approval_message(note), who, again=True)
    assert assigned is not None
    return assigned
