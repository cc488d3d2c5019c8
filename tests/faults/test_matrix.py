"""Every cell of the fault matrix, and a random run that looks for what the cells forgot."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.apache_kafka.cluster import Cluster
from tests.conftest import Services
from tests.faults.cells import CELLS, Cell
from tests.faults.conftest import Chaos
from tests.faults.report import Report
from tests.faults.site import Site, open_site

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_the_books_balance_after(
    cell: Cell, cluster: Cluster, cluster_services: Services, tmp_path: Path, report: Report
) -> None:
    with open_site(cluster, cluster_services, tmp_path) as site, report.of(cell.name, cell.promise) as result:
        started_s = time.monotonic()
        cell.run(site)
        account = site.drained()
        lasted_s = time.monotonic() - started_s
        result.measured(account, longest_silence_s=site.longest_silence_s(lasted_s), lasted_s=lasted_s)
        assert account["clean"], account["discrepancies"]


def test_the_books_balance_after_random_faults(
    cluster: Cluster, cluster_services: Services, tmp_path: Path, report: Report, chaos: Chaos
) -> None:
    """Random workers suffer random faults for a while; then all is healed, drained and checked."""
    dice = random.Random(chaos.seed)
    name, promise = f"random faults for {chaos.duration_s:.0f} s, seed {chaos.seed}", "whatever comes together"
    frames = max(2_000, int(chaos.duration_s * 100))
    with open_site(cluster, cluster_services, tmp_path, frames=frames) as site, report.of(name, promise) as result:
        started_s = time.monotonic()
        site.send()
        while time.monotonic() - started_s < chaos.duration_s:
            living = [worker for worker in site.workers if worker.process.poll() is None]
            while len(living) < 2:
                living.append(site.start_worker())
            dice.choice(FAULTS)(site, dice)
            time.sleep(dice.uniform(0.5, 4))
        for broker in site.cluster.brokers:
            broker.proxy.mend()
            broker.start()
        account = site.drained()
        lasted_s = time.monotonic() - started_s
        result.measured(account, longest_silence_s=site.longest_silence_s(lasted_s), lasted_s=lasted_s)
        assert account["clean"], account["discrepancies"]


def kill_a_worker(site: Site, dice: random.Random) -> None:
    dice.choice(site.workers).process.kill()


def stop_a_worker(site: Site, dice: random.Random) -> None:
    worker = dice.choice(site.workers)
    if worker.process.poll() is None:
        worker.signal(signal.SIGTERM)


def freeze_a_worker(site: Site, dice: random.Random) -> None:
    worker = dice.choice(site.workers)
    if worker.process.poll() is None:
        worker.signal(signal.SIGSTOP)
        time.sleep(dice.uniform(0.2, 9))
        worker.signal(signal.SIGCONT)


def restart_a_broker(site: Site, dice: random.Random) -> None:
    broker = dice.choice(site.cluster.brokers)
    broker.kill()
    time.sleep(dice.uniform(0, 6))
    broker.start()


FAULTS: tuple[Callable[[Site, random.Random], None], ...] = (
    kill_a_worker,
    kill_a_worker,
    stop_a_worker,
    freeze_a_worker,
    restart_a_broker,
)
