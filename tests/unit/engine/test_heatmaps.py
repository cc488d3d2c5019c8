import threading
from collections.abc import Sequence

import numpy as np
import torch

from qc_worker.engine.decoding import Decoded
from qc_worker.engine.heatmaps import QUEUE_LENGTH, HeatmapWriter
from qc_worker.engine.in_flight import Ticket
from qc_worker.engine.residents import Resident
from qc_worker.imaging.preprocessing import Picture
from qc_worker.ports.results import HeatmapEntry
from qc_worker.transport.memory.heatmaps import MemoryHeatmapCache
from qc_worker.wire.images import decode_record
from tests.support import factories


class SlowCache(MemoryHeatmapCache):
    """Takes what it is given only when it is let go."""

    def __init__(self) -> None:
        super().__init__(ttl_s=60)
        self.let_go = threading.Event()

    def put(self, entries: Sequence[HeatmapEntry]) -> bool:
        self.let_go.wait(30)
        return super().put(entries)


def decoded(offset: int) -> Decoded:
    record = factories.record(offset, content=b"x")
    card = factories.card()
    resident = Resident("A", "v1", card.embedding, factories.folded_head(), card.calibration)
    picture = Picture(torch.zeros((3, factories.SIDE, factories.SIDE), dtype=torch.uint8), (64, 96))
    return Decoded(Ticket(record, 0.0), decode_record(record), resident, picture, 1.0)


ANOMALY_MAP = np.zeros((factories.SIDE, factories.SIDE), np.float32)


def test_what_is_queued_is_cached_before_closing() -> None:
    cache = MemoryHeatmapCache(ttl_s=60)
    writer = HeatmapWriter(cache)
    writer.start()
    keys = [writer.offer(decoded(offset), ANOMALY_MAP) for offset in range(40)]
    writer.close(timeout_s=30)
    assert all(key and cache.get(key) for key in keys)


def test_a_slow_cache_costs_heatmaps_and_never_waits() -> None:
    cache = SlowCache()
    writer = HeatmapWriter(cache)
    writer.start()
    keys = [writer.offer(decoded(offset), ANOMALY_MAP) for offset in range(3 * QUEUE_LENGTH)]
    cache.let_go.set()
    writer.close(timeout_s=30)
    assert None in keys
    assert all(cache.get(key) for key in keys if key)


def test_a_cache_that_is_away_is_not_asked() -> None:
    cache = MemoryHeatmapCache(ttl_s=60)
    cache.away = True
    assert HeatmapWriter(cache).offer(decoded(0), ANOMALY_MAP) is None


def test_a_heatmap_that_cannot_be_made_does_not_end_the_others() -> None:
    cache = MemoryHeatmapCache(ttl_s=60)
    writer = HeatmapWriter(cache)
    writer.start()
    writer.offer(decoded(0), np.zeros((0, 3), np.float32))
    keys = [writer.offer(decoded(offset), ANOMALY_MAP) for offset in range(1, 40)]
    writer.close(timeout_s=30)
    assert cache.get(str(keys[-1])) is not None
