"""Faults of brokers and of the network before them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qc_worker.observability.exits import TRY_AGAIN
from tests.faults.leadership import OFFSETS, TRANSACTIONS
from tests.faults.site import Site
from tests.faults.worker_faults import other_member, until_it_has_all, until_it_shares
from tests.support.apache_kafka.cluster import Broker
from tests.support.plant import WorkerProcess

COORDINATORS = (OFFSETS, TRANSACTIONS)
AWAY_S = 5.0
OUTAGE_S = 60.0
BRIEFLY_S, LONG_S = 4.0, 25.0


def leader_killed(site: Site) -> None:
    """It goes, another leads, it comes back and is given back what it led."""
    results = site.plant.topics["results"]
    leader = _with_frames_flowing(site, lambda: site.leadership.leader_of(results))
    leader.kill()
    site.until(lambda: site.leadership.leader_of(results) != leader)
    site.hold(AWAY_S)
    leader.start()
    site.leadership.elect_preferred(*_ours(site))
    assert site.leadership.leader_of(results) == leader
    site.wait_for_more(300)


def group_coordinator_killed(site: Site) -> None:
    coordinator = _with_frames_flowing(site, lambda: site.leadership.group_coordinator(site.group))
    _restarted(site, coordinator)
    site.wait_for_more(300)


def transaction_coordinator_killed(site: Site) -> None:
    coordinator = _with_frames_flowing(site, lambda: site.leadership.transaction_coordinator(site.group))
    _restarted(site, coordinator)
    site.wait_for_more(300)


def moved(*internal: str) -> Callable[[Site], None]:
    """Other brokers lead, twice, and none goes away: of the plant's topics, or of Kafka's own that are named."""

    def run(site: Site) -> None:
        site.ready_worker()
        site.send()
        for _ in range(2):
            site.wait_for_more(300)
            site.leadership.move(*(internal or _ours(site)))
        site.wait_for_more(300)

    return run


def all_brokers_down(site: Site) -> None:
    """Cameras go on and keep what they cannot send."""
    site.ready_worker()
    site.send()
    site.wait_for_more(300)
    for broker in site.cluster.brokers:
        broker.kill()
    site.hold(OUTAGE_S)
    site.heal()
    site.wait_for_more(300)


def cut_briefly(site: Site) -> None:
    """One of two workers is behind proxies, and nothing passes for less than its session."""
    _with_one_behind_proxies(site)
    with _cut(site):
        site.hold(BRIEFLY_S)
    site.wait_for_more(300)


def cut_off(site: Site) -> None:
    """Nothing passes for longer than the session: the other worker takes over, and then gives back."""
    other = _with_one_behind_proxies(site)
    with _cut(site):
        site.hold(LONG_S)
        until_it_has_all(site, other)
    until_it_shares(site, other)


def patience_exceeded(site: Site) -> None:
    """The worker cannot reach its brokers for longer than it waits; its supervisor starts another."""
    worker = site.ready_worker(
        QC_KAFKA_BOOTSTRAP_SERVERS=site.cluster.proxied_bootstrap_servers, QC_BROKER_PATIENCE_S="8"
    )
    site.send()
    site.wait_for_more(300)
    with _cut(site):
        site.buried(worker, TRY_AGAIN)
    site.ready_worker()


def _with_one_behind_proxies(site: Site) -> WorkerProcess:
    """Frames flow; the other worker."""
    worker = site.ready_worker(QC_KAFKA_BOOTSTRAP_SERVERS=site.cluster.proxied_bootstrap_servers)
    other = other_member(site, worker)
    site.send()
    site.wait_for_more(300)
    return other


@contextmanager
def _cut(site: Site) -> Iterator[None]:
    for broker in site.cluster.brokers:
        broker.proxy.cut()
    yield
    for broker in site.cluster.brokers:
        broker.proxy.mend()


def _with_frames_flowing(site: Site, find: Callable[[], Broker]) -> Broker:
    site.ready_worker()
    site.send()
    site.wait_for_more(300)
    return find()


def _restarted(site: Site, broker: Broker) -> None:
    broker.kill()
    site.hold(AWAY_S)
    broker.start()


def _ours(site: Site) -> tuple[str, str]:
    return site.plant.topics["images"], site.plant.topics["results"]
