"""Pointers: the content of .dvc files, and a message for each kind that the platform does not read."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import yaml

from face_assets.core.errors import UserError
from face_assets.core.identifiers import quoted
from face_assets.core.yaml_io import is_path, parse_yaml

MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
MOST = 2**63
SHORT = 1024  # bytes; a folder of a thousand pointers is read at every commit
CONFLICT = re.compile(rb"^(<{7}|>{7})( |$)", re.MULTILINE)


@dataclass(frozen=True)
class Pointer:
    """Content of a .dvc file: the md5 of the folder or file. remote: the DVC remote that it names, None for the default one; not_pushed:
    the reason for which `dvc push` leaves its bytes out, None where it does not."""

    md5: str
    size: int | None
    files: int | None
    path: str
    remote: str | None = None
    not_pushed: str | None = None

    def plain(self, name: str) -> str:
        """Text of NAME.dvc with only what a fetch needs: DVC would open what dependencies and settings of the committed one name."""
        out = {"md5": self.md5, "hash": "md5", "path": PurePosixPath(name).name}
        return str(yaml.safe_dump({"outs": [out | ({"remote": self.remote} if self.remote else {})]}))


def parse_pointer(content: bytes, name: str, where: str) -> Pointer:
    """The pointer to `name` (photos of photos.dvc). Raises UserError that names the kind of a file that cannot be read."""
    if CONFLICT.search(content):
        raise UserError(f"{where} holds a merge conflict (<<<<<<<): choose a side, or `dvc add {name}` again, and commit.")
    try:
        parsed = (_parse_short if len(content) <= SHORT else parse_yaml)(content)
        out = _out(parsed["outs"], PurePosixPath(name).name)
        source = _source(parsed)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{where} is not a pointer of DVC: track {name} again with `dvc add {name}`.") from error
    if out is None:
        raise UserError(f"{where} tracks something else than {name}: track it with `dvc add {name}`.")
    if "files" in out:
        raise UserError(
            f"{where} is cloud-versioned: its files are kept by versions of the cloud and not by their md5. Set `dvc remote modify NAME "
            f"version_aware false`, run `dvc add {name}` and `dvc push`, and commit."
        )
    if "md5" not in out and source:
        raise UserError(f"{where} was imported without its files: run `dvc update {name}.dvc` and `dvc push`, and commit.")
    if "md5" not in out:
        raise UserError(f"{where} is not a pointer of DVC: track {name} again with `dvc add {name}`.")
    if out.get("hash") != "md5":
        raise UserError(f"{where} was written by DVC 2: run `dvc cache migrate --dvc-files`, commit and push again.")
    md5, path, remote = out["md5"], out["path"], out.get("remote")
    if not isinstance(md5, str) or not MD5.fullmatch(md5):
        raise UserError(f"{where} names {quoted(md5)}, which is no md5: track {name} again with `dvc add {name}`.")
    if not isinstance(path, str) or not is_path(path) or not isinstance(remote, str | None):
        raise UserError(
            f"{where} has {quoted(path)} for its path, or {quoted(remote)} for its remote: track {name} again with `dvc add {name}`."
        )
    not_pushed = None
    if source and source[0] == "repo":
        not_pushed = (
            f"{where} was imported by `dvc import` from {source[1]}, and the platform opens no other repository: run `dvc fetch "
            f"{name}.dvc` in the clone that it follows, or make the files yours: `rm {name}.dvc`, `dvc add {name}`, `dvc push`, and commit."
        )
    elif out.get("push") is False:
        not_pushed = f"{where} says `push: false`, by which `dvc push` leaves its files out: remove that line, push and commit."
    size, files = (_count(out.get(key), key, where) for key in ("size", "nfiles"))
    return Pointer(md5, size, files, path, remote or None, not_pushed)


@lru_cache(maxsize=16_384)
def _parse_short(content: bytes) -> Any:
    """The parsed text, which nobody may change."""
    return parse_yaml(content)


def pointer_to(committed: bytes | None, name: str, md5: str, size: int | None, files: int, where: str, remote: str | None = None) -> bytes:
    """The text of NAME.dvc that points to a folder: the committed one with other contents, or a new one, of the DVC remote `remote`.

    Raises UserError for one that cannot be read, was imported, or does not track a folder.
    """
    found = {"md5": md5, **({} if size is None else {"size": size}), "nfiles": files, "hash": "md5"}
    if committed is None:
        out = {**found, "path": PurePosixPath(name).name, **({"remote": remote} if remote else {})}
        return yaml.safe_dump({"outs": [out]}, sort_keys=False).encode()
    before, parsed = parse_pointer(committed, name, where), parse_yaml(committed)
    if not before.md5.endswith(".dir") or parsed.get("deps"):
        raise UserError(f"{where} was imported, or tracks no folder: make it yours by `rm {name}.dvc` and `dvc add {name}`, and commit.")
    changed = _out(parsed["outs"], PurePosixPath(name).name)
    assert changed is not None
    for key in ("size", "isexec"):
        changed.pop(key, None)
    changed.update(found)
    parsed.pop("md5", None)  # of the whole file, as DVC writes it for some kinds
    return yaml.safe_dump(parsed, sort_keys=False, allow_unicode=True).encode()


def _count(value: object, key: str, where: str) -> int | None:
    if value is None or (isinstance(value, int) and 0 <= value < MOST):
        return value
    raise UserError(f"{where} has for its {key} no number of bytes or files: track the folder again with `dvc add`.")


def _out(outs: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    """The only output, or of several the one with that name. Raises TypeError where they are no mappings."""
    if not isinstance(outs, list) or not all(isinstance(out, dict) for out in outs):
        raise TypeError("outs")
    if len(outs) == 1:
        return outs[0]
    return next((out for out in outs if out["path"].rstrip("/") == name), None)


def _source(parsed: dict[str, Any]) -> tuple[str, str] | None:
    """Kind, repo or url, and origin of an import; None for a file that was not imported."""
    for dependency in parsed.get("deps") or ():
        if "repo" in dependency:
            return "repo", quoted(dependency["repo"].get("url")).strip("'")
        return "url", quoted(dependency.get("path"))
    return None
