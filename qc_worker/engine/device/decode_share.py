"""Counts the pictures that nvJPEG and that the CPU decoded, and warns if the CPU does most of the work."""

import structlog

from qc_worker.observability import metrics
from qc_worker.ports.clock import Clock

WINDOW_S = 60.0
MOST = 0.5

log = structlog.get_logger()


class DecodeShare:
    """Judges one window of time after the other; used by one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.monotonic()
        self._by_nvjpeg = self._by_cpu = 0

    def add(self, by_nvjpeg: int, by_cpu: int) -> None:
        """Count pictures; at the end of a window warn if the CPU decoded more than half of its pictures."""
        metrics.GPU_DECODED.labels(by="nvjpeg").inc(by_nvjpeg)
        metrics.GPU_DECODED.labels(by="cpu").inc(by_cpu)
        self._by_nvjpeg += by_nvjpeg
        self._by_cpu += by_cpu
        if self._clock.monotonic() - self._since >= WINDOW_S:
            self._end_window()

    def _end_window(self) -> None:
        if self._by_cpu > MOST * (self._by_nvjpeg + self._by_cpu):
            log.warning("gpu_decode is on, but the CPU decodes most pictures", cpu=self._by_cpu, nvjpeg=self._by_nvjpeg)
        self._since = self._clock.monotonic()
        self._by_nvjpeg = self._by_cpu = 0
