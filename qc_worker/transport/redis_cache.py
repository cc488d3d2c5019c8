"""Heatmaps in Redis, one hash per frame; a slow or absent Redis costs 50 ms once in a while and nothing else."""

from collections.abc import Callable, Sequence
from threading import Lock
from time import monotonic

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from qc_worker.domain.errors import SettingsError
from qc_worker.ports import HeatmapEntry

log = structlog.get_logger()

SOCKET_TIMEOUT_S = 0.05
BACK_OFF_S = 2.0
HEATMAP_FIELD = "heatmap"
THUMBNAIL_FIELD = "thumbnail"


class RedisHeatmapCache:
    """Hash `key` with the fields `heatmap` (PNG) and `thumbnail` (JPEG)."""

    def __init__(
        self, url: str, *, ttl_s: int, back_off_s: float = BACK_OFF_S, clock: Callable[[], float] = monotonic
    ) -> None:
        self._redis = _client(url)
        self._ttl_s = ttl_s
        self._breaker = Breaker(back_off_s, clock)

    def put(self, entries: Sequence[HeatmapEntry]) -> bool:
        if not self._breaker.may_try():
            return False
        try:
            # A transaction, so that no entry is ever left without its time to live.
            with self._redis.pipeline(transaction=True) as pipeline:
                for entry in entries:
                    fields = {HEATMAP_FIELD: entry.heatmap_png, THUMBNAIL_FIELD: entry.thumbnail_jpeg}
                    pipeline.hset(entry.key, mapping=fields)  # type: ignore[arg-type]  # redis-py wants str keys only
                    pipeline.expire(entry.key, self._ttl_s)
                pipeline.execute()
        except (RedisError, OSError) as error:
            self._back_off(error)
            return False
        self._breaker.close()
        return True

    def get(self, key: str) -> HeatmapEntry | None:
        if not self._breaker.may_try():
            return None
        try:
            heatmap, thumbnail = self._redis.hmget(key, [HEATMAP_FIELD, THUMBNAIL_FIELD])
        except (RedisError, OSError) as error:
            self._back_off(error)
            return None
        self._breaker.close()
        if not isinstance(heatmap, bytes) or not isinstance(thumbnail, bytes):
            return None
        return HeatmapEntry(key=key, heatmap_png=heatmap, thumbnail_jpeg=thumbnail)

    def available(self) -> bool:
        return self._breaker.may_promise()

    def close(self) -> None:
        self._redis.close()

    def _back_off(self, error: Exception) -> None:
        back_off_s = self._breaker.open()
        # The error of a pipeline quotes the command, pictures and all.
        reason = str(error).rpartition("of pipeline caused error: ")[2]
        log.warning("heatmap cache away", error=f"{type(error).__name__}: {reason}", back_off_s=back_off_s)


class Breaker:
    """Closed while all is well; open after a failure, but for one try in each back-off, until one succeeds.

    Who promises a heatmap and who writes it are different threads: the promise that is let through entitles to a try.
    """

    def __init__(self, back_off_s: float, clock: Callable[[], float]) -> None:
        self._back_off_s = back_off_s
        self._clock = clock
        self._lock = Lock()
        self._next_try_at_s: float | None = None
        self._is_promised = False

    def may_promise(self) -> bool:
        """Whether something may be counted on to be tried."""
        with self._lock:
            return self._may_promise()

    def may_try(self) -> bool:
        """Whether to try now: what was promised, or what would be."""
        with self._lock:
            may_try = self._is_promised or self._may_promise()
            self._is_promised = False
            return may_try

    def close(self) -> None:
        """A try went well."""
        with self._lock:
            self._next_try_at_s, self._is_promised = None, False

    def open(self) -> float:
        """A try failed. Returns for how long nothing is tried, seconds."""
        with self._lock:
            self._next_try_at_s, self._is_promised = self._clock() + self._back_off_s, False
        return self._back_off_s

    def _may_promise(self) -> bool:
        if self._next_try_at_s is None:
            return True
        if self._clock() < self._next_try_at_s:
            return False
        # The next one only after another back-off, or a promise that nobody keeps would be the last.
        self._next_try_at_s, self._is_promised = self._clock() + self._back_off_s, True
        return True


class NullHeatmapCache:
    """What an empty `redis_url` asks for: no heatmaps."""

    def put(self, entries: Sequence[HeatmapEntry]) -> bool:  # noqa: ARG002
        return False

    def get(self, key: str) -> HeatmapEntry | None:  # noqa: ARG002
        return None

    def available(self) -> bool:
        return False

    def close(self) -> None:
        pass


def open_heatmap_cache(url: str, *, ttl_s: int) -> RedisHeatmapCache | NullHeatmapCache:
    """The cache that `redis_url` asks for. Raises SettingsError."""
    return RedisHeatmapCache(url, ttl_s=ttl_s) if url else NullHeatmapCache()


def cache_answers(url: str) -> bool:
    """Whether a Redis answers there within a moment. Raises SettingsError."""
    redis = _client(url)
    try:
        return bool(redis.ping())
    except (RedisError, OSError):
        return False
    finally:
        redis.close()


def _client(url: str) -> Redis:
    try:
        return Redis.from_url(
            url,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=SOCKET_TIMEOUT_S,
            # Waiting for a second try is what the caller must never do.
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
        )
    except (ValueError, TypeError) as error:
        # urllib's words may quote a part of the password.
        raise SettingsError("redis_url: expected redis://[user:password@]host:port/db") from error
