"""The projection on the in-memory broker: what comes on the topics is in the history, once, whatever happens."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Event
from threading import enumerate as enumerate_threads

import pytest

from qc_dashboard.database.database import Database
from qc_dashboard.database.failures import DatabaseAway
from qc_dashboard.history.history import History
from qc_dashboard.history.search import Search
from qc_dashboard.history.writing import HistoryWriter, Step, Written
from qc_dashboard.projecting.follower import Follower, Source
from qc_dashboard.projecting.projection import Projection
from qc_dashboard.settings import DashboardSettings
from qc_dashboard.wiring import following as wiring
from qc_worker.domain.frame import Partition, Position
from qc_worker.ports.results import PublishedInspection
from qc_worker.runtime.clock import SystemClock
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.feed import MemoryFeed
from qc_worker.transport.memory.feedback import MemoryFeedbackOutbox
from qc_worker.transport.memory.models import MemoryReleaseLog
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.transport.published import (
    published_collected,
    published_feedback,
    published_inspection,
    published_release,
)
from qc_worker.wire.json_types import encode_inspection
from tests.conftest import eventually
from tests.contract.rigs import feedback, release
from tests.support.published import inspection
from tests.support.silence import silent_address

PATIENCE_MS = 300_000
"""Longer than a test may take."""
TOPICS = ("results", "models", "feedback", "samples")
Store = Callable[[Sequence[PublishedInspection], Step], Written]


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker(partitions=2)
    for topic in TOPICS:
        broker.create_topic(topic, partitions=2)
    return broker


@pytest.fixture
def history(database: Database) -> History:
    return History(database)


def publish(broker: MemoryBroker, *offsets: int) -> None:
    for offset in offsets:
        content = encode_inspection(inspection(offset))
        broker.append(OutgoingRecord("results", b"A/top", content, []), partition=offset % 2)


def results_source(broker: MemoryBroker, store: Store) -> Source[PublishedInspection]:
    return Source(
        "results",
        lambda: MemoryFeed(broker, topic="results", decode=published_inspection, max_records=7),
        store,
    )


def projection(broker: MemoryBroker, database: Database) -> Projection:
    writer = HistoryWriter(database)
    return Projection(
        writer,
        results=results_source(broker, writer.add_inspections),
        models=Source(
            "models", lambda: MemoryFeed(broker, topic="models", decode=published_release), writer.add_releases
        ),
        feedback=Source(
            "feedback", lambda: MemoryFeed(broker, topic="feedback", decode=published_feedback), writer.add_feedback
        ),
        samples=Source(
            "samples",
            lambda: MemoryFeed(broker, topic="samples", decode=published_collected),
            writer.add_collected,
        ),
        clock=SystemClock(),
    )


@contextmanager
def running(broker: MemoryBroker, database: Database) -> Iterator[Projection]:
    opened = projection(broker, database)
    opened.start()
    try:
        yield opened
    finally:
        opened.close()


def stored(history: History) -> int:
    return sum(count.inspections for count in history.counts(Search()))


def test_all_three_topics_come_into_the_history(broker: MemoryBroker, database: Database, history: History) -> None:
    publish(broker, *range(50))
    MemoryReleaseLog(broker, topic="models").announce(release("A", "v1"))
    with running(broker, database) as following:
        assert following.inspections.wait(49, timeout_s=30) == 50
        MemoryFeedbackOutbox(broker, topic="feedback").send(feedback("f7"))
        eventually(lambda: history.feedback_on(Position("images", 0, 7)))
        eventually(lambda: history.releases("A"))
        assert following.outages() == []
    assert stored(history) == 50
    assert history.places("results") == {Partition("results", 0): 25, Partition("results", 1): 25}


def test_others_are_told_when_inspections_are_stored(broker: MemoryBroker, database: Database) -> None:
    review, archive = Event(), Event()
    with running(broker, database) as following:
        following.inspections.tell(review.set)
        following.inspections.tell(archive.set)
        assert not review.is_set()
        publish(broker, 0)
        assert review.wait(30)
        assert archive.wait(30)


def test_next_process_reads_on_where_the_last_one_ended(
    broker: MemoryBroker, database: Database, history: History
) -> None:
    publish(broker, *range(10))
    with running(broker, database) as first:
        first.inspections.wait(9, timeout_s=30)
    publish(broker, *range(10, 20))
    with running(broker, database) as second:
        assert second.inspections.wait(9, timeout_s=30) == 10
    assert stored(history) == 20
    assert history.duplicates() == 0


def test_two_processes_at_once_store_each_inspection_once(
    broker: MemoryBroker, database: Database, history: History
) -> None:
    with running(broker, database), running(broker, database):
        for offset in range(200):
            publish(broker, offset)
        eventually(lambda: stored(history) == 200)
    assert history.duplicates() == 0


def test_broker_that_is_away_is_waited_for(broker: MemoryBroker, database: Database, history: History) -> None:
    broker.available = False
    with running(broker, database) as following:
        eventually(lambda: len(following.outages()) == len(TOPICS))
        assert all(outage.reason for outage in following.outages())
        broker.available = True
        publish(broker, *range(5))
        assert following.inspections.wait(4, timeout_s=30) == 5
        eventually(lambda: not following.outages())
    assert stored(history) == 5


@pytest.mark.parametrize("error", [DatabaseAway("the database is away"), ZeroDivisionError("a defect")])
def test_batch_that_could_not_be_written_is_written_later(
    broker: MemoryBroker, database: Database, history: History, error: Exception
) -> None:
    writer, stop = HistoryWriter(database), Event()
    attempts: list[int] = []

    def store(published: Sequence[PublishedInspection], step: Step) -> Written:
        attempts.append(len(published))
        if len(attempts) < 3:
            raise error
        written = writer.add_inspections(published, step)
        if stored(history) == 20:
            stop.set()
        return written

    publish(broker, *range(20))
    Follower(results_source(broker, store), writer, stop=stop, clock=SystemClock()).run()
    assert attempts == [7, 7, 7, 7, 6]
    assert stored(history) == 20
    assert history.duplicates() == 0


def test_unreadable_records_are_passed_once(broker: MemoryBroker, database: Database, history: History) -> None:
    broker.append(OutgoingRecord("results", b"A/top", b"not json", []), partition=0)
    with running(broker, database):
        eventually(lambda: history.places("results").get(Partition("results", 0)) == 1)
        publish(broker, 2)
        eventually(lambda: stored(history) == 1)


def test_close_ends_threads_that_wait_for_a_broker(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(enumerate_threads())
    with silent_address() as (address, listening), ExitStack() as stack:
        patient = KafkaAccess(address, connect_timeout_ms=PATIENCE_MS, request_timeout_ms=PATIENCE_MS)
        monkeypatch.setattr(wiring, "kafka_access", lambda _: patient)
        waiting = wiring.projection(DashboardSettings(), database)
        waiting.start()
        for _ in TOPICS:
            stack.enter_context(listening.accept()[0])
        waiting.close()
        assert not any(thread.name.startswith("history-") for thread in enumerate_threads())
        eventually(lambda: set(enumerate_threads()) <= before)
