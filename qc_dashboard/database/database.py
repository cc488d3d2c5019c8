"""The database of the dashboard: short transactions, migrations, one way to open it."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from sqlalchemy import Connection, Engine

from qc_dashboard.database.address import database_address
from qc_dashboard.database.engines import WRITES, open_engine
from qc_dashboard.database.failures import database_errors
from qc_dashboard.database.migrating import migrate_to_newest


class Database:
    """Transactions on one database; threads may share it.

    SQLite has one writer at a time, so writers of this process queue at a lock; readers see the state at their first
    statement and never wait. Every method may raise DatabaseAway (a TransportError: retry) and SettingsError.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._writing = Lock()
        self._writer = engine.execution_options(**{WRITES: True})
        snapshot = {} if self._is_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reader = engine.execution_options(**snapshot)

    @property
    def kind(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open one short transaction: committed at the end, rolled back after any error. Not to be nested."""
        with database_errors():
            if self._is_sqlite:
                with self._writing, self._writer.begin() as connection:
                    yield connection
            else:
                with self._writer.begin() as connection:
                    yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a snapshot to read from; on PostgreSQL it refuses to write."""
        with database_errors(), self._reader.connect() as connection:
            yield connection

    def migrate(self) -> None:
        """Bring the tables to the newest form; nothing or all of it is done, by one process at a time."""
        with self.writing() as connection:
            migrate_to_newest(connection)

    def close(self) -> None:
        """Disconnect."""
        self.engine.dispose()


def open_database(url: str) -> Database:
    """Open the database at that URL, without connecting yet. Raises SettingsError."""
    return Database(open_engine(database_address(url)))
