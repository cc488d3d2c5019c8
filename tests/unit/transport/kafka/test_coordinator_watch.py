"""When a coordinator that cannot be reached becomes an error."""

import pytest

from qc_worker.domain.errors import TransportError
from qc_worker.transport.kafka.group.coordinator_watch import CoordinatorWatch


class Clock:
    """Stands still until told otherwise."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> CoordinatorWatch:
    return CoordinatorWatch(patience_s=15.0, clock=clock)


def test_a_coordinator_away_for_longer_than_patience_is_an_error_until_it_is_back(
    watch: CoordinatorWatch, clock: Clock
) -> None:
    watch.look(is_there=False)
    for _ in range(2):
        clock.now_s += 16
        with pytest.raises(TransportError, match="no connection to the group's coordinator for"):
            watch.look(is_there=False)
    watch.look(is_there=True)
    watch.look(is_there=False)


def test_short_absences_do_not_add_up(watch: CoordinatorWatch, clock: Clock) -> None:
    for is_there in (False, True) * 5:
        watch.look(is_there=is_there)
        clock.now_s += 10


def test_time_in_which_nobody_looked_is_not_held_against_it(watch: CoordinatorWatch, clock: Clock) -> None:
    watch.look(is_there=True)
    clock.now_s += 100
    watch.look(is_there=False)
