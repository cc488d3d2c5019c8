"""Read the history: searches, single inspections, counts. The same answers on SQLite and PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, select

from qc_dashboard.database.database import Database
from qc_dashboard.database.frames import at as at_source
from qc_dashboard.database.places import places_of
from qc_dashboard.history.conditions import TABLE, at, beyond, conditions, in_order
from qc_dashboard.history.counting import Count, counts_of, distinct
from qc_dashboard.history.gaps import Gap, gaps_between
from qc_dashboard.history.rows import can_be_stored
from qc_dashboard.history.search import Order, Place, Search, StoredInspection
from qc_dashboard.history.tables import consumed, duplicates, feedback, inspections, releases
from qc_dashboard.history.timeline import Timeline, timeline_of
from qc_worker.domain.feedback import Feedback
from qc_worker.domain.frame import Offsets, Partition, Position
from qc_worker.domain.release import Release
from qc_worker.wire.json_types import decode_feedback, decode_release

CAPTURE_SLACK_US = 60_000_000
"""Frames that a version judges first were taken that long before its release at most."""
FIRST_LOOKED_AT = 500
"""Verdicts of a version among which its first one since a release is looked for."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Inspections of the same line and camera, nearest in time first."""

    before: tuple[StoredInspection, ...]
    after: tuple[StoredInspection, ...]


class History:
    """Answers from the database, each from one snapshot. Every method may raise DatabaseAway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def search(
        self, search: Search, *, order: Order = Order.NEWEST, after: Place | None = None, limit: int = 50
    ) -> list[StoredInspection]:
        """Return the first inspections that meet the search, or the first ones after a place."""
        with self._database.reading() as connection:
            return _found(connection, search, order=order, after=after, limit=limit)

    def inspection(self, source: Position) -> StoredInspection | None:
        """Return the inspection of that frame; None if there is none."""
        with self._database.reading() as connection:
            return _inspection(connection, source)

    def neighbours(self, source: Position, *, count: int = 3) -> Neighbours | None:
        """Return the inspections of the same line and camera before and after it in time; None if it is not stored."""
        with self._database.reading() as connection:
            middle = _inspection(connection, source)
            if middle is None:
                return None
            same = Search(line=middle.line, camera=middle.camera)
            before, after = (
                tuple(_found(connection, same, order=order, after=middle.place, limit=count))
                for order in (Order.NEWEST, Order.OLDEST)
            )
        return Neighbours(before, after)

    def published_after(self, places: Offsets, *, limit: int = 500) -> list[StoredInspection]:
        """Return inspections in the order of `results` from these next offsets on, partition by partition.

        For a live stream: `advanced(places, found)` are the next places. Partitions that `places` lacks are left out.
        """
        found: list[StoredInspection] = []
        with self._database.reading() as connection:
            for partition, offset in sorted(places.items()):
                query = select(inspections).where(
                    TABLE.results_partition == partition.partition, TABLE.results_offset >= offset
                )
                rows = connection.execute(query.order_by(TABLE.results_offset).limit(limit - len(found)))
                found += map(StoredInspection.of_row, rows)
        return found

    def counts(self, search: Search, *, bucket_us: int | None = None) -> list[Count]:
        """Count what meets the search by line, verdict and bucket of time, in that order; lines without name first."""
        with self._database.reading() as connection:
            return counts_of(connection, search, bucket_us=bucket_us)

    def timeline(self, search: Search, *, now_us: int) -> Timeline:
        """Count what meets line, camera, version and verdicts in buckets of the span; other conditions are left out.

        Where the search has no start or end, it is that of the history, of the last year at most.
        """
        with self._database.reading() as connection:
            return timeline_of(connection, search, now_us=now_us)

    def gaps(self, since_us: int, until_us: int) -> list[Gap]:
        """List what was removed from `results` before it was read, as far as it touches the span, newest last."""
        with self._database.reading() as connection:
            return gaps_between(connection, since_us, until_us)

    def lines(self) -> list[str]:
        """List the lines that have inspections, in alphabetical order."""
        with self._database.reading() as connection:
            return distinct(connection, TABLE.line)

    def cameras(self, line: str) -> list[str]:
        """List the line's cameras, in alphabetical order."""
        with self._database.reading() as connection:
            return distinct(connection, TABLE.camera, line=line)

    def versions(self, line: str) -> list[str]:
        """List the model versions that judged frames of the line, in alphabetical order."""
        with self._database.reading() as connection:
            return distinct(connection, TABLE.model_version, line=line)

    def duplicates(self) -> int:
        """Count the inspections on `results` that were left out because their source was stored."""
        with self._database.reading() as connection:
            return int(connection.execute(select(func.count()).select_from(duplicates)).scalar_one())

    def releases(self, line: str) -> list[Release]:
        """List the line's releases that were announced while they could be read, oldest first."""
        query = select(releases.c.document).where(releases.c.line == line)
        with self._database.reading() as connection:
            documents = connection.scalars(query.order_by(releases.c.released_us, releases.c.version)).all()
        return [decode_release(document.encode()) for document in documents]

    def first_judged_us(self, line: str, version: str, *, since_us: int) -> int | None:
        """Return when the version gave its first verdict on the line since then; None if it has not."""
        # The index is by the time of the capture, which may lie a little before the release.
        query = select(TABLE.scored_us).where(
            TABLE.line == line,
            TABLE.model_version == version,
            TABLE.taken_us >= since_us - CAPTURE_SLACK_US,
            TABLE.scored_us >= since_us,
        )
        with self._database.reading() as connection:
            scored = connection.scalars(query.order_by(TABLE.taken_us).limit(FIRST_LOOKED_AT)).all()
        return min(scored, default=None)

    def released_lines(self) -> list[str]:
        """List the lines that have releases, in alphabetical order."""
        with self._database.reading() as connection:
            return distinct(connection, releases.c.line)

    def feedback_on(self, source: Position) -> list[Feedback]:
        """List people's verdicts on that frame, oldest first."""
        table = feedback.c
        if not can_be_stored(source):
            return []
        query = select(table.document).where(at_source(feedback, source))
        with self._database.reading() as connection:
            documents = connection.scalars(query.order_by(table.accepted_us, table.accepted_by)).all()
        return [decode_feedback(document.encode()) for document in documents]

    def places(self, topic: str) -> dict[Partition, int]:
        """Return the topic's next offsets: everything before them is in the history."""
        with self._database.reading() as connection:
            return places_of(connection, consumed, topic)


