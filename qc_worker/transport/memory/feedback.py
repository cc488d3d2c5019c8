"""Operators' verdicts on the in-memory broker, and what became of them: the outboxes and the source."""

from collections.abc import Sequence

import structlog

from qc_worker.domain.collected import Collected
from qc_worker.domain.feedback import Feedback
from qc_worker.domain.frame import Partition, Record
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.frames import MemoryFrameSource
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.wire.json_types import decode_feedback, encode_collected, encode_feedback

log = structlog.get_logger()


class MemoryFeedbackOutbox:
    """Appends each verdict at once."""

    def __init__(self, broker: MemoryBroker, *, topic: str) -> None:
        self._broker = broker
        self._topic = topic

    def send(self, feedback: Feedback) -> None:
        self._broker.append(OutgoingRecord(self._topic, feedback.line.encode(), encode_feedback(feedback), []))

    def close(self) -> None:
        pass


class MemoryCollectedOutbox:
    """Appends each outcome at once."""

    def __init__(self, broker: MemoryBroker, *, topic: str) -> None:
        self._broker = broker
        self._topic = topic

    def send(self, collected: Sequence[Collected]) -> None:
        for one in collected:
            self._broker.append(OutgoingRecord(self._topic, one.line.encode(), encode_collected(one), []))

    def close(self) -> None:
        pass


class MemoryFeedbackSource:
    """The topic `feedback`, remembered by group."""

    def __init__(self, broker: MemoryBroker, *, topic: str, group: str = "qc-trainer") -> None:
        self._source = MemoryFrameSource(broker, topic=topic, group=group)
        self._polled: dict[Partition, int] = {}
        self._source.start()

    def poll(self, *, timeout_s: float) -> Sequence[Feedback]:
        records = self._source.poll(timeout_s=timeout_s, max_records=500)
        self._polled.update({record.position.topic_partition: record.position.offset + 1 for record in records})
        return [feedback for feedback in map(_decoded, records) if feedback is not None]

    def commit(self) -> None:
        self._source.commit(self._polled)
        self._polled = {}

    def close(self) -> None:
        self._source.close()


def _decoded(record: Record) -> Feedback | None:
    try:
        return decode_feedback(record.content)
    except ValueError as error:
        log.warning("feedback refused", reason=str(error), position=str(record.position))
        return None
