"""Consumers without a group, and how they find the end of a topic.

The end is the high watermark that comes with each fetch. It is right on Kafka and on Tansu 0.6.0, which gives as end
offset one after the *first* record of the last batch.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from qc_worker.domain.errors import TransportError
from qc_worker.transport.kafka.connecting.access import Connections, KafkaAccess, open_client, transport_errors

READ_TIMEOUT_S = 30.0
POLL_MS = 200


class Reader:
    """Holds one consumer without a group, opened when it is first needed; `config` is kafka-python's."""

    def __init__(self, access: KafkaAccess, **config: Any) -> None:
        self._access = access
        self._config = config
        self._connections = Connections()
        self._opened: KafkaConsumer | None = None

    def interrupt(self) -> None:
        """Have the call that another thread waits in raise TransportError, and all later ones; then only `close` it."""
        self._connections.interrupt()

    def close(self) -> None:
        """Disconnect."""
        opened, self._opened = self._opened, None
        try:
            if opened is not None:
                with transport_errors("closing"):
                    opened.close(autocommit=False)
        finally:
            self._connections.close()

    def _reader(self) -> KafkaConsumer:
        self._connections.check()
        if self._opened is None:
            self._opened = open_reader(self._access, self._connections, **self._config)
        return self._opened


def open_reader(access: KafkaAccess, connections: Connections, **config: Any) -> KafkaConsumer:
    """Open a consumer without a group. Raises TransportError."""
    settings = {"auto_offset_reset": "earliest", "isolation_level": "read_committed", **config}
    return open_client(
        KafkaConsumer,
        access,
        connections,
        enable_auto_commit=False,
        allow_auto_create_topics=False,
        # Within a fetch session (KIP-227) brokers leave out partitions where nothing changed, and with them the
        # high watermark that we wait for.
        enable_incremental_fetch_sessions=False,
        **settings,
    )


def partitions_of(consumer: KafkaConsumer, topic: str) -> list[TopicPartition]:
    """List the partitions of a topic. Raises TransportError if the topic does not exist."""
    with transport_errors(f"looking up {topic}"):
        partitions = consumer.partitions_for_topic(topic)
    if not partitions:
        raise TransportError(f"topic {topic} does not exist; `qc-worker topics` creates it")
    return [TopicPartition(topic, partition) for partition in sorted(partitions)]


def read_to_end(consumer: KafkaConsumer) -> list[Any]:
    """Read the assigned partitions from their positions to their ends; oldest first across partitions."""
    records = poll_until(consumer, lambda: all(at_end(consumer, p) for p in consumer.assignment()))
    return sorted(records, key=lambda record: (record.timestamp, record.offset))


def poll_until(consumer: KafkaConsumer, done: Callable[[], bool]) -> list[Any]:
    """Poll until `done`, and return the records. Raises TransportError after READ_TIMEOUT_S."""
    records: list[Any] = []
    deadline_s = monotonic() + READ_TIMEOUT_S
    while not done():
        if monotonic() > deadline_s:
            raise TransportError(f"timed out: the topic was not read to its end within {READ_TIMEOUT_S:.0f} s")
        records += [record for batch in consumer.poll(timeout_ms=POLL_MS).values() for record in batch]
    return records


def at_end(consumer: KafkaConsumer, partition: TopicPartition) -> bool:
    """Return True once the position has reached the high watermark; False until a first fetch has brought it."""
    highwater = consumer.highwater(partition)
    position = consumer.position(partition, timeout_ms=0)
    return highwater is not None and position is not None and position >= highwater
