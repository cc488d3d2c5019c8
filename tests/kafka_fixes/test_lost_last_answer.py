"""The last answer of a broker that closes the connection right after it, as when it refuses a password."""

import socket
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

from qc_worker.transport.kafka_fixes import lost_last_answer
from tests.kafka_fixes.conftest import TakeOut

Pair = tuple[socket.socket, KafkaTCPTransport]


class Protocol:
    """Keeps what a transport hands on."""

    _sensors = None

    def __init__(self) -> None:
        self.received = b""
        self.ended_by: BaseException | None = None

    def data_received(self, received: bytes) -> None:
        self.received += received

    def connection_lost(self, error: BaseException) -> None:
        self.ended_by = error


class ReadyNetwork:
    """A loop on which every socket can be read at once."""

    async def wait_read(self, _socket: Any) -> None:
        return

    def unregister_event(self, *_arguments: Any) -> None:
        return


def refused(pair: Pair, kind: type[KafkaTCPTransport]) -> Protocol:
    """Read to the end of a connection on which the answer and the end have come together."""
    broker, transport = pair
    protocol, reading = Protocol(), object.__new__(kind)  # TLS itself would need a certificate, and is no part of it
    vars(reading).update(vars(transport), _net=ReadyNetwork(), _read=True, _protocol=protocol)
    broker.sendall(b"refused")
    broker.close()
    with pytest.raises(StopIteration):  # the coroutine has ended
        reading._read_from_sock().send(None)
    return protocol


@pytest.mark.xfail(strict=True, raises=AssertionError, reason="if it passes, kafka-python keeps the last answer")
def test_the_defect_is_still_there(take_out: TakeOut, pair: Pair) -> None:
    take_out(lost_last_answer.FIX)
    assert refused(pair, KafkaSSLTransport).received == b"refused"


@pytest.mark.parametrize("kind", [KafkaTCPTransport, KafkaSSLTransport])
def test_the_fix_holds_the_last_answer_arrives(pair: Pair, kind: type[KafkaTCPTransport]) -> None:
    protocol = refused(pair, kind)
    assert protocol.received == b"refused"
    assert isinstance(protocol.ended_by, KafkaConnectionError)


@pytest.mark.parametrize("kind", [KafkaTCPTransport, KafkaSSLTransport])
def test_last_words_of_a_broker_are_read_before_the_end(pair: Pair, kind: type[KafkaTCPTransport]) -> None:
    """As when it refuses a password: the answer and the end come together, if we are slow."""
    broker, transport = pair
    reading = object.__new__(kind)  # TLS itself would need a certificate, and is no part of it
    vars(reading).update(vars(transport))
    broker.sendall(b"refused")
    broker.close()
    assert reading._sock_recv() == (b"refused", None)
    received, error = reading._sock_recv()
    assert (received, type(error)) == (b"", KafkaConnectionError)
