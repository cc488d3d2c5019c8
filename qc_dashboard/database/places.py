"""Tables of how far a reader is on each partition, written in the transaction that writes what it has read."""

from collections.abc import Mapping

from sqlalchemy import BigInteger, Column, Connection, Integer, String, Table, select

from qc_dashboard.database.inserting import insert_into
from qc_dashboard.database.metadata import metadata
from qc_worker.domain.frame import Partition


def places_table(name: str) -> Table:
    """Return a new table of next offsets."""
    return Table(
        name,
        metadata,
        Column("topic", String, primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("next_offset", BigInteger, nullable=False),
    )


def places_of(connection: Connection, table: Table, topic: str, *, lock: bool = False) -> dict[Partition, int]:
    """Return the topic's next offsets; locked, no other transaction changes them before this one has ended."""
    query = select(table).where(table.c.topic == topic)
    rows = connection.execute(query.with_for_update() if lock else query)
    return {Partition(row.topic, row.partition): row.next_offset for row in rows}


def set_places(connection: Connection, table: Table, places: Mapping[Partition, int]) -> None:
    """Store the next offset of each of these partitions."""
    if not places:
        return
    insert = insert_into(connection, table)
    upsert = insert.on_conflict_do_update(
        index_elements=["topic", "partition"], set_={"next_offset": insert.excluded.next_offset}
    )
    rows = [{"topic": p.topic, "partition": p.partition, "next_offset": offset} for p, offset in places.items()]
    connection.execute(upsert, rows)
