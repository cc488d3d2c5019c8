"""Adapters to run the contract tests on."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from kafka import KafkaProducer

from qc_worker.ports.books import Books
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.producer import close_producer, open_producer
from tests.conftest import BROKERS, Services, unique
from tests.contract.memory_rig import MemoryRig
from tests.contract.rigs import KafkaRig, Rig


@pytest.fixture(scope="session")
def open_once() -> Iterator[Callable[[Services], KafkaProducer]]:
    """One producer for each broker."""
    producers: dict[Services, KafkaProducer] = {}

    def producer_of(services: Services) -> KafkaProducer:
        if services not in producers:
            producers[services] = open_producer(KafkaAccess(services.bootstrap_servers))
        return producers[services]

    yield producer_of
    for producer in producers.values():
        close_producer(producer, timeout_s=5)


@pytest.fixture(params=["memory", *BROKERS])
def rig(request: pytest.FixtureRequest, open_once: Callable[[Services], KafkaProducer]) -> Iterator[Rig]:
    with ExitStack() as stack:
        if request.param == "memory":
            yield MemoryRig(stack)
        else:
            services: Services = request.getfixturevalue(f"{request.param}_services")
            yield KafkaRig(services, open_once(services), stack)


@pytest.fixture
def kafka_rig(services: Services, open_once: Callable[[Services], KafkaProducer]) -> Iterator[KafkaRig]:
    with ExitStack() as stack:
        yield KafkaRig(services, open_once(services), stack)


@pytest.fixture
def apache_rig(apache_services: Services, open_once: Callable[[Services], KafkaProducer]) -> Iterator[KafkaRig]:
    """For what Tansu does not do: it shows aborted records, and keeps no metadata of commits."""
    with ExitStack() as stack:
        yield KafkaRig(apache_services, open_once(apache_services), stack)


@pytest.fixture
def memory_rig() -> Iterator[MemoryRig]:
    with ExitStack() as stack:
        yield MemoryRig(stack)


@pytest.fixture
def books(rig: Rig) -> Books:
    return rig.books()


@pytest.fixture
def group() -> str:
    return unique("group")
