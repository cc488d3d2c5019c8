"""Stop the process: in order at the first signal, at once at a second one, and after 9 seconds in any case."""

import os
import signal
import threading
import time
from types import FrameType

HARD_EXIT = 137
"""Exit code of a process that SIGKILL ended."""
LATEST_EXIT_S = 9.0
"""Time for stopping in order; less than the 10 s after which `docker stop` kills."""


class StopSignal:
    """Tell all threads to stop; set by SIGTERM, by SIGINT or by `set`."""

    def __init__(self, *, latest_exit_s: float = LATEST_EXIT_S) -> None:
        self._event = threading.Event()
        self._latest_exit_s = latest_exit_s

    def install(self) -> None:
        """Handle signals; call it in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        threading.Thread(target=self._insist, name="stop-watchdog", daemon=True).start()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the signal, up to `timeout_s`; return True once it has come."""
        return self._event.wait(timeout_s)

    def _insist(self) -> None:
        """End the process if stopping hangs, such as on a broker that does not answer.

        Nothing is lost: frames that are not committed are judged again by the next worker.
        """
        self._event.wait()
        time.sleep(self._latest_exit_s)
        os._exit(HARD_EXIT)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._event.is_set():
            os._exit(HARD_EXIT)
        self._event.set()
