"""The topic `results` with a load on it, and the projection's loop that reads it."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from uuid import uuid4

from kafka import KafkaAdminClient

from benchmarks.harness.history_load import Load
from qc_dashboard.database.database import Database
from qc_dashboard.history.writing import HistoryWriter, Step, Written
from qc_dashboard.projecting.follower import Follower, Source
from qc_worker.ports.feeds import Feed
from qc_worker.ports.results import PublishedInspection
from qc_worker.runtime.clock import SystemClock
from qc_worker.transport.kafka.connecting.access import KafkaAccess, open_client
from qc_worker.transport.kafka.feed import KafkaFeed
from qc_worker.transport.kafka.producer import close_producer, open_producer, send_and_wait
from qc_worker.transport.kafka.topics import ensure_topics, plan_topics
from qc_worker.transport.kafka_fixes.register import install_all
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.feed import MemoryFeed
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.transport.published import published_inspection

BATCH = 2_000
PARTITIONS = 6
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that holds a load."""

    name: str
    broker: str
    inspections: int
    open_feed: Callable[[], Feed[PublishedInspection]]

    def project(self, database: Database) -> None:
        """Follow the topic into the database until all of it is there."""
        writer, stop = HistoryWriter(database), Event()
        stored = 0

        def store(published: Sequence[PublishedInspection], step: Step) -> Written:
            nonlocal stored
            written = writer.add_inspections(published, step)
            stored += written.stored
            if stored >= self.inspections:
                stop.set()
            return written

        source = Source(self.name, self.open_feed, store)
        Follower(source, writer, stop=stop, clock=SystemClock()).run()


@contextmanager
def open_topic(load: Load) -> Iterator[Topic]:
    """Put the load on a topic of the broker that QC_TEST_KAFKA names, or of one in memory."""
    named = os.environ.get("QC_TEST_KAFKA")
    if named:
        with _on_kafka(KafkaAccess(named), load) as topic:
            yield topic
    else:
        yield _in_memory(load)


def _in_memory(load: Load) -> Topic:
    broker = MemoryBroker()
    broker.create_topic("results", partitions=PARTITIONS)
    for number, record in _records("results", load):
        broker.append(record, partition=number % PARTITIONS)

    def open_feed() -> Feed[PublishedInspection]:
        return MemoryFeed(broker, topic="results", decode=published_inspection, max_records=BATCH)

    return Topic("results", "in memory", load.frames, open_feed)


@contextmanager
def _on_kafka(access: KafkaAccess, load: Load) -> Iterator[Topic]:
    install_all()
    run = f"history-{uuid4().hex[:8]}"
    names = {name: f"{run}.{name}" for name in ("images", "results", "dead_letters", "feedback", "samples", "models")}
    ensure_topics(access, plan_topics(**names, partitions=PARTITIONS, replication_factor=1))
    producer = open_producer(access)
    records = [record for _, record in _records(names["results"], load)]
    for start in range(0, len(records), BATCH):
        send_and_wait(producer, records[start : start + BATCH], timeout_s=TIMEOUT_S)
    close_producer(producer, timeout_s=TIMEOUT_S)

    def open_feed() -> Feed[PublishedInspection]:
        return KafkaFeed(access, topic=names["results"], decode=published_inspection, max_records=BATCH)

    try:
        yield Topic(names["results"], "the one QC_TEST_KAFKA names", load.frames, open_feed)
    finally:
        admin = open_client(KafkaAdminClient, access)
        admin.delete_topics(list(names.values()))
        admin.close()


def _records(topic: str, load: Load) -> Iterator[tuple[int, OutgoingRecord]]:
    for start in range(0, load.frames, BATCH):
        for one in load.published(start, min(load.frames, start + BATCH)):
            key = f"{one.inspection.line}/{one.inspection.camera}".encode()
            yield one.position.offset, OutgoingRecord(topic, key, one.content, [])
