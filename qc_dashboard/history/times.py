"""Times as the database has them: microseconds since 1970, UTC."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000


def to_us(time: datetime) -> int:
    """Convert a time with a zone to microseconds, without rounding; one without a zone counts as UTC."""
    aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return (aware - EPOCH) // MICROSECOND


def from_us(us: int) -> datetime:
    """Convert microseconds to a time in UTC. Raises OverflowError after the year 9999."""
    return EPOCH + us * MICROSECOND
