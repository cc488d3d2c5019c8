from collections.abc import Callable

import pytest

from qc_worker.domain.errors import SettingsError, TransportError
from qc_worker.engine.patience import Outage, Patience
from qc_worker.engine.stop import StopSignal
from tests.support import factories

PATIENCE = Patience(broker_s=10, retry_s=0)


class Attempts:
    """Each takes 6 seconds of the clock and fails, up to a number of failures."""

    def __init__(self, clock: factories.ManualClock, failures: float, then: Callable[[], None] = lambda: None) -> None:
        self._clock = clock
        self._failures = failures
        self._then = then
        self.count = 0

    def __call__(self) -> None:
        self.count += 1
        self._clock.advance(6)
        if self.count <= self._failures:
            self._then()
            raise TransportError("no answer")


def test_an_attempt_is_repeated_until_it_succeeds() -> None:
    clock = factories.ManualClock()
    attempts = Attempts(clock, failures=2)
    PATIENCE.keep_trying(attempts, clock=clock, stop=StopSignal())
    assert attempts.count == 3


def test_an_outage_begins_with_its_first_failure() -> None:
    clock = factories.ManualClock()
    attempts = Attempts(clock, failures=float("inf"))
    with pytest.raises(TransportError, match="no answer"):
        PATIENCE.keep_trying(attempts, clock=clock, stop=StopSignal())
    assert attempts.count == 3  # 0, 6 and 12 s after the first failure


def test_an_outage_can_be_counted_from_before_the_first_attempt() -> None:
    clock = factories.ManualClock()
    attempts = Attempts(clock, failures=float("inf"))
    with pytest.raises(TransportError, match="no answer"):
        PATIENCE.keep_trying(attempts, clock=clock, stop=StopSignal(), since=clock.monotonic())
    assert attempts.count == 2  # 6 and 12 s after the start


def test_the_stop_signal_ends_the_attempts_without_an_error() -> None:
    clock, stop = factories.ManualClock(), StopSignal()
    attempts = Attempts(clock, failures=float("inf"), then=stop.set)
    PATIENCE.keep_trying(attempts, clock=clock, stop=stop)
    assert attempts.count == 1


def test_other_errors_are_not_retried() -> None:
    def misconfigured() -> None:
        raise SettingsError("no topic")

    with pytest.raises(SettingsError):
        PATIENCE.keep_trying(misconfigured, clock=factories.ManualClock(), stop=StopSignal())


def test_a_success_ends_an_outage_and_the_next_failure_begins_a_new_one() -> None:
    clock = factories.ManualClock()
    outage = Outage(PATIENCE, clock, StopSignal())
    outage.wait(TransportError("no answer"))
    clock.advance(11)
    outage.end()
    assert not outage.is_too_long()
    clock.advance(11)
    assert outage.is_too_long()
