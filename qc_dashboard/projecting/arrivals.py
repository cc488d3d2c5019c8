"""Tell threads that wait for it that something new was stored."""

from collections.abc import Callable
from threading import Condition


class Arrivals:
    """A count of what was stored, which can be waited for."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._count = 0
        self._told: tuple[Callable[[], None], ...] = ()

    @property
    def count(self) -> int:
        return self._count

    def add(self, count: int) -> None:
        """Count, and wake all that wait."""
        with self._changed:
            self._count += count
            self._changed.notify_all()
        for tell in self._told:
            tell()

    def tell(self, changed: Callable[[], None]) -> None:
        """Have a function called, from the thread that stores, whenever something came; it must not wait."""
        self._told = (*self._told, changed)

    def wait(self, beyond: int, *, timeout_s: float) -> int:
        """Wait until the count is beyond that one, `timeout_s` at the longest, and return it."""
        with self._changed:
            self._changed.wait_for(lambda: self._count > beyond, timeout=timeout_s)
            return self._count
