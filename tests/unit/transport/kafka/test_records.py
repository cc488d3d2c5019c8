"""ConsumerRecord -> Record, also for what no honest producer sends."""

from datetime import UTC, datetime

import pytest
from kafka.consumer.fetcher import ConsumerRecord

from qc_worker.domain.frame import Partition, Position
from qc_worker.transport.kafka.records import appended_at, to_commit, to_record

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def polled(**changes: object) -> ConsumerRecord:
    fields: dict[str, object] = dict.fromkeys(ConsumerRecord._fields)
    fields |= {"topic": "images", "partition": 1, "offset": 2, "timestamp": 1_000, "value": b"x", "headers": []}
    return ConsumerRecord(**(fields | changes))


def test_position_and_time_are_taken_over() -> None:
    record = to_record(polled())
    assert record.position == Position("images", 1, 2)
    assert record.appended_at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_tombstone_has_empty_content() -> None:
    assert to_record(polled(value=None)).content == b""


def test_header_without_value_has_an_empty_one() -> None:
    assert to_record(polled(headers=[("line", None)])).headers == (("line", b""),)


@pytest.mark.parametrize("timestamp_ms", [-1, -(2**63), 2**63 - 1, 10**15])
def test_absurd_timestamps_are_1970(timestamp_ms: int) -> None:
    assert appended_at(timestamp_ms) == EPOCH


def test_commit_is_keyed_by_topic_and_partition() -> None:
    ((partition, committed),) = to_commit({Partition("images", 1): 7}).items()
    assert (partition.topic, partition.partition, committed.offset) == ("images", 1, 7)
