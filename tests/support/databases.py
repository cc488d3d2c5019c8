"""Databases for tests: an SQLite file and a database of its own on PostgreSQL, each with all migrations run."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import qc_dashboard.accounts.tables  # noqa: F401  (declares tables that migrations make)
from qc_dashboard.database.database import Database, open_database
from tests.support.postgresql import PostgreSQL

DATABASES = ("sqlite", "postgresql")


@contextmanager
def migrated(url: str) -> Iterator[Database]:
    """Open the database with its newest tables."""
    database = open_database(url)
    try:
        database.migrate()
        yield database
    finally:
        database.close()


@contextmanager
def new_url(server: PostgreSQL | None, folder: Path) -> Iterator[str]:
    """Make the URL of an empty database on that server, or in that folder."""
    with ExitStack() as stack:
        if server is None:
            yield f"sqlite:///{folder / 'history.sqlite3'}"
        else:
            yield stack.enter_context(server.new_database())
