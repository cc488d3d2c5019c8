"""Notices that the group's coordinator is away, of which kafka-python's polls tell nothing but that no record came."""

from collections.abc import Callable
from time import monotonic

from kafka import KafkaConsumer

from qc_worker.domain.errors import TransportError
from qc_worker.transport.kafka_fixes import private_api


class CoordinatorWatch:
    """Asked at each poll; what happened between two polls, a reconnection above all, is nobody's business."""

    def __init__(self, *, patience_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._patience_s = patience_s
        self._clock = clock
        self._away_since: float | None = None

    def look(self, *, is_there: bool) -> None:
        """Raises TransportError if it has not been there for longer than `patience_s`."""
        if is_there:
            self._away_since = None
            return
        now = self._clock()
        self._away_since = now if self._away_since is None else self._away_since
        if now - self._away_since > self._patience_s:
            raise TransportError(f"no connection to the group's coordinator for {now - self._away_since:.0f} s")


def coordinator_connected(consumer: KafkaConsumer) -> bool:
    """Whether a connection to the coordinator stands; asks nobody.

    Any other broker is not enough: without the coordinator a member neither joins nor commits, and its polls return
    nothing.
    """
    return private_api.coordinator_connected(consumer)
