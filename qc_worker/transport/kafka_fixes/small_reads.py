"""Read what a plain connection has received in large pieces.

kafka-python 3.0.12 reads 4 KiB at a time and has no setting for it: 25 system calls for a frame of 100 KB, each of
which hands Python's lock to another thread and waits for it again. TLS connections keep kafka-python's way of reading:
the selector does not know of bytes that are decrypted already.
"""

from collections.abc import Callable
from typing import Any

from kafka.errors import KafkaConnectionError

from qc_worker.transport.kafka_fixes.fix import NOT_REPORTED, Fix

READ_BYTES = 256 * 1024


def install(_original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `receive`, which does not need the original."""
    return receive


def receive(transport: Any) -> tuple[bytes, KafkaConnectionError | None]:
    """Return up to READ_BYTES that have arrived, and an error that closes the connection if it has ended.

    The selector reports the rest, and the end of a connection only after everything before it was read.
    """
    try:
        received = transport._sock.recv(READ_BYTES)
    except (BlockingIOError, InterruptedError):
        return b"", None
    except OSError as error:
        return b"", KafkaConnectionError(error)
    return received, None if received else KafkaConnectionError("the broker closed the connection")


FIX = Fix(
    defect="Large records are read in pieces of 4 KiB, which takes a system call each and slows all other threads.",
    target="kafka.net.transport.KafkaTCPTransport._sock_recv",
    upstream=NOT_REPORTED,
    install=install,
)
