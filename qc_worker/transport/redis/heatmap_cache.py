"""Keeps heatmaps in Redis, one hash per frame; a slow or absent Redis costs only one short wait per back-off."""

from collections.abc import Callable, Sequence
from contextlib import closing
from threading import Lock
from time import monotonic

import structlog
from redis import Redis
from redis.cluster import RedisCluster

from qc_worker.ports.results import HeatmapEntry
from qc_worker.transport.redis.address import CACHE_ERRORS, RedisAddress, advice

log = structlog.get_logger()

TIMEOUT_S = 0.05
"""Time limit of each request and each connection, unless the settings give another."""
BACK_OFF_S = 2.0
HEATMAP_FIELD = "heatmap"
THUMBNAIL_FIELD = "thumbnail"


class RedisHeatmapCache:
    """Hash `key` with the fields `heatmap` (PNG) and `thumbnail` (JPEG)."""

    def __init__(
        self,
        url: str,
        *,
        ttl_s: int,
        timeout_s: float = TIMEOUT_S,
        back_off_s: float = BACK_OFF_S,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._address = RedisAddress(url, timeout_s)
        self._opened: Redis | RedisCluster | None = None
        self._ttl_s = ttl_s
        self._breaker = Breaker(back_off_s, clock)

    def put(self, entries: Sequence[HeatmapEntry]) -> bool:
        if not self._breaker.may_try():
            return False
        try:
            # The entries of a cluster lie on different nodes, and a transaction covers only one.
            at_once = 1 if self._address.is_cluster else len(entries)
            for first in range(0, len(entries), max(1, at_once)):
                self._put(entries[first : first + at_once])
        except CACHE_ERRORS as error:
            self._back_off(error)
            return False
        self._breaker.close()
        return True

    def _put(self, entries: Sequence[HeatmapEntry]) -> None:
        # A transaction, so that no entry is ever left without its time to live.
        with self._redis().pipeline(transaction=True) as pipeline:
            for entry in entries:
                fields = {HEATMAP_FIELD: entry.heatmap_png, THUMBNAIL_FIELD: entry.thumbnail_jpeg}
                pipeline.hset(entry.key, mapping=fields)  # type: ignore[arg-type]  # redis-py wants str keys only
                pipeline.expire(entry.key, self._ttl_s)
            pipeline.execute()

    def get(self, key: str) -> HeatmapEntry | None:
        if not self._breaker.may_try():
            return None
        try:
            heatmap, thumbnail = self._redis().hmget(key, [HEATMAP_FIELD, THUMBNAIL_FIELD])
        except CACHE_ERRORS as error:
            self._back_off(error)
            return None
        self._breaker.close()
        if not isinstance(heatmap, bytes) or not isinstance(thumbnail, bytes):
            return None
        return HeatmapEntry(key=key, heatmap_png=heatmap, thumbnail_jpeg=thumbnail)

    def available(self) -> bool:
        return self._breaker.may_promise()

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def _redis(self) -> "Redis | RedisCluster":
        """Return the client, made on first use: a cluster that is away must not keep a worker from starting."""
        if self._opened is None:
            self._opened = self._address.client()
        return self._opened

    def _back_off(self, error: Exception) -> None:
        back_off_s = self._breaker.open()
        # The error of a pipeline quotes the command, including the pictures.
        reason = str(error).rpartition("of pipeline caused error: ")[2]
        said = f"{type(error).__name__}: {reason}{advice(error)}"
        log.warning("heatmap cache away", error=said, back_off_s=back_off_s)


class Breaker:
    """Circuit breaker: closed while tries succeed; open after a failure, with one try per back-off, until one succeeds.

    Different threads promise a heatmap and write it: a promise made while it is open allows one try.
    """

    def __init__(self, back_off_s: float, clock: Callable[[], float]) -> None:
        self._back_off_s = back_off_s
        self._clock = clock
        self._lock = Lock()
        self._next_try_at_s: float | None = None
        self._is_promised = False

    def may_promise(self) -> bool:
        """Return True if a heatmap may be promised, because a try will be allowed."""
        with self._lock:
            return self._may_promise()

    def may_try(self) -> bool:
        """Return True if a try is allowed now: it was promised, or could be promised now."""
        with self._lock:
            may_try = self._is_promised or self._may_promise()
            self._is_promised = False
            return may_try

    def close(self) -> None:
        """Close after a try that succeeded."""
        with self._lock:
            self._next_try_at_s, self._is_promised = None, False

    def open(self) -> float:
        """Open after a try that failed. Returns the back-off, seconds, in which nothing is tried."""
        with self._lock:
            self._next_try_at_s, self._is_promised = self._clock() + self._back_off_s, False
        return self._back_off_s

    def _may_promise(self) -> bool:
        if self._next_try_at_s is None:
            return True
        if self._clock() < self._next_try_at_s:
            return False
        # The next promise comes after another back-off; otherwise one that is never kept would be the last.
        self._next_try_at_s, self._is_promised = self._clock() + self._back_off_s, True
        return True


class NullHeatmapCache:
    """Cache for an empty `redis_url`: it keeps no heatmaps."""

    def put(self, entries: Sequence[HeatmapEntry]) -> bool:  # noqa: ARG002
        return False

    def get(self, key: str) -> HeatmapEntry | None:  # noqa: ARG002
        return None

    def available(self) -> bool:
        return False

    def close(self) -> None:
        pass


def open_heatmap_cache(url: str, *, ttl_s: int, timeout_s: float = TIMEOUT_S) -> RedisHeatmapCache | NullHeatmapCache:
    """Open the cache that `redis_url` names; empty: one that keeps nothing. Raises SettingsError."""
    return RedisHeatmapCache(url, ttl_s=ttl_s, timeout_s=timeout_s) if url else NullHeatmapCache()


def cache_answers(url: str) -> bool:
    """Return True if a Redis answers there within TIMEOUT_S. Raises SettingsError."""
    address = RedisAddress(url, TIMEOUT_S)
    try:
        with closing(address.client()) as redis:
            return bool(redis.ping())
    except CACHE_ERRORS:
        return False
