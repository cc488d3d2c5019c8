"""Times of the accounts' tables: microseconds since 1970, UTC."""

from datetime import UTC, datetime, timedelta

from qc_worker.ports.clock import Clock

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_US = 1_000_000


def now_us(clock: Clock) -> int:
    """Read the clock."""
    return (clock.now() - EPOCH) // timedelta(microseconds=1)


def time_of(us: int) -> datetime:
    """Convert to a time in UTC."""
    return EPOCH + timedelta(microseconds=us)
