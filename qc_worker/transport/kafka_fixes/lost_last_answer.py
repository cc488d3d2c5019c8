"""Read the last answer on a TLS connection before its end is reported.

kafka-python 3.0.12 throws away what it has received together with the end of a connection. A broker that refuses a
password answers so and closes at once: the user sees a lost connection, not the wrong password. Plain connections do
the same, but are read by `small_reads`, which cannot lose anything.
"""

from collections.abc import Callable
from typing import Any

from kafka.errors import KafkaConnectionError

from qc_worker.transport.kafka_fixes.fix import NOT_REPORTED, Fix

Received = tuple[bytes, KafkaConnectionError | None]


def install(original: Callable[[Any], Received]) -> Callable[[Any], Received]:
    """Return a function that reports an error only when nothing was received before it."""

    def receive(transport: Any) -> Received:
        received, error = original(transport)
        # The next read, which follows at once, reports the end or the error again.
        return received, None if received else error

    return receive


FIX = Fix(
    defect="Over TLS, a wrong password is reported as a lost connection: the broker's last answer is thrown away.",
    target="kafka.net.transport.KafkaSSLTransport._sock_recv",
    upstream=NOT_REPORTED,
    install=install,
)
