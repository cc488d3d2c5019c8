"""Inspections on the in-memory broker: the sink, the feed and the newest ones."""

from collections.abc import Callable, Iterator, Sequence
from time import monotonic

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Offsets, Partition
from qc_worker.domain.inspection import Inspection, Outcome
from qc_worker.ports.results import PublishedInspection
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.outgoing import outgoing_records
from qc_worker.transport.published import inspection_of_line, published_inspection


class MemorySink:
    """All or nothing: if the broker is down nothing is appended."""

    def __init__(
        self, broker: MemoryBroker, *, results_topic: str, dead_letter_topic: str, commit: Callable[[Offsets], None]
    ) -> None:
        self._broker = broker
        self._topics = {"results_topic": results_topic, "dead_letter_topic": dead_letter_topic}
        self._commit = commit

    def start(self) -> None:
        self._broker.check()

    def publish(self, outcomes: Sequence[Outcome], offsets: Offsets) -> None:
        for outcome in outcomes:
            for record in outgoing_records(outcome, **self._topics):
                self._broker.append(record)
        self._commit(offsets)

    def close(self) -> None:
        pass


class MemoryInspectionFeed:
    """Follows `results`, from the beginning or from where it ends when `start` is called."""

    def __init__(self, broker: MemoryBroker, *, topic: str, from_beginning: bool = True) -> None:
        self._broker = broker
        self._topic = topic
        self._from_beginning = from_beginning
        self._next: dict[Partition, int] | None = None

    def start(self) -> None:
        self._broker.check()
        partitions = self._broker.partitions(self._topic)
        self._next = {p: 0 if self._from_beginning else self._broker.end(p) for p in partitions}

    def poll(self, *, timeout_s: float) -> list[PublishedInspection]:
        if self._next is None:
            raise TransportError("the inspection feed is not started, or closed")
        self._broker.check()
        places = self._next
        self._broker.wait_for_change(
            timeout_s=timeout_s, until=lambda: any(self._broker.end(p) > offset for p, offset in places.items())
        )
        records = [record for p, offset in places.items() for record in self._broker.read_all(p, offset)]
        places.update({record.position.topic_partition: record.position.offset + 1 for record in records})
        decoded = map(published_inspection, records)
        return [published for published in decoded if published is not None]

    def read(self, *, timeout_s: float) -> Iterator[PublishedInspection]:
        deadline_s = monotonic() + timeout_s
        while (left_s := deadline_s - monotonic()) > 0:
            yield from self.poll(timeout_s=left_s)

    def close(self) -> None:
        self._next = None


class MemoryRecentInspections:
    """Reads the newest inspections on the in-memory broker."""

    def __init__(self, broker: MemoryBroker, *, topic: str) -> None:
        self._broker = broker
        self._topic = topic

    def last(self, line: str, count: int) -> list[Inspection]:
        partitions = self._broker.partitions(self._topic)
        records = [record for p in partitions for record in self._broker.read_all(p, 0)]
        records.sort(key=lambda record: record.appended_at)
        found = [inspection for record in records if (inspection := inspection_of_line(record, line)) is not None]
        return found[-count:]

    def close(self) -> None:
        pass
