"""How to reach the brokers, and the one place that opens clients and translates kafka-python's errors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from kafka.errors import IncompatibleBrokerVersion, KafkaConfigurationError, KafkaError
from kafka.net.compat import KafkaNetClient

from qc_worker.domain.errors import SettingsError, TransportError
from qc_worker.transport import fast_reads, lost_generation, parked_records, tolerant_records

Client = TypeVar("Client")

CONNECT_TIMEOUT_MS = 10_000
REQUEST_TIMEOUT_MS = 15_000


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """Addresses and credentials of the brokers."""

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    ssl_cafile: Path | None = None
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    connect_timeout_ms: int = CONNECT_TIMEOUT_MS
    request_timeout_ms: int = REQUEST_TIMEOUT_MS

    def common(self) -> dict[str, Any]:
        """Settings that every kind of client takes."""
        return {
            "bootstrap_servers": [address.strip() for address in self.bootstrap_servers.split(",")],
            "security_protocol": self.security_protocol,
            "bootstrap_timeout_ms": self.connect_timeout_ms,
            "request_timeout_ms": self.request_timeout_ms,
            # The default lets the wait between attempts grow to 30 s: a broker that is back would go unnoticed.
            "reconnect_backoff_max_ms": 1_000,
            **self._ssl(),
            **self._sasl(),
        }

    def _ssl(self) -> dict[str, Any]:
        return {"ssl_cafile": str(self.ssl_cafile)} if self.ssl_cafile else {}

    def _sasl(self) -> dict[str, Any]:
        if not self.security_protocol.startswith("SASL_"):
            return {}
        return {
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
        }


@dataclass(slots=True)
class Connections:
    """The network side of one client: whether a broker answers, and a way to free it if opening fails."""

    _clients: list[KafkaNetClient] = field(default_factory=list)

    def make_client(self, **config: Any) -> KafkaNetClient:
        client = KafkaNetClient(**config)
        self._clients.append(client)
        return client

    def reachable(self) -> bool:
        """Whether a connection to any broker stands. Asks nobody, so it is cheap and safe from any thread."""
        return any(client.connected(node.node_id) for client in self._clients for node in client.cluster.brokers())

    def offers(self, request: Any, version: int) -> bool:
        """Whether the broker, once reached, understands a kind of request in at least that version."""
        try:
            return all(client.api_version(request, max_version=version) >= version for client in self._clients)
        except IncompatibleBrokerVersion:
            return False

    def close(self) -> None:
        for client in self._clients:
            # A half-opened client may have nothing left to close.
            with suppress(KafkaError, RuntimeError, OSError):
                client.close()


def open_client(
    kind: Callable[..., Client], access: KafkaAccess, connections: Connections | None = None, **config: Any
) -> Client:
    """Make a KafkaConsumer, KafkaProducer or KafkaAdminClient that has reached a broker.

    Raises TransportError if none answers, SettingsError for settings that can never work.
    """
    tolerant_records.install()
    fast_reads.install()
    parked_records.install()
    lost_generation.install()
    links = connections or Connections()
    try:
        return kind(kafka_client=links.make_client, **access.common(), **config)
    except (KafkaConfigurationError, ValueError, FileNotFoundError) as error:
        links.close()
        raise SettingsError(f"Kafka settings: {error}") from error
    except (KafkaError, OSError, RuntimeError) as error:
        # Left alone, every failed attempt would leave an IO thread behind.
        links.close()
        raise TransportError(f"no Kafka broker answers at {access.bootstrap_servers}: {_described(error)}") from error


@contextmanager
def transport_errors(what: str) -> Iterator[None]:
    """Turn what kafka-python raises on the way into a TransportError that says what was being done."""
    try:
        yield
    except (KafkaError, OSError, RuntimeError) as error:
        raise TransportError(f"{what}: {_described(error)}") from error


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
