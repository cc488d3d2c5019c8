"""Insert what may be there already, alike on both databases."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_into(connection: Connection, table: Table) -> Any:
    """Return the database's own INSERT, which has `on_conflict_do_update` and `excluded`."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose key is not in the table, and return the number of those."""
    if not rows:
        return 0
    insert = insert_into(connection, table).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
    return connection.execute(insert, rows).rowcount
