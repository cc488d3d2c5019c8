"""Frames from `images` for a member of the consumer group."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Offsets, Partition, Record
from qc_worker.transport.kafka.connecting.access import transport_errors
from qc_worker.transport.kafka.group.crash_notes import StalePosition
from qc_worker.transport.kafka.group.group_member import GroupMember, MemberState
from qc_worker.transport.kafka.records import first_offsets, to_record, to_topic_partition
from qc_worker.transport.kafka_fixes.finished_join import poll_timeout_s


class KafkaFrameSource:
    """Polls frames through a member of the consumer group; suspects come one at a time."""

    def __init__(self, member: GroupMember) -> None:
        self.member = member

    def start(self) -> None:
        """Connect and subscribe; the group is joined by the polls that follow."""
        self.member.open()

    def poll(self, *, timeout_s: float, max_records: int) -> Sequence[Record]:
        """Commit what is pending, fetch records, and leave crash notes before they are handed out."""
        if self.member.state is MemberState.BROKEN:
            self.start()
        # First, and not after the poll: a failure there would throw away records that count as polled.
        self.member.commit_pending()
        self.member.pauses.hold_back(self.member.suspects.cleared())
        records = self._fetch(timeout_s, max_records)
        self._leave_notes(records)
        return self._first_alone(records) if self.has_suspects() else records

    def take_lost(self) -> frozenset[Partition]:
        """Return the partitions lost since the last call."""
        return self.member.take_lost()

    def has_suspects(self) -> bool:
        """Return True while a frame that comes may have killed a worker process."""
        return self.member.suspects.remain()

    def pause(self) -> None:
        """Fetch no more, but stay a member of the group."""
        self.member.pauses.pause()

    def resume(self) -> None:
        """Fetch again."""
        self.member.pauses.resume()

    def commit(self, offsets: Offsets) -> None:
        """Commit offsets; what a rebalance prevents is retried by a later poll or commit."""
        self.member.commit(offsets)

    def assignment(self) -> frozenset[Partition]:
        """Return the partitions that this member owns now."""
        return self.member.assignment()

    def lag_frames(self) -> int:
        """Return the number of frames between position and high watermark, over all partitions."""
        consumer = self.member.consumer
        return sum(_lag(consumer, partition) for partition in consumer.assignment())

    def reachable(self) -> bool:
        """Return True if a connection to any broker stands; safe from any thread."""
        return self.member.reachable()

    def close(self, *, in_order: bool = True) -> None:
        """Leave the group."""
        self.member.close(in_order=in_order)

    def _fetch(self, timeout_s: float, max_records: int) -> list[Record]:
        with transport_errors(f"polling {self.member.topic}"):
            consumer = self.member.consumer
            try:
                polled = consumer.poll(
                    timeout_ms=int(poll_timeout_s(consumer, timeout_s) * 1000), max_records=max_records
                )
            except CorruptRecordError:
                # Polled again, kafka-python would spin on the broken batch without an end: only a new consumer helps,
                # which the next poll opens, or the one after that if no broker answers.
                self.member.abandon()
                raise
        records = [to_record(record) for records in polled.values() for record in records]
        self.member.check_coordinator(has_records=bool(records))
        return records

    def _leave_notes(self, records: Sequence[Record]) -> None:
        consumer = self.member.consumer
        try:
            self.member.notes.leave(consumer, records)
        except StalePosition as stale:
            _unpoll(consumer, records)
            consumer.seek(to_topic_partition(stale.partition), stale.committed)
            raise
        except TransportError:
            _unpoll(consumer, records)
            raise

    def _first_alone(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return the first record with its crashes, and let the next poll return the others again."""
        consumer = self.member.consumer
        if not records and not self.member.pauses.is_paused:
            self.member.notes.clear_past(consumer)
        _unpoll(consumer, records[1:])
        return [replace(record, crashes=self.member.suspects.crashes(record.position)) for record in records[:1]]


def _unpoll(consumer: KafkaConsumer, records: Sequence[Record]) -> None:
    """Let the next poll return records again."""
    for partition, offset in first_offsets(records).items():
        with suppress(KafkaError, RuntimeError, AssertionError):  # taken away in the meantime
            consumer.seek(to_topic_partition(partition), offset)


def _lag(consumer: KafkaConsumer, partition: TopicPartition) -> int:
    try:
        highwater = consumer.highwater(partition)
        # Without a high watermark nothing was fetched yet, and asking for the position would ask the broker.
        position = None if highwater is None else consumer.position(partition, timeout_ms=0)
    except (KafkaError, KeyError, RuntimeError):
        return 0  # revoked between the two questions
    return max(0, highwater - position) if position is not None else 0
