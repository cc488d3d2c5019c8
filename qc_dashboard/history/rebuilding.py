"""Make the history again from `results` beside the present one, and exchange the two in one transaction.

A crash leaves the present history or the new one, whole, and tables that the next rebuild removes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, MetaData, Table, and_, delete, func, insert, select

from qc_dashboard.database.database import Database
from qc_dashboard.database.frames import SOURCE
from qc_dashboard.database.places import places_of, set_places
from qc_dashboard.history.rows import inspection_row, rows_of
from qc_dashboard.history.tables import consumed, duplicates, gaps, inspections
from qc_dashboard.history.tallying import tally_again
from qc_dashboard.history.writing import store_in
from qc_worker.domain.frame import Offsets, Partition
from qc_worker.ports.results import PublishedInspection
from qc_worker.runtime.failpoints import failpoint


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What the history consists of after a rebuild."""

    inspections: int
    duplicates: int
    kept: int
    """Inspections that `results` does not hold any more, or that came in meanwhile."""
    refused: int


class Rebuild:
    """One rebuild. Every method may raise DatabaseAway; then the present history stays."""

    def __init__(self, database: Database) -> None:
        self._database = database
        beside = MetaData()
        self._inspections = _copy(inspections, beside)
        self._duplicates = _copy(duplicates, beside)
        self._refused = 0

    def begin(self) -> None:
        """Make the new tables, empty; those that an interrupted rebuild has left are removed."""
        with self._database.writing() as connection:
            self._drop(connection)
            self._inspections.create(connection)
            self._duplicates.create(connection)

    def add(self, published: Sequence[PublishedInspection]) -> None:
        """Store a batch in the new tables."""
        rows = rows_of(published, inspection_row)
        self._refused += len(published) - len(rows)
        with self._database.writing() as connection:
            store_in(connection, rows, self._inspections, self._duplicates)
        failpoint("after-rebuilt-rows")

    def exchange(self, starts: Offsets, ends: Offsets, *, forget_older: bool = False) -> Rebuilt:
        """Put what was read, from `starts` to `ends`, in place of what the history has from there.

        What lies before `starts` on `results` was removed by retention, and what lies behind `ends` was written by a
        running projection meanwhile: both are kept. With `forget_older` nothing is, and a projection reads on from
        `ends`: for a topic that was deleted and created again.
        """
        with self._database.writing() as connection:
            stored = _lock(connection, ends)
            if forget_older:
                _delete_all(connection)
                stored = {}
            else:
                _delete_read(connection, starts, ends)
            kept = _size(connection, inspections)
            self._copy_new(connection)
            tally_again(connection)
            set_places(connection, consumed, {p: max(end, stored.get(p, 0)) for p, end in ends.items()})
            total, repeated = _size(connection, inspections), _size(connection, duplicates)
            failpoint("in-exchange")
            self._drop(connection)
        failpoint("after-exchange")
        return Rebuilt(total, repeated, kept, self._refused)

    def _copy_new(self, connection: Connection) -> None:
        """Copy the new rows; one whose frame has a kept inspection is a duplicate of that."""
        new, old = self._inspections.c, inspections.c
        same_frame = and_(*(new[name] == old[name] for name in SOURCE))
        columns = [new[column.name] for column in duplicates.c]
        known = select(*columns).select_from(self._inspections.join(inspections, same_frame))
        connection.execute(insert(self._duplicates).from_select([column.name for column in duplicates.c], known))
        missing = self._inspections.outerjoin(inspections, same_frame)
        rows = select(self._inspections).select_from(missing).where(old.source_topic.is_(None))
        connection.execute(insert(inspections).from_select([column.name for column in inspections.c], rows))
        repeated = select(self._duplicates)
        connection.execute(insert(duplicates).from_select([column.name for column in duplicates.c], repeated))

    def _drop(self, connection: Connection) -> None:
        self._duplicates.drop(connection, checkfirst=True)
        self._inspections.drop(connection, checkfirst=True)


def _lock(connection: Connection, ends: Offsets) -> dict[Partition, int]:
    """Keep a running projection from writing until this transaction has ended; return the stored places."""
    topics = {partition.topic for partition in ends}
    return {p: place for topic in topics for p, place in places_of(connection, consumed, topic, lock=True).items()}


def _delete_all(connection: Connection) -> None:
    for table in (inspections, duplicates, gaps):
        connection.execute(delete(table))


def _delete_read(connection: Connection, starts: Offsets, ends: Offsets) -> None:
    for table in (inspections, duplicates):
        for partition, end in ends.items():
            column, first = table.c.results_offset, starts.get(partition, 0)
            here = table.c.results_partition == partition.partition
            connection.execute(delete(table).where(here, column >= first, column < end))


def _copy(table: Table, beside: MetaData) -> Table:
    """Declare a table of that form without its indexes: it is written once and read once."""
    copied = table.to_metadata(beside, name=f"{table.name}_rebuilt")
    copied.indexes.clear()
    copied.primary_key.name = f"pk_{copied.name}"  # PostgreSQL has one space of names for tables and indexes
    return copied


def _size(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())
