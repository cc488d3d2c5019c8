"""Things are killed, stopped and cut while frames flow; whatever happens, no frame may be missing in the end."""

import random
import signal
from contextlib import ExitStack
from dataclasses import replace

import pytest

from qc_worker.domain.frame import Position
from qc_worker.embedded.services import EmbeddedCache
from qc_worker.transport.redis.heatmap_cache import RedisHeatmapCache
from tests.conftest import Services, eventually, started
from tests.support.plant import Plant, balance

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

REJECTS_ALL = (-1e6, -1e6, -1e6)


def nothing_missing(plant: Plant, sent: list[Position]) -> bool:
    return balance(sent, plant.inspections(1)).missing == []


def test_a_worker_killed_again_and_again_loses_nothing(plant: Plant) -> None:
    plant.train("A", "v1")
    plant.train("B", "v1")
    moments = random.Random(1)
    sent = plant.push(2000)
    for _ in range(4):
        seen = len(plant.inspections(0))
        with plant.worker() as worker:
            plant.inspections(seen + moments.randrange(1, 300))
            worker.signal(signal.SIGKILL)
            worker.wait(10)
    with plant.worker():
        eventually(lambda: nothing_missing(plant, sent), timeout_s=240)
    assert balance(sent, plant.settled_inspections(0)).out_of_order == 0


def test_a_worker_frozen_beyond_its_session_loses_nothing(plant: Plant) -> None:
    plant.train("A", "v1")
    plant.train("B", "v1")
    with plant.worker() as frozen, plant.worker():
        sent = plant.push(600)
        plant.inspections(50)
        frozen.signal(signal.SIGSTOP)
        sent += plant.push(600, first=600)
        # The other worker gets the frozen one's partitions once the session is over.
        eventually(lambda: nothing_missing(plant, sent), timeout_s=120)
        frozen.signal(signal.SIGCONT)
        sent += plant.push(200, first=1200)
        eventually(lambda: nothing_missing(plant, sent), timeout_s=120)


def test_verdicts_flow_while_redis_is_killed_and_heatmaps_come_back_with_it(plant: Plant, services: Services) -> None:
    with ExitStack() as stack:
        cache = started(EmbeddedCache(), stack)
        plant.services = replace(services, redis_url=cache.redis_url)
        plant.train("A", "v1", scores=REJECTS_ALL)
        with plant.worker(QC_REDIS_URL=cache.redis_url):
            plant.push(20, lines="A")
            plant.inspections(20)
            cache.stop()
            plant.push(100, lines="A", first=20)
            assert plant.inspections(120)[-1].heatmap_key is None
            cache.start()
            eventually(lambda: plant.push(1, lines="A") and last_heatmap_cached(plant), timeout_s=60)


def last_heatmap_cached(plant: Plant) -> bool:
    key = plant.inspections(1)[-1].heatmap_key
    cache = RedisHeatmapCache(plant.services.redis_url, ttl_s=60)
    found = key is not None and cache.get(key) is not None
    cache.close()
    return found
