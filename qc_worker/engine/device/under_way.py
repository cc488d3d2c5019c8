"""Knows whether work is under way on the device, and for how long nothing of it has been finished."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from qc_worker.ports.clock import Clock


class UnderWay:
    """Count pieces of work, such as a batch at inference or at judging; safe from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0
        self._progress_at = 0.0

    def begin(self) -> None:
        with self._lock:
            if self._count == 0:
                self._progress_at = self._clock.monotonic()
            self._count += 1

    def end(self) -> None:
        with self._lock:
            self._count -= 1
            self._progress_at = self._clock.monotonic()

    @contextmanager
    def work(self) -> Iterator[None]:
        """Count the body as a piece of work."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def is_idle(self) -> bool:
        with self._lock:
            return self._count == 0

    def stuck_s(self) -> float:
        """Return the seconds for which work has been under way and no piece of it has ended; 0 without any."""
        with self._lock:
            return self._clock.monotonic() - self._progress_at if self._count else 0.0
