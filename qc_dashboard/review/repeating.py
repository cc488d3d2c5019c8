"""Repeat a step in a thread of its own: at once while there is work, after a while or when woken if there is none."""

from collections.abc import Callable
from threading import Event, Thread

import structlog

from qc_worker.domain.errors import TransportError

IDLE_S = 1.0
RETRY_S = 3.0
STOP_TIMEOUT_S = 8.0

log = structlog.get_logger()


class Repeating:
    """A thread that calls `step` until it is closed; what a step raises is logged, and it is tried again."""

    def __init__(
        self, name: str, step: Callable[[], bool], *, idle_s: float = IDLE_S, retry_s: float = RETRY_S
    ) -> None:
        self._name = name
        self._step = step
        self._idle_s = idle_s
        self._retry_s = retry_s
        self._stop = Event()
        self._awake = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Tell that there may be work; never waits."""
        self._awake.set()

    def close(self) -> bool:
        """Stop after the step at hand; False if that hangs: it ends with the process, and loses nothing."""
        self._stop.set()
        self._awake.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if not self._step():
                    self._awake.wait(self._idle_s)
                    self._awake.clear()
            except Exception as error:  # whatever fails, pages go on, and it is tried again
                known = isinstance(error, TransportError)
                log.warning("repeated step failed", step=self._name, error=str(error), exc_info=not known)
                self._stop.wait(self._retry_s)
