"""The compacted topic `models`: announced by the trainer, read whole by every worker."""

from collections.abc import Sequence
from time import monotonic
from typing import Any

import structlog
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from qc_worker.domain.errors import TransportError
from qc_worker.domain.release import Release
from qc_worker.transport.kafka_config import Connections, KafkaAccess, open_client, transport_errors
from qc_worker.transport.kafka_producer import (
    DELIVERY_TIMEOUT_S,
    OutgoingRecord,
    close_producer,
    open_producer,
    send_and_wait,
)
from qc_worker.wire.json_types import decode_release, encode_release

log = structlog.get_logger()

READ_TIMEOUT_S = 30.0
IDLE_S = 0.7
"""A table is read to its end if nothing came for this long, and more than one fetch was answered in that time."""


class KafkaReleaseLog:
    """Reads without a consumer group: every worker wants all of it, from the beginning."""

    def __init__(self, access: KafkaAccess, *, topic: str, delivery_timeout_s: float = DELIVERY_TIMEOUT_S) -> None:
        self._access = access
        self._topic = topic
        self._delivery_timeout_s = delivery_timeout_s
        self._connections = Connections()
        self._consumer: KafkaConsumer | None = None
        self._producer: KafkaProducer | None = None
        self.refused = 0
        """Records left out so far because they could not be read."""

    def announce(self, release: Release) -> None:
        if self._producer is None:
            self._producer = open_producer(self._access, self._delivery_timeout_s)
        # One record per flush: Tansu counts a batch of several as one offset.
        record = OutgoingRecord(self._topic, release.line.encode(), encode_release(release), [])
        send_and_wait(self._producer, [record], timeout_s=self._delivery_timeout_s)

    def read_all(self) -> dict[str, Release]:
        newest: dict[str, Release] = {}
        with transport_errors(f"reading {self._topic}"):
            consumer = self._reader()
            consumer.seek_to_beginning()
            for polled in self._to_the_end(consumer):
                release = self._decoded(polled)
                if release is not None:
                    newest[release.line] = release
                elif polled.key is not None and not polled.value:
                    newest.pop(polled.key.decode(errors="replace"), None)
        return newest

    def poll(self, *, timeout_s: float) -> Sequence[Release]:
        with transport_errors(f"polling {self._topic}"):
            polled = self._reader().poll(timeout_ms=int(timeout_s * 1000))
        records = sorted((r for batch in polled.values() for r in batch), key=lambda r: (r.timestamp, r.offset))
        return [release for release in map(self._decoded, records) if release is not None]

    def close(self) -> None:
        if self._producer is not None:
            close_producer(self._producer, timeout_s=self._delivery_timeout_s)
        if self._consumer is not None:
            with transport_errors("closing"):
                self._consumer.close(autocommit=False)
        self._connections.close()
        self._producer = self._consumer = None

    def _reader(self) -> KafkaConsumer:
        if self._consumer is None:
            self._consumer = open_reader(self._access, self._connections)
            self._consumer.assign(partitions_of(self._consumer, self._topic))
            self._consumer.seek_to_beginning()
        return self._consumer

    def _to_the_end(self, consumer: KafkaConsumer) -> list[Any]:
        """All records there are; by time stamp, so that the newest of a line comes last whatever its partition."""
        records: list[Any] = []
        deadline_s = monotonic() + READ_TIMEOUT_S
        idle_until_s = monotonic() + IDLE_S
        while monotonic() < idle_until_s:
            if monotonic() > deadline_s:
                raise TransportError(f"reading {self._topic} took longer than {READ_TIMEOUT_S:.0f} s")
            polled = [r for batch in consumer.poll(timeout_ms=100).values() for r in batch]
            if polled:
                records += polled
                idle_until_s = monotonic() + IDLE_S
        return sorted(records, key=lambda r: (r.timestamp, r.offset))

    def _decoded(self, polled: Any) -> Release | None:
        if not polled.value:
            return None  # a tombstone: the line was retired
        try:
            return decode_release(polled.value)
        except ValueError as error:
            self.refused += 1
            log.warning("release refused", reason=str(error), partition=polled.partition, offset=polled.offset)
            return None


def open_reader(access: KafkaAccess, connections: Connections, **config: Any) -> KafkaConsumer:
    """A consumer without a group. Raises TransportError."""
    settings = {"auto_offset_reset": "earliest", "isolation_level": "read_committed", **config}
    return open_client(
        KafkaConsumer, access, connections, enable_auto_commit=False, allow_auto_create_topics=False, **settings
    )


def partitions_of(consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
    """All partitions of a topic. Raises TransportError if it has none, which is to say that it is not there."""
    with transport_errors(f"looking up {topic}"):
        partitions = consumer.partitions_for_topic(topic)
    if not partitions:
        raise TransportError(f"topic {topic} does not exist; `qc-worker topics` creates it")
    return [TopicPartition(topic, partition) for partition in sorted(partitions)]
