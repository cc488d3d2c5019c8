"""Reads recorded frames back by position, for samples that are accepted later."""

from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import OffsetOutOfRangeError

from qc_worker.domain.frame import Position, Record
from qc_worker.transport.kafka.connecting.access import KafkaAccess, transport_errors
from qc_worker.transport.kafka.groupless import Reader, at_end, poll_until
from qc_worker.transport.kafka.records import to_record
from qc_worker.transport.limits import MAX_RECORD_BYTES


class KafkaFrameReader(Reader):
    """A consumer without a group that is sent to one position at a time."""

    def __init__(self, access: KafkaAccess) -> None:
        super().__init__(
            access,
            auto_offset_reset="none",
            # One frame at a time is wanted; more in a fetch would be dropped at the next position.
            max_partition_fetch_bytes=MAX_RECORD_BYTES,
            fetch_max_bytes=MAX_RECORD_BYTES,
            max_poll_records=1,
        )

    def read(self, position: Position) -> Record | None:
        with transport_errors(f"reading {position}"):
            polled = self._polled(position)
        return to_record(polled) if polled is not None else None

    def _polled(self, position: Position) -> Any | None:
        consumer = self._reader()
        if position.partition not in (consumer.partitions_for_topic(position.topic) or ()):
            return None
        topic_partition = TopicPartition(position.topic, position.partition)
        # Assigned again; otherwise the high watermark of the last reading would count.
        consumer.unsubscribe()
        consumer.assign([topic_partition])
        consumer.seek(topic_partition, position.offset)
        return self._first_at(consumer, topic_partition, position.offset)

    def _first_at(self, consumer: KafkaConsumer, partition: TopicPartition, offset: int) -> Any | None:
        try:
            # The first poll that brings anything brings this record, or a later one where it was removed.
            records = poll_until(consumer, lambda: self._moved_on(consumer, partition, offset))
        except OffsetOutOfRangeError:
            return None  # before the first offset that retention left, or beyond the end
        return next((record for record in records if record.offset == offset), None)

    def _moved_on(self, consumer: KafkaConsumer, partition: TopicPartition, offset: int) -> bool:
        return at_end(consumer, partition) or consumer.position(partition, timeout_ms=0) != offset
