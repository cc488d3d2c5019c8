"""Real servers for the tests, once per session: the embedded ones, and Apache Kafka with Redis."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic
from typing import NoReturn, TypeVar
from uuid import uuid4

import pytest

from qc_worker.domain.errors import SettingsError
from qc_worker.embedded.server import LOOPBACK, Server, free_port
from qc_worker.embedded.services import DELIVERY, EmbeddedBroker, EmbeddedCache, EmbeddedServices
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka_fixes.register import install_all
from qc_worker.transport.redis.heatmap_cache import cache_answers
from tests.support.apache_kafka.cluster import Cluster


class DebianRedis:
    """The machine's own redis-server, with nothing kept on disk."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._port = free_port()
        self._server: Server | None = None

    @property
    def redis_url(self) -> str:
        return f"redis://{LOOPBACK}:{self._port}/0"

    def start(self) -> None:
        """Start, on the same port again if it ran before. Raises TransportError."""
        options = ["--port", str(self._port), "--bind", LOOPBACK, "--save", "", "--appendonly", "no"]
        self._server = Server("redis-server", [self._program, *options])
        self._server.start(lambda: cache_answers(self.redis_url))

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()


Found = TypeVar("Found")
Service = TypeVar("Service", EmbeddedBroker, EmbeddedCache, EmbeddedServices, Cluster, DebianRedis)

BROKERS = ("embedded", "apache")
"""Suites on a real broker run once on each: Tansu, which the demo starts, and Apache Kafka."""

# Run in the background of a script, a shell has us ignore interrupts, and the processes we start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# This process opens clients without a command line's settings. `test_register` fails for a version that is untested.
install_all(allow_untested=True)

KAFKA_SESSION_TIMEOUT_MS = 6_000
"""The shortest that Kafka allows by default."""


@dataclass(frozen=True)
class Services:
    """Where the servers of this session are."""

    bootstrap_servers: str
    redis_url: str
    session_timeout_ms: int
    delivery: str


@pytest.fixture(scope="session")
def embedded_services() -> Iterator[Services]:
    with ExitStack() as stack:
        broker, cache = started(EmbeddedBroker(), stack), started(EmbeddedCache(), stack)
        yield Services(broker.bootstrap_servers, cache.redis_url, broker.session_timeout_ms, DELIVERY)


@pytest.fixture(scope="session")
def one_broker() -> Iterator[Cluster]:
    """Apache Kafka for whoever needs to know its processes, or has not named another."""
    with ExitStack() as stack:
        yield started(Cluster(), stack)


@pytest.fixture(scope="session")
def apache_services(request: pytest.FixtureRequest) -> Iterator[Services]:
    """Apache Kafka and Redis: those that QC_TEST_KAFKA and QC_TEST_REDIS name, else started here."""
    with ExitStack() as stack:
        named = os.environ.get("QC_TEST_KAFKA")
        bootstrap_servers = named or request.getfixturevalue("one_broker").bootstrap_servers
        redis_url = os.environ.get("QC_TEST_REDIS") or started_redis(stack).redis_url
        yield Services(bootstrap_servers, redis_url, KAFKA_SESSION_TIMEOUT_MS, "exactly-once")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "services" in metafunc.fixturenames:
        brokers = BROKERS[1:] if metafunc.definition.get_closest_marker("apache_only") else BROKERS
        metafunc.parametrize("services", brokers, indirect=True, scope="session")


@pytest.fixture(scope="session")
def services(request: pytest.FixtureRequest) -> Services:
    found: Services = request.getfixturevalue(f"{request.param}_services")
    return found


@pytest.fixture(scope="session")
def access(services: Services) -> KafkaAccess:
    return KafkaAccess(services.bootstrap_servers)


def started_redis(stack: ExitStack) -> "DebianRedis | EmbeddedCache":
    """The machine's redis-server where it is installed, else the embedded Valkey."""
    program = shutil.which("redis-server")
    return started(DebianRedis(program), stack) if program else started(EmbeddedCache(), stack)


def started(service: Service, stack: ExitStack) -> Service:
    """Start a service for the length of `stack`. Without what it needs, CI fails and a laptop skips."""
    try:
        service.start()
    except SettingsError as error:
        skip_on_a_laptop(str(error))
    stack.callback(service.stop)
    return service


def skip_on_a_laptop(reason: str) -> NoReturn:
    """What this test needs is missing. CI must have it, and fails, so that nothing is left out there unseen.

    Elsewhere, without a JDK or Maven say, the tests that can run are worth more than a red run of them all.
    """
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


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
