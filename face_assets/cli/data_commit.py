"""`face-assets commit`: adds the changes of a clone of the data repository to DVC and git, commits and pushes them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from face_assets.core.errors import UserError
from face_assets.core.params_yaml import parse_params
from face_assets.core.rights import outside
from face_assets.dataset.photo_folders import identity_of
from face_assets.dataset.photo_survey import survey
from face_assets.gallery.people_register import parse_register
from face_assets.registry.acknowledgements import with_trailers
from face_assets.registry.dvc import last_line, run_dvc, try_dvc
from face_assets.registry.git import GitError, git, require_identity
from face_assets.registry.watch import REGISTER

FOLDERS = ("photos", "gallery")
"""Folders that the command adds to DVC where they are not tracked yet."""
TEXTS = {".csv", ".json", ".md", ".txt", ".yaml", ".yml"}
SETTINGS = {".dvcignore", ".dvc/config", "params.yaml"}
INBOX = "inbox/"
UNMERGED = {"DD", "AU", "UD", "UA", "DU", "AA", "UU"}
EXAMPLES = 5

Log = Callable[[str], None]


@outside()
def commit_changes(folder: Path, message: str, acknowledged: Sequence[str], log: Log) -> bool:
    """Commits and pushes the changes of the clone around `folder`; `log` gets a line for each action. Returns False without a commit.

    Includes changed folders of DVC, pointers, parameters and texts; other files stay and are listed. The photos are pushed before the
    commit, so that they are available once the commit is visible. acknowledged: names of people for the commit's trailers; with some,
    a commit is made also where nothing has changed, since the last one may have been refused for want of them. Raises UserError.
    """
    root = _root(folder)
    if not message.strip():
        raise UserError("The message is empty: describe the change in a few words.")
    message = with_trailers(message, [identity_of(name) for name in acknowledged], root)
    _require_valid(root)
    require_identity(root)
    staged = {path for path, (index, _) in _states(root).items() if index not in " ?"}
    folders = _changed_folders(root)
    for name, found in folders.items():
        log(f"{name}: {found}")
    log("Comparing with the DVC remote…" if not folders else "Adding to DVC, and pushing to the DVC remote…")
    if folders:
        run_dvc(root, ["add", *folders])
    try:
        run_dvc(root, ["push"])
    except UserError as error:
        raise UserError(f"{error}. Nothing is committed: mend that, and run the same again.") from error
    paths, others = _sorted_out(root)
    if paths:
        present = [path for path, (_, tree) in paths.items() if tree != " "]
        if present:
            git("add", "--", *present, cwd=root)
        git("commit", "-q", "-m", message, "--", *paths, cwd=root)
        log(f"Committed as {_head(root)[:12]}: {', '.join(paths)}")
        if already := [path for path in paths if path in staged]:
            log(f"Staged before, by whomever, and part of the commit: {_some(already)}")
    elif acknowledged:
        git("commit", "-q", "--allow-empty", "--only", "-m", message, cwd=root)
        log(f"Committed as {_head(root)[:12]}: nothing has changed, and the message acknowledges {_some(acknowledged)}.")
    else:
        log(f"Nothing has changed since commit {_head(root)[:12]}.")
    if others:
        log(f"Left as it is, for it is no pointer, parameter or text of the data repository: {_some(others)}. Use git for it.")
    _push(root, log)
    return bool(paths or acknowledged)


def _root(folder: Path) -> Path:
    """Returns the root of the clone. Raises UserError where there is none, or none with DVC."""
    try:
        root = Path(git("rev-parse", "--show-toplevel", cwd=folder).decode().removesuffix("\n"))
    except (GitError, NotADirectoryError, FileNotFoundError) as error:
        if isinstance(error, GitError) and "not a git repository" not in str(error):
            raise
        raise UserError(f"{folder.absolute()} is in no clone of a data repository: go into yours, or name it by --repo.") from error
    if not (root / ".dvc").is_dir():
        raise UserError(f"{root} is a git repository without DVC: `face-assets init` makes a data repository of a folder of photos.")
    return root


def _require_valid(root: Path) -> None:
    file = root / "params.yaml"
    if file.is_file():
        try:
            parse_params(file.read_text(encoding="utf-8"), "params.yaml")
        except UnicodeDecodeError as error:
            raise UserError(f"params.yaml is not UTF-8 text: {error}") from error
    register = root / REGISTER
    if register.is_file():
        parse_register(register.read_bytes(), REGISTER)
    if conflicts := [path for path, state in _states(root).items() if "".join(state) in UNMERGED]:
        raise UserError(f"A merge is not done: solve {_some(conflicts)}, `git add` it, and `git commit`.")


def _changed_folders(root: Path) -> dict[str, str]:
    """Returns the changed folders and files of DVC, and folders to add: path → kind of change.

    Raises UserError where adding would lose photos: those of the last commit were never fetched, or the folder is missing.
    """
    done = try_dvc(root, ["data", "status", "--json", "--granular"])
    if done.returncode:
        raise UserError(f"dvc data status: {last_line(done)}")
    status = json.loads(done.stdout)
    missing = set(status.get("not_in_cache", ()))
    kinds = {kind: status.get("uncommitted", {}).get(kind, []) for kind in ("added", "modified", "deleted", "unknown")}
    found: dict[str, str] = {}
    for path in sorted({path for paths in kinds.values() for path in paths}):
        if any(path.startswith(f"{name}/") for name in found):
            continue
        name = path.rstrip("/")
        if path in missing:
            raise UserError(f"{path} of the last commit was never fetched into this clone, and would be lost: `dvc pull {name}` first.")
        if path in kinds["deleted"]:
            raise UserError(f"{path} is gone: `dvc checkout {name}` brings it back, `dvc remove {name}.dvc` ends its tracking.")
        files = {kind: sum(one.startswith(path) and not one.endswith("/") for one in paths) for kind, paths in kinds.items()}
        found[name] = ", ".join(f"{count:,} {kind}" for kind, count in files.items() if count)
    for name in FOLDERS:
        for path in _untracked(root, name):
            found[path] = f"new, {len(survey(root / path).files):,} files"
    return found


def _untracked(root: Path, name: str) -> list[str]:
    """Returns the folder where neither DVC nor git tracks it or a part of it; with pointers in it, those next to them that have none."""
    if not (root / name).is_dir() or (root / f"{name}.dvc").exists() or not any((root / name).iterdir()):
        return []
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", name, cwd=root).decode(errors="surrogateescape")
    pointers = {PurePosixPath(path.removesuffix(".dvc")) for path in listed.split("\0") if path.endswith(".dvc")}
    if not pointers:
        return [] if git("ls-files", "-z", "--", name, cwd=root) else [name]
    known = {str(path) for pointer in pointers for path in (pointer, *pointer.parents)}
    return sorted(
        path
        for parent in {pointer.parent for pointer in pointers}
        for folder in (root / parent).iterdir()
        if folder.is_dir() and not folder.is_symlink() and not folder.name.startswith(".")
        and (path := str(parent / folder.name)) not in known
        and any(folder.iterdir())
        and not git("ls-files", "-z", "--", path, cwd=root)
    )  # fmt: skip


def _states(root: Path) -> dict[str, tuple[str, str]]:
    """Returns the paths that differ from the last commit and are not ignored, with git's letters for index and working tree."""
    listed = git("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", cwd=root).decode(errors="surrogateescape")
    return {line[3:]: (line[0], line[1]) for line in listed.split("\0") if line}


