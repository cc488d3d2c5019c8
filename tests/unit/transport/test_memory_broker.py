"""What only the in-memory broker can show."""

import pytest

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Partition
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.frames import MemoryFrameSource
from qc_worker.transport.outgoing import OutgoingRecord


def frame(broker: MemoryBroker, partition: int = 0) -> None:
    broker.append(OutgoingRecord("images", b"A/cam1", b"frame", []), partition=partition)


def source_on(broker: MemoryBroker) -> MemoryFrameSource:
    source = MemoryFrameSource(broker, topic="images", group="group")
    source.start()
    return source


def test_lost_membership_reports_every_partition_and_delivers_uncommitted_frames_again() -> None:
    broker = MemoryBroker(partitions=2)
    for _ in range(3):
        frame(broker)
    source = source_on(broker)
    assert len(source.poll(timeout_s=0, max_records=10)) == 3
    source.commit({Partition("images", 0): 1})
    source.lose_membership()
    assert source.take_lost() == {Partition("images", 0), Partition("images", 1)}
    assert [record.position.offset for record in source.poll(timeout_s=0, max_records=10)] == [1, 2]


def test_broker_that_is_down_raises_from_every_call() -> None:
    broker = MemoryBroker()
    source = source_on(broker)
    broker.available = False
    assert not source.reachable()
    with pytest.raises(TransportError, match="down"):
        source.poll(timeout_s=0, max_records=1)
    with pytest.raises(TransportError, match="down"):
        source.commit({Partition("images", 0): 1})
    with pytest.raises(TransportError, match="down"):
        frame(broker)


def test_a_key_always_goes_to_the_same_partition() -> None:
    broker = MemoryBroker(partitions=6)
    partitions = {broker.append(OutgoingRecord("t", b"A/cam1", b"", [])).partition for _ in range(10)}
    assert len(partitions) == 1
