"""Faults of what stands around worker and brokers: the cache, the trainer and its disk, the clock."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from redis import Redis

from qc_worker.transport.redis_cache import RedisHeatmapCache
from tests.conftest import DebianRedis, eventually, skip_on_a_laptop, started
from tests.faults.leaping_clock import LeapingClock
from tests.faults.site import Site
from tests.unit.trainer.factories import filled_store

REJECTS_ALL = (-1e6, -1e6, -1e6)
"""So that every frame wants a heatmap."""
BROKER_AWAY = 75
RETRAIN = ("retrain", "--line", "A", "--input-size", "64", "--json")
QUICK, ENDLESS = ("--steps", "150"), ("--steps", "1000000")


def patience_exceeded(site: Site) -> None:
    """The worker cannot reach its brokers for longer than it waits; its supervisor starts another."""
    worker = site.ready_worker(
        QC_KAFKA_BOOTSTRAP_SERVERS=site.cluster.proxied_bootstrap_servers, QC_BROKER_PATIENCE_S="8"
    )
    site.send()
    site.wait_for(200)
    for broker in site.cluster.brokers:
        broker.proxy.cut()
    assert worker.wait(90) == BROKER_AWAY
    for broker in site.cluster.brokers:
        broker.proxy.mend()
    site.start_worker()


def redis_killed(site: Site) -> None:
    with _own_redis(site) as redis:
        redis.stop()
        site.wait_for(site.frames // 2)
        redis.start()
        _heatmaps_come_back(site, redis)


def redis_frozen(site: Site) -> None:
    """It takes connections and answers nothing: the slowest there is."""
    with _own_redis(site) as redis:
        process = Redis.from_url(redis.redis_url).info("server")["process_id"]
        os.kill(process, signal.SIGSTOP)
        site.wait_for(site.frames // 2)
        os.kill(process, signal.SIGCONT)
        _heatmaps_come_back(site, redis)


def redis_full(site: Site) -> None:
    """It refuses every write for want of memory."""
    with _own_redis(site) as redis, Redis.from_url(redis.redis_url) as admin:
        admin.config_set("maxmemory-policy", "noeviction")
        admin.config_set("maxmemory", "1mb")
        site.wait_for(site.frames // 2)
        admin.config_set("maxmemory", "0")
        _heatmaps_come_back(site, redis)


def trainer_killed(site: Site) -> None:
    """In the middle of a retrain; the next one goes live all the same."""
    filled_store(site.plant.folder / "state" / "samples", good=24)
    worker = site.ready_worker()
    site.send()
    site.wait_for(200)
    with _trainer(site, *RETRAIN, *ENDLESS) as trainer:
        eventually(lambda: (site.plant.folder / "state" / "samples" / ".A.lock").exists() or _pause())
        eventually(lambda: list(site.plant.folder.glob("state/**/*.features")) or _pause(), timeout_s=90)
        trainer.kill()
    assert site.plant.store.versions("A") == ["v1"]
    _retrained(site)
    eventually(lambda: worker.events()["model taken up"] > 0 or _pause())


def trainer_out_of_disk(site: Site) -> None:
    """The model store's disk is full; nothing of the new version appears, and with room again it goes live."""
    filled_store(site.plant.folder / "state" / "samples", good=24)
    store = site.plant.folder / "store"
    with _small_disk(store):
        worker = site.ready_worker()
        site.send()
        site.wait_for(200)
        filler = store / "filler"
        _fill(filler)
        with _trainer(site, *RETRAIN, *QUICK) as trainer:
            _, said = trainer.communicate(timeout=150)
        assert (trainer.returncode, said.splitlines()[-1][:7]) == (2, "error: "), said
        assert site.plant.store.versions("A") == ["v1"]
        filler.unlink()
        _retrained(site)
        eventually(lambda: worker.events()["model taken up"] > 0 or _pause())
        site.drained()


def clock_jumps(site: Site) -> None:
    """The worker's wall clock leaps an hour ahead, then two hours back."""
    clock = LeapingClock(site.plant.folder)
    site.ready_worker(**clock.environment)
    site.send()
    site.wait_for(200)
    clock.leap(3600)
    site.wait_for(800)
    clock.leap(-3600)
    site.wait_for(1400)
    hours = {inspection.scored_at.hour for inspection in site.plant.inspections(0)}
    assert len(hours) >= 3, "the clock did not jump"


@contextmanager
def _own_redis(site: Site) -> Iterator[DebianRedis]:
    """A Redis that may be broken, with a worker that writes heatmaps to it for every frame that comes."""
    program = shutil.which("redis-server")
    if program is None:
        skip_on_a_laptop("needs redis-server (Debian: redis-server)")
    with ExitStack() as stack:
        redis = started(DebianRedis(program), stack)
        for line in "AB":
            site.plant.train(line, "v2", scores=REJECTS_ALL)
        site.ready_worker(QC_REDIS_URL=redis.redis_url)
        site.send()
        site.wait_for(100)
        yield redis


def _heatmaps_come_back(site: Site, redis: DebianRedis) -> None:
    """With frames that come after all others, as these may be judged before the cache is asked again."""
    cache = RedisHeatmapCache(redis.redis_url, ttl_s=60)

    def cached() -> bool:
        site.send_another()
        key = site.plant.inspections(site.frames)[-1].heatmap_key
        return key is not None and eventually(lambda: cache.get(key) is not None or _pause(), timeout_s=5)

    site.sent_all()
    site.wait_for(site.frames)
    assert eventually(cached, timeout_s=30)
    cache.close()


@contextmanager
def _trainer(site: Site, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    trainer = subprocess.Popen(
        [sys.executable, "-m", "trainer.cli", *arguments],
        env=site.plant.environment,
        cwd=site.plant.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield trainer
    finally:
        trainer.kill()
        trainer.communicate()


def _retrained(site: Site) -> None:
    site.plant.command("trainer.cli", *RETRAIN, *QUICK)
    assert len(site.plant.store.versions("A")) == 2


def _pause() -> bool:
    time.sleep(0.1)
    return False


def _fill(filler: Path) -> None:
    with suppress(OSError), filler.open("wb", buffering=0) as file:  # no space left on device
        while True:
            file.write(bytes(4096))


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    """Put what lies in a folder on a file system of 16 MB."""
    aside = folder.with_suffix(".aside")
    shutil.copytree(folder, aside)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        skip_on_a_laptop("needs the right to mount a file system")
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
