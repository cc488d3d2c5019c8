"""Reading from a plain connection, over a real pair of sockets."""

import socket

import pytest
from kafka.errors import KafkaConnectionError
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaTCPTransport

from qc_worker.transport.kafka_fixes import small_reads
from tests.kafka_fixes.conftest import TakeOut

FRAME_BYTES = 100_000


class CountingSocket:
    """A socket on which a whole frame has arrived."""

    def __init__(self) -> None:
        self.calls = 0
        self._left = bytes(FRAME_BYTES)

    def recv(self, size: int) -> bytes:
        self.calls += 1
        if not self._left:
            raise BlockingIOError
        received, self._left = self._left[:size], self._left[size:]
        return received


def system_calls_for_a_frame() -> int:
    arrived, net = CountingSocket(), NetworkSelector()
    transport, received = KafkaTCPTransport(net, arrived), b""
    while len(received) < FRAME_BYTES:
        received += transport._sock_recv()[0]
    net.close()
    return arrived.calls


@pytest.mark.xfail(strict=True, raises=AssertionError, reason="if it passes, kafka-python reads large pieces")
def test_the_defect_is_still_there(take_out: TakeOut) -> None:
    take_out(small_reads.FIX)
    assert system_calls_for_a_frame() <= 2


def test_the_fix_holds_a_frame_takes_one_system_call() -> None:
    assert system_calls_for_a_frame() == 1


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
