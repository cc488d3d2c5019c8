"""An answer of a broker, as the protocol's classes read it."""

import tracemalloc

import pytest
from kafka.protocol.frame import KafkaBytes

from qc_worker.transport.kafka_fixes import answers_copied_twice
from tests.kafka_fixes.conftest import TakeOut

ANSWER_BYTES = 4 * 1024 * 1024


def bytes_taken_by_reading() -> int:
    """Read a whole answer, and return how much memory that has taken at its worst."""
    answer = KafkaBytes(ANSWER_BYTES)
    tracemalloc.start()
    try:
        assert len(answer.read()) == ANSWER_BYTES
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.xfail(strict=True, raises=AssertionError, reason="if it passes, kafka-python copies an answer once")
def test_the_defect_is_still_there(take_out: TakeOut) -> None:
    take_out(answers_copied_twice.FIX)
    assert bytes_taken_by_reading() < 1.5 * ANSWER_BYTES


def test_the_fix_holds_an_answer_is_copied_once() -> None:
    assert bytes_taken_by_reading() < 1.5 * ANSWER_BYTES


@pytest.mark.parametrize("size", [None, 0, 3, 6, 100])
def test_an_answer_reads_like_a_file(size: int | None) -> None:
    answer = KafkaBytes(0)
    answer.extend(b"abcdef")
    assert answer.read(2) == b"ab"
    expected = b"cdef" if size is None else b"cdef"[:size]
    assert answer.read(size) == expected
    assert answer.tell() == 2 + len(expected)
