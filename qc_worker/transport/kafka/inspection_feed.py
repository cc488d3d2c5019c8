"""Follows `results` without a group: for the demo, dashboards and tests."""

from collections.abc import Iterator
from time import monotonic

from kafka import KafkaConsumer

from qc_worker.domain.errors import TransportError
from qc_worker.ports.results import PublishedInspection
from qc_worker.transport.kafka.connecting.access import KafkaAccess, transport_errors
from qc_worker.transport.kafka.groupless import Reader, partitions_of, poll_until
from qc_worker.transport.kafka.records import to_record
from qc_worker.transport.published import published_inspection


class KafkaInspectionFeed(Reader):
    """Reads all partitions of `results`, from the beginning or from where they end when `start` is called."""

    def __init__(self, access: KafkaAccess, *, topic: str, from_beginning: bool = True) -> None:
        super().__init__(access, auto_offset_reset="earliest" if from_beginning else "latest")
        self._topic = topic
        self._skips_to_end = not from_beginning

    def start(self) -> None:
        consumer = self._reader()
        with transport_errors(f"reading {self._topic}"):
            consumer.assign(partitions_of(consumer, self._topic))
            if self._skips_to_end:
                _go_to_end(consumer)

    def poll(self, *, timeout_s: float) -> list[PublishedInspection]:
        if self._opened is None:
            raise TransportError("the inspection feed is not started, or closed")
        with transport_errors(f"polling {self._topic}"):
            polled = self._opened.poll(timeout_ms=int(timeout_s * 1000))
        decoded = (published_inspection(to_record(record)) for records in polled.values() for record in records)
        return [published for published in decoded if published is not None]

    def read(self, *, timeout_s: float) -> Iterator[PublishedInspection]:
        deadline_s = monotonic() + timeout_s
        while (left_s := deadline_s - monotonic()) > 0:
            yield from self.poll(timeout_s=min(left_s, 0.5))


def _go_to_end(consumer: KafkaConsumer) -> None:
    """Seek to the high watermarks; "latest" alone may lie before them on Tansu (see `groupless`)."""
    partitions = consumer.assignment()
    poll_until(consumer, lambda: all(consumer.highwater(partition) is not None for partition in partitions))
    for partition in partitions:
        consumer.seek(partition, consumer.highwater(partition))
