"""The check before a release is brought back: everybody whom it recognizes must have an entry in force in people.csv today."""

import numpy as np

from face_assets.core.errors import RefusedError
from face_assets.gallery.people_commits import followed_branch
from face_assets.gallery.people_register import read_register, today
from face_assets.registry.watch import REGISTER
from face_assets.registry.workspace import Workspace


def require_entries_in_force(workspace: Workspace, version: str) -> None:
    """Raises RefusedError for a release that recognizes people whose time has passed, or who have no entry at the head of the followed
    branch. Without a register anybody may be recognized. Raises UserError for an unknown version."""
    head = workspace.repository.resolve(followed_branch(workspace))
    register = read_register(workspace.repository, head)
    if register is None:
        return
    bundle = workspace.releases.bundle(workspace.releases.get(version))
    with np.load(bundle / "gallery.npz", allow_pickle=False) as stored:
        names = [str(name) for name in stored["names"]]
    day = today()
    bad = sum(not register.standing(name, day).is_in_force for name in names)
    if bad:
        raise RefusedError(
            f"{version} recognizes {bad:,} of {len(names):,} people who have no entry of {REGISTER} in force (commit {head[:12]}), so it "
            "is not brought back: `face-assets run` makes a release of the head without them. `face-assets people --due` lists who is "
            f"due; with a new consent, a line in {REGISTER} lets the release through."
        )
