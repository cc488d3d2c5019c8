"""Real servers for the tests: those that QC_TEST_KAFKA and QC_TEST_REDIS name, else embedded ones, once per session."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar
from uuid import uuid4

import pytest

from qc_worker.domain.errors import SettingsError
from qc_worker.embedded.services import EmbeddedBroker, EmbeddedCache, EmbeddedServices
from qc_worker.transport.kafka_config import KafkaAccess

Found = TypeVar("Found")
Service = TypeVar("Service", EmbeddedBroker, EmbeddedCache, EmbeddedServices)

KAFKA_SESSION_TIMEOUT_MS = 6_000
"""The shortest that Kafka allows by default."""


@dataclass(frozen=True)
class Services:
    """Where the servers of this session are."""

    bootstrap_servers: str
    redis_url: str
    session_timeout_ms: int


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    kafka, redis = os.environ.get("QC_TEST_KAFKA"), os.environ.get("QC_TEST_REDIS")
    with ExitStack() as stack:
        broker = None if kafka else started(EmbeddedBroker(), stack)
        cache = None if redis else started(EmbeddedCache(), stack)
        yield Services(
            bootstrap_servers=broker.bootstrap_servers if broker else str(kafka),
            redis_url=cache.redis_url if cache else str(redis),
            session_timeout_ms=broker.session_timeout_ms if broker else KAFKA_SESSION_TIMEOUT_MS,
        )


@pytest.fixture(scope="session")
def access(services: Services) -> KafkaAccess:
    return KafkaAccess(services.bootstrap_servers)


def started(service: Service, stack: ExitStack) -> Service:
    """Start an embedded service for the length of `stack`. Without the packages: CI fails, a laptop skips."""
    try:
        service.start()
    except SettingsError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    stack.callback(service.stop)
    return service


def unique(name: str) -> str:
    """A name of a topic or group that no other test uses."""
    return f"{name}-{uuid4().hex[:8]}"


def eventually(ask: Callable[[], Found | None], *, timeout_s: float = 30.0) -> Found:
    """Ask until the answer is true; `ask` itself waits a little each time."""
    deadline_s = monotonic() + timeout_s
    while monotonic() < deadline_s:
        if answer := ask():
            return answer
    raise AssertionError(f"not within {timeout_s} s")
