"""Inspections and dead letters, exactly once: one transaction with the offsets that they settle (KIP-98, KIP-447).

Whatever goes wrong, the producer is thrown away and another is made under the same transactional id. Its start ends
what the old one left open: an unfinished transaction is aborted, one whose commit had begun is committed. What then
counts is what the group's committed offsets say.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog
from kafka import KafkaAdminClient
from kafka.errors import CommitFailedError, KafkaError, KafkaTimeoutError
from kafka.protocol.producer import InitProducerIdRequest, TxnOffsetCommitRequest

from qc_worker.domain.errors import GroupRebalancing
from qc_worker.domain.frame import Offsets, Partition
from qc_worker.domain.inspection import Outcome
from qc_worker.runtime.failpoints import failpoint
from qc_worker.transport.kafka.connecting.access import Connections, KafkaAccess, open_client, transport_errors
from qc_worker.transport.kafka.group.group_member import GroupMember
from qc_worker.transport.kafka.producer import check_acknowledged, close_producer, flush, open_producer, send_all
from qc_worker.transport.kafka_fixes.private_api import transaction_manager, wake_sender
from qc_worker.transport.outgoing import outgoing_records

log = structlog.get_logger()

DELIVERY_TIMEOUT_S = 15.0
"""Shorter than at least once needs: giving up and trying again costs time here, never a duplicate."""
TRANSACTION_TIMEOUT_S = 20.0
"""After which the broker aborts the transaction of a machine that is gone; until then readers wait behind it."""
ABORT_TIMEOUT_S = 3.0
"""How long to wait for the end of a transaction that was refused, with whatever else the group wants of us waiting."""
RETRY_BACKOFF_MS = 5
"""A broker still busy with the end of the last transaction says so and is asked again, mostly once or twice."""


def broker_has_transactions(access: KafkaAccess) -> bool:
    """Return True if transactions can commit a consumer group's offsets (KIP-447). Raises TransportError."""
    connections = Connections()
    admin = open_client(KafkaAdminClient, access, connections)
    try:
        return connections.offers(InitProducerIdRequest, 0) and connections.offers(TxnOffsetCommitRequest, 3)
    finally:
        admin.close()


class ExactlyOnceSink:
    """One transaction for each `publish`. A failed one may be repeated: what was committed after all is left out."""

    def __init__(
        self,
        access: KafkaAccess,
        *,
        results_topic: str,
        dead_letter_topic: str,
        transactional_id: str,
        member: GroupMember,
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
    ) -> None:
        self._access = access
        self._topics = {"results_topic": results_topic, "dead_letter_topic": dead_letter_topic}
        self._transactional_id = transactional_id
        self._member = member
        self._delivery_timeout_s = delivery_timeout_s
        self._producer: Any = None
        self._uncertain: set[Partition] = set()

    def start(self) -> None:
        """Connect, fence off an older producer of this id, end its transaction. Raises TransportError."""
        producer = open_producer(
            self._access,
            self._delivery_timeout_s,
            transactional_id=self._transactional_id,
            transaction_timeout_ms=int(TRANSACTION_TIMEOUT_S * 1000),
            retry_backoff_ms=RETRY_BACKOFF_MS,
        )
        try:
            with transport_errors("starting transactions"):
                producer.init_transactions()
        except BaseException:
            close_producer(producer, timeout_s=0)
            raise
        self._producer = producer

    def publish(self, outcomes: Sequence[Outcome], offsets: Offsets) -> None:
        """Publish outcomes and commit offsets in one transaction. Raises GroupRebalancing, TransportError."""
        if self._producer is None:
            self.start()
        unpublished = self._unpublished(outcomes)
        if not unpublished:
            return
        membership = self._member.group_metadata(offsets.keys())
        try:
            self._transact(unpublished, offsets, membership)
        except GroupRebalancing:
            self._abort()
            self._discard()
            raise
        except BaseException:
            self._uncertain.update(offsets)
            self._member.mark_uncertain(offsets.keys())
            self._discard()
            raise
        self._member.mark_committed(offsets)

    def close(self) -> None:
        """Disconnect; a transaction still open is aborted by the next producer of this id, or by the broker."""
        self._discard()

    def _unpublished(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """Return the outcomes that no transaction has committed; call only when no transaction of ours is open."""
        if not self._uncertain:
            return outcomes
        committed = self._member.committed(self._uncertain)
        self._member.mark_committed(committed)
        unpublished = [
            outcome
            for outcome in outcomes
            if outcome.inspection.source.offset >= committed.get(outcome.inspection.source.topic_partition, 0)
        ]
        was_committed = len(outcomes) - len(unpublished)
        log.info("uncertain commit looked up", was_committed=was_committed, still_owed=len(unpublished))
        self._uncertain = set()
        return unpublished

    def _transact(self, outcomes: Sequence[Outcome], offsets: Offsets, membership: Any) -> None:
        producer, manager = self._producer, transaction_manager(self._producer)
        with transport_errors("publishing in a transaction"):
            try:
                producer.begin_transaction()
                sent = send_all(
                    producer, [record for one in outcomes for record in outgoing_records(one, **self._topics)]
                )
                added = manager.send_offsets_to_transaction(self._member.offsets_with_notes(offsets), membership)
                flush(producer, timeout_s=self._delivery_timeout_s)
                if added.failed:  # then records not yet sent never are, and that is not what is wrong
                    raise added.exception
                check_acknowledged(sent)
                failpoint("after-send")
                self._wait_for(added)
                failpoint("before-commit")
                committed = manager.begin_commit()
                wake_sender(producer)
                failpoint("during-commit")
                self._wait_for(committed)
            except CommitFailedError as error:
                raise GroupRebalancing(f"offsets refused: {error}") from error

    def _wait_for(self, result: Any) -> None:
        """Wait for an answer, but not without a limit as kafka-python's own methods do. Raises KafkaTimeoutError."""
        wake_sender(self._producer)
        if not result.wait(timeout_ms=self._delivery_timeout_s * 1000):
            raise KafkaTimeoutError(f"no answer within {self._delivery_timeout_s:g} s")

    def _abort(self) -> None:
        """End a refused transaction, or readers would wait behind it until we publish again, which may be long."""
        # Whatever fails here: the next start ends it, or the broker does after the transaction timeout.
        with suppress(KafkaError, RuntimeError):
            aborted = transaction_manager(self._producer).begin_abort()
            wake_sender(self._producer)
            aborted.wait(timeout_ms=ABORT_TIMEOUT_S * 1000)

    def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            close_producer(producer, timeout_s=0)
