"""The event log in PostgreSQL: its texts are changed, and the old rows are in no file of the server."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from face_assets.event_log.databases import rewrite, texts

pytestmark = pytest.mark.skipif(shutil.which("initdb") is None, reason="no PostgreSQL on the PATH")
NAME = "Zoë Müller of the test"


@pytest.fixture
def server() -> Iterator[tuple[str, Path]]:
    """The address of a server of its own, and its folder. It runs as another user, for it refuses root."""
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as name:
        folder, become = Path(name), [] if os.geteuid() else ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        if become:
            shutil.chown(folder, "postgres", "postgres")
        run = lambda *command: subprocess.run([*become, *command], check=True, capture_output=True, cwd="/")  # noqa: E731
        run("initdb", "-D", f"{name}/data", "-U", "platform", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses= -c unix_socket_directories={name} -c fsync=off"
        run("pg_ctl", "-D", f"{name}/data", "-w", "-l", f"{name}/log", "-o", options, "start")
        try:
            yield f"postgresql://platform@/postgres?host={name}", folder
        finally:
            run("pg_ctl", "-D", f"{name}/data", "-m", "fast", "-w", "stop")


def test_a_name_leaves_the_texts_and_the_files(server: tuple[str, Path]) -> None:
    address, folder = server
    engine = sa.create_engine(address, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE event_logs (id serial PRIMARY KEY, event text, asset_key varchar, at timestamp)"))
        values = [{"event": json.dumps({"text": f"{NAME} {number}"}), "key": NAME} for number in range(50)]
        connection.execute(sa.text("INSERT INTO event_logs (event, asset_key) VALUES (:event, :key)"), values)
        connection.execute(sa.text("INSERT INTO event_logs (event) VALUES ('Ann')"))
    assert rewrite(address, lambda text: text.replace(NAME, "person-1").replace(json.dumps(NAME)[1:-1], "person-1")) == 100
    found = [text for _, column, _, text in texts(address) if column == "event"]
    assert sorted(found) == sorted(["Ann", *(json.dumps({"text": f"person-1 {number}"}) for number in range(50))])
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(sa.text("CHECKPOINT"))
    tables = [file for file in (folder / "data" / "base").rglob("*") if file.is_file()]
    assert not [file for file in tables if b"of the test" in file.read_bytes()]
