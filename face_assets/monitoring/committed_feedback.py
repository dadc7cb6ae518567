"""Committed feedback, read from the mirror of the data repository and never from a working tree."""

from face_assets.monitoring.feedback import INBOX, MOST_BYTES, Feedback, parse_feedback
from face_assets.registry.workspace import Workspace


def committed_feedback(workspace: Workspace, commits: list[str]) -> tuple[list[Feedback], list[str]]:
    """Returns the proposals in the inbox at these commits, each once, and a sentence about each invalid file."""
    found: dict[str, bytes] = {}
    for commit in commits:
        listed = (
            workspace.repository.git("ls-tree", "-z", "--name-only", "--end-of-options", commit, f"{INBOX}/")
            .decode(errors="replace")
            .split("\0")
        )
        names = [name for name in listed if name.endswith(".json") and "\n" not in name]
        contents = workspace.repository.read_many([f"{commit}:{name}" for name in names], MOST_BYTES)
        found |= {name: content for name, content in zip(names, contents, strict=True) if content is not None}
    return parse_feedback(found.items())
