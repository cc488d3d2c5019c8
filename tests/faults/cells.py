"""The fault matrix: what is broken while frames flow, and what must hold all the same.

Each cell is run by `test_matrix.py` on three brokers with at least 2,000 frames; then the books must balance.
"""

import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from kafka import KafkaAdminClient

from qc_worker.failpoints import PLACES
from qc_worker.transport.kafka_config import open_client
from tests.faults.site import Site
from tests.faults.surroundings import (
    clock_jumps,
    patience_exceeded,
    redis_frozen,
    redis_full,
    redis_killed,
    trainer_killed,
    trainer_out_of_disk,
)

SESSION_S = 6.0
POLL_INTERVAL_MS = 8_000
PREFERRED = 0
POISON = {"first": 0, "middle": 1_003, "last": 1_999}
CRASHES_OF_A_POISONOUS_FRAME = 3


@dataclass(frozen=True)
class Cell:
    """One fault. `run` breaks things and, where that is part of it, mends them; it ends with what may stay."""

    name: str
    promise: str
    run: Callable[[Site], None]


def killed_at(place: str) -> Cell:
    def run(site: Site) -> None:
        worker = site.start_worker(QC_FAILPOINTS=f"{place}=5")
        site.send()
        assert worker.wait(60) == -signal.SIGKILL
        site.start_worker()

    return Cell(f"worker killed {place}", "a killed worker loses and repeats nothing", run)


def terminated(site: Site) -> None:
    worker = site.ready_worker()
    site.send()
    site.wait_for(300)
    worker.signal(signal.SIGTERM)
    assert worker.wait(15) == 0
    site.start_worker()


def frozen(site: Site, freeze_s: float, **environment: str) -> None:
    worker = site.ready_worker(**environment)
    site.start_worker(**environment)
    site.send()
    site.wait_for(200)
    worker.signal(signal.SIGSTOP)
    time.sleep(freeze_s)
    worker.signal(signal.SIGCONT)


def joining_and_leaving(site: Site) -> None:
    site.ready_worker()
    site.send()
    for _ in range(2):
        guest = site.ready_worker()
        site.wait_for(min(site.frames, len(site.plant.inspections(0)) + 150))
        guest.signal(signal.SIGTERM)
        assert guest.wait(15) == 0


def leader_killed(site: Site) -> None:
    site.ready_worker()
    site.send()
    site.wait_for(200)
    leader = site.leader_of(site.plant.topics["results"])
    leader.kill()
    time.sleep(5)
    leader.start()


def coordinator_killed(site: Site) -> None:
    site.ready_worker()
    site.send()
    site.wait_for(200)
    coordinator = site.coordinator()
    coordinator.kill()
    time.sleep(5)
    coordinator.start()


def leader_moved(site: Site) -> None:
    """A broker goes and comes back, and the partitions are then given back to whom they belong."""
    leader_killed(site)
    time.sleep(3)
    admin = open_client(KafkaAdminClient, site.plant.access)
    try:
        admin.elect_leaders(PREFERRED, raise_errors=False)  # where it is already, it is an error
    finally:
        admin.close()


def all_brokers_down(site: Site) -> None:
    site.ready_worker()
    site.send()
    site.sent_all()
    for broker in site.cluster.brokers:
        broker.kill()
    time.sleep(60)
    for broker in site.cluster.brokers:
        broker.server.launch()
    for broker in site.cluster.brokers:
        broker.start()


def network_cut(site: Site, cut_s: float) -> None:
    """The only worker is behind proxies; another takes over where the cut is longer than the session."""
    site.ready_worker(QC_KAFKA_BOOTSTRAP_SERVERS=site.cluster.proxied_bootstrap_servers)
    site.start_worker()
    site.send()
    site.wait_for(200)
    for broker in site.cluster.brokers:
        broker.proxy.cut()
    time.sleep(cut_s)
    for broker in site.cluster.brokers:
        broker.proxy.mend()


def store_gone(site: Site) -> None:
    site.ready_worker()
    site.send()
    site.wait_for(200)
    shutil.rmtree(site.plant.folder / "store")


def corrupt_release(site: Site) -> None:
    site.ready_worker()
    site.send()
    site.wait_for(200)
    release = site.plant.train("A", "v0")  # announced and taken up
    head = site.plant.folder / "store" / "A" / release.version / "head.safetensors"
    head.write_bytes(b"broken" + head.read_bytes())
    site.plant.announce(release)


def poisoned(which: str) -> Cell:
    frame = f"frame-{POISON[which]}"

    def run(site: Site) -> None:
        """Every worker dies of the frame; a supervisor starts another."""
        site.send()
        deaths = 0
        while deaths < CRASHES_OF_A_POISONOUS_FRAME:
            worker = site.start_worker(QC_FAILPOINTS=f"in-decode@{frame}")
            assert worker.wait(120) == -signal.SIGKILL
            deaths += 1
        site.start_worker(QC_FAILPOINTS=f"in-decode@{frame}")

    return Cell(f"poisonous frame {which}", "a frame that kills workers kills three, then the line goes on", run)


CELLS = (
    *map(killed_at, PLACES),
    Cell("worker terminated", "SIGTERM loses and repeats nothing", terminated),
    Cell(
        "worker frozen beyond its session", "a worker that was away repeats nothing", lambda s: frozen(s, SESSION_S + 4)
    ),
    Cell(
        "worker frozen beyond the poll interval",
        "a worker that was away repeats nothing",
        lambda site: frozen(site, POLL_INTERVAL_MS / 1000 + 6, QC_MAX_POLL_INTERVAL_MS=str(POLL_INTERVAL_MS)),
    ),
    Cell("workers join and leave", "a rebalance loses and repeats nothing", joining_and_leaving),
    Cell("leader killed and restarted", "a broker less is no frame less", leader_killed),
    Cell("coordinator killed and restarted", "a broker less is no frame less", coordinator_killed),
    Cell("leader killed, restarted, elected again", "a broker less is no frame less", leader_moved),
    Cell("all brokers down for 60 s", "a worker waits for its broker", all_brokers_down),
    Cell("network cut for 4 s", "a short cut costs time only", lambda site: network_cut(site, 4)),
    Cell("network cut for 25 s", "a member that was cut off repeats nothing", lambda site: network_cut(site, 25)),
    Cell(
        "brokers away beyond the worker's patience", "it ends with exit code 75, for its supervisor", patience_exceeded
    ),
    Cell("clock of the worker jumps", "the wall clock is for stamps only", clock_jumps),
    Cell("redis killed and restarted", "a cache that is away costs pictures, never verdicts", redis_killed),
    Cell("redis frozen", "a cache that is slow costs pictures, never verdicts", redis_frozen),
    Cell("redis full", "a cache that is full costs pictures, never verdicts", redis_full),
    Cell("trainer killed in mid-retrain", "the old version stays, the next retrain goes live", trainer_killed),
    Cell("trainer's disk full", "the old version stays untouched", trainer_out_of_disk),
    Cell("model store gone", "resident models go on", store_gone),
    Cell("corrupt release", "a bad release never goes live", corrupt_release),
    *map(poisoned, POISON),
)
