"""Read the machine's clocks."""

import time
from datetime import UTC, datetime


class SystemClock:
    """Clock of this machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)
