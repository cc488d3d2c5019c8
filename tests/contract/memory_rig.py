"""What a contract test needs, on the in-memory broker."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from qc_worker.domain.frame import Offsets, Partition, Position, Record
from qc_worker.ports.books import Books
from qc_worker.ports.feedback import FeedbackOutbox, FeedbackSource
from qc_worker.ports.feeds import Feed, PublishedFeedback, PublishedRelease
from qc_worker.ports.frames import FrameOutbox, FrameReader, FrameSource
from qc_worker.ports.groups import GroupWatch
from qc_worker.ports.results import InspectionFeed, InspectionSink, RecentInspections
from qc_worker.transport.memory.books import MemoryBooks
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.feed import MemoryFeed
from qc_worker.transport.memory.feedback import MemoryFeedbackOutbox, MemoryFeedbackSource
from qc_worker.transport.memory.frames import MemoryFrameOutbox, MemoryFrameReader, MemoryFrameSource
from qc_worker.transport.memory.groups import MemoryGroupWatch
from qc_worker.transport.memory.models import MemoryReleaseLog
from qc_worker.transport.memory.results import MemoryInspectionFeed, MemoryRecentInspections, MemorySink
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.transport.published import published_feedback, published_release
from tests.contract.rigs import PARTITIONS, Topics, topic_plans


class MemoryRig:
    """The in-memory broker."""

    session_timeout_s = 0.05

    def __init__(self, stack: ExitStack) -> None:
        self.topics = Topics()
        self.broker = MemoryBroker(partitions=PARTITIONS)
        for plan in topic_plans(self.topics):
            self.broker.create_topic(plan.name, partitions=plan.partitions)
        self._stack = stack

    def source(self, group: str) -> FrameSource:
        source = MemoryFrameSource(self.broker, topic=self.topics.images, group=group)
        self._stack.callback(source.close)
        return source

    def sink(self, commit: Callable[[Offsets], None]) -> InspectionSink:
        return MemorySink(
            self.broker, results_topic=self.topics.results, dead_letter_topic=self.topics.dead_letters, commit=commit
        )

    def release_log(self) -> MemoryReleaseLog:
        return MemoryReleaseLog(self.broker, topic=self.topics.models)

    def feedback_source(self, group: str) -> FeedbackSource:
        source = MemoryFeedbackSource(self.broker, topic=self.topics.feedback, group=group)
        self._stack.callback(source.close)
        return source

    def frame_reader(self) -> FrameReader:
        return MemoryFrameReader(self.broker)

    def frame_outbox(self) -> FrameOutbox:
        return MemoryFrameOutbox(self.broker, topic=self.topics.images)

    def inspection_feed(self, *, from_beginning: bool = True) -> InspectionFeed:
        return MemoryInspectionFeed(self.broker, topic=self.topics.results, from_beginning=from_beginning)

    def release_feed(self) -> Feed[PublishedRelease]:
        return MemoryFeed(self.broker, topic=self.topics.models, decode=published_release)

    def feedback_feed(self) -> Feed[PublishedFeedback]:
        return MemoryFeed(self.broker, topic=self.topics.feedback, decode=published_feedback)

    def feedback_outbox(self) -> FeedbackOutbox:
        return MemoryFeedbackOutbox(self.broker, topic=self.topics.feedback)

    def books(self) -> Books:
        return MemoryBooks(self.broker)

    def group_watch(self, group: str) -> GroupWatch:
        return MemoryGroupWatch(self.broker, topic=self.topics.images, group=group)

    def recent_inspections(self) -> RecentInspections:
        return MemoryRecentInspections(self.broker, topic=self.topics.results)

    def append(self, record: OutgoingRecord, *, partition: int | None = None) -> Position:
        return self.broker.append(record, partition=partition)

    def records(self, topic: str) -> Sequence[Record]:
        return [
            record
            for partition in self.broker.partitions(topic)
            for record in self.broker.read(partition, 0, max_records=1_000)
        ]

    def commit(self, group: str, offsets: Offsets) -> None:
        self.broker.group(group).commit(offsets)

    def committed(self, group: str) -> dict[Partition, int]:
        return self.broker.group(group).committed()

    def remove_before(self, position: Position) -> None:
        self.broker.remove_before(position)
