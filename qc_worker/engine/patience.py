"""Retry while the broker does not answer: until it does, the stop signal comes, or it has taken too long."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from qc_worker.domain.errors import TransportError
from qc_worker.engine.stop import StopSignal
from qc_worker.observability import metrics
from qc_worker.ports.clock import Clock

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits of waiting, in seconds."""

    grace_s: float = 6.0
    """Time for the frames in flight after a stop signal."""
    broker_s: float = 120.0
    """Longest outage of the broker; after that the worker ends, so that its supervisor notices."""
    retry_s: float = 0.5
    """Pause between two attempts."""

    def keep_trying(
        self, attempt: Callable[[], None], *, clock: Clock, stop: StopSignal, since: float | None = None
    ) -> None:
        """Repeat `attempt` until it succeeds or the stop signal comes.

        Raises TransportError, that of the last attempt, after more than `broker_s`, counted from the first failure, or
        from `since` by the monotonic clock.
        """
        outage = Outage(self, clock, stop, since=since)
        while not stop.is_set():
            try:
                attempt()
            except TransportError as error:
                outage.wait(error)
            else:
                return


class Outage:
    """Count the time from the first failure until an attempt succeeds."""

    def __init__(self, patience: Patience, clock: Clock, stop: StopSignal, *, since: float | None = None) -> None:
        self._patience = patience
        self._clock = clock
        self._stop = stop
        self._since = since

    def wait(self, error: TransportError) -> None:
        """Log a failure and pause before the next attempt. Raises `error` if the outage has lasted too long."""
        metrics.TRANSPORT_FAILURES.inc()
        away_s = self._lasted_s()
        log.warning("broker away", error=str(error), away_s=round(away_s, 1))
        if away_s > self._patience.broker_s:
            raise error
        self._stop.wait(self._patience.retry_s)

    def is_too_long(self) -> bool:
        """Count a failure, and compare the outage with `broker_s`; the first failure starts the outage at 0 s."""
        return self._lasted_s() > self._patience.broker_s

    def end(self) -> None:
        """Forget the failures: an attempt has succeeded."""
        self._since = None

    def _lasted_s(self) -> float:
        now = self._clock.monotonic()
        if self._since is None:
            self._since = now
        return now - self._since
