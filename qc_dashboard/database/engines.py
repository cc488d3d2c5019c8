"""Open engines: SQLite with a write-ahead log, PostgreSQL by psycopg."""

import sqlite3
from time import monotonic, sleep

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from qc_dashboard.database.address import SQLITE, sqlite_file

BUSY_TIMEOUT_MS = 10_000
"""Time for which a writer waits for one in another process."""
CONNECT_TIMEOUT_S = 10
WAL_RETRY_S = 0.05
WRITES = "qc_writes"
"""Execution option of transactions that write."""


def open_engine(url: URL) -> Engine:
    """Make the engine of that database; nothing is connected yet. Raises SettingsError."""
    if url.drivername == SQLITE:
        return _sqlite(url)
    defaults = {"connect_timeout": str(CONNECT_TIMEOUT_S), "application_name": "qc-dashboard"}
    url = url.set(query={**defaults, **url.query})
    engine = create_engine(url, hide_parameters=True, pool_pre_ping=True, pool_timeout=CONNECT_TIMEOUT_S)
    event.listen(engine, "connect", _tune)
    return engine


def _tune(connection: psycopg.Connection, _entry: ConnectionPoolEntry) -> None:
    # The default is for turning disks: with it, a search walks along the index of times past the rows of other lines.
    connection.execute("SET random_page_cost = 1.1")
    connection.commit()


def _sqlite(url: URL) -> Engine:
    url = url.set(database=str(sqlite_file(url)))
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver would begin late, and end transactions around DDL; `_begin` does it
    _switch_to_wal(connection)
    for pragma in ("synchronous = NORMAL", "foreign_keys = ON", "temp_store = MEMORY", "cache_size = -65536"):
        connection.execute(f"PRAGMA {pragma}").close()


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Switch on the write-ahead log; the switch does not wait for other connections by itself, as statements do."""
    deadline_s = monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > deadline_s:
                raise
            sleep(WAL_RETRY_S)
        else:
            return


def _begin(connection: Connection) -> None:
    # A transaction that begins by reading and writes later fails if another one has written in between.
    immediate = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
