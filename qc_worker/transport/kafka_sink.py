"""Inspections and dead letters, at least once: offsets are committed after the broker has acknowledged everything."""

from collections.abc import Callable, Iterator, Sequence

from kafka import KafkaProducer

from qc_worker.domain.frame import Offsets
from qc_worker.domain.inspection import DeadLetter, Inspection, Outcome
from qc_worker.transport.kafka_config import MAX_DEAD_LETTER_BYTES, RECORD_HEADROOM_BYTES, KafkaAccess
from qc_worker.transport.kafka_producer import (
    DELIVERY_TIMEOUT_S,
    OutgoingRecord,
    close_producer,
    open_producer,
    send_and_wait,
)
from qc_worker.wire.dead_letters import dead_letter_headers
from qc_worker.wire.headers import write_headers
from qc_worker.wire.json_types import encode_inspection

INSPECTION_TYPE = "io.qc-worker.inspection.v1"
CONTENT_BYTES_HEADER = "qc-content-bytes"
LONGEST_CONTENT_BYTES = MAX_DEAD_LETTER_BYTES - RECORD_HEADROOM_BYTES


class AtLeastOnceSink:
    """Publish, wait, commit. A failed `publish` may be repeated: consumers see duplicates, never gaps."""

    def __init__(
        self,
        access: KafkaAccess,
        *,
        results_topic: str,
        dead_letter_topic: str,
        commit: Callable[[Offsets], None],
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
    ) -> None:
        self._access = access
        self._results_topic = results_topic
        self._dead_letter_topic = dead_letter_topic
        self._commit = commit
        self._delivery_timeout_s = delivery_timeout_s
        self._producer: KafkaProducer | None = None

    def start(self) -> None:
        self._producer = open_producer(self._access, self._delivery_timeout_s)

    def publish(self, outcomes: Sequence[Outcome], offsets: Offsets) -> None:
        try:
            self._send_all([record for outcome in outcomes for record in self._records(outcome)])
        except Exception:
            # After a failure nobody knows what the producer still holds or what sequence it is at: start afresh.
            self._discard()
            raise
        self._commit(offsets)

    def close(self) -> None:
        self._discard()

    def _records(self, outcome: Outcome) -> Iterator[OutgoingRecord]:
        # The dead letter first: whoever sees the inspection with its reason finds the bytes already there.
        if outcome.dead_letter is not None:
            yield dead_letter_record(self._dead_letter_topic, outcome.dead_letter)
        yield inspection_record(self._results_topic, outcome.key, outcome.inspection)

    def _send_all(self, records: Sequence[OutgoingRecord]) -> None:
        if self._producer is None:
            self.start()
        send_and_wait(self._producer, records, timeout_s=self._delivery_timeout_s)

    def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            close_producer(producer, timeout_s=self._delivery_timeout_s)


def inspection_record(topic: str, key: bytes | None, inspection: Inspection) -> OutgoingRecord:
    """An inspection as a CloudEvent in Kafka's binary mode; its id is the position of the judged record."""
    headers = write_headers(
        [
            ("ce_specversion", "1.0"),
            ("ce_id", str(inspection.source)),
            ("ce_source", f"/topics/{inspection.source.topic}"),
            ("ce_type", INSPECTION_TYPE),
            ("ce_time", inspection.scored_at.isoformat()),
            ("content-type", "application/json"),
        ]
    )
    return OutgoingRecord(topic, key, encode_inspection(inspection), headers)


def dead_letter_record(topic: str, letter: DeadLetter) -> OutgoingRecord:
    """The original key, bytes and headers, with reason and origin added as headers.

    Bytes over what the topic takes are cut off, and a header tells how many there were: a dead letter that can never
    be published would stop the line.
    """
    headers = dead_letter_headers(letter)
    if len(letter.content) > LONGEST_CONTENT_BYTES:
        headers += write_headers([(CONTENT_BYTES_HEADER, str(len(letter.content)))])
    return OutgoingRecord(topic, letter.key, letter.content[:LONGEST_CONTENT_BYTES], headers)
