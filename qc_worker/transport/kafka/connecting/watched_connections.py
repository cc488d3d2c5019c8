"""Watches kafka-python's connections: while a client is opened, a cause that is final ends the attempt at once.

kafka-python 3.0.12 is meant to do so for a failed login (`_auth_failures`), but `KafkaConnection.initialize` swallows
the error that `_connect` waits for, and certificates were never among its reasons.
"""

from functools import partial
from typing import Any

import structlog
from kafka.errors import UnsupportedSaslMechanismError
from kafka.net.manager import KafkaConnectionManager

from qc_worker.domain.errors import SettingsError
from qc_worker.transport.kafka.connecting.causes import PROBE_TIMEOUT_S, Cause, Spoken, asked, cause_of
from qc_worker.transport.kafka_fixes.private_api import has_connection

log = structlog.get_logger()


class WatchedManager(KafkaConnectionManager):  # type: ignore[misc]  # kafka-python has no types
    """Records why connections fail. Until `opened` it raises SettingsError once every address has a final cause."""

    def __init__(self, net: Any, spoken: Spoken, **config: Any) -> None:
        self._spoken = spoken
        self._causes: dict[Any, Cause | None] = {}
        self._told: set[tuple[Any, str]] = set()
        self.opened = False
        self.last_failure: BaseException | None = None
        super().__init__(net, **config)

    def get_connection(self, node_id: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.opened:
            self._raise_if_in_vain()
        is_new = not has_connection(self, node_id)
        connection = super().get_connection(node_id, *args, **kwargs)
        if is_new:
            connection.close_future.add_errback(partial(self._failed, self.cluster.broker_metadata(node_id)))
        return connection

    def cause(self) -> Cause | None:
        """Return the cause that was found last, final or not; None if there is none."""
        return next((cause for cause in reversed(self._causes.values()) if cause), None)

    def _raise_if_in_vain(self) -> None:
        found = [(broker, self._causes.get(broker.node_id)) for broker in self.cluster.bootstrap_brokers()]
        final = [f"{broker.host}:{broker.port}: {cause.text}" for broker, cause in found if cause and cause.is_final]
        if found and len(final) == len(found):
            raise SettingsError(f"Kafka broker {final[0]}")

    def _failed(self, broker: Any, error: BaseException) -> None:
        """Record the cause; runs on the connections' loop, which has nothing else to do while a client is opened."""
        self.last_failure = error
        cause = cause_of(error, self._spoken)
        if not self.opened and not self.closed and broker.node_id not in self._causes:
            cause = self._asked(broker, error) or cause
        if cause is not None or broker.node_id not in self._causes:
            self._causes[broker.node_id] = cause
        if cause is not None and self._is_of_the_cluster(broker):
            self._tell(broker, cause)

    def _asked(self, broker: Any, error: BaseException) -> Cause | None:
        """Ask each address once, if the error does not say everything; None if it does, or if nothing is wrong."""
        if cause_of(error, self._spoken) is not None and not isinstance(error, UnsupportedSaslMechanismError):
            return None
        timeout_s = min(PROBE_TIMEOUT_S, float(self.config["request_timeout_ms"]) / 1000)
        return asked(broker.host, broker.port, self._spoken, timeout_s)

    def _is_of_the_cluster(self, broker: Any) -> bool:
        """Return True if the brokers named it: nobody waits for its connection, so nobody else reports the cause."""
        return not self.cluster.is_bootstrap(broker.node_id)

    def _tell(self, broker: Any, cause: Cause) -> None:
        address = f"{broker.host}:{broker.port}"
        if (address, cause.text) not in self._told:
            self._told.add((address, cause.text))
            log.warning("broker refuses connections", broker=address, cause=cause.text)
