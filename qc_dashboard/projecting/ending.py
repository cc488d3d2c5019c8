"""End a thread that may wait for a broker."""

from collections.abc import Callable
from threading import Thread
from time import monotonic

INTERRUPT_EVERY_S = 0.1


def end(thread: Thread, interrupt: Callable[[], None], *, until_s: float) -> None:
    """Interrupt the thread until it has ended, but not beyond that monotonic time: then it is left behind."""
    while thread.is_alive() and monotonic() < until_s:
        interrupt()
        thread.join(INTERRUPT_EVERY_S)