def advanced(places: Offsets, found: Sequence[StoredInspection]) -> dict[Partition, int]:
    """Return the places after what `published_after` has found."""
    topic = {partition.partition: partition for partition in places}
    return {**places, **{topic[one.results_partition]: one.results_offset + 1 for one in found}}


def _found(
    connection: Connection, search: Search, *, order: Order, after: Place | None, limit: int
) -> list[StoredInspection]:
    """Search verdict by verdict if there are several: an index has each in the order of time, but not all together."""
    each = [replace(search, verdicts=(verdict,)) for verdict in set(search.verdicts)] or [search]
    found = [one for part in each for one in _page(connection, part, order=order, after=after, limit=limit)]
    if len(each) > 1:
        found.sort(key=lambda one: one.place, reverse=order is Order.NEWEST)
    return found[:limit]


def _page(
    connection: Connection, search: Search, *, order: Order, after: Place | None, limit: int
) -> list[StoredInspection]:
    query = select(inspections).where(*conditions(search))
    if after is not None:
        query = query.where(beyond(after, order))
    return [StoredInspection.of_row(row) for row in connection.execute(query.order_by(*in_order(order)).limit(limit))]


def _inspection(connection: Connection, source: Position) -> StoredInspection | None:
    query = select(inspections).where(at(source))
    row = connection.execute(query).one_or_none()
    return None if row is None else StoredInspection.of_row(row)
