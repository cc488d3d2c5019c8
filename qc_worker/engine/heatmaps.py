"""Render and cache heatmaps in a thread of their own: a slow or dead cache costs pictures, never verdicts."""

import queue
import threading
from dataclasses import dataclass

import numpy as np
import structlog

from qc_worker.domain.frame import Position
from qc_worker.engine.decoding import Decoded
from qc_worker.imaging.aspect import Aspect
from qc_worker.imaging.heatmap import render_heatmap
from qc_worker.imaging.preprocessing import Picture
from qc_worker.observability import metrics
from qc_worker.ports.results import HeatmapCache, HeatmapEntry

log = structlog.get_logger()

QUEUE_LENGTH = 64
ENTRIES_PER_WRITE = 16


@dataclass(frozen=True, slots=True)
class _Order:
    key: str
    picture: Picture
    anomaly_map: np.ndarray
    threshold: float
    aspect: Aspect


class HeatmapWriter:
    """Write heatmaps to the cache, in one thread behind a bounded queue."""

    def __init__(self, cache: HeatmapCache) -> None:
        self._cache = cache
        self._orders: queue.Queue[_Order | None] = queue.Queue(QUEUE_LENGTH)
        self._thread = threading.Thread(target=self._run, name="heatmap-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def offer(self, decoded: Decoded, anomaly_map: np.ndarray) -> str | None:
        """Order a heatmap and return its key; None if the cache cannot be reached or the queue is full."""
        if not self._cache.available():
            metrics.HEATMAPS.labels(outcome="cache_away").inc()
            return None
        order = _Order(
            heatmap_key(decoded.frame.position),
            decoded.picture,
            anomaly_map.copy(),  # a view would keep the maps of the whole batch in memory
            decoded.resident.calibration.threshold,
            decoded.spec.aspect,
        )
        try:
            self._orders.put_nowait(order)
        except queue.Full:
            metrics.HEATMAPS.labels(outcome="skipped").inc()
            return None
        return order.key

    def close(self, timeout_s: float = 2.0) -> None:
        """Write the queued heatmaps, as many as `timeout_s` allows."""
        if self._thread.is_alive():
            try:
                self._orders.put(None, timeout=timeout_s)
            except queue.Full:
                return
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            orders = [order, *self._take_waiting()]
            is_cached = self._write(orders)
            metrics.HEATMAPS.labels(outcome="cached" if is_cached else "lost").inc(len(orders))

    def _write(self, orders: list[_Order]) -> bool:
        """Render the heatmaps and put them into the cache; return False if they are lost."""
        try:
            return self._cache.put([_rendered(order) for order in orders])
        except Exception:  # one bad picture must not end this thread, and all later heatmaps with it
            log.exception("heatmaps failed", count=len(orders))
            return False

    def _take_waiting(self) -> list[_Order]:
        """Take the other queued orders, up to one write."""
        orders: list[_Order] = []
        while len(orders) < ENTRIES_PER_WRITE - 1 and not self._orders.empty():
            order = self._orders.get()
            if order is None:
                self._orders.put(None)
                break
            orders.append(order)
        return orders


def heatmap_key(position: Position) -> str:
    """Return the cache key of a frame's heatmap: only the position is in it, which no sender can choose."""
    return f"qc:heatmap:{position}"


def _rendered(order: _Order) -> HeatmapEntry:
    heatmap_png, thumbnail_jpeg = render_heatmap(order.picture, order.anomaly_map, order.threshold, order.aspect)
    return HeatmapEntry(order.key, heatmap_png, thumbnail_jpeg)
