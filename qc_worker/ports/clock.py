"""The port for time."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time, injected so that tests need not wait."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back, for durations only."""
        ...

    def now(self) -> datetime:
        """Return the wall-clock time in UTC, for stamps only."""
        ...
