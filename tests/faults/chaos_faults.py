"""What random runs break: each fault is entered broken and left mended."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.faults.broker_faults import COORDINATORS
from tests.faults.chaos import Chaos, Faults
from tests.faults.release_faults import corrupt, put_garbage, store_away
from tests.support.apache_kafka.cluster import Broker
from tests.support.plant import WorkerProcess


def a_worker(chaos: Chaos) -> WorkerProcess:
    chaos.supervise()
    return chaos.dice.choice(chaos.living())


@contextmanager
def worker_killed(chaos: Chaos) -> Iterator[None]:
    a_worker(chaos).process.kill()
    yield


@contextmanager
def worker_terminated(chaos: Chaos) -> Iterator[None]:
    a_worker(chaos).signal(signal.SIGTERM)
    yield


@contextmanager
def worker_frozen(chaos: Chaos) -> Iterator[None]:
    worker = a_worker(chaos)
    worker.signal(signal.SIGSTOP)
    yield
    worker.signal(signal.SIGCONT)


@contextmanager
def poison(chaos: Chaos) -> Iterator[None]:
    chaos.site.cameras.slip_in_poison()
    yield


@contextmanager
def clock_leaps(chaos: Chaos) -> Iterator[None]:
    chaos.clock.leap(chaos.dice.choice((-7200, 7200)))
    yield
    chaos.clock.leap(0)


@contextmanager
def redis_restarted(chaos: Chaos) -> Iterator[None]:
    chaos.redis.stop()
    yield
    chaos.redis.start()


@contextmanager
def redis_slow(chaos: Chaos) -> Iterator[None]:
    chaos.redis_proxy.delay_s = chaos.dice.uniform(0.01, 0.2)
    yield
    chaos.redis_proxy.delay_s = 0.0


@contextmanager
def redis_cut(chaos: Chaos) -> Iterator[None]:
    chaos.redis_proxy.cut()
    yield
    chaos.redis_proxy.mend()


@contextmanager
def model_store_away(chaos: Chaos) -> Iterator[None]:
    release = chaos.site.plant.stored("B", chaos.version())
    with store_away(chaos.site):
        chaos.site.plant.announce(release)
        yield


@contextmanager
def good_release(chaos: Chaos) -> Iterator[None]:
    chaos.site.plant.train(chaos.dice.choice("AB"), chaos.version())
    yield


@contextmanager
def corrupt_release(chaos: Chaos) -> Iterator[None]:
    release = chaos.site.plant.stored(chaos.dice.choice("AB"), chaos.version())
    corrupt(chaos.site, release)
    chaos.site.plant.announce(release)
    yield


@contextmanager
def garbage_released(chaos: Chaos) -> Iterator[None]:
    put_garbage(chaos.site)
    yield


def a_broker(chaos: Chaos) -> Broker:
    return chaos.dice.choice(chaos.site.cluster.brokers)


def leader(chaos: Chaos) -> Broker:
    return chaos.site.leadership.leader_of(chaos.site.plant.topics["results"])


def group_coordinator(chaos: Chaos) -> Broker:
    return chaos.site.leadership.group_coordinator(chaos.site.group)


def transaction_coordinator(chaos: Chaos) -> Broker:
    return chaos.site.leadership.transaction_coordinator(chaos.site.group)


def restarted(find: Callable[[Chaos], Broker]) -> Callable[[Chaos], AbstractContextManager[None]]:
    @contextmanager
    def fault(chaos: Chaos) -> Iterator[None]:
        broker = find(chaos)
        broker.kill()
        yield
        broker.start()

    return fault


@contextmanager
def network_cut(chaos: Chaos) -> Iterator[None]:
    """Between the workers behind proxies and some of the brokers, or all."""
    cut = chaos.dice.sample(chaos.site.cluster.brokers, chaos.dice.choice((1, 3)))
    for broker in cut:
        broker.proxy.cut()
    yield
    for broker in cut:
        broker.proxy.mend()


@contextmanager
def leaders_moved(chaos: Chaos) -> Iterator[None]:
    topics = chaos.site.plant.topics
    chaos.site.leadership.move(topics["images"], topics["results"])
    yield


@contextmanager
def coordinators_moved(chaos: Chaos) -> Iterator[None]:
    chaos.site.leadership.move(*COORDINATORS)
    yield


BROKER_FAULTS: Faults = {
    "broker restarted": restarted(a_broker),
    "leader restarted": restarted(leader),
    "group coordinator restarted": restarted(group_coordinator),
    "transaction coordinator restarted": restarted(transaction_coordinator),
    "leaders moved": leaders_moved,
    "coordinators moved": coordinators_moved,
    "network cut": network_cut,
}
OTHER_FAULTS: Faults = {
    "worker killed": worker_killed,
    "worker terminated": worker_terminated,
    "worker frozen": worker_frozen,
    "poison": poison,
    "clock leaps": clock_leaps,
    "redis restarted": redis_restarted,
    "redis slow": redis_slow,
    "redis cut": redis_cut,
    "model store away": model_store_away,
    "good release": good_release,
    "corrupt release": corrupt_release,
    "garbage released": garbage_released,
}
