"""A real PostgreSQL, started once a session where a test asks for it, and a database of its own for each test."""

import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from flyball_cluster.guard import guarded
from flyball_cluster.prerequisites import POSTGRES_TOOLS, require_tools
from flyball_cluster.processes import MARK

_numbers = itertools.count(1)
_STARTING = (psycopg.OperationalError, OSError)


@dataclass(frozen=True)
class Postgres:
    """A running PostgreSQL, by the folder of its socket."""

    folder: Path

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"ledger_{next(_numbers)}"
        with psycopg.connect(host=str(self.folder), user="flyball", dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY file_copy".encode())
        return f"postgresql://flyball@/{name}?host={self.folder}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL. Nothing of it is kept, so it need not sync."""
    with running("fsync=off", "shared_buffers=16MB") as found:
        yield found


@contextmanager
def running(*further: str) -> Iterator[Postgres]:
    """A real PostgreSQL with those settings, in a folder of its own that goes with it."""
    require_tools(POSTGRES_TOOLS)
    initdb, server = (str(tool.path) for tool in POSTGRES_TOOLS)
    folder = Path(tempfile.mkdtemp(prefix="flyball-postgres-"))
    as_owner: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        as_owner = ["runuser", "-u", "postgres", "--"]
    data = folder / "data"
    create = [
        *as_owner,
        initdb,
        f"--pgdata={data}",
        "--auth=trust",
        "--username=flyball",
        "--no-sync",
        "--encoding=UTF8",
    ]
    subprocess.run(create, check=True, capture_output=True, cwd="/")
    settings = ("listen_addresses=", f"unix_socket_directories={folder}", *further)
    command = [*as_owner, server, "-D", str(data), *(word for setting in settings for word in ("-c", setting))]
    with guarded(folder):
        with (folder / "log").open("w") as log:
            marked = {**os.environ, MARK: str(folder)}
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", env=marked)
        try:
            _wait(folder, process)
            yield Postgres(folder)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(folder: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            psycopg.connect(host=str(folder), user="flyball", dbname="postgres").close()
        except _STARTING:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not become ready:\n{(folder / 'log').read_text()[-2000:]}")
