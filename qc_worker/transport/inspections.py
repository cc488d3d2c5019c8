"""Reads `results` without a group: for the demo, dashboards and tests."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any

import structlog
from kafka import KafkaConsumer

from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Inspection
from qc_worker.transport.kafka_config import REQUEST_TIMEOUT_MS, Connections, KafkaAccess, transport_errors
from qc_worker.transport.kafka_records import to_record
from qc_worker.transport.kafka_releases import open_reader, partitions_of
from qc_worker.wire.json_types import decode_inspection

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PublishedInspection:
    """An inspection as it lies on `results`."""

    inspection: Inspection
    position: Position
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    appended_at: datetime


class InspectionReader:
    """All partitions of `results`, from the beginning or from where they end when `start` is called."""

    def __init__(self, access: KafkaAccess, *, topic: str, from_beginning: bool = True) -> None:
        self._access = access
        self._topic = topic
        self._from_beginning = from_beginning
        self._connections = Connections()
        self._consumer: KafkaConsumer | None = None

    def start(self) -> None:
        """Connect and fix the place to read from. Raises TransportError."""
        reset = "earliest" if self._from_beginning else "latest"
        consumer = open_reader(self._access, self._connections, auto_offset_reset=reset)
        self._consumer = consumer
        partitions = partitions_of(consumer, self._topic)
        consumer.assign(partitions)
        with transport_errors(f"looking up the end of {self._topic}"):
            for partition in partitions:
                consumer.position(partition, timeout_ms=REQUEST_TIMEOUT_MS)

    def poll(self, *, timeout_s: float) -> list[PublishedInspection]:
        """Inspections that came within `timeout_s`; unreadable ones are logged and left out."""
        if self._consumer is None:
            self.start()
        with transport_errors(f"polling {self._topic}"):
            polled = self._consumer.poll(timeout_ms=int(timeout_s * 1000)) if self._consumer else {}
        decoded = (_decoded(record) for records in polled.values() for record in records)
        return [published for published in decoded if published is not None]

    def read(self, *, timeout_s: float) -> Iterator[PublishedInspection]:
        """Yield inspections until `timeout_s` is over."""
        deadline_s = monotonic() + timeout_s
        while (left_s := deadline_s - monotonic()) > 0:
            yield from self.poll(timeout_s=min(left_s, 0.5))

    def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            with transport_errors("closing"):
                self._consumer.close(autocommit=False)
            self._consumer = None
        self._connections.close()


def _decoded(polled: Any) -> PublishedInspection | None:
    record = to_record(polled)
    try:
        inspection = decode_inspection(record.content)
    except ValueError as error:
        log.warning("inspection unreadable", reason=str(error), position=str(record.position))
        return None
    return PublishedInspection(inspection, record.position, record.key, record.headers, record.appended_at)
