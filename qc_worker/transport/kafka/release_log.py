"""Announces releases on the compacted topic `models`, which every worker reads whole."""

from collections.abc import Sequence
from typing import Any

import structlog
from kafka import KafkaConsumer, KafkaProducer

from qc_worker.domain.release import Release
from qc_worker.transport.kafka.connecting.access import Connections, KafkaAccess, transport_errors
from qc_worker.transport.kafka.groupless import open_reader, partitions_of, read_to_end
from qc_worker.transport.kafka.producer import DELIVERY_TIMEOUT_S, close_producer, open_producer, send_and_wait
from qc_worker.transport.kafka_fixes.unreadable_records import why_unreadable
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.wire.json_types import decode_release, encode_release

log = structlog.get_logger()


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
            for polled in read_to_end(self._rewound()):
                release = self._decoded(polled)
                if release is not None:
                    newest[release.line] = release
                elif polled.key is not None and not polled.value and not why_unreadable(polled.headers):
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
        return self._consumer if self._consumer is not None else self._rewound()

    def _rewound(self) -> KafkaConsumer:
        consumer = self._consumer or open_reader(self._access, self._connections)
        self._consumer = consumer
        # Assigned again, so that the high watermark is the present one and not that of the last fetch.
        consumer.unsubscribe()
        consumer.assign(partitions_of(consumer, self._topic))
        return consumer

    def _decoded(self, polled: Any) -> Release | None:
        unreadable = why_unreadable(polled.headers)
        if not polled.value and not unreadable:
            return None  # a tombstone: the line was retired
        try:
            if not unreadable:
                return decode_release(polled.value)
        except ValueError as error:
            unreadable = str(error)
        self.refused += 1
        log.warning("release refused", reason=unreadable, partition=polled.partition, offset=polled.offset)
        return None
