"""Sends operators' verdicts, for dashboards; reads them and sends what became of them, for the trainer."""

from collections.abc import Sequence
from typing import Any

import structlog
from kafka import KafkaConsumer, KafkaProducer

from qc_worker.domain.collected import Collected
from qc_worker.domain.feedback import Feedback
from qc_worker.transport.kafka.connecting.access import Connections, KafkaAccess, open_client, transport_errors
from qc_worker.transport.kafka.group.ownership import CLOSE_TIMEOUT_MS, COMMIT_TIMEOUT_MS, NOT_A_MEMBER
from qc_worker.transport.kafka.producer import DELIVERY_TIMEOUT_S, close_producer, open_producer, send_and_wait
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.wire.json_types import decode_feedback, encode_collected, encode_feedback

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


class _Outbox:
    """Holds a producer for one topic, opened when it is first needed."""

    def __init__(self, access: KafkaAccess, *, topic: str, delivery_timeout_s: float = DELIVERY_TIMEOUT_S) -> None:
        self._access = access
        self._topic = topic
        self._delivery_timeout_s = delivery_timeout_s
        self._producer: KafkaProducer | None = None

    def close(self) -> None:
        if self._producer is not None:
            close_producer(self._producer, timeout_s=self._delivery_timeout_s)
            self._producer = None

    def _send(self, line: str, content: Sequence[bytes]) -> None:
        if self._producer is None:
            self._producer = open_producer(self._access, self._delivery_timeout_s)
        records = [OutgoingRecord(self._topic, line.encode(), each, []) for each in content]
        send_and_wait(self._producer, records, timeout_s=self._delivery_timeout_s)


class KafkaFeedbackOutbox(_Outbox):
    """Sends one operator's verdict at a time."""

    def send(self, feedback: Feedback) -> None:
        self._send(feedback.line, [encode_feedback(feedback)])


class KafkaCollectedOutbox(_Outbox):
    """Sends what became of the verdicts of one poll."""

    def send(self, collected: Sequence[Collected]) -> None:
        # One batch for each line: a batch of one partition is one request.
        for line in dict.fromkeys(one.line for one in collected):
            self._send(line, [encode_collected(one) for one in collected if one.line == line])


def _decoded(polled: Any) -> Feedback | None:
    try:
        return decode_feedback(polled.value or b"")
    except ValueError as error:
        log.warning("feedback refused", reason=str(error), partition=polled.partition, offset=polled.offset)
        return None
