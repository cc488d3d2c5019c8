"""Debian's PostgreSQL as a process of the tests, in a temporary folder and on a free port of this machine alone."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

import psycopg

from qc_worker.domain.errors import SettingsError
from qc_worker.embedded.server import LOOPBACK, Server, free_port
from tests.support.debian import found_or_installed

UNPRIVILEGED = ("postgres", "nobody")
"""Users to run it as when the tests are root's, whom PostgreSQL refuses."""
START = "-c fsync={fsync} -c listen_addresses={host} -c port={port} -c unix_socket_directories= -c max_connections=50"


class PostgreSQL:
    """A server without passwords for the user `qc`; databases are made as tests need them."""

    def __init__(self, *, durable: bool = False) -> None:
        """Hold a server; a durable one waits for the disk at each commit, which tests need not."""
        self._fsync = "on" if durable else "off"
        self._folder = Path(tempfile.mkdtemp(prefix="qc-postgresql-"))
        self._port = free_port()
        self._server: Server | None = None

    def start(self) -> None:
        """Start the server, always on the same port. Raises SettingsError if it is not installed, TransportError."""
        programs, cluster = programs_folder(), self._folder / "cluster"
        if not cluster.exists():
            _give_away(self._folder)
            make = [*_unprivileged(), str(programs / "initdb"), "-D", str(cluster), "-U", "qc", "-A", "trust"]
            subprocess.run([*make, "-E", "UTF8", "--locale=C", "--no-sync"], check=True, capture_output=True)
        options = START.format(fsync=self._fsync, host=LOOPBACK, port=self._port).split()
        command = [*_unprivileged(), str(programs / "postgres"), "-D", str(cluster), *options]
        self._server = Server("postgresql", command)
        self._server.start(self._answers)

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def remove(self) -> None:
        """Stop the server and remove its folder."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://qc@{LOOPBACK}:{self._port}/{database}"

    @contextmanager
    def new_database(self) -> Iterator[str]:
        """Create an empty database, and drop it at the end; the value is its URL."""
        name = f"test_{uuid4().hex[:12]}"
        self.run(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def run(self, statement: str) -> None:
        """Run one statement of administration."""
        with psycopg.connect(self._conninfo(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _conninfo(self) -> str:
        return f"host={LOOPBACK} port={self._port} user=qc dbname=postgres connect_timeout=2"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._conninfo()).close()
        except psycopg.OperationalError:
            return False
        return True


@cache
def programs_folder() -> Path:
    """Find the folder of initdb and postgres; root in CI installs them. Raises SettingsError."""
    found = found_or_installed(_installed, "postgresql")
    if found is None:
        raise SettingsError("PostgreSQL is not installed: apt-get install postgresql")
    return found


def _installed() -> Path | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if on_path := shutil.which("initdb"):
        folders.append(Path(on_path).parent)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


def _unprivileged() -> list[str]:
    """Return the command that gives up root's rights, if we have them."""
    if os.geteuid() != 0:
        return []
    user = _user()
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _give_away(folder: Path) -> None:
    if os.geteuid() == 0:
        os.chown(folder, _user().pw_uid, _user().pw_gid)


def _user() -> pwd.struct_passwd:
    for name in UNPRIVILEGED:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SettingsError(f"PostgreSQL does not run as root, and none of the users {UNPRIVILEGED} exists")
