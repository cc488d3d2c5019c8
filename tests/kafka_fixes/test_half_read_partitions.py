"""What a consumer has in hand of a partition that is paused."""

import pytest
from kafka import KafkaConsumer, TopicPartition

from qc_worker.transport.kafka.connecting.access import Connections
from qc_worker.transport.kafka.groupless import open_reader
from qc_worker.transport.kafka_fixes import half_read_partitions
from tests.conftest import eventually
from tests.contract.rigs import PARTITIONS, KafkaRig, frame
from tests.kafka_fixes.conftest import TakeOut
from tests.kafka_fixes.fetching import FIRST, SECOND, ReceivedFetches


def resumed_after_another_was_read() -> list[tuple[int, int]]:
    """Read one record, pause its partition, read another one to its end, resume; return what comes then."""
    fetches = ReceivedFetches()
    fetches.receive(FIRST)
    assert fetches.poll(max_records=1)[0] == [(0, 0)]
    fetches.subscriptions.pause(FIRST)
    fetches.receive(SECOND)
    assert fetches.poll()[0] == [(1, 0), (1, 1), (1, 2)]
    fetches.subscriptions.resume(FIRST)
    return fetches.poll()[0]


@pytest.mark.xfail(strict=True, raises=AssertionError, reason="if it passes, kafka-python returns what it has parked")
def test_the_defect_is_still_there(take_out: TakeOut) -> None:
    take_out(half_read_partitions.FIX)
    assert resumed_after_another_was_read() == [(0, 1), (0, 2)]


def test_the_fix_holds_parked_records_are_returned() -> None:
    assert resumed_after_another_was_read() == [(0, 1), (0, 2)]


def test_a_partition_paused_half_read_goes_on_where_it_was_when_it_is_resumed(kafka_rig: KafkaRig) -> None:
    for partition in range(PARTITIONS):
        for number in range(3):
            frame(kafka_rig, b"frame %d" % number, partition=partition)
    connections = Connections()
    consumer: KafkaConsumer = open_reader(kafka_rig.access, connections)
    consumer.assign([TopicPartition(kafka_rig.topics.images, partition) for partition in range(PARTITIONS)])
    try:
        (half_read,) = eventually(lambda: list(consumer.poll(timeout_ms=200, max_records=1)))
        consumer.pause(half_read)
        assert len(polled(consumer, 3 * (PARTITIONS - 1))) == 3 * (PARTITIONS - 1)
        consumer.resume(half_read)
        assert polled(consumer, 2) == [b"frame 1", b"frame 2"]
    finally:
        consumer.close(autocommit=False)
        connections.close()


def polled(consumer: KafkaConsumer, count: int) -> list[bytes]:
    """The next `count` records."""
    found: list[bytes] = []

    def enough() -> bool:
        found.extend(record.value for records in consumer.poll(timeout_ms=200).values() for record in records)
        return len(found) >= count

    eventually(enough, timeout_s=10)
    return found
