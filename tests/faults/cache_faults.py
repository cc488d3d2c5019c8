"""Faults of Redis: it is gone, answers nothing, is full, or slow."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

from redis import Redis

from qc_worker.transport.redis.heatmap_cache import RedisHeatmapCache
from tests.conftest import DebianRedis, skip_on_a_laptop, started
from tests.faults.site import Site
from tests.support.apache_kafka.proxy import Proxy

REJECTS_ALL = (-1e6, -1e6, -1e6)
"""So that every frame wants a heatmap."""
WITHIN_TIMEOUTS_S, BEYOND_TIMEOUTS_S = 0.015, 0.2
"""Each way; the worker waits 0.05 s for an answer."""
FRAMES_WITHOUT = 900
"""Judged while the cache is broken."""


def redis_killed(site: Site) -> None:
    with _own_redis(site) as (redis, _):
        redis.stop()
        _judged_without(site)
        redis.start()
        _heatmaps_come(site, redis)


def redis_frozen(site: Site) -> None:
    """It takes connections and answers nothing."""
    with _own_redis(site) as (redis, _):
        process = Redis.from_url(redis.redis_url).info("server")["process_id"]
        os.kill(process, signal.SIGSTOP)
        _judged_without(site)
        os.kill(process, signal.SIGCONT)
        _heatmaps_come(site, redis)


def redis_full(site: Site) -> None:
    """It refuses every write for want of memory."""
    with _own_redis(site) as (redis, _), Redis.from_url(redis.redis_url) as admin:
        admin.config_set("maxmemory-policy", "noeviction")
        admin.config_set("maxmemory", "1mb")
        _judged_without(site)
        admin.config_set("maxmemory", "0")
        _heatmaps_come(site, redis)


def redis_slow(site: Site) -> None:
    """Answers take long, then longer than the worker waits for them."""
    with _own_redis(site) as (redis, proxy):
        proxy.delay_s = WITHIN_TIMEOUTS_S
        site.wait_for_more(FRAMES_WITHOUT // 2)
        _heatmaps_come(site, redis)
        proxy.delay_s = BEYOND_TIMEOUTS_S
        _judged_without(site)
        proxy.delay_s = 0.0
        _heatmaps_come(site, redis)


@contextmanager
def redis_behind_a_proxy() -> Iterator[tuple[DebianRedis, Proxy, str]]:
    """A Redis that may be broken, a proxy before it, and the URL that leads through it."""
    program = shutil.which("redis-server")
    if program is None:
        skip_on_a_laptop("needs redis-server (Debian: redis-server)")
    with ExitStack() as stack:
        redis = started(DebianRedis(program), stack)
        proxy = Proxy(urlsplit(redis.redis_url).port or 0)
        stack.callback(proxy.close)
        yield redis, proxy, f"redis://127.0.0.1:{proxy.port}/0"


@contextmanager
def _own_redis(site: Site) -> Iterator[tuple[DebianRedis, Proxy]]:
    """With a worker that wants a heatmap of every frame of line A."""
    with redis_behind_a_proxy() as (redis, proxy, url):
        site.plant.train("A", "v2", scores=REJECTS_ALL)
        site.ready_worker(QC_REDIS_URL=url)
        site.send()
        site.wait_for_more(300)
        _heatmaps_come(site, redis)
        yield redis, proxy


def _judged_without(site: Site) -> None:
    """Verdicts go on, and say that there is no heatmap."""
    before = len(site.verdicts)
    site.wait_for_more(FRAMES_WITHOUT)
    rejected = [one for one in site.verdicts.so_far(since=before) if one.line == "A"]
    assert any(one.heatmap_key is None for one in rejected)


def _heatmaps_come(site: Site, redis: DebianRedis) -> None:
    """Of frames judged from now on."""
    before = len(site.verdicts)
    cache = RedisHeatmapCache(redis.redis_url, ttl_s=60)
    site.until(lambda: _any_cached(site, cache, before))
    cache.close()


def _any_cached(site: Site, cache: RedisHeatmapCache, since: int) -> bool:
    keys = [one.heatmap_key for one in site.verdicts.so_far(since=since) if one.heatmap_key is not None]
    return any(cache.get(key) is not None for key in keys[-8:])
