"""HeatmapCache: never in the way, whatever happens to it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic

import pytest
from redis import Redis
from structlog.testing import capture_logs

from qc_worker.domain.errors import SettingsError
from qc_worker.embedded.services import EmbeddedCache
from qc_worker.ports.results import HeatmapCache, HeatmapEntry
from qc_worker.transport.memory.heatmaps import MemoryHeatmapCache
from qc_worker.transport.redis.heatmap_cache import BACK_OFF_S, NullHeatmapCache, RedisHeatmapCache, open_heatmap_cache
from tests.conftest import BROKERS, Services, eventually, started, started_redis, unique


@dataclass
class Rig:
    """A cache, ways to break and mend it, and a clock for its back-off."""

    cache: HeatmapCache
    break_down: Callable[[], None]
    mend: Callable[[], None]
    advance: Callable[[float], None]


@pytest.fixture(params=["memory", *BROKERS])
def cache(request: pytest.FixtureRequest) -> Iterator[HeatmapCache]:
    if request.param == "memory":
        yield MemoryHeatmapCache(ttl_s=1)
        return
    services: Services = request.getfixturevalue(f"{request.param}_services")
    redis = RedisHeatmapCache(services.redis_url, ttl_s=1)
    yield redis
    redis.close()


@pytest.fixture(params=["memory", "redis"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    with ExitStack() as stack:
        yield memory_rig() if request.param == "memory" else redis_rig(stack)


def memory_rig() -> Rig:
    cache = MemoryHeatmapCache(ttl_s=60)

    def switch(away: bool) -> None:
        cache.away = away

    return Rig(cache, lambda: switch(True), lambda: switch(False), lambda _: None)


def redis_rig(stack: ExitStack) -> Rig:
    server = started(EmbeddedCache(), stack)
    now_s = [0.0]

    def advance(seconds: float) -> None:
        now_s[0] += seconds

    cache = RedisHeatmapCache(server.redis_url, ttl_s=60, clock=lambda: now_s[0])
    stack.callback(cache.close)
    return Rig(cache, server.stop, server.start, advance)


def entry(key: str) -> HeatmapEntry:
    return HeatmapEntry(key, b"\x89PNG " + bytes(range(256)), b"\xff\xd8 thumbnail")


def test_what_was_put_is_got(cache: HeatmapCache) -> None:
    entries = [entry(unique("heatmap")) for _ in range(3)]
    assert cache.put(entries)
    assert [cache.get(each.key) for each in entries] == entries


def test_unknown_key_is_none(cache: HeatmapCache) -> None:
    assert cache.get(unique("heatmap")) is None
    assert cache.available()


def test_putting_nothing_succeeds(cache: HeatmapCache) -> None:
    assert cache.put([])


def test_entry_is_gone_after_its_time_to_live(cache: HeatmapCache) -> None:
    kept = entry(unique("heatmap"))
    assert cache.put([kept])
    began_s = monotonic()
    assert eventually(lambda: cache.get(kept.key) is None, timeout_s=5)
    assert monotonic() - began_s > 0.5


def test_putting_again_replaces(cache: HeatmapCache) -> None:
    key = unique("heatmap")
    cache.put([entry(key)])
    newer = HeatmapEntry(key, b"newer", b"newer")
    assert cache.put([newer])
    assert cache.get(key) == newer


def test_cache_that_is_away_costs_a_moment_and_raises_nothing(rig: Rig) -> None:
    rig.break_down()
    began_s = monotonic()
    assert not rig.cache.put([entry("k")])
    assert rig.cache.get("k") is None
    assert not rig.cache.available()
    assert monotonic() - began_s < 1


def test_cache_recovers_when_the_server_is_back(rig: Rig) -> None:
    rig.break_down()
    rig.cache.put([entry("k")])
    rig.mend()
    rig.advance(BACK_OFF_S)
    assert rig.cache.available()
    assert rig.cache.put([entry("k")])
    assert rig.cache.get("k") == entry("k")


def test_redis_is_left_alone_for_the_length_of_the_back_off() -> None:
    with ExitStack() as stack:
        rig = redis_rig(stack)
        rig.break_down()
        rig.cache.put([entry("k")])
        rig.mend()
        rig.advance(BACK_OFF_S / 2)
        assert not rig.cache.available()
        assert not rig.cache.put([entry("k")])
        rig.advance(BACK_OFF_S / 2)
        assert rig.cache.put([entry("k")])


def test_after_the_back_off_one_heatmap_is_promised_until_it_was_put() -> None:
    with ExitStack() as stack:
        rig = redis_rig(stack)
        rig.break_down()
        rig.cache.put([entry("k")])
        rig.mend()
        rig.advance(BACK_OFF_S)
        assert [rig.cache.available() for _ in range(3)] == [True, False, False]
        assert rig.cache.put([entry("promised")])
        assert [rig.cache.available() for _ in range(3)] == [True, True, True]
        assert rig.cache.get("promised") == entry("promised")


def test_a_cache_that_stays_away_is_promised_one_heatmap_each_back_off() -> None:
    with ExitStack() as stack:
        rig = redis_rig(stack)
        rig.break_down()
        rig.cache.put([entry("k")])
        for _ in range(3):
            rig.advance(BACK_OFF_S)
            assert [rig.cache.available() for _ in range(3)] == [True, False, False]
            assert not rig.cache.put([entry("promised")])
            assert not rig.cache.available()


def test_a_promise_that_nobody_keeps_is_not_the_last() -> None:
    with ExitStack() as stack:
        rig = redis_rig(stack)
        rig.break_down()
        rig.cache.put([entry("k")])
        rig.mend()
        for _ in range(3):
            rig.advance(BACK_OFF_S)
            assert [rig.cache.available() for _ in range(2)] == [True, False]


@pytest.mark.parametrize("url", ["not a url", "http://127.0.0.1:6379", "redis://127.0.0.1:port", "redis://[::1"])
def test_malformed_url_is_a_settings_error(url: str) -> None:
    with pytest.raises(SettingsError, match="redis_url"):
        RedisHeatmapCache(url, ttl_s=1)


def test_empty_url_means_no_heatmaps() -> None:
    cache = open_heatmap_cache("", ttl_s=60)
    assert isinstance(cache, NullHeatmapCache)
    assert not cache.put([entry("k")])
    assert cache.get("k") is None
    assert not cache.available()
    cache.close()


def test_a_full_redis_refuses_in_a_short_line_and_takes_again_when_there_is_room() -> None:
    now_s = [0.0]
    with ExitStack() as stack:
        server = started_redis(stack)
        admin = stack.enter_context(Redis.from_url(server.redis_url))
        cache = RedisHeatmapCache(server.redis_url, ttl_s=60, clock=lambda: now_s[0])
        stack.callback(cache.close)
        admin.config_set("maxmemory", "1")
        with capture_logs() as logged:
            assert not cache.put([entry("refused")])
        assert not cache.available()
        assert len(str(logged[0]["error"])) < 200
        assert "PNG" not in str(logged)
        admin.config_set("maxmemory", "0")
        now_s[0] += BACK_OFF_S
        assert cache.put([entry("taken")])
