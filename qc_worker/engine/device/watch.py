"""Notices a device that hangs: a kernel that never ends, or a driver that never answers."""

import threading
from collections.abc import Callable

import structlog

from qc_worker.domain.errors import DeviceLost
from qc_worker.engine.stop import StopSignal

LOOK_EVERY_S = 1.0

log = structlog.get_logger()


class DeviceWatch:
    """Ends the process if batches are under way and none makes progress for `patience_s`."""

    def __init__(self, stuck_s: Callable[[], float], *, patience_s: float, end: Callable[[DeviceLost], None]) -> None:
        """Take the age of the last progress; `end` must end the process at once.

        It cannot end in order: threads that wait in the driver cannot be joined. Frames in flight stay uncommitted.
        """
        self._stuck_s = stuck_s
        self._patience_s = patience_s
        self._end = end

    def hangs(self) -> bool:
        return self._stuck_s() > self._patience_s

    def start(self, stop: StopSignal) -> None:
        """Look every second, in a thread of its own, until the process stops."""
        threading.Thread(target=self._run, args=(stop,), name="device-watch", daemon=True).start()

    def look(self) -> None:
        """End the process if the device hangs."""
        if self.hangs():
            log.error("device hangs", stuck_s=round(self._stuck_s(), 1))
            self._end(DeviceLost(f"the device hangs: no batch has made progress for {self._patience_s:g} s"))

    def _run(self, stop: StopSignal) -> None:
        is_stopped = False
        while not is_stopped:
            self.look()
            is_stopped = stop.wait(LOOK_EVERY_S)
