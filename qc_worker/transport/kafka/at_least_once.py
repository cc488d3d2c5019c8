"""Inspections and dead letters, at least once: offsets are committed after the broker has acknowledged everything."""

from collections.abc import Sequence

import structlog
from kafka import KafkaProducer

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Offsets
from qc_worker.domain.inspection import Outcome
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.group.group_member import GroupMember
from qc_worker.transport.kafka.producer import DELIVERY_TIMEOUT_S, close_producer, open_producer, send_and_wait
from qc_worker.transport.outgoing import OutgoingRecord, outgoing_records

log = structlog.get_logger()


class AtLeastOnceSink:
    """Publish, wait, commit. A failed `publish` may be repeated: consumers see duplicates, never gaps."""

    def __init__(
        self,
        access: KafkaAccess,
        *,
        results_topic: str,
        dead_letter_topic: str,
        member: GroupMember,
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
    ) -> None:
        self._access = access
        self._topics = {"results_topic": results_topic, "dead_letter_topic": dead_letter_topic}
        self._member = member
        self._delivery_timeout_s = delivery_timeout_s
        self._producer: KafkaProducer | None = None

    def start(self) -> None:
        """Connect. Raises TransportError."""
        self._producer = open_producer(self._access, self._delivery_timeout_s)

    def publish(self, outcomes: Sequence[Outcome], offsets: Offsets) -> None:
        """Publish, wait for the acknowledgements, commit. Raises TransportError if not all was published."""
        try:
            self._send_all([record for outcome in outcomes for record in outgoing_records(outcome, **self._topics)])
        except Exception:
            # Nothing is swallowed: the caller gets it, whatever it is. But after any failure nobody knows what the
            # producer still holds or what sequence it is at, so the next publish opens a new one.
            self._discard(timeout_s=0)
            raise
        self._commit_published(offsets)

    def close(self) -> None:
        """Flush and disconnect."""
        self._discard(timeout_s=self._delivery_timeout_s)

    def _commit_published(self, offsets: Offsets) -> None:
        try:
            self._member.commit(offsets)
        except TransportError as error:
            # What is published must not be published again because of this: the offsets stay pending, and the source's
            # next poll either commits them or says that the broker is away.
            log.warning("commit put off", error=str(error))

    def _send_all(self, records: Sequence[OutgoingRecord]) -> None:
        if self._producer is None:
            self.start()
        send_and_wait(self._producer, records, timeout_s=self._delivery_timeout_s)

    def _discard(self, *, timeout_s: float) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            close_producer(producer, timeout_s=timeout_s)
