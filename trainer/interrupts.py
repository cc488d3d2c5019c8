"""Stop on Ctrl-C and SIGTERM at any time, except while a release is being written."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import structlog

SIGNALS = (signal.SIGINT, signal.SIGTERM)

log = structlog.get_logger()


def raise_on_terminate() -> None:
    """Let SIGTERM raise KeyboardInterrupt as Ctrl-C does, so that `finally` blocks run."""
    signal.signal(signal.SIGTERM, _interrupt)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Finish the block in spite of a signal; a second signal interrupts it at once.

    For the time between storing a version and announcing it, in which a command cannot stop safely.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals never interrupt other threads
        return
    previous = {number: signal.getsignal(number) for number in SIGNALS}
    held = _Held()
    for number in SIGNALS:
        signal.signal(number, held.receive)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if held.received:
        log.warning("interrupt came too late to stop the release")


class _Held:
    def __init__(self) -> None:
        self.received = False

    def receive(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            _interrupt(number, frame)
        self.received = True


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt
