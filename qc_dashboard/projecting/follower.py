"""Follow one topic from the places that the database has, and write what comes, each record once.

Rows and places are one transaction, so it does not matter where it is interrupted: the next start reads on from there.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from threading import Event
from typing import Generic, TypeVar

import structlog

from qc_dashboard.database.failures import DatabaseAway
from qc_dashboard.history.times import to_us
from qc_dashboard.history.writing import HistoryWriter, PlacesMoved, Step, Written
from qc_dashboard.projecting.arrivals import Arrivals
from qc_dashboard.projecting.pauses import Pauses
from qc_worker.domain.errors import QcError
from qc_worker.domain.frame import Offsets, Partition
from qc_worker.observability import metrics
from qc_worker.ports.clock import Clock
from qc_worker.ports.feeds import Feed

POLL_S = 0.5
POLLS_WITHOUT_BROKER = 2
"""A connection that is just renewed is no outage."""
NO_BROKER = "no broker is connected"

T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Source(Generic[T]):
    """A topic, how to open its feed, and how to store what it carries."""

    topic: str
    open_feed: Callable[[], Feed[T]]
    store: Callable[[Sequence[T], Step], Written]
    note_gap: Callable[[Partition, range, int], None] | None = None
    """Notes offsets that retention has removed before they were read, and when that was seen; None: nobody asks."""


class Away(StrEnum):
    """What keeps a topic from being followed."""

    BROKER = "broker"
    DATABASE = "database"
    DASHBOARD = "dashboard"
    """A defect of ours."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A topic that cannot be followed at the moment."""

    topic: str
    since: datetime
    reason: str
    away: Away = Away.BROKER


class Follower(Generic[T]):
    """The loop of one topic, for one thread. Broker or database away: it waits, with growing pauses."""

    def __init__(self, source: Source[T], writer: HistoryWriter, *, stop: Event, clock: Clock) -> None:
        self._source = source
        self._writer = writer
        self._stop = stop
        self._clock = clock
        self._pauses = Pauses(stop)
        self._feed: Feed[T] | None = None
        self.arrivals = Arrivals()
        self.outage: Outage | None = None
        """What keeps it from following; None while it follows."""

    def run(self) -> None:
        """Follow until the stop event is set."""
        while not self._stop.is_set():
            try:
                with closing(self._source.open_feed()) as self._feed:
                    self._follow(self._feed)
            except PlacesMoved as moved:
                log.info("history moved on", topic=self._source.topic, reason=str(moved))
            except QcError as error:
                self._wait(str(error), Away.DATABASE if isinstance(error, DatabaseAway) else Away.BROKER)
            except Exception as error:
                # A defect must not end the thread unseen while pages are still served.
                log.exception("history not written", topic=self._source.topic)
                self._wait(f"{type(error).__name__}, see the log", Away.DASHBOARD)

    def interrupt(self) -> None:
        """End what the thread waits for at the broker, after the stop event is set; repeat it until the thread ends."""
        if (feed := self._feed) is not None:
            feed.interrupt()

    def _follow(self, feed: Feed[T]) -> None:
        places = self._writer.places(self._source.topic)
        self._look_for_gaps(places, feed.oldest())
        feed.start(places)
        unreachable = 0
        while not self._stop.is_set():
            polled = feed.poll(timeout_s=POLL_S)
            after = {**places, **feed.places()}
            if after != places:
                self._count(self._source.store(polled, Step(places, after)))
                places = after
            unreachable = 0 if feed.reachable() else unreachable + 1
            if unreachable == 0:
                self._recovered()
            elif unreachable >= POLLS_WITHOUT_BROKER:
                self._note(NO_BROKER, Away.BROKER)

    def _look_for_gaps(self, places: Offsets, oldest: Offsets) -> None:
        """Report what retention has removed before it was read: no retry brings it back."""
        for partition, place in places.items():
            if (first := oldest.get(partition, 0)) > place:
                log.error("history has a gap", topic=partition.topic, partition=partition.partition, to=first, at=place)
                if self._source.note_gap is not None:
                    self._source.note_gap(partition, range(place, first), to_us(self._clock.now()))

    def _count(self, written: Written) -> None:
        counts = {"stored": written.stored, "duplicate": written.duplicates, "refused": written.refused}
        for outcome, count in counts.items():
            metrics.HISTORY_RECORDS.labels(self._source.topic, outcome).inc(count)
        if written.stored:
            self.arrivals.add(written.stored)

    def _recovered(self) -> None:
        if self.outage is not None:
            log.info("history follows again", topic=self._source.topic)
        self.outage = None
        self._pauses.end()

    def _wait(self, reason: str, away: Away) -> None:
        if self._stop.is_set():
            return  # it was interrupted
        self._note(reason, away)
        self._pauses.wait()

    def _note(self, reason: str, away: Away) -> None:
        if self.outage is None or self.outage.reason != reason:
            log.warning("history waits", topic=self._source.topic, reason=reason)
        since = self.outage.since if self.outage is not None else self._clock.now()
        self.outage = Outage(self._source.topic, since, reason, away)
