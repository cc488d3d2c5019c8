"""What a consumer has in hand of a partition that is paused."""

from kafka import KafkaConsumer, TopicPartition

from qc_worker.transport.kafka.connecting.access import Connections
from qc_worker.transport.kafka.groupless import open_reader
from tests.conftest import eventually
from tests.contract.rigs import PARTITIONS, KafkaRig, frame


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


def polled(consumer: KafkaConsumer, count: int) -> list[bytes]:
    """The next `count` records."""
    found: list[bytes] = []

    def enough() -> bool:
        found.extend(record.value for records in consumer.poll(timeout_ms=200).values() for record in records)
        return len(found) >= count

    eventually(enough, timeout_s=10)
    return found
