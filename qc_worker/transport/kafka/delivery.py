"""The worker's sink: exactly once where the broker has transactions, else at least once."""

from collections.abc import Sequence
from typing import Literal

import structlog

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.frame import Offsets
from qc_worker.domain.inspection import Outcome
from qc_worker.ports.results import InspectionSink
from qc_worker.transport.kafka.at_least_once import AtLeastOnceSink
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.exactly_once import ExactlyOnceSink, broker_has_transactions
from qc_worker.transport.kafka.group.group_member import GroupMember

log = structlog.get_logger()

Delivery = Literal["auto", "exactly-once", "at-least-once"]


class WorkerSink:
    """Exactly once or at least once; `auto` asks the broker when the sink is started."""

    def __init__(
        self,
        access: KafkaAccess,
        *,
        results_topic: str,
        dead_letter_topic: str,
        transactional_id: str,
        member: GroupMember,
        delivery: Delivery = "auto",
    ) -> None:
        self._access = access
        self._results_topic = results_topic
        self._dead_letter_topic = dead_letter_topic
        self._transactional_id = transactional_id
        self._member = member
        self._delivery = delivery
        self._sink: InspectionSink | None = None

    def start(self) -> None:
        """Choose the sink and start it. Raises SettingsError, TransportError."""
        self._sink = self._exactly_once() if self._has_transactions() else self._at_least_once()
        self._sink.start()

    def publish(self, outcomes: Sequence[Outcome], offsets: Offsets) -> None:
        """Publish outcomes and commit offsets, as the chosen sink does."""
        if self._sink is None:
            raise RuntimeError("publish before start")
        self._sink.publish(outcomes, offsets)

    def close(self) -> None:
        """Flush and disconnect."""
        if self._sink is not None:
            self._sink.close()

    def _has_transactions(self) -> bool:
        if self._delivery == "at-least-once":
            return False
        offered = broker_has_transactions(self._access)
        if not offered and self._delivery == "exactly-once":
            raise SettingsError("delivery: this broker has no transactions; use at-least-once")
        if not offered:
            log.warning("broker has no transactions", delivery="at-least-once")
        return offered

    def _exactly_once(self) -> ExactlyOnceSink:
        return ExactlyOnceSink(
            self._access,
            results_topic=self._results_topic,
            dead_letter_topic=self._dead_letter_topic,
            transactional_id=self._transactional_id,
            member=self._member,
        )

    def _at_least_once(self) -> AtLeastOnceSink:
        return AtLeastOnceSink(
            self._access,
            results_topic=self._results_topic,
            dead_letter_topic=self._dead_letter_topic,
            member=self._member,
        )
