"""A heatmap cache in memory."""

from collections.abc import Callable, Sequence
from time import monotonic

from qc_worker.ports.results import HeatmapEntry


class MemoryHeatmapCache:
    """`away = True` stands for a cache that is down."""

    def __init__(self, *, ttl_s: int, clock: Callable[[], float] = monotonic) -> None:
        self.away = False
        self._ttl_s = ttl_s
        self._clock = clock
        self._entries: dict[str, tuple[float, HeatmapEntry]] = {}

    def put(self, entries: Sequence[HeatmapEntry]) -> bool:
        if self.away:
            return False
        expires_at_s = self._clock() + self._ttl_s
        self._entries.update({entry.key: (expires_at_s, entry) for entry in entries})
        return True

    def get(self, key: str) -> HeatmapEntry | None:
        expires_at_s, entry = self._entries.get(key, (0.0, None))
        return None if self.away or self._clock() >= expires_at_s else entry

    def available(self) -> bool:
        return not self.away

    def close(self) -> None:
        pass
