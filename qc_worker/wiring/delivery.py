"""The sink that the settings ask for."""

from collections.abc import Sequence

import structlog

from qc_worker.domain.errors import SettingsError
from qc_worker.domain.frame import Offsets
from qc_worker.domain.inspection import Outcome
from qc_worker.ports.results import InspectionSink
from qc_worker.settings import Settings
from qc_worker.transport.kafka.at_least_once import AtLeastOnceSink
from qc_worker.transport.kafka.exactly_once import ExactlyOnceSink, broker_has_transactions
from qc_worker.transport.kafka.group.frame_source import KafkaFrameSource
from qc_worker.wiring.shared import kafka_access

log = structlog.get_logger()


class WorkerSink:
    """Exactly once or at least once; what `auto` means is asked of the broker when it is started."""

    def __init__(self, settings: Settings, source: KafkaFrameSource, slot: str) -> None:
        self._settings = settings
        self._source = source
        self._slot = slot
        self._sink: InspectionSink | None = None

    def start(self) -> None:
        self._sink = self._exactly_once() if self._has_transactions() else self._at_least_once()
        self._sink.start()

    def publish(self, outcomes: Sequence[Outcome], offsets: Offsets) -> None:
        if self._sink is None:
            raise RuntimeError("publish before start")
        self._sink.publish(outcomes, offsets)

    def close(self) -> None:
        if self._sink is not None:
            self._sink.close()

    def _has_transactions(self) -> bool:
        wanted = self._settings.delivery
        if wanted == "at-least-once":
            return False
        offered = broker_has_transactions(kafka_access(self._settings))
        if not offered and wanted == "exactly-once":
            raise SettingsError("delivery: this broker has no transactions; use at-least-once")
        if not offered:
            log.warning("broker has no transactions", delivery="at-least-once")
        return offered

    def _exactly_once(self) -> ExactlyOnceSink:
        settings = self._settings
        return ExactlyOnceSink(
            kafka_access(settings),
            results_topic=settings.results_topic,
            dead_letter_topic=settings.dead_letter_topic,
            transactional_id=f"{settings.consumer_group}.{self._slot}",
            group=self._source,
        )

    def _at_least_once(self) -> AtLeastOnceSink:
        settings = self._settings
        return AtLeastOnceSink(
            kafka_access(settings),
            results_topic=settings.results_topic,
            dead_letter_topic=settings.dead_letter_topic,
            commit=self._source.commit,
        )
