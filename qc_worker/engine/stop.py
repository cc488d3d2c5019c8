"""Stopping: the first signal asks politely, the second one does not."""

import os
import signal
import threading
from types import FrameType

HARD_EXIT = 137


class StopSignal:
    """Set by SIGTERM or SIGINT, or by whoever calls `set`."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def install(self) -> None:
        """Handle signals; to be called by the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the signal; True once it has come."""
        return self._event.wait(timeout_s)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._event.is_set():
            os._exit(HARD_EXIT)
        self._event.set()
