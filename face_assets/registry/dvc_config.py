"""DVC's configuration: the settings of a commit, which is not trusted, those of this machine, and their merge for our clones.

A commit may name its remotes and how they are reached. It may not name commands, and no files of this machine: an S3 remote's `configpath`
names a file whose credential_process is any command, and WebDAV's `bearer_token_command` is one. Such settings are taken from this
machine's user alone: from .dvc/config.local of the working tree, if it is the user's own file and not tracked by git, and from DVC's
settings of the user and the system, which DVC reads by itself.

Nor may a commit send this user's credentials to a server of its choosing, where they are sent as they are (SENT_AS_THEY_ARE). S3's and
OSS's keys sign requests and do not leave the machine, so a commit may set `endpointurl` of S3 and `oss_endpoint`. Azure's
`connection_string` holds a key of its own, and none of the user's goes with it.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from configobj import ConfigObj, ConfigObjError

from face_assets.core.errors import UserError
from face_assets.core.identifiers import quoted
from face_assets.core.yaml_io import expanded, is_path
from face_assets.registry.git import OURS, GitError, config_options, git

Config = dict[str, dict[str, str]]
MOST_BYTES = 256 * 1024
SCHEMES = ("", "s3", "gs", "azure", "ssh", "http", "https", "webdav", "webdavs", "hdfs", "webhdfs", "oss", "gdrive", "remote")
ALLOWED = frozenset(
    """
    url jobs checksum_jobs version_aware worktree no_traverse verify timeout read_timeout connect_timeout ssl_verify allow_anonymous_login
    type protected shared slow_link_warning
    region profile endpointurl listobjects use_ssl cache_regions access_key_id secret_access_key session_token
    acl grant_read grant_read_acp grant_write_acp grant_full_control sse sse_kms_key_id sse_customer_algorithm sse_customer_key
    projectname
    account_name account_key sas_token connection_string tenant_id client_id client_secret connection_timeout
    exclude_environment_credential exclude_visual_studio_code_credential exclude_shared_token_cache_credential
    exclude_managed_identity_credential
    port user password gss_auth allow_agent max_sessions
    auth custom_auth_header method token
    replication kerberos kerberos_principal use_https
    oss_key_id oss_key_secret oss_endpoint
    gdrive_client_id gdrive_client_secret gdrive_trash_only gdrive_acknowledge_abuse
    """.split()  # noqa: SIM905
)
"""The settings of a remote that a commit may make: every kind's, a folder's, S3's (2 lines), Google's, Azure's (3), ssh's, HTTP's and
WebDAV's, HDFS', OSS', Google Drive's. DVC itself rejects those that do not belong to the kind."""
REMOTE = re.compile(r'remote\s*"(?P<name>.*)"', re.IGNORECASE)
NAME = re.compile(r"[\w .+-]{1,100}")
PATHS = ("keyfile", "credentialpath", "configpath", "cert_path", "key_path")
PATHS_OF_GDRIVE = ("gdrive_user_credentials_file", "gdrive_service_account_json_file_path")
AZURE_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
"""A name that becomes the first part of a host of Microsoft's, which gets the user's token; with a slash it would be a host itself."""
SENT_AS_THEY_ARE = ("password", "token", "bearer_token_command")
"""Secrets of ssh, HTTP, WebDAV and HDFS, which the server of the remote's address reads. Google's token is one, too: it goes to
`endpointurl`."""
ASKING = ("ask_password", "ask_passphrase")  # on a terminal, which does not exist
S3_KEYS = ("access_key_id", "secret_access_key", "session_token")
"""Left out of our clones: S3's keys come from the environment, as AWS_ACCESS_KEY_ID does, and are written to no file."""


def read_config(path: Path) -> Config:
    """A configuration file of DVC, empty where there is none. Raises UserError."""
    return parse_config(path.read_bytes() if path.is_file() else b"", str(path))


def parse_config(content: bytes, where: str) -> Config:
    """Sections by name, with names and keys in small letters, as DVC reads them. Raises UserError."""
    if len(content) > MOST_BYTES:
        raise UserError(f"{where} is longer than {MOST_BYTES:,} bytes: that is no configuration of DVC.")
    try:
        sections = ConfigObj(content.decode().splitlines(), interpolation=False).dict()
    except (ConfigObjError, UnicodeDecodeError) as error:
        raise UserError(f"{where} is not a configuration of DVC: {str(error).splitlines()[0]}") from error
    found: Config = {}
    for section, values in sections.items():
        if isinstance(values, dict):
            _require_plain(section, values, where)
            kept = {key.lower(): value for key, value in values.items() if _is_plain(value)}
            found.setdefault(section.lower(), {}).update(kept)
    return found


