"""Stopping: the first signal asks politely, the second one does not, and nobody asks for longer than 9 seconds."""

import os
import signal
import threading
import time
from types import FrameType

HARD_EXIT = 137
LATEST_EXIT_S = 9.0


class StopSignal:
    """Set by SIGTERM or SIGINT, or by whoever calls `set`."""

    def __init__(self, *, latest_exit_s: float = LATEST_EXIT_S) -> None:
        self._event = threading.Event()
        self._latest_exit_s = latest_exit_s

    def install(self) -> None:
        """Handle signals; to be called by the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        threading.Thread(target=self._insist, name="stop-watchdog", daemon=True).start()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the signal; True once it has come."""
        return self._event.wait(timeout_s)

    def _insist(self) -> None:
        """End the process if stopping hangs, on a broker that is away, say: what is not committed is judged again."""
        self._event.wait()
        time.sleep(self._latest_exit_s)
        os._exit(HARD_EXIT)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._event.is_set():
            os._exit(HARD_EXIT)
        self._event.set()
