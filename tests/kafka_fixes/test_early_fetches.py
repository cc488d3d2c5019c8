"""When a consumer fetches more."""

import pytest
from kafka import KafkaConsumer, TopicPartition

from qc_worker.transport.kafka.connecting.access import Connections
from qc_worker.transport.kafka.groupless import open_reader
from qc_worker.transport.kafka_fixes import early_fetches
from tests.conftest import eventually
from tests.contract.rigs import PARTITIONS, KafkaRig, frame
from tests.kafka_fixes.conftest import TakeOut
from tests.kafka_fixes.fetching import FIRST, ReceivedFetches


def half_read() -> bool:
    """Return whether a partition of which one record of three was returned counts as not drained."""
    fetches = ReceivedFetches()
    fetches.receive(FIRST)
    records, is_partial = fetches.poll(max_records=1)
    assert records == [(0, 0)]
    return is_partial


@pytest.mark.xfail(strict=True, raises=AssertionError, reason="if it passes, kafka-python waits with the next fetch")
def test_the_defect_is_still_there(take_out: TakeOut) -> None:
    take_out(early_fetches.FIX)
    assert half_read()


def test_the_fix_holds_a_half_read_partition_is_not_drained() -> None:
    assert half_read()


def test_nothing_is_fetched_while_a_partition_is_half_read(kafka_rig: KafkaRig) -> None:
    # Empty partitions would keep that fetch waiting, and the next one of this partition behind it.
    for number in range(3):
        frame(kafka_rig, b"frame %d" % number, partition=0)
    connections = Connections()
    consumer: KafkaConsumer = open_reader(kafka_rig.access, connections)
    consumer.assign([TopicPartition(kafka_rig.topics.images, partition) for partition in range(PARTITIONS)])
    try:
        eventually(lambda: consumer.poll(timeout_ms=200, max_records=1))
        eventually(lambda: not consumer._fetcher.in_flight_fetches())
        assert consumer.poll(timeout_ms=0, max_records=1)
        assert not consumer._fetcher.in_flight_fetches()
        assert consumer.poll(timeout_ms=0, max_records=1)
        assert not consumer.poll(timeout_ms=0, max_records=1)
        assert consumer._fetcher.in_flight_fetches(), "it was read to its end"
    finally:
        consumer.close(autocommit=False)
        connections.close()
