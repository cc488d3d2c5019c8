"""Opens Kafka clients, in this one place, and translates kafka-python's errors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from kafka.errors import (
    IncompatibleBrokerVersion,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    KafkaConfigurationError,
    KafkaError,
)
from kafka.net.compat import KafkaNetClient
from kafka.net.selector import NetworkSelector

from qc_worker.domain.errors import SettingsError, TransportError
from qc_worker.transport.kafka.connecting.causes import Spoken, cause_of
from qc_worker.transport.kafka.connecting.credentials import Login, Tls
from qc_worker.transport.kafka.connecting.watched_connections import WatchedManager
from qc_worker.transport.kafka_fixes.private_api import connection_manager, fail_waiters
from qc_worker.transport.kafka_fixes.register import check_installed

Client = TypeVar("Client")

CONNECT_TIMEOUT_MS = 10_000
REQUEST_TIMEOUT_MS = 15_000
NEVER: dict[type[BaseException], str] = {
    InconsistentGroupProtocolError: (
        "the consumer group has members that share out partitions by another protocol, as other programs have; "
        "stop those, or name another group by consumer_group"
    ),
    InvalidSessionTimeoutError: (
        "the broker takes no session_timeout_ms of this length "
        "(its group.min.session.timeout.ms and group.max.session.timeout.ms)"
    ),
    InvalidGroupIdError: "the broker takes no consumer_group of this name",
}
"""Errors that no retry helps: the broker refuses until somebody changes something."""


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """Addresses and credentials of the brokers."""

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_key_password: str | None = field(default=None, repr=False)
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    connect_timeout_ms: int = CONNECT_TIMEOUT_MS
    request_timeout_ms: int = REQUEST_TIMEOUT_MS

    def common(self, spoken: Spoken) -> dict[str, Any]:
        """Build the settings that every kind of client takes. Raises SettingsError for a login that can never work."""
        return {
            "bootstrap_servers": [address.strip() for address in self.bootstrap_servers.split(",")],
            "security_protocol": self.security_protocol,
            "bootstrap_timeout_ms": self.connect_timeout_ms,
            "request_timeout_ms": self.request_timeout_ms,
            # The default lets the wait between attempts grow to 30 s: a broker that is back would go unnoticed.
            "reconnect_backoff_max_ms": 1_000,
            **({} if spoken.tls is None else {"ssl_context": spoken.tls}),
            **self._login(),
        }

    def spoken(self) -> Spoken:
        """Build the protocol of a connection. Raises SettingsError for certificates and keys that cannot be used."""
        tls = Tls(self.ssl_cafile, self.ssl_certfile, self.ssl_keyfile, self.ssl_key_password)
        has_tls = self.security_protocol.endswith("SSL")
        context = tls.context() if has_tls else None
        return Spoken(self.security_protocol, self.sasl_mechanism, self.sasl_username, context)

    def _login(self) -> dict[str, str]:
        if not self.security_protocol.startswith("SASL_"):
            return {}
        return Login(self.sasl_mechanism, self.sasl_username, self.sasl_password).settings()


@dataclass(slots=True)
class Connections:
    """Network connections of one client: they show if a broker answers, and are closed if opening fails."""

    _clients: list[KafkaNetClient] = field(default_factory=list)
    _interrupted: bool = False

    def make_client(self, spoken: Spoken, **config: Any) -> KafkaNetClient:
        net = NetworkSelector(**config)
        client = KafkaNetClient(net=net, manager=WatchedManager(net, spoken, **config), **config)
        self._clients.append(client)
        self.check()  # only now: `interrupt` does not see a client before it is in the list
        return client

    def interrupt(self) -> None:
        """Fail what another thread waits for on these connections; they can only be closed then."""
        self._interrupted = True
        for client in self._clients:
            fail_waiters(client)

    def check(self) -> None:
        """Raise TransportError if the connections were interrupted."""
        if self._interrupted:
            raise TransportError("interrupted")

    def opened(self) -> None:
        """Note that the client is open: from now on a refusal is no final error, since other brokers may accept us."""
        for client in self._clients:
            connection_manager(client).opened = True

    def why_not(self) -> str | None:
        """Return the reason for which there is no connection; None if it is not known."""
        managers = [connection_manager(client) for client in reversed(self._clients)]
        causes = [cause.text for manager in managers if (cause := manager.cause())]
        failures = [_described(manager.last_failure) for manager in managers if manager.last_failure]
        return next(iter(causes + failures), None)

    def reachable(self) -> bool:
        """Return True if any broker is connected. Asks no broker, so it is cheap and safe from any thread."""
        return any(client.connected(node.node_id) for client in self._clients for node in client.cluster.brokers())

    def offers(self, request: Any, version: int) -> bool:
        """Return True if the broker, once reached, supports a kind of request in at least that version."""
        try:
            return all(client.api_version(request, max_version=version) >= version for client in self._clients)
        except IncompatibleBrokerVersion:
            return False

    def close(self) -> None:
        # Forgotten, too: whoever tries again and again would collect them.
        clients, self._clients = self._clients, []
        for client in clients:
            # A half-opened client may have nothing left to close.
            with suppress(KafkaError, RuntimeError, OSError):
                client.close()


def open_client(
    kind: Callable[..., Client], access: KafkaAccess, connections: Connections | None = None, **config: Any
) -> Client:
    """Make a KafkaConsumer, KafkaProducer or KafkaAdminClient that has reached a broker.

    Raises TransportError if none answers, SettingsError for settings that can never work, and FixesNotInstalled in a
    process that has not installed the fixes of kafka-python.
    """
    check_installed()
    links = connections or Connections()
    spoken = access.spoken()
    common = access.common(spoken)
    try:
        client = kind(kafka_client=partial(links.make_client, spoken), **common, **config)
    except (SettingsError, TransportError):
        links.close()
        raise
    except (KafkaConfigurationError, ValueError, FileNotFoundError) as error:
        links.close()
        raise SettingsError(f"Kafka settings: {error}") from error
    except (KafkaError, OSError, RuntimeError) as error:
        # Closed, because every failed attempt would leave an IO thread behind.
        reason = links.why_not() or _described(error)
        links.close()
        if (cause := cause_of(error, spoken)) and cause.is_final:
            raise SettingsError(f"Kafka broker {access.bootstrap_servers}: {cause.text}") from error
        raise TransportError(f"no Kafka broker answers at {access.bootstrap_servers}: {reason}") from error
    links.opened()
    return client


@contextmanager
def transport_errors(what: str) -> Iterator[None]:
    """Turn kafka-python's errors into a TransportError that says what was being done.

    Raises SettingsError for errors that no retry helps (NEVER).
    """
    try:
        yield
    except tuple(NEVER) as error:
        raise SettingsError(f"{what}: {NEVER[type(error)]}") from error
    except (KafkaError, OSError, RuntimeError) as error:
        raise TransportError(f"{what}: {_described(error)}") from error


def _described(error: BaseException) -> str:
    kind, text = type(error).__name__, str(error)
    if text.startswith(kind):  # kafka-python's errors name themselves
        return text
    return f"{kind}: {text}" if text else kind