def _sorted_out(root: Path) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Returns the paths to commit, with their letters, and the other paths."""
    states = _states(root)
    ours = {path: state for path, state in sorted(states.items()) if _is_ours(path, is_new=state[0] == "?")}
    return ours, [path for path in states if path not in ours]


def _is_ours(path: str, is_new: bool) -> bool:
    """Returns True where a path belongs to the data: a pointer, a setting, or a text.

    A new text may contain secrets, so only those of the inbox, tables and notes are included.
    """
    file = PurePosixPath(path)
    if path in SETTINGS or file.suffix == ".dvc" or file.name == ".gitignore":
        return True
    return file.suffix in TEXTS and (not is_new or path.startswith(INBOX) or file.suffix in (".csv", ".md"))


def _head(root: Path) -> str:
    return git("rev-parse", "HEAD", cwd=root).decode().strip()


def _push(root: Path, log: Log) -> None:
    """Pushes the branch where its remote lacks commits."""
    remotes = git("remote", cwd=root).decode().split()
    if not remotes:
        return
    try:
        branch = git("symbolic-ref", "--short", "HEAD", cwd=root).decode().strip()
    except GitError:
        log("Not pushed: HEAD is on no branch. `git switch -c NAME` makes one.")
        return
    try:
        ahead = int(git("rev-list", "--count", "@{upstream}..HEAD", cwd=root))
        target: Sequence[str] = ()
    except GitError:  # the branch has no upstream yet
        remote = "origin" if "origin" in remotes else remotes[0]
        ahead, target = 1, ("-u", remote, branch)
    if ahead:
        try:
            git("push", "-q", *target, cwd=root)
        except GitError as error:
            raise UserError(f"Committed, and not pushed: {error}. `git pull --rebase`, and run the same again.") from error
        log(f"Pushed the branch {branch}.")


def _some(paths: Sequence[str]) -> str:
    return ", ".join(paths[:EXAMPLES]) + (f" and {len(paths) - EXAMPLES} more" if len(paths) > EXAMPLES else "")
