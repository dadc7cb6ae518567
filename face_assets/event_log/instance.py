"""Dagster's instance of a state directory: its event log and its dagster.yaml."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import sqlalchemy.exc

from face_assets.core.errors import UserError
from face_assets.core.files import file_lock, write_bytes
from face_assets.core.project_files import DEPLOY, ROOT
from face_assets.storage.home import Home

WORKSPACE = ROOT / "workspace.yaml"


def prepare_dagster_home(home: Home) -> Path:
    """Prepares DAGSTER_HOME, in the state directory unless settings name another, and sets it in the environment. Returns it."""
    desired = (DEPLOY / "dagster.yaml").read_bytes()
    file = home.dagster / "dagster.yaml"
    if home.dagster.is_relative_to(home.root) and (not file.is_file() or file.read_bytes() != desired):
        write_bytes(file, desired)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    os.environ["FACE_ASSETS_HOME"] = str(home.root)
    return home.dagster


@contextmanager
def open_instance(home: Home) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance of the state directory. Raises UserError if its event log cannot be read or written, as on a full disk."""
    folder = prepare_dagster_home(home)
    try:
        with file_lock(folder / ".opening.lock"):  # concurrent creation would leave the databases with two schema versions
            instance = dg.DagsterInstance.from_config(str(folder))
        with instance:
            yield instance
    except sqlalchemy.exc.DatabaseError as error:
        raise UserError(f"Dagster's event log in {home.dagster} cannot be read or written ({error.orig}): is the disk full?") from error
