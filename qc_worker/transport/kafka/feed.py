"""Follows a topic without a group, from places that the reader remembers itself."""

from collections.abc import Callable
from typing import Generic, TypeVar

from kafka import KafkaConsumer

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Offsets, Partition, Record
from qc_worker.transport.kafka.connecting.access import KafkaAccess, transport_errors
from qc_worker.transport.kafka.groupless import Reader, partitions_of, poll_until
from qc_worker.transport.kafka.records import to_partition, to_record, to_topic_partition

METADATA_MAX_AGE_MS = 30_000
"""Partitions that are added to the topic are noticed within this time."""

T = TypeVar("T")


class KafkaFeed(Reader, Generic[T]):
    """Reads all partitions of a topic, by default from the beginning, else from where they end at `start`."""

    def __init__(
        self,
        access: KafkaAccess,
        *,
        topic: str,
        decode: Callable[[Record], T | None],
        from_beginning: bool = True,
        max_records: int = 500,
        metadata_max_age_ms: int = METADATA_MAX_AGE_MS,
    ) -> None:
        reset = "earliest" if from_beginning else "latest"
        super().__init__(
            access, auto_offset_reset=reset, max_poll_records=max_records, metadata_max_age_ms=metadata_max_age_ms
        )
        self._topic = topic
        self._decode = decode
        self._skips_to_end = not from_beginning

    def oldest(self) -> dict[Partition, int]:
        consumer = self._reader()
        with transport_errors(f"asking for the first offsets of {self._topic}"):
            first = consumer.beginning_offsets(partitions_of(consumer, self._topic))
        return {to_partition(partition): offset for partition, offset in first.items()}

    def start(self, starts: Offsets | None = None) -> None:
        consumer = self._reader()
        with transport_errors(f"reading {self._topic}"):
            consumer.assign(partitions_of(consumer, self._topic))
            known = {to_topic_partition(partition): offset for partition, offset in (starts or {}).items()}
            if self._skips_to_end and consumer.assignment() - set(known):
                _go_to_end(consumer)
            for partition in consumer.assignment() & set(known):
                consumer.seek(partition, known[partition])

    def poll(self, *, timeout_s: float) -> list[T]:
        consumer = self._started()
        with transport_errors(f"polling {self._topic}"):
            self._take_new_partitions(consumer)
            polled = consumer.poll(timeout_ms=int(timeout_s * 1000))
        decoded = (self._decode(to_record(record)) for records in polled.values() for record in records)
        return [published for published in decoded if published is not None]

    def places(self) -> dict[Partition, int]:
        consumer = self._started()
        with transport_errors(f"asking for positions on {self._topic}"):
            positions = {p: consumer.position(p, timeout_ms=0) for p in consumer.assignment()}
        return {to_partition(p): offset for p, offset in positions.items() if offset is not None}

    def reachable(self) -> bool:
        return self._opened is not None and self._connections.reachable()

    def _take_new_partitions(self, consumer: KafkaConsumer) -> None:
        """Read partitions that were added to the topic, from their beginning; the client's metadata names them."""
        known = consumer.assignment()
        if len(consumer.partitions_for_topic(self._topic)) <= len(known):
            return
        consumer.assign(partitions_of(consumer, self._topic))
        for partition in consumer.assignment() - known:
            consumer.seek(partition, 0)

    def _started(self) -> KafkaConsumer:
        self._connections.check()
        if self._opened is None:
            raise TransportError(f"the feed of {self._topic} is not started, or closed")
        return self._opened


def _go_to_end(consumer: KafkaConsumer) -> None:
    """Seek to the high watermarks; "latest" alone may lie before them on Tansu (see `groupless`)."""
    partitions = consumer.assignment()
    poll_until(consumer, lambda: all(consumer.highwater(partition) is not None for partition in partitions))
    for partition in partitions:
        consumer.seek(partition, consumer.highwater(partition))
