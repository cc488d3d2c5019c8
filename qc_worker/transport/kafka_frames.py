"""Reads recorded frames back by position, for samples accepted after the fact."""

from time import monotonic
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Position, Record
from qc_worker.transport.kafka_config import (
    MAX_RECORD_BYTES,
    REQUEST_TIMEOUT_MS,
    Connections,
    KafkaAccess,
    open_client,
    transport_errors,
)
from qc_worker.transport.kafka_records import to_record

READ_TIMEOUT_S = 15.0
IDLE_S = 3.0
"""Nothing within this time: no such record. Well above the 0.5 s for which a broker holds an empty fetch."""


class KafkaFrameReader:
    """A consumer without a group that is sent to one position at a time."""

    def __init__(self, access: KafkaAccess, *, idle_s: float = IDLE_S) -> None:
        self._access = access
        self._idle_s = idle_s
        self._connections = Connections()
        self._consumer: KafkaConsumer | None = None

    def read(self, position: Position) -> Record | None:
        with transport_errors(f"reading {position}"):
            polled = self._polled(position)
        return to_record(polled) if polled is not None else None

    def close(self) -> None:
        if self._consumer is not None:
            with transport_errors("closing"):
                self._consumer.close(autocommit=False)
            self._consumer = None
        self._connections.close()

    def _polled(self, position: Position) -> Any | None:
        consumer = self._reader()
        if position.partition not in (consumer.partitions_for_topic(position.topic) or ()):
            return None
        topic_partition = TopicPartition(position.topic, position.partition)
        if position.offset < self._first_offset(consumer, topic_partition):
            return None  # removed by retention
        consumer.assign([topic_partition])
        consumer.seek(topic_partition, position.offset)
        return self._first_at(consumer, position)

    def _first_at(self, consumer: KafkaConsumer, position: Position) -> Any | None:
        # Past the end the broker answers "out of range" and the consumer goes to the latest offset, where nothing
        # comes; end offsets would tell at once, but Tansu's are wrong for batches of several records.
        deadline_s = monotonic() + READ_TIMEOUT_S
        idle_until_s = monotonic() + self._idle_s
        while monotonic() < idle_until_s:
            if monotonic() > deadline_s:
                raise TransportError(f"reading {position} took longer than {READ_TIMEOUT_S:.0f} s")
            records = [record for batch in consumer.poll(timeout_ms=200, max_records=1).values() for record in batch]
            if records:
                return records[0] if records[0].offset == position.offset else None
        return None

    def _first_offset(self, consumer: KafkaConsumer, topic_partition: TopicPartition) -> int:
        return int(consumer.beginning_offsets([topic_partition], timeout_ms=REQUEST_TIMEOUT_MS)[topic_partition])

    def _reader(self) -> KafkaConsumer:
        if self._consumer is None:
            self._consumer = open_client(
                KafkaConsumer,
                self._access,
                self._connections,
                enable_auto_commit=False,
                auto_offset_reset="latest",
                isolation_level="read_committed",
                allow_auto_create_topics=False,
                # One frame at a time is wanted; more in a fetch would be thrown away at the next position.
                max_partition_fetch_bytes=MAX_RECORD_BYTES,
                fetch_max_bytes=MAX_RECORD_BYTES,
                max_poll_records=1,
            )
        return self._consumer
