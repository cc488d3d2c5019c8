"""Bounds batches to what fits the device's memory, and tries larger ones again after a while."""

import time
from collections.abc import Callable

import structlog

from qc_worker.observability import metrics

GROW_AFTER_S = 60.0
"""Time without lack of memory after which twice as many frames are tried: a retrain on the device may have ended."""

log = structlog.get_logger()


class BatchLimit:
    """The most frames that a batch may have; none until a batch does not fit.

    Used by the inference thread; another that passes single frames meanwhile may at most delay a try.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._max_size: int | None = None
        self._full_size = 1
        self._grow_at = 0.0

    def within(self, size: int) -> int:
        """Return the size for a batch of `size` frames."""
        if self._max_size is not None and self._monotonic() >= self._grow_at:
            self._set(2 * self._max_size)
        return min(size, self._max_size or size)

    def halve(self, size: int) -> int:
        """Return half of a size that did not fit; it is the limit from now on."""
        self._full_size = max(self._full_size, size)
        self._set(size // 2)
        metrics.HALVED_BATCHES.inc()
        log.warning("batch halved: the device lacks memory", frames=size, halved_to=size // 2)
        return size // 2

    def _set(self, max_size: int) -> None:
        self._max_size = max_size if max_size < self._full_size else None
        self._grow_at = self._monotonic() + GROW_AFTER_S
