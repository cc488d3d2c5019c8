"""Start real servers for the tests, once per session: the embedded ones, and Apache Kafka with Redis."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn, TypeVar
from uuid import uuid4

import pytest
import structlog

from qc_dashboard.database.database import Database
from qc_worker.domain.errors import SettingsError
from qc_worker.embedded.server import LOOPBACK, Server, free_port
from qc_worker.embedded.services import DELIVERY, EmbeddedBroker, EmbeddedCache, EmbeddedServices
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka_fixes.register import install_all
from qc_worker.transport.redis.heatmap_cache import cache_answers
from tests.support.apache_kafka.cluster import Cluster
from tests.support.databases import DATABASES, migrated, new_url
from tests.support.postgresql import PostgreSQL


class DebianRedis:
    """The machine's own redis-server, without persistence."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._port = free_port()
        self._server: Server | None = None

    @property
    def redis_url(self) -> str:
        return f"redis://{LOOPBACK}:{self._port}/0"

    def start(self) -> None:
        """Start the server, always on the same port. Raises TransportError."""
        options = ["--port", str(self._port), "--bind", LOOPBACK, "--save", "", "--appendonly", "no"]
        self._server = Server("redis-server", [self._program, *options])
        self._server.start(lambda: cache_answers(self.redis_url))

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()


Found = TypeVar("Found")
Service = TypeVar("Service", EmbeddedBroker, EmbeddedCache, EmbeddedServices, Cluster, DebianRedis, PostgreSQL)

BROKERS = ("embedded", "apache")
"""Suites that need a real broker run on each: Tansu, which the demo starts, and Apache Kafka."""

# In the background of a script, a shell makes us ignore interrupts, and processes that we start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# This process opens clients without a command line's settings. `test_register` fails for a version that is untested.
install_all(allow_untested=True)

KAFKA_SESSION_TIMEOUT_MS = 6_000
"""Shortest timeout that Kafka allows by default."""


@dataclass(frozen=True)
class Services:
    """Addresses and limits of the servers of this session."""

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
    """Start one broker of Apache Kafka, for tests that control its process or if QC_TEST_KAFKA names no other."""
    with ExitStack() as stack:
        yield started(Cluster(), stack)


@pytest.fixture(scope="session")
def apache_services(request: pytest.FixtureRequest) -> Iterator[Services]:
    """Provide Apache Kafka and Redis: those that QC_TEST_KAFKA and QC_TEST_REDIS name, else started here."""
    with ExitStack() as stack:
        named = os.environ.get("QC_TEST_KAFKA")
        bootstrap_servers = named or request.getfixturevalue("one_broker").bootstrap_servers
        redis_url = os.environ.get("QC_TEST_REDIS") or started_redis(stack).redis_url
        yield Services(bootstrap_servers, redis_url, KAFKA_SESSION_TIMEOUT_MS, "exactly-once")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """Start Debian's PostgreSQL."""
    with ExitStack() as stack:
        server = PostgreSQL()
        stack.callback(server.remove)
        yield started(server, stack)


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Name an empty database: an SQLite file, and one on PostgreSQL."""
    server = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    with new_url(server, tmp_path) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Open a database with the newest tables."""
    with migrated(database_url) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_logger_keeps_what_a_command_sets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what a command that runs in this process sets up, as by a test of `account`.

    Loggers would cache it, and the tests behind it, whichever they are, would see none of their lines.
    """
    configure = structlog.configure

    def without_caching(**settings: Any) -> None:
        configure(**{**settings, "cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", without_caching)
    yield
    structlog.reset_defaults()


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
    """Start the machine's redis-server if it is installed, else the embedded Valkey."""
    program = shutil.which("redis-server")
    return started(DebianRedis(program), stack) if program else started(EmbeddedCache(), stack)


def started(service: Service, stack: ExitStack) -> Service:
    """Start a service until `stack` closes. If a program that it needs is missing, fail in CI and skip elsewhere."""
    try:
        service.start()
    except SettingsError as error:
        skip_on_a_laptop(str(error))
    stack.callback(service.stop)
    return service


def skip_on_a_laptop(reason: str) -> NoReturn:
    """Fail in CI, skip elsewhere: a service that this test needs is missing.

    CI must have every service, so that no test is skipped there unnoticed. A laptop may lack some, such as a JDK or
    Maven, and still run the other tests.
    """
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def unique(name: str) -> str:
    """Make a name for a topic or group that no other test uses."""
    return f"{name}-{uuid4().hex[:8]}"


def eventually(ask: Callable[[], Found | None], *, timeout_s: float = 30.0) -> Found:
    """Call `ask` until its answer is true, and return the answer; `ask` itself waits between calls."""
    deadline_s = monotonic() + timeout_s
    while monotonic() < deadline_s:
        if answer := ask():
            return answer
    raise AssertionError(f"timed out: no true answer within {timeout_s} s")
