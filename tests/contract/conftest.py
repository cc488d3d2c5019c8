"""Adapters to run the contract tests on."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from kafka import KafkaProducer

from qc_worker.transport.kafka_config import KafkaAccess
from qc_worker.transport.kafka_producer import close_producer, open_producer
from tests.conftest import Services
from tests.contract.rigs import KafkaRig, MemoryRig, Rig


@pytest.fixture(scope="session")
def producer(access: KafkaAccess) -> Iterator[KafkaProducer]:
    producer = open_producer(access)
    yield producer
    close_producer(producer, timeout_s=5)


@pytest.fixture(params=["memory", "kafka"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    with ExitStack() as stack:
        if request.param == "memory":
            yield MemoryRig(stack)
        else:
            yield request.getfixturevalue("kafka_rig")


@pytest.fixture
def kafka_rig(access: KafkaAccess, services: Services, producer: KafkaProducer) -> Iterator[KafkaRig]:
    with ExitStack() as stack:
        yield KafkaRig(access, services.session_timeout_ms, producer, stack)
