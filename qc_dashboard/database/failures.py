"""Turn errors of the database's drivers into ours: one line, without statements, parameters or passwords."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from qc_worker.domain.errors import SettingsError, TransportError

SQLITE_NEVER_PASSES = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_READONLY})
POSTGRESQL_NEVER_PASSES = ("authentication failed", "no password supplied", 'role "', 'database "', "pg_hba.conf")
"""Parts of a refused login's message: libpq gives no code for it. Access must be changed; a retry cannot help."""


class DatabaseAway(TransportError):
    """The database does not answer, is locked or is full; a retry may help."""


@contextmanager
def database_errors() -> Iterator[None]:
    """Raise DatabaseAway or SettingsError for failures of connection, server or file; others pass as they are."""
    try:
        yield
    except PoolTimeout:
        raise DatabaseAway("history database: timed out waiting for a free connection") from None
    except DBAPIError as error:
        ours = _translated(error)
        if ours is None:
            raise
        raise ours from None


def _translated(error: DBAPIError) -> SettingsError | DatabaseAway | None:
    """Make our error of a driver's; None if a statement is wrong, which is a defect of the program."""
    said = "; ".join(line.strip() for line in str(error.orig).splitlines() if line.strip())
    if isinstance(error.orig, sqlite3.Error):
        code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # without the extended part
        never, away = code in SQLITE_NEVER_PASSES, code != sqlite3.SQLITE_ERROR
    else:
        never, away = any(part in said for part in POSTGRESQL_NEVER_PASSES), True
    if not isinstance(error, OperationalError) and not error.connection_invalidated and not never:
        return None
    if never:
        return SettingsError(f"history database: {said}; check QC_HISTORY_URL")
    return DatabaseAway(f"history database: {said}") if away else None
