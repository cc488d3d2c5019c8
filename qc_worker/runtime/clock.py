"""The real clock."""

import time
from datetime import UTC, datetime


class SystemClock:
    """Time as the machine has it."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)
