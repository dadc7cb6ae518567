"""Commits of releases: a bundle tracked by DVC, on a commit that only its GTO tag reaches."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from face_assets.core.errors import UnreachableError, UserError
from face_assets.core.files import link_or_copy, write_json, write_text
from face_assets.core.rights import outside
from face_assets.core.yaml_io import parse_yaml
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.dvc import last_line, try_dvc
from face_assets.registry.git import GitError, git
from face_assets.registry.gto_tags import NAME, write_tag
from face_assets.registry.signatures import digests_text

RELEASE = "release"
"""The folder of a release commit that DVC tracks."""
AUTHOR, EMAIL = "Face Assets", "face-assets@localhost"
OUR_FILES = ("release.dvc", "release.json", "metrics.json", "dvc.yaml")
MOST_BYTES = 8_000_000  # of a dvc.yaml, which programs write it, too
SECONDS_TO_PUSH = 120.0
AXES: dict[str, dict[str, str]] = {
    "roc.csv": {"x": "far", "y": "tar"},
    "det.csv": {"x": "fmr", "y": "fnmr"},
    "learning_curve.csv": {"x": "epoch"},
}


def push_release(repository: DataRepository, bundle: Path, facts: Mapping[str, Any], plots: Mapping[str, Path]) -> bool:
    """Pushes the release, its bytes first and its tag last; False where another machine took the version first. Raises UserError.

    facts: of release.json, with `version`, `trained_commit` and `metrics`; plots: name → file.
    """
    version, trained_commit = facts["version"], facts["trained_commit"]
    with repository.checkout(trained_commit) as clone:
        _require_room(repository, trained_commit)
        shutil.copytree(bundle, clone / RELEASE, copy_function=link_or_copy)
        write_json(clone / "metrics.json", facts["metrics"])
        for name, file in plots.items():
            (clone / "plots").mkdir(exist_ok=True)
            shutil.copyfile(file, clone / "plots" / name)
        write_json(clone / "release.json", dict(facts))
        _push_bytes(clone)
        declared = _declared(repository.read(trained_commit, "dvc.yaml"), sorted(plots))
        write_text(clone / "dvc.yaml", declared)  # after DVC's commands, which do not need its other declarations
        when = git("show", "-s", "--format=%cI", "--end-of-options", trained_commit, cwd=clone).decode().strip()
        git("add", "-f", *OUR_FILES, *(f"plots/{name}" for name in plots), cwd=clone)
        message = f"Release {NAME} {version}"
        git("-c", "commit.gpgsign=false", "commit", "-q", "--no-verify", "-m", message, cwd=clone, env=identity(when))
        commit = git("rev-parse", "HEAD", cwd=clone).decode().strip()
        tag, message = f"{NAME}@{version}", f"{NAME} {version}, made from {trained_commit}"
        if repository.signing.key:
            message += "\n\n" + digests_text((clone / "release.json").read_bytes(), bundle)
        written = write_tag(clone, tag, commit, message, AUTHOR, EMAIL, int(time.time()), repository.signing)
        return push_tag(repository, clone, tag, written)


def _push_bytes(clone: Path) -> None:
    """Adds the release's folder to DVC and pushes it. Raises UserError, and UnreachableError where the remote fails.

    In two processes: DVC takes the umask once, as it is loaded; its cache is private here, and others read the remote.
    """
    added = try_dvc(clone, ["add", RELEASE])
    if added.returncode:
        raise UserError(f"dvc add: {last_line(added)}")
    with outside():
        pushed = try_dvc(clone, ["push", f"{RELEASE}.dvc"])
    if pushed.returncode:
        raise UnreachableError(f"The release could not be pushed to the DVC remote: dvc push: {last_line(pushed)}")


def identity(when: str) -> dict[str, str]:
    """Git's variables for a fixed author and date, by which the same bundle makes the same commit."""
    return {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", AUTHOR), ("EMAIL", EMAIL), ("DATE", when))
    }


@outside()
def push_tag(repository: DataRepository, folder: Path, tag: str, written: str) -> bool:
    """Pushes a tag, an object of `folder`, to the source; False where that has the tag. Raises UserError where it cannot be written."""
    ref = f"refs/tags/{tag}"
    try:
        git("push", "-q", "--no-verify", "--end-of-options", repository.source, f"{written}:{ref}", cwd=folder, seconds=SECONDS_TO_PUSH)
    except GitError as error:
        if git("ls-remote", "--end-of-options", repository.source, ref, cwd=folder):
            return False
        raise UnreachableError(
            f"The tag {tag} could not be pushed to {repository.shown}: {error}. The platform needs to write tags there."
        ) from error
    return True


def _declared(dvc_yaml: bytes | None, plots: list[str]) -> str:
    """The commit's dvc.yaml with metrics.json and the plots, so that `dvc metrics diff` and `dvc plots` find them. Raises UserError."""
    try:
        declared = (parse_yaml(dvc_yaml, MOST_BYTES) if dvc_yaml else None) or {}
        metrics, drawn = declared.get("metrics") or [], declared.get("plots") or []
    except (ValueError, AttributeError) as error:
        raise UserError(f"dvc.yaml of the trained commit cannot be used: {error}. Fix it and commit.") from error
    declared["metrics"] = [*(metric for metric in metrics if _name(metric) != "metrics.json"), "metrics.json"]
    if isinstance(drawn, dict):
        drawn = [{name: settings} for name, settings in drawn.items()]
    ours = [{f"plots/{name}": AXES.get(name, {})} for name in plots]
    declared["plots"] = [*(plot for plot in drawn if _name(plot) not in {f"plots/{name}" for name in plots}), *ours]
    return str(yaml.safe_dump(declared, sort_keys=False))


def _name(entry: Any) -> str:
    """The path of an entry of dvc.yaml, which is a path, or a path with its settings."""
    return str(next(iter(entry), "")) if isinstance(entry, dict) else str(entry)


def _require_room(repository: DataRepository, commit: str) -> None:
    """Raises UserError where the commit has something else under the names of a release's files."""
    entries = repository.git("ls-tree", "-z", "--end-of-options", commit, "release", "plots", *OUR_FILES).decode(errors="replace")
    for kind, name in ((entry.split(" ")[1], entry.split("\t", 1)[1]) for entry in entries.split("\0") if entry):
        if name == "release" or kind != ("tree" if name == "plots" else "blob"):
            raise UserError(f"{name} at commit {commit[:12]} has the name of a release's file: rename it and commit.")