def _require_plain(section: str, values: dict[str, object], where: str) -> None:
    """Raises UserError for a remote whose name or values DVC would read in more than one way."""
    remote = _remote(section)
    odd = [key for key, value in values.items() if not _is_plain(value)]
    if remote is not None and not NAME.fullmatch(remote):
        raise UserError(f"{where}: {quoted(remote)} is no name of a remote: letters, digits, blanks and - . + _ make one.")
    if remote is not None and odd:
        raise UserError(f"{where}: {quoted(odd[0])} of the remote {quoted(remote)} is no single text, or holds quotes or %(…).")


def _is_plain(value: object) -> bool:
    return isinstance(value, str) and not ("%(" in value or ('"' in value and "'" in value)) and (not value or is_path(value))


def remotes_of(config: Config) -> Iterator[tuple[str, dict[str, str]]]:
    """The remotes of a configuration: name and settings."""
    return ((name, values) for section, values in config.items() if (name := _remote(section)) is not None)


def _remote(section: str) -> str | None:
    found = REMOTE.fullmatch(section.strip().strip("'"))
    return found["name"] if found else None


def require_harmless(config: Config, where: str) -> None:
    """Raises UserError where a commit's remote names commands or files of this machine, or is of an unknown kind."""
    for name, values in remotes_of(config):
        refused = [key for key in values if key not in ALLOWED]
        if "ssl_verify" in values and values["ssl_verify"].lower() not in ("true", "false"):
            refused.append("ssl_verify")
        if refused:
            raise UserError(
                f"{where} sets {' and '.join(map(quoted, refused))} of the remote {quoted(name)}, which may name commands or files of this "
                "machine: a commit cannot. Take it out of the commit, and set it for this machine (`dvc remote modify --local` in the "
                "working tree, or DVC's configuration of the user who runs the platform)."
            )
        _require_known(config, name, where)


def _require_known(config: Config, name: str, where: str, through: tuple[str, ...] = ()) -> None:
    """Raises UserError for a kind of remote that is none of DVC's, and for remotes that refer to one another in a circle."""
    url = dict(remotes_of(config)).get(name, {}).get("url", "")
    try:
        parts = urlsplit(url)
        known = parts.scheme.lower() in SCHEMES and bool(parts.netloc or not parts.scheme)
    except ValueError:
        known = False
    if not known or (parts.netloc in (*through, name) and parts.scheme == "remote"):
        raise UserError(f"{where}: the remote {quoted(name)} has the address {quoted(url)}, which is of no kind that DVC has.")
    if parts.scheme == "remote":
        _require_known(config, parts.netloc, where, (*through, name))


def is_own(path: Path) -> bool:
    """True for a file of the user who runs this, or of the administrator, that git does not track."""
    try:
        owner = path.stat().st_uid
    except OSError:
        return False
    return owner in (os.geteuid(), 0) and not _is_tracked(path) and not _is_tracked(path.resolve())


def _is_tracked(path: Path) -> bool:
    """True where the repository around a file tracks it, or where git cannot read that repository."""
    try:
        return bool(git(*config_options(OURS), "ls-files", "-z", "--", path.name, cwd=path.parent))
    except GitError as error:
        return "not a git repository" not in str(error)


def merged(committed: Config, local: Path | None, where: str) -> Config:
    """The configuration of a clone: the commit's remotes, overridden by those of the working tree `local` on this machine.

    Raises UserError for what a commit may not set; another user's working tree may set what a commit may.
    """
    require_harmless(committed, where)
    layers = [committed]
    own = list(_of_user())
    tree: Config = {}
    if local:
        file = local / ".dvc" / "config.local"
        theirs = read_config(file)
        with suppress(UserError):  # in the middle of a merge it names no address
            tree = read_config(file.with_name("config"))
        if is_own(file):
            own.append(theirs)
        else:
            require_harmless(theirs, str(file))
        layers.append(theirs)
    found: Config = {"core": {}}
    for layer in layers:
        for name, values in remotes_of(layer):
            kept = {key: _from_here(key, value, local) for key, value in values.items() if key not in (*S3_KEYS, *ASKING)}
            found.setdefault(f'remote "{name}"', {}).update(kept)
        if "remote" in layer.get("core", {}):
            found["core"]["remote"] = layer["core"]["remote"]
    _require_own_servers(found, _layered(own), _layered([tree, *own]), where)
    return found


