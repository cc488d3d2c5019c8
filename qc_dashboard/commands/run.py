"""`qc-dashboard run`: follow the topics until a signal comes."""

import os
import signal
from threading import Event
from types import FrameType

import structlog

from qc_dashboard.settings import DashboardSettings
from qc_dashboard.wiring import open_dashboard
from qc_worker.runtime.failpoints import arm

HARD_EXIT = 137
"""Exit code of a process that SIGKILL ended."""

log = structlog.get_logger()


def run_dashboard(settings: DashboardSettings) -> None:
    """Run until SIGTERM or SIGINT; a second signal exits at once, which loses nothing. Raises QcError."""
    arm(settings.failpoints)
    stop = Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(HARD_EXIT)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    with open_dashboard(settings) as dashboard:
        log.info("dashboard started", database=dashboard.database.kind, topic=settings.results_topic)
        stop.wait()
    log.info("dashboard stopped")
