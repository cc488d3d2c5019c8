"""Write batches of a topic: the rows and the topic's next offsets in one transaction, so that each counts once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, select, tuple_

from qc_dashboard.database.database import Database
from qc_dashboard.database.frames import SOURCE
from qc_dashboard.database.inserting import insert_into, insert_new
from qc_dashboard.database.places import places_of, set_places
from qc_dashboard.history.rows import Row, collected_row, feedback_row, inspection_row, release_row, rows_of
from qc_dashboard.history.tables import collected, consumed, duplicates, feedback, gaps, inspections, releases
from qc_dashboard.history.tallying import add_to_tallies, tally_again
from qc_worker.domain.collected import REFUSED
from qc_worker.domain.errors import QcError
from qc_worker.domain.frame import Offsets, Partition
from qc_worker.ports.feeds import PublishedCollected, PublishedFeedback, PublishedRelease
from qc_worker.ports.results import PublishedInspection
from qc_worker.runtime.failpoints import failpoint

LOOKED_UP_AT_ONCE = 200


class PlacesMoved(QcError):
    """Another process has written this topic's rows meanwhile: start again from the places that are stored."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far a batch leads: the topic's places before it, as they are stored, and after it."""

    before: Offsets
    after: Offsets


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch."""

    stored: int
    duplicates: int
    refused: int
    """Number of those that no database can hold, such as a name with a NUL."""


class HistoryWriter:
    """Writes to the tables of the history. Every method may raise DatabaseAway, and then nothing is written."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def places(self, topic: str) -> dict[Partition, int]:
        """Return the topic's next offsets to read; empty if nothing of it is stored."""
        with self._database.reading() as connection:
            return places_of(connection, consumed, topic)

    def add_inspections(self, published: Sequence[PublishedInspection], step: Step) -> Written:
        """Store a batch; an inspection whose `source` is stored counts as a duplicate. Raises PlacesMoved."""
        rows = rows_of(published, inspection_row)
        failpoint("before-rows")
        with self._database.writing() as connection:
            repeated = store_inspections(connection, rows)
            failpoint("after-rows")
            advance(connection, step)
            failpoint("after-places")
        failpoint("after-history-commit")
        return Written(len(rows) - repeated, repeated, len(published) - len(rows))

    def add_releases(self, published: Sequence[PublishedRelease], step: Step | None = None) -> Written:
        """Store a batch; a release that is stored counts as a duplicate. Raises PlacesMoved.

        Without a step the topic's places stay: for what was read beside the projection.
        """
        return self._add(releases, rows_of(published, release_row), len(published), step)

    def add_feedback(self, published: Sequence[PublishedFeedback], step: Step | None = None) -> Written:
        """Store a batch; a verdict that is stored counts as a duplicate. Raises PlacesMoved. See `add_releases`."""
        return self._add(feedback, rows_of(published, feedback_row), len(published), step)

    def note_gap(self, partition: Partition, lost: range, noticed_us: int) -> None:
        """Note that offsets of `results` were removed before they were read; once, however often it is told."""
        row = {"results_partition": partition.partition, "from_offset": lost.start, "to_offset": lost.stop}
        with self._database.writing() as connection:
            insert_new(connection, gaps, [{**row, "noticed_us": noticed_us}])

    def add_collected(self, published: Sequence[PublishedCollected], step: Step | None = None) -> Written:
        """Store a batch; the first outcome of a verdict stays, unless it was refused. Raises PlacesMoved."""
        rows = rows_of(published, collected_row)
        with self._database.writing() as connection:
            stored = _insert_outcomes(connection, rows)
            if step is not None:
                advance(connection, step)
        return Written(stored, len(rows) - stored, len(published) - len(rows))

    def _add(self, table: Table, rows: Sequence[Row], polled: int, step: Step | None) -> Written:
        with self._database.writing() as connection:
            stored = insert_new(connection, table, rows)
            if step is not None:
                advance(connection, step)
        return Written(stored, len(rows) - stored, polled - len(rows))


def store_inspections(connection: Connection, rows: Sequence[Row]) -> int:
    """Insert and count the rows whose source is not stored; return the number of the others, which are duplicates."""
    inserted, repeated = store_in(connection, rows, inspections, duplicates)
    others = {_position(row) for row in repeated}
    new = [row for row in rows if _position(row) not in others] if others else rows
    if len(new) == inserted:
        add_to_tallies(connection, new)
    else:  # some were stored from the same position before: somebody has set the places back
        tally_again(connection)
    return len(repeated)


def store_in(connection: Connection, rows: Sequence[Row], table: Table, repeated_table: Table) -> tuple[int, list[Row]]:
    """Insert the rows whose source is not stored, note the others as duplicates; return the number, and the others."""
    first: dict[tuple[Any, ...], Row] = {}
    repeated = [row for row in rows if first.setdefault(_source(row), row) is not row]
    if (inserted := insert_new(connection, table, list(first.values()))) < len(first):
        repeated += _stored_before(connection, first, table)
    insert_new(
        connection, repeated_table, [{column.name: row[column.name] for column in repeated_table.c} for row in repeated]
    )
    return inserted, repeated


def _insert_outcomes(connection: Connection, rows: Sequence[Row]) -> int:
    """Insert the outcomes; return the number of those that are new, or come after a refusal.

    A trainer that was interrupted says an outcome again, which changes nothing. One that reads feedback again, as with
    a new sample store, may refuse what was a sample before, or find the frame that another one has not found.
    """
    if not rows:
        return 0
    insert = insert_into(connection, collected)
    upsert = insert.on_conflict_do_update(
        index_elements=list(collected.primary_key.columns),
        set_={name: insert.excluded[name] for name in ("line", "outcome", "collected_us", "sample")},
        where=collected.c.outcome.in_(sorted(REFUSED)) & insert.excluded.outcome.not_in(sorted(REFUSED)),
    )
    return sum(connection.execute(upsert, row).rowcount for row in rows)


def advance(connection: Connection, step: Step) -> None:
    """Store the places after a batch. Raises PlacesMoved unless those before it are the stored ones."""
    for topic in {partition.topic for partition in step.after}:
        stored = places_of(connection, consumed, topic, lock=True)
        if stored != {partition: offset for partition, offset in step.before.items() if partition.topic == topic}:
            raise PlacesMoved(f"another process writes the history of {topic} too")
    set_places(connection, consumed, step.after)


def _stored_before(connection: Connection, given: Mapping[tuple[Any, ...], Row], table: Table) -> Iterable[Row]:
    """Find the rows that were not inserted: for their source, another position on `results` is stored."""
    key = tuple_(*(table.c[name] for name in SOURCE))
    position = (table.c.results_partition, table.c.results_offset)
    sources = list(given)
    for start in range(0, len(sources), LOOKED_UP_AT_ONCE):
        some = sources[start : start + LOOKED_UP_AT_ONCE]
        for stored in connection.execute(select(*key.clauses, *position).where(key.in_(some))):
            row = given[tuple(stored[:3])]
            if _position(row) != tuple(stored[3:]):
                yield row


def _position(row: Row) -> tuple[Any, ...]:
    return row["results_partition"], row["results_offset"]


def _source(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in SOURCE)
