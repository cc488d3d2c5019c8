"""Take frames out of the queue that nobody can judge any more: their picture is gone, or the history forgot them."""

from collections.abc import Callable

import structlog
from sqlalchemy import ColumnElement, exists, or_, select

from qc_dashboard.archive.tables import evidence
from qc_dashboard.database.database import Database
from qc_dashboard.database.frames import SOURCE, same_frame
from qc_dashboard.history.tables import inspections
from qc_dashboard.history.times import to_us
from qc_dashboard.review.queue import ROW, ReviewQueue, is_open
from qc_dashboard.review.tables import queue
from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Offsets, Partition, Position
from qc_worker.ports.clock import Clock

LOOKED_AT_ONCE = 500

log = structlog.get_logger()


class QueueExpiry:
    """Withdraws open frames whose records have left their topic and whose pictures are not archived.

    A leased frame stays until its lease ends: somebody looks at it.
    """

    def __init__(
        self, database: Database, reviews: ReviewQueue, clock: Clock, *, oldest: Callable[[str], Offsets]
    ) -> None:
        """Hold the parts; `oldest` looks up a topic's first offsets that retention has left (TransportError)."""
        self._database = database
        self._reviews = reviews
        self._clock = clock
        self._oldest = oldest

    def step(self) -> bool:
        """Withdraw some frames of each partition; False if none is left to look at. Raises TransportError."""
        gone, failure = self._forgotten(), None
        for topic, partitions in self._partitions().items():
            try:
                oldest = self._oldest(topic)
            except TransportError as error:  # the frames of the other topics can still be looked for
                failure = error
                continue
            for partition in partitions:
                gone += self._unseen(partition, oldest.get(partition, 0))
        withdrawn = self._reviews.withdraw(gone)
        if withdrawn:
            log.info("frames left the review queue", count=withdrawn, reason="their pictures are gone")
        if failure is not None:
            raise failure
        return withdrawn >= LOOKED_AT_ONCE

    def _partitions(self) -> dict[str, list[Partition]]:
        query = select(ROW.source_topic, ROW.source_partition).where(is_open()).distinct()
        found: dict[str, list[Partition]] = {}
        with self._database.reading() as connection:
            for topic, partition in connection.execute(query):
                found.setdefault(topic, []).append(Partition(topic, partition))
        return found

    def _unseen(self, partition: Partition, oldest: int) -> list[Position]:
        """Return open frames before that offset, without those that are archived."""
        here = (ROW.source_topic == partition.topic, ROW.source_partition == partition.partition)
        # By values, not by columns: the two tables' topics have different collations on PostgreSQL.
        archived = exists().where(
            evidence.c.source_topic == partition.topic,
            evidence.c.source_partition == partition.partition,
            evidence.c.source_offset == ROW.source_offset,
        )
        return self._found(*here, ROW.source_offset < oldest, ~archived.correlate(queue))

    def _forgotten(self) -> list[Position]:
        """Return open frames without an inspection, as after a rebuild from topics that were made again."""
        return self._found(~exists().where(same_frame(inspections, queue)).correlate(queue))

    def _found(self, *conditions: ColumnElement[bool]) -> list[Position]:
        unleased = or_(ROW.session.is_(None), ROW.leased_until_us <= to_us(self._clock.now()))
        query = select(*(ROW[name] for name in SOURCE)).where(is_open(), unleased, *conditions)
        with self._database.reading() as connection:
            # In the order of an index that has open frames only.
            rows = connection.execute(query.order_by(ROW.taken_us).limit(LOOKED_AT_ONCE))
            return [Position(*row) for row in rows]
