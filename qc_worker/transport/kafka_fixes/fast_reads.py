"""Answers of a broker read in large pieces and copied once.

kafka-python 3.0.12 reads 4 KiB at a time from a plain connection, which is 25 system calls for a frame of 100 KB, each
of which hands Python's lock around; and it copies a whole answer twice where once is enough. TLS connections keep
kafka-python's way of reading: what they have decrypted already, no selector tells of. But it throws away what came
right before the end of a connection, such as the answer to a wrong password; here that is read first.
"""

from collections.abc import Callable
from typing import Any

from kafka.errors import KafkaConnectionError
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from kafka.protocol.frame import KafkaBytes

READ_BYTES = 256 * 1024

Received = tuple[bytes, KafkaConnectionError | None]
_receive_by_tls: Callable[[Any], Received] = KafkaSSLTransport._sock_recv


def install() -> None:
    """Let kafka-python read like this, in this process; it has no setting for it."""
    KafkaTCPTransport._sock_recv = receive
    KafkaSSLTransport._sock_recv = receive_by_tls
    KafkaBytes.read = read


def receive(transport: Any) -> Received:
    """What has arrived, up to READ_BYTES; the selector tells of the rest. An error closes the connection."""
    try:
        received = transport._sock.recv(READ_BYTES)
    except (BlockingIOError, InterruptedError):
        return b"", None
    except OSError as error:
        return b"", KafkaConnectionError(error)
    return received, None if received else KafkaConnectionError("the broker closed the connection")


def receive_by_tls(transport: Any) -> Received:
    """What has arrived; of an end or an error behind it the next reading tells, which comes at once."""
    received, error = _receive_by_tls(transport)
    return received, None if received else error


def read(answer: Any, size: int | None = None) -> bytes:
    """The next `size` bytes of an answer, or the rest of it."""
    start = answer._idx
    answer._idx = len(answer) if size is None else min(len(answer), start + size)
    with memoryview(answer) as view:
        return bytes(view[start : answer._idx])