def _of_user() -> Iterator[Config]:
    """DVC's settings of the system and of the user who runs this, which DVC reads by itself; what is odd there is DVC's to say."""
    from dvc.dirs import global_config_dir, system_config_dir

    for folder in (system_config_dir(), global_config_dir()):
        with suppress(UserError):
            yield read_config(Path(folder) / "config")


def _layered(layers: Iterable[Config]) -> Config:
    """The remotes of all layers; the settings of later ones win."""
    found: Config = {}
    for layer in layers:
        for name, values in remotes_of(layer):
            found.setdefault(f'remote "{name}"', {}).update(values)
    return found


def _require_own_servers(found: Config, own: Config, known: Config, where: str) -> None:
    """Raises UserError where credentials of this machine's user would go to a server that a commit names.

    found: what a clone would get; own: what the user of this machine set; known: the same with the settings of the working tree, whose
    addresses are those that the user gave a password for.
    """
    for name, values in remotes_of(found):
        mine, address = dict(remotes_of(own)).get(name, {}), _address(found, name)
        meant = _address(known, name)
        theirs = [key for key in ("endpointurl", "account_name") if key in values and values[key] != mine.get(key)]
        if address and address[0] == "gs" and "endpointurl" in theirs:
            raise _diverted(where, name, "'endpointurl'")
        if "account_name" in theirs and not AZURE_ACCOUNT.fullmatch(values["account_name"]):
            raise _diverted(where, name, "'account_name', which is no name of an account,")
        if address and meant and address != meant and any(key in mine for key in SENT_AS_THEY_ARE):
            raise _diverted(where, name, f"the address {quoted(values.get('url'))}")


def _diverted(where: str, name: str, what: str) -> UserError:
    return UserError(
        f"{where} sets {what} of the remote {quoted(name)}, by which credentials of this machine's user would go to a server that the "
        "commit names. If that server may have them, set the same for this machine (`dvc remote modify --local` in the working tree, or "
        "DVC's configuration of the user who runs the platform)."
    )


def _address(config: Config, name: str, through: tuple[str, ...] = ()) -> tuple[str, str] | None:
    """Scheme and host of a remote, also of one that refers to another; None where the configuration does not say."""
    url = dict(remotes_of(config)).get(name, {}).get("url")
    if url is None or name in through:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme == "remote":
        return _address(config, parts.netloc, (*through, name))
    return parts.scheme.lower(), parts.netloc.rpartition("@")[2].lower()


def _from_here(key: str, value: str, local: Path | None) -> str:
    """The value, with a path relative to the working tree's .dvc folder made absolute."""
    is_address = key == "url" and ("://" in value or not value)
    if not local or is_address or key not in ("url", *PATHS, *PATHS_OF_GDRIVE) or expanded(value).is_absolute():
        return value
    return str((local / ".dvc" / value).resolve())


LINKS = "hardlink,copy"
"""Types of DVC's cache, the second where the file system has no links (https://dvc.org/doc/user-guide/data-management/large-dataset-optimization)."""


def configure(clone: Path, config: Config, cache: Path, links: bool = False) -> None:
    """Writes the configuration of a clone; `cache` is its DVC cache, links: whether files that are added become hard links of it."""
    quiet = {"analytics": "false", "autostage": "false", "check_update": "false", "site_cache_dir": str(clone / ".dvc" / "site")}
    where = {"dir": str(cache), **({"type": LINKS} if links else {})}
    merged_file = ConfigObj({**config, "core": {**config["core"], **quiet}, "cache": where}, interpolation=False, encoding="utf-8")
    file = clone / ".dvc" / "config.local"
    file.parent.mkdir(exist_ok=True)
    file.touch(mode=0o600)  # the password of a remote may be in it
    with open(file, "wb") as output:
        merged_file.write(output)
