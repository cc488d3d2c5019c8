"""Sends operators' verdicts, for dashboards, and reads them, for the trainer."""

from collections.abc import Sequence
from typing import Any

import structlog
from kafka import KafkaConsumer, KafkaProducer

from qc_worker.domain.feedback import Feedback
from qc_worker.transport.kafka.connecting.access import Connections, KafkaAccess, open_client, transport_errors
from qc_worker.transport.kafka.group.ownership import CLOSE_TIMEOUT_MS, COMMIT_TIMEOUT_MS, NOT_A_MEMBER
from qc_worker.transport.kafka.producer import DELIVERY_TIMEOUT_S, close_producer, open_producer, send_and_wait
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.wire.json_types import decode_feedback, encode_feedback

log = structlog.get_logger()

TRAINER_GROUP = "qc-trainer"
MAX_FEEDBACK_RECORDS = 500


class KafkaFeedbackSource:
    """Polls the feedback that the group has not stored yet; joins the group in the first polls."""

    def __init__(
        self, access: KafkaAccess, *, topic: str, group: str = TRAINER_GROUP, session_timeout_ms: int = 45_000
    ) -> None:
        self._access = access
        self._topic = topic
        self._group = group
        self._session_timeout_ms = session_timeout_ms
        self._connections = Connections()
        self._consumer: KafkaConsumer | None = None

    def poll(self, *, timeout_s: float) -> Sequence[Feedback]:
        with transport_errors(f"polling {self._topic}"):
            polled = self._member().poll(timeout_ms=int(timeout_s * 1000), max_records=MAX_FEEDBACK_RECORDS)
        records = [record for batch in polled.values() for record in batch]
        return [feedback for feedback in map(_decoded, records) if feedback is not None]

    def commit(self) -> None:
        with transport_errors(f"committing offsets of {self._topic}"):
            try:
                self._commit_positions()
            except NOT_A_MEMBER as error:
                # Another trainer gets the same feedback again; samples are stored by content, so once.
                log.info("commit put off by a rebalance", error=type(error).__name__)

    def joined(self) -> bool:
        """Return True once the group has assigned partitions to this member; until then polls return nothing."""
        return self._consumer is not None and bool(self._consumer.assignment())

    def close(self) -> None:
        if self._consumer is not None:
            with transport_errors("leaving the consumer group"):
                self._consumer.close(autocommit=False, timeout_ms=CLOSE_TIMEOUT_MS)
            self._consumer = None
        self._connections.close()

    def _member(self) -> KafkaConsumer:
        if self._consumer is None:
            self._consumer = open_client(
                KafkaConsumer,
                self._access,
                self._connections,
                group_id=self._group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                allow_auto_create_topics=False,
                session_timeout_ms=self._session_timeout_ms,
                heartbeat_interval_ms=min(3_000, self._session_timeout_ms // 4),
            )
            self._consumer.subscribe([self._topic])
        return self._consumer

    def _commit_positions(self) -> None:
        if self._consumer is not None and self._consumer.assignment():
            self._consumer.commit(timeout_ms=COMMIT_TIMEOUT_MS)


class KafkaFeedbackOutbox:
    """Sends one operator's verdict at a time."""

    def __init__(self, access: KafkaAccess, *, topic: str, delivery_timeout_s: float = DELIVERY_TIMEOUT_S) -> None:
        self._access = access
        self._topic = topic
        self._delivery_timeout_s = delivery_timeout_s
        self._producer: KafkaProducer | None = None

    def send(self, feedback: Feedback) -> None:
        if self._producer is None:
            self._producer = open_producer(self._access, self._delivery_timeout_s)
        record = OutgoingRecord(self._topic, feedback.line.encode(), encode_feedback(feedback), [])
        send_and_wait(self._producer, [record], timeout_s=self._delivery_timeout_s)

    def close(self) -> None:
        if self._producer is not None:
            close_producer(self._producer, timeout_s=self._delivery_timeout_s)
            self._producer = None


def _decoded(polled: Any) -> Feedback | None:
    try:
        return decode_feedback(polled.value or b"")
    except ValueError as error:
        log.warning("feedback refused", reason=str(error), partition=polled.partition, offset=polled.offset)
        return None
