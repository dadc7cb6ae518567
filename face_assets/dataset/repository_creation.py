"""Creation of data repositories: photos under DVC, parameters under git, and a DVC remote."""

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from face_assets.core.errors import UserError
from face_assets.core.files import SHARED, write_text
from face_assets.core.outside_text import echo, shown
from face_assets.core.progress import progress_bar
from face_assets.core.rights import outside
from face_assets.core.yaml_io import is_path
from face_assets.dataset.photo_folders import identity_of, person_key
from face_assets.dataset.photo_survey import survey
from face_assets.registry.dvc import run_dvc
from face_assets.registry.dvc_config import read_config
from face_assets.registry.git import GitError, git, require_identity

COPIES_AT_ONCE = 8  # a small copy mostly waits for the file system
README = """# Face photos

`photos/` holds one folder a person, tracked by DVC. Change photos or params.yaml, then:

    face-assets commit -m "What changed"

Face Assets reads commits of this repository; releases are git tags `face-recognizer@vX.Y.Z`.
"""


@outside()
def create_repository(
    path: Path,
    photos: Path,
    params_text: str,
    remote: str | None,
    gallery: Path | None,
    note: Callable[[str], None] = lambda line: None,
    shards: int = 0,
) -> str:
    """Makes the repository, or ends what a killed call began; returns the commit. Raises UserError.

    shards: number of pointers below photos/ by which the people are divided, 0 for the one pointer photos.dvc.
    `note` gets a line on each kind of file that is not copied, and on people with several spellings of their names.
    """
    require_new(path)
    url = remote or str(path.resolve().with_name(path.resolve().name + ".dvc-remote"))
    if not is_path(url) or {'"', "'"} <= set(url):
        raise UserError(f"--remote: DVC can keep no address with control characters or both kinds of quotes: {shown(url)}")
    folders = {"photos": photos, **({"gallery": gallery} if gallery else {})}
    surveys = {name: survey(folder) for name, folder in folders.items()}
    for name, found in surveys.items():
        for line in found.notes():
            note(f"{name}: {line}")
    path.mkdir(parents=True, exist_ok=True)
    if not (path / ".git").exists():
        git("init", "-q", "-b", "main", cwd=path)
    tracked = []
    for name, found in surveys.items():
        if shards and name == "photos":
            tracked += copy_shards(folders[name], found.files, path / name, shards)
        else:
            copy_photos(folders[name], found.files, path / name)
            tracked.append(name)
    if not (path / "params.yaml").is_file():
        write_text(path / "params.yaml", params_text, SHARED)
    if not (path / "README.md").is_file():
        write_text(path / "README.md", README, SHARED)
    echo("Adding the photos to DVC and pushing them to its remote…", err=True)
    before = []
    if not (path / ".dvc" / "config").is_file():
        before.append(["init", "-f"])
    if remote or not read_config(path / ".dvc" / "config").get("core", {}).get("remote"):
        before.append(["remote", "add", "-f", "-d", "storage", url])
    return _commit(path, tracked, "Keep face photos under DVC", before)


def require_new(path: Path) -> None:
    """Raises UserError where no data repository can be made at `path`."""
    if _has_photos(path):
        raise UserError(f"{path} is a data repository already: add photos there, and `face-assets commit` them.")
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is not a folder.")
    if path.is_dir() and any(path.iterdir()) and not (path / ".git").exists():
        raise UserError(f"{path} is not empty and no git repository: name a new folder, or run `git init` there.")


def _has_photos(path: Path) -> bool:
    """True where the repository's last commit has a pointer to photos: a killed call may have left one without a commit."""
    if not (path / ".git").exists():
        return (path / "photos.dvc").is_file()
    try:
        listed = git("ls-tree", "-r", "-z", "--name-only", "HEAD", "--", "photos.dvc", "photos/", cwd=path)
    except GitError as error:
        if "object name HEAD" not in str(error):
            raise UserError(f"{path} cannot be read: {error}") from error
        return False  # no commit yet
    return any(name.endswith(b".dvc") for name in listed.split(b"\0"))


@outside()
def commit_photos(path: Path, added: Path, message: str) -> str:
    """Copies photos into the repository's one folder of them, commits and pushes to the DVC remote; returns the commit."""
    copy_photos(added, survey(added).files, path / "photos")
    return _commit(path, ["photos"], message)


def _commit(path: Path, tracked: list[str], message: str, before: Sequence[Sequence[str]] = ()) -> str:
    run_dvc(path, *before, ["add", *tracked], ["push"])
    paths = [f"{name}.dvc" for name in tracked]
    more = [
        name
        for name in (".gitignore", "photos/.gitignore", "params.yaml", "README.md", ".dvc/config", ".dvc/.gitignore", ".dvcignore")
        if (path / name).exists()
    ]
    git("add", "--", *paths, *more, cwd=path)
    if git("status", "--porcelain", "--untracked-files=no", "--", *paths, *more, cwd=path).strip():
        git("commit", "-q", "-m", message, "--", *paths, *more, cwd=path, env=_identity(path))
    return git("rev-parse", "HEAD", cwd=path).decode().strip()


def _identity(path: Path) -> dict[str, str]:
    """Git's variables for a machine without a git identity; none where there is one."""
    try:
        require_identity(path)
    except UserError:
        return {
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "Face Assets"), ("EMAIL", "face-assets@localhost"))
        }
    return {}


def copy_photos(source: Path, files: list[Path], target: Path) -> None:
    """Copies the files; an existing file is replaced, unless it is the source itself."""
    root = source.resolve()
    for folder in {file.parent for file in files}:
        (target / folder).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(COPIES_AT_ONCE) as pool, progress_bar(f"copying {target.name}", "files") as progress:
        for number, _ in enumerate(pool.map(lambda file: _copy(root / file, target / file), files), 1):
            progress(number, len(files))


def copy_shards(source: Path, files: list[Path], target: Path, count: int) -> list[str]:
    """Copies the files into folders of `target`, by a hash of each person's name; returns the folders' names, as photos/07."""
    shards: defaultdict[str, list[Path]] = defaultdict(list)
    digits = len(str(count - 1))
    for file in files:
        digest = hashlib.sha256(person_key(identity_of(file.parts[0])).encode()).digest()
        shards[f"{int.from_bytes(digest[:8], 'big') % count:0{digits}d}"].append(file)
    for name, some in sorted(shards.items()):
        copy_photos(source, some, target / name)
    return [f"{target.name}/{name}" for name in sorted(shards)]


def _copy(photo: Path, to: Path) -> None:
    if to.exists():
        if to.samefile(photo):
            return
        to.unlink()
    shutil.copyfile(photo, to)
