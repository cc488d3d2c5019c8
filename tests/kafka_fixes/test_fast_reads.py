"""Reading from a broker's connection, over a real pair of sockets."""

import socket
from collections.abc import Iterator

import pytest
from kafka.errors import KafkaConnectionError
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from kafka.protocol.frame import KafkaBytes

from qc_worker.transport.kafka_fixes import fast_reads


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, KafkaTCPTransport]]:
    fast_reads.install()
    broker, worker = socket.socketpair()
    worker.setblocking(False)
    net = NetworkSelector()
    with broker, worker:
        yield broker, KafkaTCPTransport(net, worker)
    net.close()


def test_all_that_has_arrived_comes_in_one_read(pair: tuple[socket.socket, KafkaTCPTransport]) -> None:
    broker, transport = pair
    frame = bytes(range(256)) * 256
    broker.sendall(frame)
    assert transport._sock_recv() == (frame, None)


def test_nothing_has_arrived_is_no_error(pair: tuple[socket.socket, KafkaTCPTransport]) -> None:
    _, transport = pair
    assert transport._sock_recv() == (b"", None)


def test_a_closed_connection_is_an_error(pair: tuple[socket.socket, KafkaTCPTransport]) -> None:
    broker, transport = pair
    broker.close()
    received, error = transport._sock_recv()
    assert received == b""
    assert isinstance(error, KafkaConnectionError)


def test_a_broken_connection_is_an_error(pair: tuple[socket.socket, KafkaTCPTransport]) -> None:
    _, transport = pair
    transport._sock.close()
    assert isinstance(transport._sock_recv()[1], KafkaConnectionError)


@pytest.mark.parametrize("kind", [KafkaTCPTransport, KafkaSSLTransport])
def test_last_words_of_a_broker_are_read_before_the_end(
    pair: tuple[socket.socket, KafkaTCPTransport], kind: type[KafkaTCPTransport]
) -> None:
    """As when it refuses a password: the answer and the end come together, if we are slow."""
    broker, transport = pair
    reading = object.__new__(kind)  # TLS itself would need a certificate, and is no part of it
    vars(reading).update(vars(transport))
    broker.sendall(b"refused")
    broker.close()
    assert reading._sock_recv() == (b"refused", None)
    received, error = reading._sock_recv()
    assert (received, type(error)) == (b"", KafkaConnectionError)


@pytest.mark.parametrize("size", [None, 0, 3, 6, 100])
def test_an_answer_reads_like_a_file(size: int | None) -> None:
    fast_reads.install()
    answer = KafkaBytes(0)
    answer.extend(b"abcdef")
    assert answer.read(2) == b"ab"
    expected = b"cdef" if size is None else b"cdef"[:size]
    assert answer.read(size) == expected
    assert answer.tell() == 2 + len(expected)
