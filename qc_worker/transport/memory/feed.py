"""Follows a topic on the in-memory broker, from places that the reader remembers itself."""

from collections.abc import Callable
from typing import Generic, TypeVar

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Offsets, Partition, Record
from qc_worker.transport.memory.broker import MemoryBroker

T = TypeVar("T")


class MemoryFeed(Generic[T]):
    """Reads all partitions of a topic, by default from the beginning, else from where they end at `start`."""

    def __init__(
        self,
        broker: MemoryBroker,
        *,
        topic: str,
        decode: Callable[[Record], T | None],
        from_beginning: bool = True,
        max_records: int = 500,
    ) -> None:
        self._broker = broker
        self._topic = topic
        self._decode = decode
        self._from_beginning = from_beginning
        self._max_records = max_records
        self._next: dict[Partition, int] | None = None
        self._interrupted = False

    def oldest(self) -> dict[Partition, int]:
        self._check()
        return {partition: self._broker.oldest(partition) for partition in self._broker.partitions(self._topic)}

    def start(self, starts: Offsets | None = None) -> None:
        self._check()
        self._next = {p: self._first(p, starts or {}) for p in self._broker.partitions(self._topic)}

    def poll(self, *, timeout_s: float) -> list[T]:
        places = self._started()
        self._check()
        self._broker.wait_for_change(timeout_s=timeout_s, until=lambda: self._interrupted or self._has_more(places))
        self._check()
        records: list[Record] = []
        for partition, offset in places.items():
            records += self._broker.read(partition, offset, max_records=self._max_records - len(records))
        places.update({record.position.topic_partition: record.position.offset + 1 for record in records})
        decoded = map(self._decode, records)
        return [published for published in decoded if published is not None]

    def places(self) -> dict[Partition, int]:
        return dict(self._started())

    def reachable(self) -> bool:
        return self._next is not None and self._broker.available

    def interrupt(self) -> None:
        self._interrupted = True
        self._broker.wake()

    def close(self) -> None:
        self._next = None

    def _has_more(self, places: Offsets) -> bool:
        return any(self._broker.end(partition) > offset for partition, offset in places.items())

    def _check(self) -> None:
        if self._interrupted:
            raise TransportError(f"the feed of {self._topic} was interrupted")
        self._broker.check()

    def _first(self, partition: Partition, starts: Offsets) -> int:
        oldest, end = self._broker.oldest(partition), self._broker.end(partition)
        default = oldest if self._from_beginning else end
        start = starts.get(partition, default)
        return start if oldest <= start <= end else default

    def _started(self) -> dict[Partition, int]:
        if self._next is None:
            raise TransportError(f"the feed of {self._topic} is not started, or closed")
        return self._next
