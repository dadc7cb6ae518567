"""DVC as a command, and its configuration: what a clone of ours needs to reach the user's remotes."""

import configparser
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from face_assets.credentials import without_credentials
from face_assets.errors import UserError
from face_assets.registry.git import environment
from face_assets.written import expanded

DVC_ENVIRONMENT = {"DVC_NO_ANALYTICS": "1", "GIT_TERMINAL_PROMPT": "0"}
S3_KEYS = ("access_key_id", "secret_access_key", "session_token")


def dvc_config(path: Path) -> configparser.ConfigParser:
    """A configuration file of DVC, empty where there is none. Raises UserError."""
    return parse_config(path.read_text(encoding="utf-8") if path.is_file() else "", str(path))


def parse_config(text: str, where: str) -> configparser.ConfigParser:
    """A configuration of DVC, its values without the quotes DVC sets around commas. Raises UserError."""
    config = configparser.ConfigParser(interpolation=None)
    try:
        config.read_string("\n".join(line.strip() for line in text.splitlines()))
    except configparser.Error as error:
        raise UserError(f"{where} is not a configuration of DVC: {str(error).splitlines()[0]}") from error
    for values in config.values():
        for key, value in values.items():
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                values[key] = value[1:-1]
    return config


SEVERAL = """
import json, sys
from dvc.cli import main
for number, command in enumerate(json.loads(sys.argv[1]), 1):
    if main(command):
        sys.exit(number)
"""


def run_dvc(cwd: Path, *commands: Sequence[str]) -> None:
    """Commands of this environment's dvc, in one process: it takes half a second to start. Raises UserError with DVC's reason."""
    done = try_dvc(cwd, *commands)
    if done.returncode:
        failed = dict(enumerate((command[0] for command in commands), 1)).get(done.returncode, "was ended")
        raise UserError(f"dvc {failed}: {last_line(done)}")


def try_dvc(cwd: Path, *commands: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """The same; its exit status is the number of the command that failed."""
    command = [sys.executable, "-c", SEVERAL, json.dumps(commands)]
    return subprocess.run(command, cwd=cwd, env={**environment(), **DVC_ENVIRONMENT}, capture_output=True, text=True, check=False)


def last_line(done: "subprocess.CompletedProcess[str]") -> str:
    """What DVC said last, without credentials."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.strip().splitlines() or ["no message"]
    return without_credentials(lines[0].removeprefix("ERROR: ").strip())


def configure(clone: Path, local: Path | None, cache: Path) -> None:
    """Gives a clone the remotes of its commit and those that stand in the working tree `local` alone, and `cache` as its DVC cache."""
    config = configparser.ConfigParser(interpolation=None)
    for base, name in ((clone, "config"), (local, "config.local")):
        if base is None:
            continue
        for section, values in dvc_config(base / ".dvc" / name).items():
            if section.strip("'").startswith('remote "'):
                config.setdefault(section, {})
                # keys of S3 come from the environment, as AWS_ACCESS_KEY_ID does, and stand in no file of ours
                config[section].update({key: value for key, value in values.items() if key not in S3_KEYS})
                url = values.get("url", "")
                if url and "://" not in url and not expanded(url).is_absolute() and local:
                    config[section]["url"] = str((local / ".dvc" / url).resolve())
            if section == "core" and "remote" in values:
                config["core"] = {"remote": values["remote"]}
    config["cache"] = {"dir": str(cache)}
    config.setdefault("core", {})
    quiet = {"analytics": "false", "autostage": "false", "check_update": "false"}
    config["core"].update({**quiet, "site_cache_dir": str(clone / ".dvc" / "site")})
    for values in config.values():
        for key, value in values.items():
            values[key] = f'"{value}"' if set(value) & set(",#") else value
    file = clone / ".dvc" / "config.local"
    file.unlink(missing_ok=True)  # a commit may hold one, even as a link that leads out of the clone
    file.touch(mode=0o600)  # a remote of another kind may have its password here
    with open(file, "w", encoding="utf-8") as output:
        config.write(output)
