"""The same tests on every broker: what a test needs, once on the in-memory broker and once on a real one."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from qc_worker.domain.feedback import Feedback, Judgement
from qc_worker.domain.frame import Offsets, Partition, Position, Record
from qc_worker.domain.inspection import DeadLetter, Inspection, Outcome, Verdict
from qc_worker.domain.release import Release
from qc_worker.ports.books import Books
from qc_worker.ports.feedback import FeedbackOutbox, FeedbackSource
from qc_worker.ports.feeds import Feed, PublishedFeedback, PublishedRelease
from qc_worker.ports.frames import FrameOutbox, FrameReader, FrameSource
from qc_worker.ports.groups import GroupWatch
from qc_worker.ports.results import InspectionFeed, InspectionSink, RecentInspections
from qc_worker.transport.kafka.at_least_once import AtLeastOnceSink
from qc_worker.transport.kafka.books import KafkaBooks
from qc_worker.transport.kafka.connecting.access import Connections, KafkaAccess, open_client
from qc_worker.transport.kafka.feed import KafkaFeed
from qc_worker.transport.kafka.feedback import KafkaFeedbackOutbox, KafkaFeedbackSource
from qc_worker.transport.kafka.frame_outbox import KafkaFrameOutbox
from qc_worker.transport.kafka.frame_reader import KafkaFrameReader
from qc_worker.transport.kafka.group.frame_source import KafkaFrameSource
from qc_worker.transport.kafka.group.group_member import GroupMember
from qc_worker.transport.kafka.group.group_watch import KafkaGroupWatch
from qc_worker.transport.kafka.groupless import open_reader, partitions_of, read_to_end
from qc_worker.transport.kafka.inspection_feed import KafkaInspectionFeed
from qc_worker.transport.kafka.recent_inspections import KafkaRecentInspections
from qc_worker.transport.kafka.records import to_commit, to_record, to_topic_partition
from qc_worker.transport.kafka.release_log import KafkaReleaseLog
from qc_worker.transport.kafka.topics import TopicPlan, ensure_topics, plan_topics
from qc_worker.transport.limits import MAX_RECORD_BYTES
from qc_worker.transport.memory.models import MemoryReleaseLog
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.transport.published import published_feedback, published_release
from tests.conftest import Services, unique

PARTITIONS = 2
NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Topics:
    """Names that no other test uses."""

    images: str = field(default_factory=lambda: unique("images"))
    results: str = field(default_factory=lambda: unique("results"))
    dead_letters: str = field(default_factory=lambda: unique("images.dlq"))
    feedback: str = field(default_factory=lambda: unique("feedback"))
    samples: str = field(default_factory=lambda: unique("samples"))
    models: str = field(default_factory=lambda: unique("models"))


class Rig(Protocol):
    """A broker with its adapters. Everything it makes is closed at the end of the test."""

    topics: Topics
    session_timeout_s: float

    def source(self, group: str) -> FrameSource: ...

    def sink(self, commit: Callable[[Offsets], None]) -> InspectionSink: ...

    def release_log(self) -> KafkaReleaseLog | MemoryReleaseLog: ...

    def feedback_source(self, group: str) -> FeedbackSource: ...

    def frame_reader(self) -> FrameReader: ...

    def frame_outbox(self) -> FrameOutbox: ...

    def recent_inspections(self) -> RecentInspections: ...

    def inspection_feed(self, *, from_beginning: bool = True) -> InspectionFeed: ...

    def release_feed(self) -> Feed[PublishedRelease]: ...

    def feedback_feed(self) -> Feed[PublishedFeedback]: ...

    def feedback_outbox(self) -> FeedbackOutbox: ...

    def books(self) -> Books: ...

    def group_watch(self, group: str) -> GroupWatch: ...

    def append(self, record: OutgoingRecord, *, partition: int | None = None) -> Position: ...

    def records(self, topic: str) -> Sequence[Record]: ...

    def commit(self, group: str, offsets: Offsets) -> None: ...

    def committed(self, group: str) -> dict[Partition, int]: ...

    def remove_before(self, position: Position) -> None:
        """Do what retention does; Tansu deletes no records."""


class CommittingTo(GroupMember):
    """A member that joins no group: a test gets the offsets instead."""

    def __init__(self, commit: Callable[[Offsets], None], access: KafkaAccess) -> None:
        super().__init__(access, topic="images", group="none", max_frame_bytes=1)
        self._hand_over = commit

    def commit(self, offsets: Offsets) -> None:
        self._hand_over(offsets)


class KafkaRig:
    """A real broker."""

    def __init__(self, services: Services, producer: KafkaProducer, stack: ExitStack) -> None:
        self.topics = Topics()
        self.session_timeout_s = services.session_timeout_ms / 1000
        self.access = KafkaAccess(services.bootstrap_servers)
        self._session_timeout_ms = services.session_timeout_ms
        self._producer = producer
        self._stack = stack
        ensure_topics(self.access, topic_plans(self.topics))

    def source(self, group: str) -> FrameSource:
        source = KafkaFrameSource(
            GroupMember(
                self.access,
                topic=self.topics.images,
                group=group,
                max_frame_bytes=16 * 1024 * 1024,
                session_timeout_ms=self._session_timeout_ms,
            )
        )
        self._stack.callback(source.close)
        return source

    def sink(self, commit: Callable[[Offsets], None]) -> InspectionSink:
        sink = AtLeastOnceSink(
            self.access,
            results_topic=self.topics.results,
            dead_letter_topic=self.topics.dead_letters,
            member=CommittingTo(commit, self.access),
        )
        self._stack.callback(sink.close)
        return sink

    def closing(self, close: Callable[[], None]) -> None:
        """Call `close` at the end of the test."""
        self._stack.callback(close)

    def release_log(self) -> KafkaReleaseLog:
        releases = KafkaReleaseLog(self.access, topic=self.topics.models)
        self._stack.callback(releases.close)
        return releases

    def feedback_source(self, group: str) -> FeedbackSource:
        source = KafkaFeedbackSource(
            self.access, topic=self.topics.feedback, group=group, session_timeout_ms=self._session_timeout_ms
        )
        self._stack.callback(source.close)
        return source

    def frame_reader(self) -> FrameReader:
        reader = KafkaFrameReader(self.access)
        self._stack.callback(reader.close)
        return reader

    def frame_outbox(self) -> FrameOutbox:
        outbox = KafkaFrameOutbox(self.access, topic=self.topics.images)
        self._stack.callback(outbox.close)
        return outbox

    def inspection_feed(self, *, from_beginning: bool = True) -> InspectionFeed:
        feed = KafkaInspectionFeed(self.access, topic=self.topics.results, from_beginning=from_beginning)
        self._stack.callback(feed.close)
        return feed

    def release_feed(self) -> Feed[PublishedRelease]:
        feed = KafkaFeed(self.access, topic=self.topics.models, decode=published_release)
        self._stack.callback(feed.close)
        return feed

    def feedback_feed(self) -> Feed[PublishedFeedback]:
        feed = KafkaFeed(self.access, topic=self.topics.feedback, decode=published_feedback)
        self._stack.callback(feed.close)
        return feed

    def feedback_outbox(self) -> FeedbackOutbox:
        outbox = KafkaFeedbackOutbox(self.access, topic=self.topics.feedback)
        self._stack.callback(outbox.close)
        return outbox

    def books(self) -> KafkaBooks:
        books = KafkaBooks(self.access)
        self._stack.callback(books.close)
        return books

    def group_watch(self, group: str) -> GroupWatch:
        watch = KafkaGroupWatch(self.access, topic=self.topics.images, group=group)
        self._stack.callback(watch.close)
        return watch

    def recent_inspections(self) -> RecentInspections:
        reader = KafkaRecentInspections(self.access, topic=self.topics.results)
        self._stack.callback(reader.close)
        return reader

    def append(self, record: OutgoingRecord, *, partition: int | None = None) -> Position:
        # An empty value is sent as none at all: that is how a tombstone looks on Kafka.
        sent = self._producer.send(
            record.topic, value=record.content or None, key=record.key, headers=record.headers, partition=partition
        )
        self._producer.flush(timeout=20)
        at = sent.get(timeout=20)
        return Position(at.topic, at.partition, at.offset)

    def records(self, topic: str) -> Sequence[Record]:
        connections = Connections()
        consumer: KafkaConsumer = open_reader(self.access, connections, max_partition_fetch_bytes=MAX_RECORD_BYTES)
        try:
            consumer.assign(partitions_of(consumer, topic))
            found = [to_record(polled) for polled in read_to_end(consumer)]
            return sorted(found, key=lambda record: record.position)
        finally:
            consumer.close(autocommit=False)
            connections.close()

    def commit(self, group: str, offsets: Offsets) -> None:
        consumer = open_client(KafkaConsumer, self.access, group_id=group, enable_auto_commit=False)
        try:
            consumer.assign(list(map(to_topic_partition, offsets)))
            consumer.commit(to_commit(offsets))
        finally:
            consumer.close(autocommit=False)

    def remove_before(self, position: Position) -> None:
        admin = open_client(KafkaAdminClient, self.access)
        try:
            admin.delete_records({to_topic_partition(position.topic_partition): position.offset})
        finally:
            admin.close()

    def committed(self, group: str) -> dict[Partition, int]:
        consumer = open_client(KafkaConsumer, self.access, group_id=group, enable_auto_commit=False)
        try:
            partitions = [Partition(self.topics.images, number) for number in range(PARTITIONS)]
            found = {
                partition: consumer.committed(to_topic_partition(partition), timeout_ms=10_000)
                for partition in partitions
            }
        finally:
            consumer.close(autocommit=False)
        return {partition: offset for partition, offset in found.items() if offset is not None}


def topic_plans(topics: Topics) -> tuple[TopicPlan, ...]:
    return plan_topics(
        images=topics.images,
        results=topics.results,
        dead_letters=topics.dead_letters,
        feedback=topics.feedback,
        samples=topics.samples,
        models=topics.models,
        partitions=PARTITIONS,
        replication_factor=1,
    )


def frame(rig: Rig, content: bytes, *, partition: int = 0, key: bytes = b"A/cam1") -> Position:
    """Put one frame on `images`."""
    headers = [("line", b"A"), ("camera", b"cam1")]
    return rig.append(OutgoingRecord(rig.topics.images, key, content, headers), partition=partition)


def outcome(source: Position, *, key: bytes | None = b"A/cam1", dead_letter: DeadLetter | None = None) -> Outcome:
    inspection = Inspection(
        frame_id="f1", line="A", camera="cam1", captured_at=NOW, scored_at=NOW, source=source, verdict=Verdict.PASS
    )
    return Outcome(inspection, key, dead_letter)


def release(line: str, version: str) -> Release:
    return Release(line=line, version=version, card_sha256="0" * 64, threshold=1.5, released_at=NOW)


def feedback(frame_id: str, line: str = "A") -> Feedback:
    return Feedback(
        line=line,
        frame_id=frame_id,
        source=Position("images", 0, 7),
        verdict=Judgement.GOOD,
        accepted_by="an operator",
        accepted_at=NOW,
    )
