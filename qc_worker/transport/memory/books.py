"""Whole topics of the in-memory broker."""

from collections.abc import Iterator
from datetime import datetime

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Offsets, Partition, Record
from qc_worker.transport.memory.broker import MemoryBroker


class MemoryBooks:
    """Nothing is hidden here: the in-memory broker has no transactions."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def oldest(self, topic: str) -> dict[Partition, int]:
        return {partition: self._broker.oldest(partition) for partition in self._partitions(topic)}

    def ends(self, topic: str) -> dict[Partition, int]:
        return {partition: self._broker.end(partition) for partition in self._partitions(topic)}

    def at(self, topic: str, time: datetime) -> dict[Partition, int]:
        return {partition: self._first_at(partition, time) for partition in self._partitions(topic)}

    def oldest_times(self, topic: str) -> dict[Partition, datetime]:
        cut = [partition for partition, offset in self.oldest(topic).items() if offset > 0]
        first = [record for partition in cut for record in self._broker.read(partition, 0, max_records=1)]
        return {record.position.topic_partition: record.appended_at for record in first}

    def committed(self, topic: str, group: str) -> dict[Partition, int]:
        partitions = self._partitions(topic)
        committed = self._broker.group(group).committed()
        return {partition: committed[partition] for partition in partitions if partition in committed}

    def await_readable(self, topic: str) -> None:
        self._partitions(topic)

    def read(self, starts: Offsets) -> Iterator[Record]:
        self._broker.check()
        ends = {partition: self._broker.end(partition) for partition in starts}
        for partition, start in starts.items():
            yield from self._broker.read(partition, start, max_records=max(0, ends[partition] - start))

    def close(self) -> None:
        pass

    def _partitions(self, topic: str) -> list[Partition]:
        self._broker.check()
        if not self._broker.has_topic(topic):
            raise TransportError(f"topic {topic} does not exist; `qc-worker topics` creates it")
        return self._broker.partitions(topic)

    def _first_at(self, partition: Partition, time: datetime) -> int:
        records = self._broker.read_all(partition, 0)
        offsets = (record.position.offset for record in records if record.appended_at >= time)
        return next(offsets, self._broker.end(partition))
